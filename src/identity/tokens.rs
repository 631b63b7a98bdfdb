//! Owns issuing access tokens.

use std::{sync::Arc, time::Duration};

use super::Keyring;
use crate::model::{Audience, Claims, Clock, Error, NameSet, Subject, id::uuid_v7};

/// Issues access tokens in the name of one issuer.
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
    /// The service's own audience: `aud` where nobody asks for another.
    pub audience: NameSet,
    /// How long an access token is valid.
    pub access_token_ttl: Duration,
}

/// A token and what its recipient is told of it (RFC 6749 section 5.1).
#[derive(Debug)]
pub struct IssuedToken {
    /// The signed token.
    pub access_token: String,
    /// Its lifetime in seconds.
    pub expires_in: i32,
    /// Its scopes, separated by spaces.
    pub scope: String,
}

impl Tokens {
    /// An issuer that signs with `keyring`.
    #[must_use]
    pub const fn new(keyring: Arc<Keyring>, clock: Clock, settings: TokenSettings) -> Self {
        Self { keyring, clock, settings }
    }

    /// The service's own audience.
    #[must_use]
    pub const fn audience(&self) -> &NameSet {
        &self.settings.audience
    }

    /// An access token for `subject`, asked for by the client `client_id`.
    ///
    /// # Errors
    /// [`Error::Internal`], if the key does not sign.
    pub fn issue(
        &self,
        subject: Subject,
        client_id: &str,
        scope: &NameSet,
        audience: &NameSet,
    ) -> Result<IssuedToken, Error> {
        let now = self.clock.now();
        let expires_in = i32::try_from(self.settings.access_token_ttl.as_secs()).map_err(Error::internal)?;
        let (sub, sid) = match subject {
            Subject::User(user, session) => (user.0, Some(session.0)),
            Subject::Client(client) => (client.0, None),
        };
        let claims = Claims {
            iss: self.settings.issuer.clone(),
            sub,
            aud: Audience::from(audience),
            exp: now.as_secs().saturating_add(expires_in.into()),
            iat: now.as_secs(),
            nbf: None,
            jti: uuid_v7(now, &mut rand::rng()),
            client_id: client_id.to_owned(),
            scope: scope.as_str().to_owned(),
            sid,
        };
        Ok(IssuedToken { access_token: self.keyring.sign(&claims)?, expires_in, scope: claims.scope })
    }
}
