//! Owns reading the key set that an issuer publishes (RFC 7517 section 5): which of its keys verify access tokens.

use std::{collections::HashSet, sync::Arc};

use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    auth::{
        KeySet, VerifyingKey,
        public_key::{KID_MAX_BYTES, PublicKey, is_secret},
    },
    model::{KeyId, SigningAlg},
};

/// The most keys that are read: an issuer has a handful, and each takes memory here.
const MAX_KEYS: usize = 100;

/// The keys of an issuer, as it published them last.
#[derive(Debug, Default)]
pub(super) struct Published {
    keys: Vec<PublishedKey>,
    set: Arc<KeySet>,
}

#[derive(Debug)]
struct PublishedKey {
    bytes: Vec<u8>,
    key: Arc<VerifyingKey>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl Published {
    /// The keys that `document` holds and that verify access tokens: public ones, with an id, meant for signatures, of P-256
    /// (ES256), Ed25519 (EdDSA), or RSA (RS256). Others are left out, as RFC 7517 section 5 asks, and symmetric ones above all: whoever
    /// can read the set could sign with them. A key that is `known` stays the same `Arc`.
    ///
    /// # Errors
    /// If `document` is no JWK Set, or holds no such key: the rest of a sentence that begins with the document.
    pub(super) fn read(document: &[u8], known: &Self) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(document).map_err(|error| format!("is no JWK Set: {error}"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!("holds more than {MAX_KEYS} keys"));
        }
        let (mut keys, mut kids) = (Vec::new(), HashSet::new());
        for value in document.keys {
            match usable(value) {
                Ok((kid, ..)) if !kids.insert(kid.clone()) => {
                    return Err(format!("holds two keys with the `kid` {kid:?}"));
                }
                Ok((kid, alg, public, jwk)) => keys.push(known.same_or_new(kid, alg, &public, &jwk)?),
                Err(problem) => tracing::debug!("a key of the issuer is left out: it {problem}"),
            }
        }
        if keys.is_empty() {
            return Err("holds no public key for ES256, EdDSA or RS256 with a `kid`".to_owned());
        }
        let set = keys.iter().map(|key: &PublishedKey| Arc::clone(&key.key)).collect();
        Ok(Self { keys, set: Arc::new(set) })
    }

    /// The keys, by their ids.
    pub(super) const fn set(&self) -> &Arc<KeySet> {
        &self.set
    }

    fn same_or_new(
        &self,
        kid: String,
        alg: SigningAlg,
        public: &PublicKey,
        jwk: &Jwk,
    ) -> Result<PublishedKey, String> {
        let same = |known: &&PublishedKey| {
            known.key.kid().0 == kid
                && known.key.algorithm_name() == alg.name()
                && known.bytes == public.bytes()
        };
        let key = match self.keys.iter().find(same) {
            Some(known) => Arc::clone(&known.key),
            None => Arc::new(VerifyingKey::new(KeyId(kid), alg, jwk).map_err(|error| error.to_string())?),
        };
        Ok(PublishedKey { bytes: public.bytes().to_vec(), key })
    }
}

/// The key that `value` holds, if it verifies access tokens.
fn usable(value: Value) -> Result<(String, SigningAlg, PublicKey, Jwk), String> {
    if is_secret(&value) {
        return Err("is secret".to_owned());
    }
    let jwk: Jwk = serde_json::from_value(value).map_err(|error| format!("is not understood: {error}"))?;
    let public = PublicKey::of(&jwk)?;
    let alg: SigningAlg = public.algorithm().to_string().parse()?;
    let kid = jwk.common.key_id.clone().filter(|kid| !kid.is_empty() && kid.len() <= KID_MAX_BYTES);
    Ok((kid.ok_or("has no `kid` that a token could name")?, alg, public, jwk))
}
