//! Owns issuing access tokens.

use std::{sync::Arc, time::Duration};

use super::Keyring;
use crate::model::{Claims, Clock, Error, Session, user::uuid_v7};

/// Issues access tokens in the name of one issuer, for one audience.
#[derive(Debug)]
pub struct Tokens {
    keyring: Arc<Keyring>,
    clock: Clock,
    settings: TokenSettings,
}

/// What the tokens say.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// How long an access token is valid.
    pub access_token_ttl: Duration,
}

/// A token and what its recipient is told of it (RFC 6749 section 5.1).
#[derive(Debug)]
pub struct IssuedToken {
    /// The signed token.
    pub access_token: String,
    /// Its lifetime in seconds.
    pub expires_in: i64,
    /// Its scopes, separated by spaces.
    pub scope: String,
}

impl Tokens {
    /// An issuer that signs with `keyring`.
    #[must_use]
    pub const fn new(keyring: Arc<Keyring>, clock: Clock, settings: TokenSettings) -> Self {
        Self { keyring, clock, settings }
    }

    /// An access token of `session`.
    ///
    /// # Errors
    /// [`Error::Internal`], if the key does not sign.
    pub fn issue(&self, session: &Session) -> Result<IssuedToken, Error> {
        let now = self.clock.now();
        let expires_in = i64::try_from(self.settings.access_token_ttl.as_secs()).map_err(Error::internal)?;
        let claims = Claims {
            iss: self.settings.issuer.clone(),
            sub: session.user_id.0,
            aud: self.settings.audience.clone(),
            exp: now.as_secs().saturating_add(expires_in),
            iat: now.as_secs(),
            nbf: None,
            jti: uuid_v7(now, &mut rand::rng()),
            client_id: session.client_id.clone(),
            scope: session.scope.clone(),
            sid: session.id.0,
        };
        Ok(IssuedToken { access_token: self.keyring.sign(&claims)?, expires_in, scope: claims.scope })
    }
}
