//! Owns issuing access tokens.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::Keyring;
use crate::{
    base::{Clock, Timestamp, fill_from_system},
    model::{Audience, Claims, ClientId, Error, NameSet, Session, id::uuid_v7_of},
};

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

/// When a token is issued, and as which.
#[derive(Clone, Copy, Debug)]
pub struct TokenStamp {
    /// `iat`; `exp` follows from it.
    pub time: Timestamp,
    /// `jti`.
    pub jti: Uuid,
}

/// Whom a token stands for.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// The user of a login session, who logged in with its client. What the session says of the login is said by each of its tokens.
    User(&'a Session),
    /// A client by itself, which asks for its own token: nobody logged in.
    Client(ClientId),
}

/// A token and what its recipient is told of it (RFC 6749 section 5.1).
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The signed token.
    pub access_token: String,
    /// For how many seconds from now on it is valid.
    pub expires_in: i32,
    /// Its scopes, separated by spaces.
    pub scope: String,
}

impl TokenStamp {
    /// A token of its own, issued at `time`.
    #[must_use]
    pub fn new(time: Timestamp) -> Self {
        let mut random = [0; 10];
        fill_from_system(&mut random);
        Self { time, jti: uuid_v7_of(time, random) }
    }
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

    /// An access token for `holder`. Two of one stamp differ only in their signatures.
    ///
    /// # Errors
    /// [`Error::Internal`], if the key does not sign.
    pub fn issue(
        &self,
        holder: Holder<'_>,
        stamp: TokenStamp,
        scope: &NameSet,
        audience: &NameSet,
    ) -> Result<IssuedToken, Error> {
        let lifetime = i32::try_from(self.settings.access_token_ttl.as_secs()).map_err(Error::internal)?;
        let iat = stamp.time.as_secs();
        let exp = iat.saturating_add(lifetime.into());
        // An exchange that is repeated late may give one that has expired.
        let left = exp.saturating_sub(self.clock.now().as_secs());
        let expires_in = i32::try_from(left.max(0)).unwrap_or(lifetime).min(lifetime);
        let (sub, client_id, session) = match holder {
            Holder::User(session) => (session.user_id.0, session.client_id.clone(), Some(session)),
            Holder::Client(id) => (id.0, id.to_string(), None),
        };
        let login = session.map(|session| session.authentication.clone());
        let claims = Claims {
            iss: self.settings.issuer.clone(),
            sub,
            aud: Audience::from(audience),
            exp,
            iat,
            nbf: None,
            jti: stamp.jti,
            client_id,
            scope: scope.as_str().to_owned(),
            sid: session.map(|session| session.id.0),
            auth_time: login.as_ref().map(|login| login.time.as_secs()),
            acr: login.as_ref().and_then(|login| login.level.clone()),
            amr: login.map(|login| login.methods).unwrap_or_default(),
        };
        Ok(IssuedToken { access_token: self.keyring.sign(&claims)?, expires_in, scope: claims.scope })
    }
}
