//! Owns login sessions: opening them, keeping them going by refresh tokens, and ending them.

use std::{sync::Arc, time::Duration};

use super::{
    change_feed::Followed,
    read_cache::{Known, ReadCache},
    refresh_token::{Place, RefreshToken},
};
use crate::{
    model::{
        Clock, Error, Origin, Session, SessionId, SessionLifetime, User, UserId,
        claims::{FIRST_PARTY_CLIENT, USER_SCOPE},
        user::uuid_v7,
    },
    store::{Store, StoredSession},
};

/// The sessions of the service.
#[derive(Debug)]
pub struct Sessions {
    store: Store,
    clock: Clock,
    settings: SessionSettings,
    known: ReadCache<SessionId, Session>,
}

/// How long sessions live and are remembered.
#[derive(Clone, Copy, Debug)]
pub struct SessionSettings {
    /// How long they live.
    pub lifetime: SessionLifetime,
    /// How many are remembered.
    pub cache_size: usize,
    /// For how long one is remembered: how long an end by another process may stay unseen.
    pub cache_max_age: Duration,
}

impl Sessions {
    /// The sessions in `store`.
    #[must_use]
    pub fn new(store: Store, settings: SessionSettings, clock: Clock, followed: Arc<Followed>) -> Self {
        let known = ReadCache::new(settings.cache_size, settings.cache_max_age, clock.clone(), followed);
        Self { store, clock, settings, known }
    }

    /// How long sessions live.
    #[must_use]
    pub const fn lifetime(&self) -> SessionLifetime {
        self.settings.lifetime
    }

    /// Opens a session for `user`, who has just proven to know the password of `password_hash`.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] if the user was changed meanwhile: a password that was replaced opens nothing.
    pub async fn open(
        &self,
        user: &User,
        password_hash: &str,
        origin: Origin,
    ) -> Result<(Session, RefreshToken), Error> {
        let now = self.clock.now();
        let session = Session {
            id: SessionId(uuid_v7(now, &mut rand::rng())),
            user_id: user.id,
            client_id: FIRST_PARTY_CLIENT.to_owned(),
            scope: USER_SCOPE.to_owned(),
            origin,
            create_time: now,
            last_use_time: now,
        };
        let (token, refresh) = RefreshToken::first(session.id, &mut rand::rng());
        let reading = self.known.begin();
        if !self.store.add_session(&session, &refresh, password_hash).await? {
            return Err(Error::InvalidCredentials);
        }
        // Its tokens are likely to be seen soon.
        self.known.put(session.id, Some(Arc::new(session.clone())), reading);
        Ok((session, token))
    }

    /// Exchanges `token` for the next one of its session.
    ///
    /// # Errors
    /// [`Error::RefreshTokenInvalid`]; [`Error::RefreshTokenReused`] for a replay, after which the session has ended.
    pub async fn refresh(&self, token: &RefreshToken) -> Result<(Session, RefreshToken), Error> {
        let (mut found, mut place) = self.find(token).await?;
        if place == Place::Newest {
            let next = token.successor(&found.refresh);
            let (id, now) = (found.session.id, self.clock.now());
            if self.store.rotate_refresh_token(id, token.hash(), next.hash(), now).await? {
                return Ok((found.session, next));
            }
            // Another call exchanged it meanwhile, or ended the session. It will not be the newest again.
            (found, place) = self.find(token).await?;
        }
        let StoredSession { session, refresh } = found;
        match place {
            Place::BeforeNewest => Ok((session, token.successor(&refresh))),
            Place::Old => {
                self.store.delete_session(session.user_id, session.id, self.clock.now()).await?;
                self.known.forget(session.id);
                tracing::warn!(
                    session_id = %session.id,
                    user_id = %session.user_id,
                    "a refresh token was used again: the session has been ended"
                );
                Err(Error::RefreshTokenReused)
            }
            Place::Newest | Place::Invented => Err(Error::RefreshTokenInvalid),
        }
    }

    /// The session of `token`, and what the token is to it.
    ///
    /// # Errors
    /// [`Error::RefreshTokenInvalid`] if there is no such session, or it has expired.
    async fn find(&self, token: &RefreshToken) -> Result<(StoredSession, Place), Error> {
        let found = self.store.session_to_refresh(token.session_id()).await?;
        let found = found.ok_or(Error::RefreshTokenInvalid)?;
        if self.clock.now() >= found.session.expire_time(self.settings.lifetime) {
            return Err(Error::RefreshTokenInvalid);
        }
        let place = token.place(&found.refresh);
        Ok((found, place))
    }

    /// Whether the session `id` goes on, as it was at most the bound of the cache ago.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn goes_on(&self, id: SessionId) -> Result<bool, Error> {
        if let Some(Known(session)) = self.known.get(id) {
            return Ok(session.is_some());
        }
        let reading = self.known.begin();
        let session = self.store.session(id).await?.map(Arc::new);
        self.known.put(id, session.clone(), reading);
        Ok(session.is_some())
    }

    /// The sessions of `user` after `after` the oldest first; one that has expired may show until it is swept away; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn list(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Session>, Error> {
        self.store.sessions(user, after, limit).await
    }

    /// Ends the session `id` of `user`.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`] if the user has none of that id.
    pub async fn end(&self, user: UserId, id: SessionId) -> Result<(), Error> {
        if !self.store.delete_session(user, id, self.clock.now()).await? {
            return Err(Error::SessionNotFound);
        }
        self.known.forget(id);
        Ok(())
    }

    /// Ends every session of `user` but `keep`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn end_all(&self, user: UserId, keep: Option<SessionId>) -> Result<(), Error> {
        self.forget(&self.store.delete_sessions(user, keep, self.clock.now()).await?);
        Ok(())
    }

    /// Ends the session that `token` belongs to, if it is known.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn end_by_token(&self, token: &RefreshToken) -> Result<(), Error> {
        let ended = match self.find(token).await {
            Ok((_, Place::Invented)) => return Ok(()),
            Ok((StoredSession { session, .. }, _)) => self.end(session.user_id, session.id).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) | Err(Error::SessionNotFound | Error::RefreshTokenInvalid) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Forgets sessions that were ended in the database.
    pub fn forget(&self, ended: &[SessionId]) {
        for id in ended {
            self.known.forget(*id);
        }
    }

    /// Forgets every session.
    pub(super) fn forget_all(&self) {
        self.known.forget_all();
    }

    /// Deletes expired sessions every `interval`, until it is dropped.
    pub async fn sweep(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            loop {
                match self.store.delete_expired_sessions(self.settings.lifetime, self.clock.now()).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(error = %crate::model::error::chain(&error), "expired sessions stay for now");
                        break;
                    }
                }
            }
        }
    }
}
