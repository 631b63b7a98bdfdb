//! Owns the answer to what a token is worth (RFC 7662), whichever protocol asks.

use std::sync::Arc;

use serde::Serialize;

use super::{GoodStanding, Keyring, RefreshToken, RoleNames, Sessions, ShownAttributes, clients::Requester};
use crate::{
    auth::{Standing, Stands, Verifier},
    model::{
        Authentication, Error, NameSet, NamedAttributes, Subject,
        claims::{Audience, INTROSPECT_SCOPE, TOKEN_TYPE, name_array},
    },
};

/// Tells what tokens are worth.
#[derive(Debug)]
pub struct Introspection {
    verifier: Arc<Verifier<Arc<Keyring>>>,
    standing: GoodStanding,
    sessions: Arc<Sessions>,
    attributes: Arc<ShownAttributes>,
    issuer: String,
    audience: NameSet,
}

/// What a good token is, by the members of RFC 7662 section 2.2; times in seconds since the epoch. What a kind of token does
/// not say is none, and is left out when this is written as JSON.
#[derive(Debug, Serialize)]
pub struct ActiveToken {
    /// The scopes of the token, separated by spaces.
    pub scope: String,
    /// The client that it was issued to.
    pub client_id: String,
    /// The name of the user that it stands for; none in a client's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// How an access token is shown (RFC 6749 section 7.1); a refresh token has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
    /// From when on it is refused.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// Before when it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The id of the user, or client, that it stands for.
    pub sub: String,
    /// The audiences of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// The issuer of the token.
    pub iss: String,
    /// The token's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The methods by which the user logged in (RFC 8176); only of a user's token.
    #[serde(skip_serializing_if = "NameSet::is_empty", serialize_with = "name_array::serialize")]
    pub amr: NameSet,
    /// When the user logged in (RFC 9470 section 6.2), of a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// Which level of assurance that reached (RFC 9470 section 6.2), if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The roles that its holder has now at its audience, if that is one (RFC 9068 section 2.2.3.1), of an access token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The groups by which one of these roles comes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The attributes that its user has now and that the operator has declared for this, of an access token.
    #[serde(skip_serializing_if = "NamedAttributes::is_empty")]
    pub attributes: NamedAttributes,
}

impl Introspection {
    /// Believes `verifier`, and asks `standing`, `sessions` and `attributes`; the tokens are those of `issuer`, whose own audience is
    /// `audience`.
    #[must_use]
    pub const fn new(
        verifier: Arc<Verifier<Arc<Keyring>>>,
        standing: GoodStanding,
        sessions: Arc<Sessions>,
        attributes: Arc<ShownAttributes>,
        issuer: String,
        audience: NameSet,
    ) -> Self {
        Self { verifier, standing, sessions, attributes, issuer, audience }
    }

    /// Lets through a client that may ask what tokens are worth, by its own credentials: one that could get a token for it.
    ///
    /// # Errors
    /// [`Error::InvalidClient`] for who has proven nothing; [`Error::InsufficientScope`].
    pub async fn admit(&self, requester: &Requester) -> Result<(), Error> {
        self.standing.must_have(requester.client(), INTROSPECT_SCOPE).await
    }

    /// The members that describe `token`; none if the token is not active, whatever the cause.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`] if that cannot be told: never taken for "inactive".
    pub async fn introspect(&self, token: &str) -> Result<Option<ActiveToken>, Error> {
        match RefreshToken::parse(token) {
            // 86 characters without a dot: no JWT reads like that.
            Some(token) => self.refresh(token).await,
            None => self.access(token).await,
        }
    }

    async fn access(&self, token: &str) -> Result<Option<ActiveToken>, Error> {
        let claims = match self.verifier.verify_for_anyone(token).await {
            Ok(claims) => claims,
            Err(Error::TokenInvalid(_) | Error::TokenExpired) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Stands { found, left } = match self.standing.check(&claims).await {
            Ok(stands) => stands,
            // Of another type than its audience asks for, or what it stands for has ended.
            Err(Error::TokenInvalid(_) | Error::TokenRevoked) => return Ok(None),
            Err(error) => return Err(error),
        };
        let user = found.as_ref().and_then(|found| found.user());
        let attributes = match user {
            Some(user) => self.attributes.in_introspection(user).await?,
            None => NamedAttributes::new(),
        };
        let names = match (&found, claims.aud.names()) {
            (Some(found), [only]) => self.standing.roles_at(found, only).names.clone(),
            // Whose roles they are could not be told among several.
            _ => RoleNames::default(),
        };
        let mut told = ActiveToken {
            scope: left.map_or_else(|| claims.scope.clone(), |left| left.as_str().to_owned()),
            client_id: claims.client_id.clone(),
            username: user.map(|user| user.username.typed().to_owned()),
            token_type: Some(TOKEN_TYPE),
            exp: claims.exp,
            iat: claims.iat,
            nbf: claims.nbf,
            sub: claims.sub.to_string(),
            aud: Some(claims.aud.clone()),
            iss: claims.iss.clone(),
            jti: Some(claims.jti.to_string()),
            amr: claims.amr.clone(),
            auth_time: claims.auth_time,
            acr: claims.acr.clone(),
            roles: names.roles,
            groups: names.groups,
            attributes,
        };
        // A token of the release before says nothing of the login: its session does.
        if let (Subject::User(_, session), None) = (claims.subject(), claims.auth_time) {
            let Some(login) = self.sessions.authentication(session).await? else { return Ok(None) };
            told = told.of_login(login);
        }
        Ok(Some(told))
    }

    async fn refresh(&self, token: RefreshToken) -> Result<Option<ActiveToken>, Error> {
        let Some((session, issue_time)) = self.sessions.of_unused(token).await? else { return Ok(None) };
        let audience = session.audience.as_ref().unwrap_or(&self.audience);
        let Some((user, scope)) = self.standing.of_session(&session, audience).await? else {
            return Ok(None);
        };
        let told = ActiveToken {
            exp: session.expire_time(self.sessions.lifetime()).as_secs(),
            scope: scope.as_str().to_owned(),
            sub: session.user_id.to_string(),
            client_id: session.client_id,
            username: Some(user.username.typed().to_owned()),
            token_type: None,
            iat: issue_time.as_secs(),
            nbf: None,
            aud: None,
            iss: self.issuer.clone(),
            jti: None,
            amr: NameSet::default(),
            auth_time: None,
            acr: None,
            roles: Vec::new(),
            groups: Vec::new(),
            attributes: NamedAttributes::new(),
        };
        Ok(Some(told.of_login(session.authentication)))
    }
}

impl ActiveToken {
    /// The same, of a session with this login.
    fn of_login(self, login: Authentication) -> Self {
        let Authentication { methods, time, level } = login;
        Self { amr: methods, auth_time: Some(time.as_secs()), acr: level, ..self }
    }
}
