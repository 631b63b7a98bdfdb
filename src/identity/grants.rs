//! Owns exchanging a grant for tokens: the token endpoint of RFC 6749, whichever protocol asks.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Accounts, IssuedToken, RefreshToken, Sessions, Tokens};
use crate::{
    metrics::{GrantMetrics, GrantType, LoginResult, RefreshResult},
    model::{Deadline, Error, Origin},
};

/// Exchanges grants.
#[derive(Debug)]
pub struct Grants {
    accounts: Arc<Accounts>,
    sessions: Arc<Sessions>,
    tokens: Arc<Tokens>,
    metrics: GrantMetrics,
}

/// What is exchanged for tokens.
pub enum Grant {
    /// A username and its password (RFC 6749 section 4.3).
    Password {
        /// The username.
        username: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// A refresh token (RFC 6749 section 6).
    RefreshToken(Zeroizing<String>),
}

impl Grant {
    const fn grant_type(&self) -> GrantType {
        match self {
            Self::Password { .. } => GrantType::Password,
            Self::RefreshToken(_) => GrantType::RefreshToken,
        }
    }
}

/// What a grant was exchanged for (RFC 6749 section 5.1).
#[derive(Debug)]
pub struct Granted {
    /// The access token, and what its recipient is told of it.
    pub access: IssuedToken,
    /// What to exchange for the next one.
    pub refresh_token: Option<RefreshToken>,
}

impl Grants {
    /// Exchanges what `accounts` and `sessions` vouch for; `tokens` signs.
    #[must_use]
    pub const fn new(
        accounts: Arc<Accounts>,
        sessions: Arc<Sessions>,
        tokens: Arc<Tokens>,
        metrics: GrantMetrics,
    ) -> Self {
        Self { accounts, sessions, tokens, metrics }
    }

    /// Exchanges `grant`, which came from `origin`.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], [`Error::RefreshTokenInvalid`], [`Error::RefreshTokenReused`]; [`Error::Overloaded`] if a
    /// password cannot be hashed before `deadline`.
    pub async fn exchange(&self, grant: Grant, origin: Origin, deadline: Deadline) -> Result<Granted, Error> {
        let grant_type = grant.grant_type();
        let granted = self.judge(grant, origin, deadline).await;
        self.count(grant_type, granted.as_ref().err());
        granted
    }

    /// Counts what came of a grant. [`Sessions::refresh`] has counted the refresh tokens that it knew.
    fn count(&self, grant: GrantType, refusal: Option<&Error>) {
        if refusal.is_none() {
            self.metrics.issued(grant);
        }
        match (grant, refusal) {
            (GrantType::Password, None) => self.metrics.login(LoginResult::Succeeded),
            (GrantType::Password, Some(Error::InvalidCredentials)) => {
                self.metrics.login(LoginResult::Refused);
            }
            (GrantType::Password, Some(_)) => self.metrics.login(LoginResult::Failed),
            (GrantType::RefreshToken, Some(Error::RefreshTokenInvalid)) => {
                self.metrics.refresh(RefreshResult::Refused);
            }
            (GrantType::RefreshToken, _) => {}
        }
    }

    async fn judge(&self, grant: Grant, origin: Origin, deadline: Deadline) -> Result<Granted, Error> {
        let (session, refresh_token) = match grant {
            Grant::Password { username, password } => {
                let found = self.accounts.authenticate(&username, &password, &origin, deadline).await?;
                self.sessions.open(&found.user, &found.password_hash, origin).await?
            }
            Grant::RefreshToken(text) => {
                let token = RefreshToken::parse(&text).ok_or(Error::RefreshTokenInvalid)?;
                let (session, next) = self.sessions.refresh(&token, &origin).await?;
                if !self.accounts.user(session.user_id).await?.is_some_and(|user| user.is_active) {
                    return Err(Error::RefreshTokenInvalid);
                }
                (session, next)
            }
        };
        Ok(Granted { access: self.tokens.issue(&session)?, refresh_token: Some(refresh_token) })
    }
}
