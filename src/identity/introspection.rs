//! Owns the answer to what a token is worth (RFC 7662), whichever protocol asks.

use std::sync::Arc;

use super::{Accounts, GoodStanding, Keyring, RefreshToken, Sessions};
use crate::{
    auth::{Standing, Verifier},
    model::{Claims, Error, Session, Subject, Timestamp, User},
};

/// Tells what tokens are worth.
#[derive(Debug)]
pub struct Introspection {
    verifier: Arc<Verifier<Arc<Keyring>>>,
    standing: GoodStanding,
    accounts: Arc<Accounts>,
    sessions: Arc<Sessions>,
    issuer: String,
}

/// What a good token is.
#[derive(Debug)]
pub enum ActiveToken {
    /// An access token.
    Access {
        /// What it says.
        claims: Arc<Claims>,
        /// The user that it stands for; none in a client's own.
        user: Option<Arc<User>>,
    },
    /// A refresh token that has not been used.
    Refresh {
        /// Who issued it.
        issuer: String,
        /// The session that it keeps going.
        session: Session,
        /// The user of that.
        user: Arc<User>,
        /// When it was issued.
        issue_time: Timestamp,
        /// When it expires if it is not used before.
        expire_time: Timestamp,
    },
}

impl Introspection {
    /// Believes `verifier`, and asks `standing`, `accounts` and `sessions`; the tokens are those of `issuer`.
    #[must_use]
    pub const fn new(
        verifier: Arc<Verifier<Arc<Keyring>>>,
        standing: GoodStanding,
        accounts: Arc<Accounts>,
        sessions: Arc<Sessions>,
        issuer: String,
    ) -> Self {
        Self { verifier, standing, accounts, sessions, issuer }
    }

    /// What `token` is; none if it is worth nothing, whatever the cause.
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
        match self.standing.check(&claims).await {
            Ok(()) => {}
            Err(Error::TokenRevoked) => return Ok(None),
            Err(error) => return Err(error),
        }
        match claims.subject() {
            Subject::Client(_) => Ok(Some(ActiveToken::Access { claims, user: None })),
            Subject::User(id, _) => {
                let user = self.accounts.user(id).await?;
                Ok(user.map(|user| ActiveToken::Access { claims, user: Some(user) }))
            }
        }
    }

    async fn refresh(&self, token: RefreshToken) -> Result<Option<ActiveToken>, Error> {
        let Some((session, issue_time)) = self.sessions.of_unused(token).await? else { return Ok(None) };
        if !self.standing.of_session(&session).await? {
            return Ok(None);
        }
        let Some(user) = self.accounts.user(session.user_id).await? else { return Ok(None) };
        let expire_time = session.expire_time(self.sessions.lifetime());
        let issuer = self.issuer.clone();
        Ok(Some(ActiveToken::Refresh { issuer, session, user, issue_time, expire_time }))
    }
}
