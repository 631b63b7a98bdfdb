//! Owns the keys that access tokens are verified with.

use std::{collections::HashMap, future::Future, net::IpAddr, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey, jwk::Jwk};

use crate::model::{Error, KeyId, SigningAlg};

/// Where the verifier finds the keys in force: the service's own keyring, or another's JWKS.
pub trait Keys: Send + Sync + 'static {
    /// The keys in force at this moment, for a call from the address `caller`. Called for every token, so it must as a rule cost next to
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be told which they are.
    fn current(&self, caller: Option<IpAddr>) -> impl Future<Output = Result<Arc<KeySet>, Error>> + Send;

    /// The keys that were in force when that was last known, however long ago: for who must not wait, and lets nobody in by them.
    fn last_known(&self) -> Arc<KeySet>;

    /// The key `kid`, which is not among [`Self::current`]: where keys come from afar, it may be newer than what is known here. None
    /// if it is not in force, and always where nothing is known later than it counts. Anybody can make up ids: whoever looks further
    /// bounds what that costs, and what of it a single `caller` can have.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be told, or too many calls wait for that.
    fn find(
        &self,
        kid: &str,
        caller: Option<IpAddr>,
    ) -> impl Future<Output = Result<Option<Arc<VerifyingKey>>, Error>> + Send {
        let _ = (kid, caller);
        std::future::ready(Ok(None))
    }
}

/// The keys in force, by their ids.
#[derive(Debug, Default)]
pub struct KeySet(HashMap<KeyId, Arc<VerifyingKey>>);

impl KeySet {
    /// The key `kid`, if it is in force.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<&Arc<VerifyingKey>> {
        // Not every string is a key id, but every key id is looked up by its string.
        self.0.get(kid)
    }
}

impl FromIterator<Arc<VerifyingKey>> for KeySet {
    /// A key that stays in force must stay the same `Arc`: what was verified with another is verified again.
    fn from_iter<I: IntoIterator<Item = Arc<VerifyingKey>>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.kid.clone(), key)).collect())
    }
}

/// A key and the one algorithm that it verifies: a token cannot choose another (RFC 8725 section 3.1).
#[derive(Debug)]
pub struct VerifyingKey {
    kid: KeyId,
    alg: SigningAlg,
    key: DecodingKey,
}

impl VerifyingKey {
    /// The key that `jwk` holds, for `alg` alone.
    ///
    /// # Errors
    /// If `jwk` is not a key.
    pub fn new(kid: KeyId, alg: SigningAlg, jwk: &Jwk) -> Result<Self, jsonwebtoken::errors::Error> {
        Ok(Self { kid, alg, key: DecodingKey::from_jwk(jwk)? })
    }

    /// The key's id.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The algorithm it is bound to.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.alg.into()
    }

    /// The algorithm's name in JOSE headers.
    #[must_use]
    pub const fn algorithm_name(&self) -> &'static str {
        self.alg.name()
    }

    pub(super) fn decoding_key(&self) -> &DecodingKey {
        &self.key
    }
}

impl From<SigningAlg> for Algorithm {
    fn from(alg: SigningAlg) -> Self {
        match alg {
            SigningAlg::Es256 => Self::ES256,
            SigningAlg::EdDsa => Self::EdDSA,
            SigningAlg::Rs256 => Self::RS256,
            SigningAlg::Hs256 => Self::HS256,
        }
    }
}
