//! Owns exchanging a refresh token for tokens: once for all calls in flight that show the same one from the same place.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;

use super::{
    Accounts, Sessions, Tokens,
    grants::{Granted, Verdict},
    in_flight::{Answer, InFlight},
    sessions::{Exchanged, Presented, access_token_id},
    tokens::{Holder, TokenStamp},
};
use crate::{
    model::{Error, NameSet, Origin},
    store::Sha256,
};

/// Exchanges refresh tokens.
#[derive(Debug)]
pub(super) struct RefreshGrant {
    parts: Arc<Parts>,
    in_flight: InFlight<Result<(Granted, Verdict), SharedError>>,
}

#[derive(Debug)]
struct Parts {
    accounts: Arc<Accounts>,
    sessions: Arc<Sessions>,
    tokens: Arc<Tokens>,
}

/// A refresh token that has been found, whose client has proven what it can, and what it is to be exchanged for.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) presented: Presented,
    pub(super) scope: NameSet,
    pub(super) audience: NameSet,
    pub(super) origin: Origin,
}

/// An error, for the first who takes it: its cause is in the log once.
type SharedError = Arc<Mutex<Option<Error>>>;

impl RefreshGrant {
    /// Exchanges refresh tokens of `sessions`, whose users are in `accounts`; `tokens` signs.
    pub(super) fn new(accounts: Arc<Accounts>, sessions: Arc<Sessions>, tokens: Arc<Tokens>) -> Self {
        Self { parts: Arc::new(Parts { accounts, sessions, tokens }), in_flight: InFlight::default() }
    }

    /// Exchanges what is `shown`.
    ///
    /// # Errors
    /// [`Error::RefreshTokenInvalid`], [`Error::RefreshTokenReused`], [`Error::TooManyRepeats`], [`Error::TooManyRefreshes`].
    pub(super) async fn exchange(&self, shown: Shown) -> Result<(Granted, Verdict), Error> {
        let (parts, work) = (Arc::clone(&self.parts), shown.clone());
        let work =
            async move { parts.exchange(work).await.map_err(|error| Arc::new(Mutex::new(Some(error)))) };
        let Answer { value, is_shared } = self.in_flight.share(shown.key(), work).await;
        match value {
            Ok((granted, _)) if is_shared => Ok((granted, Verdict::Repeated)),
            Ok(answer) => Ok(answer),
            Err(shared) => {
                let error = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
                match error {
                    Some(error) => Err(error),
                    // Another call has taken it: this one finds out by itself.
                    None => self.parts.exchange(shown).await,
                }
            }
        }
    }
}

impl Shown {
    /// What is the same for two calls that may have one answer.
    fn key(&self) -> Sha256 {
        // The token is one client's alone.
        let Self { presented, scope, audience, origin } = self;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&presented.hash());
        let texts = [
            scope.as_str(),
            audience.as_str(),
            origin.address.as_deref().unwrap_or_default(),
            origin.claimed_address.as_deref().unwrap_or_default(),
            origin.user_agent.as_deref().unwrap_or_default(),
        ];
        for text in texts {
            context.update(&text.len().to_be_bytes());
            context.update(text.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        key
    }
}

impl Parts {
    async fn exchange(&self, shown: Shown) -> Result<(Granted, Verdict), Error> {
        let Shown { presented, scope, audience, origin } = shown;
        let read = presented.user_is_active();
        // Also of a user who is disabled: a replay ends the session all the same.
        let Exchanged { session, refresh, next, is_repeated } =
            self.sessions.exchange(presented, &origin).await?;
        let user_is_active = match read {
            Some(active) => active,
            None => self.accounts.user(session.user_id).await?.is_some_and(|user| user.is_active),
        };
        if !user_is_active {
            return Err(Error::RefreshTokenInvalid);
        }
        let time = session.last_use_time;
        let stamp = TokenStamp { time, jti: access_token_id(&refresh, time, &scope, &audience) };
        let access = self.tokens.issue(Holder::User(&session), stamp, &scope, &audience)?;
        let verdict = if is_repeated { Verdict::Repeated } else { Verdict::Granted };
        Ok((Granted { access, refresh_token: Some(next) }, verdict))
    }
}
