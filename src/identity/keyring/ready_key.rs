//! Owns a decrypted signing key: signing with it, verifying, and its public form.

use std::sync::Arc;

use crate::{
    jose::{Jwk, PrivateKey, Signer, VerifyingKey},
    model::{Claims, Error, KeyId, TokenTyp},
};

/// A key that signs and verifies.
#[derive(Debug)]
pub(super) struct ReadyKey {
    signer: Signer,
    /// For the audiences that ask for `JWT`.
    signer_of_jwt: Signer,
    /// The same as long as the key stays, so that tokens that were verified with it need not be verified again.
    pub(super) verifying: Arc<VerifyingKey>,
    /// None of a symmetric key: whoever has it can sign.
    pub(super) published: Option<Jwk>,
}

impl ReadyKey {
    pub(super) fn new(key: &PrivateKey) -> Result<Self, Error> {
        Ok(Self {
            signer: key.signer(TokenTyp::AtJwt.name()),
            signer_of_jwt: key.signer(TokenTyp::Jwt.name()),
            verifying: Arc::new(key.verifying_key()?),
            published: key.public_jwk(),
        })
    }

    pub(super) fn kid(&self) -> &KeyId {
        self.verifying.kid()
    }

    /// `claims` as an access token (RFC 9068 section 2.1) of their type.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Error> {
        match claims.typ {
            TokenTyp::AtJwt => self.signer.sign(claims),
            TokenTyp::Jwt => self.signer_of_jwt.sign(claims),
        }
    }
}
