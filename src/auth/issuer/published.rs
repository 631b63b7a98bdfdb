//! Owns reading the key set that an issuer publishes (RFC 7517 section 5): which of its keys verify access tokens.

use std::{collections::HashSet, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    jose::{Jwk, KID_MAX_BYTES, KeySet, PublicKey, VerifyingKey, is_secret},
    model::KeyId,
};

/// The most keys that are read: an issuer has a handful, and each takes memory here.
const MAX_KEYS: usize = 100;

/// The keys of an issuer, as it published them last.
#[derive(Debug, Default)]
pub(super) struct Published {
    keys: Vec<Arc<VerifyingKey>>,
    set: Arc<KeySet>,
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
                Ok(key) if !kids.insert(key.kid().clone()) => {
                    return Err(format!("holds two keys with the `kid` {:?}", key.kid().0));
                }
                Ok(key) => keys.push(known.same_or(key)),
                Err(problem) => tracing::debug!("a key of the issuer is left out: it {problem}"),
            }
        }
        if keys.is_empty() {
            return Err("holds no public key for ES256, EdDSA or RS256 with a `kid`".to_owned());
        }
        let set = keys.iter().map(Arc::clone).collect();
        Ok(Self { keys, set: Arc::new(set) })
    }

    /// The keys, in the order of the document.
    pub(super) fn keys(&self) -> &[Arc<VerifyingKey>] {
        &self.keys
    }

    /// The keys, by their ids.
    pub(super) const fn set(&self) -> &Arc<KeySet> {
        &self.set
    }

    /// The key of these that is the same as `key`, or else `key`.
    fn same_or(&self, key: VerifyingKey) -> Arc<VerifyingKey> {
        self.keys.iter().find(|known| known.is_same(&key)).map_or_else(|| Arc::new(key), Arc::clone)
    }
}

/// The key that `value` holds, if it verifies access tokens.
fn usable(value: Value) -> Result<VerifyingKey, String> {
    if is_secret(&value) {
        return Err("is secret".to_owned());
    }
    let jwk: Jwk = serde_json::from_value(value).map_err(|error| format!("is not understood: {error}"))?;
    let public = PublicKey::of(&jwk)?;
    let kid = jwk.kid().filter(|kid| !kid.is_empty() && kid.len() <= KID_MAX_BYTES);
    VerifyingKey::new(KeyId(kid.ok_or("has no `kid` that a token could name")?.to_owned()), public)
}
