//! Owns a decrypted signing key: signing with it, verifying, and its public form.

use std::sync::Arc;

use crate::{
    jose::{Jwk, PrivateKey, Signer, VerifyingKey},
    model::{Claims, Error, KeyId, claims::ACCESS_TOKEN_TYP},
};

/// A key that signs and verifies.
#[derive(Debug)]
pub(super) struct ReadyKey {
    signer: Signer,
    /// The same as long as the key stays, so that tokens that were verified with it need not be verified again.
    pub(super) verifying: Arc<VerifyingKey>,
    /// None of a symmetric key: whoever has it can sign.
    pub(super) published: Option<Jwk>,
}

impl ReadyKey {
    pub(super) fn new(key: &PrivateKey) -> Result<Self, Error> {
        Ok(Self {
            signer: key.signer(ACCESS_TOKEN_TYP),
            verifying: Arc::new(key.verifying_key()?),
            published: key.public_jwk(),
        })
    }

    pub(super) fn kid(&self) -> &KeyId {
        self.verifying.kid()
    }

    /// `claims` as an access token (RFC 9068 section 2.1).
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Error> {
        self.signer.sign(claims)
    }
}
