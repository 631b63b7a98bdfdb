//! Owns the keys that tokens are verified with, and sets of them by their ids.

use std::{collections::HashMap, sync::Arc};

#[cfg(feature = "server")]
use aws_lc_rs::hmac;

use super::PublicKey;
use crate::model::{KeyId, SigningAlg};

/// The keys in force, by their ids.
#[derive(Debug, Default)]
pub struct KeySet(HashMap<KeyId, Arc<VerifyingKey>>);

/// A key and the one algorithm that it verifies: a token cannot choose another (RFC 8725 section 3.1).
#[derive(Debug)]
pub struct VerifyingKey {
    kid: KeyId,
    alg: SigningAlg,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Public(PublicKey),
    /// Whoever can verify with it can sign.
    #[cfg(feature = "server")]
    Secret(Box<hmac::Key>),
}

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

impl VerifyingKey {
    /// The public key `key` with the id `kid`.
    ///
    /// # Errors
    /// If its algorithm is not one that the service signs with: the rest of a sentence that begins with the key.
    pub fn new(kid: KeyId, key: PublicKey) -> Result<Self, String> {
        let alg = key.algorithm_name();
        let alg = alg.parse().map_err(|_| format!("is for {alg}, which no token is signed with"))?;
        Ok(Self { kid, alg, key: Key::Public(key) })
    }

    /// The symmetric key `secret` with the id `kid`, for HS256.
    #[cfg(feature = "server")]
    pub(super) fn symmetric(kid: KeyId, secret: &[u8]) -> Self {
        let key = Key::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        Self { kid, alg: SigningAlg::Hs256, key }
    }

    /// The key's id.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The name in JOSE headers of the algorithm that it is bound to.
    #[must_use]
    pub const fn algorithm_name(&self) -> &'static str {
        self.alg.name()
    }

    /// Whether `signature` is the key's own of `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Key::Public(key) => key.verifies(message, signature),
            #[cfg(feature = "server")]
            Key::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }

    /// Whether this and `other` are one public key with one id.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.key, &other.key) {
            (Key::Public(key), Key::Public(other_key)) => self.kid == other.kid && key.is_same(other_key),
            #[cfg(feature = "server")]
            _ => false,
        }
    }
}
