//! Owns the refresh token grant (RFC 6749 section 6): a refresh token, for the next one and an access token of its session.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::{
    Asked, Grant, Granted, Granting, Grants, Vouching,
    in_flight::{Answer, InFlight},
    scope::{Allowed, Terms},
};
use crate::{
    identity::{
        Accounts, Permissions, RefreshToken, Sessions, ShownAttributes, Tokens,
        clients::Requester,
        permissions::Recipient,
        sessions::{Exchanged, ItsUser, Presented, access_token_id},
        tokens::{TokenStamp, TokenSubject},
    },
    metrics::GrantType,
    model::{Error, NameSet, Origin},
    store::Sha256,
};

/// A refresh token, as text.
pub(crate) struct RefreshTokenGrant(pub(crate) Zeroizing<String>);

/// Exchanges refresh tokens that were found: once for all calls in flight that show the same one from the same origin.
#[derive(Debug)]
pub(super) struct RefreshTokens {
    parts: Arc<Parts>,
    in_flight: InFlight<Result<Granted, SharedError>>,
}

#[derive(Debug)]
struct Parts {
    accounts: Arc<Accounts>,
    sessions: Arc<Sessions>,
    permissions: Arc<Permissions>,
    attributes: Arc<ShownAttributes>,
    tokens: Arc<Tokens>,
}

/// A refresh token that has been found, whose client has proven what it can, and what it is to be exchanged for.
#[derive(Clone, Debug)]
struct Shown {
    presented: Presented,
    terms: Terms,
    token_claims: NameSet,
    origin: Origin,
}

/// An error, for the first who takes it: its cause is in the log once.
type SharedError = Arc<Mutex<Option<Error>>>;

impl Grant for RefreshTokenGrant {
    fn kind(&self) -> GrantType {
        GrantType::RefreshToken
    }

    fn exchange(self: Box<Self>, grants: &Grants, asked: Asked) -> Granting<'_> {
        Box::pin(self.refresh(grants, asked))
    }
}

impl RefreshTokenGrant {
    async fn refresh(self: Box<Self>, grants: &Grants, asked: Asked) -> Result<Granted, Error> {
        let Asked { proven, wish, origin, .. } = asked;
        let presented = self.present(&grants.sessions, proven.requester()).await;
        // Decided before anything is used up.
        let terms = match &presented {
            Ok(presented) => {
                let (requester, own) = (proven.requester(), grants.tokens.audience());
                Some(wish.within(&Allowed::for_session(requester, presented.session(), own))?)
            }
            Err(_) => None,
        };
        let token_claims = proven.requester().token_claims();
        // Also if the token is none: it may be a guess, for which the client answers that has asked.
        grants.clients.accept(proven, &origin).await?;
        let presented = presented?;
        let terms = terms.ok_or(Error::RefreshTokenInvalid)?;
        grants.refresh_tokens.exchange(Shown { presented, terms, token_claims, origin }).await
    }

    /// The session that the token is of, if it is one of `requester`.
    async fn present(&self, sessions: &Sessions, requester: &Requester) -> Result<Presented, Error> {
        let token = RefreshToken::parse(&self.0).ok_or(Error::RefreshTokenInvalid)?;
        let presented = sessions.present(token).await?;
        // Another client's: to this one it is worth as little as none, and nothing happens to it.
        if presented.session().client_id != requester.client_id() {
            return Err(Error::RefreshTokenInvalid);
        }
        Ok(presented)
    }
}

impl RefreshTokens {
    /// Exchanges refresh tokens of the sessions that `vouching` knows.
    pub(super) fn new(vouching: Vouching) -> Self {
        let Vouching { accounts, sessions, clients: _, permissions, attributes, tokens } = vouching;
        let parts = Parts { accounts, sessions, permissions, attributes, tokens };
        Self { parts: Arc::new(parts), in_flight: InFlight::default() }
    }

    /// Exchanges what is `shown`.
    ///
    /// # Errors
    /// [`Error::RefreshTokenInvalid`], [`Error::RefreshTokenReused`], [`Error::TooManyRepeats`], [`Error::TooManyRefreshes`].
    async fn exchange(&self, shown: Shown) -> Result<Granted, Error> {
        let (parts, work) = (Arc::clone(&self.parts), shown.clone());
        let work =
            async move { parts.exchange(work).await.map_err(|error| Arc::new(Mutex::new(Some(error)))) };
        let Answer { value, is_shared } = self.in_flight.share(shown.key(), work).await;
        match value {
            Ok(granted) => Ok(Granted { is_repeated: granted.is_repeated || is_shared, ..granted }),
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
        let Self { presented, terms, token_claims: _, origin } = self;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&presented.hash());
        let texts = [
            terms.scope.as_str(),
            terms.audience.as_str(),
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
    async fn exchange(&self, shown: Shown) -> Result<Granted, Error> {
        let Shown { presented, terms: Terms { scope, audience }, token_claims, origin } = shown;
        let read = presented.its_user();
        // Before anything is used up: it may fail.
        let recipient = Recipient { audience: &audience, claims: &token_claims };
        let mut given = self.permissions.for_user(presented.session().user_id, &scope, recipient).await?;
        // Also of a user who is disabled: a replay ends the session all the same.
        let Exchanged { session, refresh, next, is_repeated } =
            self.sessions.exchange(presented, &origin).await?;
        let user = match read {
            ItsUser::Found(user) => Some(user),
            ItsUser::Absent => None,
            ItsUser::Unread => self.accounts.user(session.user_id).await?,
        };
        let Some(user) = user.filter(|user| user.is_active) else { return Err(Error::RefreshTokenInvalid) };
        given.attributes = self.attributes.in_token(&user).await?;
        let time = session.last_use_time;
        let stamp = TokenStamp { time, jti: access_token_id(&refresh, time, &given, &audience) };
        let access = self.tokens.issue(TokenSubject::User(&session), stamp, &given, &audience)?;
        Ok(Granted { access, refresh_token: Some(next), is_repeated })
    }
}
