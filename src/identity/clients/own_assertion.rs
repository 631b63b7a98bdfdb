//! Owns proving by a signature which client one is: the other side of what `assertion` checks.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::{
    base::{Entropy, Timestamp},
    jose::PrivateKey,
    model::{Error, id::uuid_v7},
};

/// For how long it is valid: it is sent at once.
const LIFETIME: Duration = Duration::from_mins(1);

/// The private key of a client that proves with it who it is (`private_key_jwt`, RFC 7523).
#[derive(Debug)]
pub struct ClientKey(PrivateKey);

impl ClientKey {
    /// The key in `text`, which is PEM.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        PrivateKey::from_pem(text).map(Self)
    }

    /// An assertion of the client `client_id` for the service whose tokens `issuer` issues, made at `now`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the key does not sign.
    pub fn assertion(
        &self,
        client_id: &str,
        issuer: &str,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Result<String, Error> {
        let id: Uuid = uuid_v7(now, entropy);
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": issuer,
            "iat": now.as_secs(),
            "exp": now.after(LIFETIME).as_secs(),
            "jti": id.to_string(),
        });
        // Without the key's id: the client may have registered it under another.
        self.0.signer("JWT").without_kid().sign(&claims)
    }
}
