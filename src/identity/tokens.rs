//! Owns issuing access tokens.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{Keyring, permissions::Given};
use crate::{
    base::{Clock, Timestamp, fill_from_system},
    model::{Audience, Claims, ClientId, Error, NameSet, Session, claims::claimed, id::uuid_v7_of},
};

/// The longest token that says something of roles or attributes: gRPC in Java takes 8 KiB for all metadata of a call.
const TOKEN_MAX_BYTES: usize = 4_096;

/// Issues access tokens in the name of one issuer.
#[derive(Debug)]
pub struct Tokens {
    keyring: Arc<Keyring>,
    clock: Clock,
    settings: TokenSettings,
}

/// The settings of access tokens.
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

/// The subject of a token.
#[derive(Clone, Copy, Debug)]
pub enum TokenSubject<'a> {
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

    /// How long an access token is valid at most.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.settings.access_token_ttl
    }

    /// The service's own audience.
    #[must_use]
    pub const fn audience(&self) -> &NameSet {
        &self.settings.audience
    }

    /// An access token for `holder`, that is `given` this. Two of one stamp that are given the same differ only in
    /// their signatures.
    ///
    /// # Errors
    /// [`Error::Internal`], if the key does not sign.
    pub(crate) fn issue(
        &self,
        holder: TokenSubject<'_>,
        stamp: TokenStamp,
        given: &Given,
        audience: &NameSet,
    ) -> Result<IssuedToken, Error> {
        let lifetime = i32::try_from(self.settings.access_token_ttl.as_secs()).map_err(Error::internal)?;
        let iat = stamp.time.as_secs();
        let exp = iat.saturating_add(lifetime.into());
        let exp = given.end.map_or(exp, |end| exp.min(end.as_secs()));
        // An exchange that is repeated late may give one that has expired.
        let left = exp.saturating_sub(self.clock.now().as_secs());
        let expires_in = i32::try_from(left.max(0)).unwrap_or(lifetime).min(lifetime);
        let (sub, client_id, session) = match holder {
            TokenSubject::User(session) => (session.user_id.0, session.client_id.clone(), Some(session)),
            TokenSubject::Client(id) => (id.0, id.to_string(), None),
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
            scope: given.scope.as_str().to_owned(),
            sid: session.map(|session| session.id.0),
            auth_time: login.as_ref().map(|login| login.time.as_secs()),
            acr: login.as_ref().and_then(|login| login.level.clone()),
            amr: login.map(|login| login.methods).unwrap_or_default(),
            roles: (!given.names.roles.is_empty()).then(|| given.names.roles.clone()),
            groups: given.names.groups.clone(),
            attributes: claimed(&given.attributes),
            attributes_omitted: false,
            roles_omitted: false,
            groups_omitted: false,
            typ: given.typ,
        };
        let scope = claims.scope.clone();
        Ok(IssuedToken { access_token: self.sign(claims)?, expires_in, scope })
    }

    /// The token that says `claims`, without the groups, then the roles, and then the attributes, for which it has no room.
    fn sign(&self, mut claims: Claims) -> Result<String, Error> {
        loop {
            let token = self.keyring.sign(&claims)?;
            if token.len() <= TOKEN_MAX_BYTES {
                return Ok(token);
            }
            if !claims.groups.is_empty() {
                claims = Claims { groups: Vec::new(), groups_omitted: true, ..claims };
            } else if claims.roles.is_some() {
                claims = Claims { roles: None, roles_omitted: true, ..claims };
            } else if !claims.attributes.is_empty() {
                claims = Claims { attributes: BTreeMap::new(), attributes_omitted: true, ..claims };
            } else {
                return Ok(token);
            }
        }
    }
}
