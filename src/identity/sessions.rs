//! Owns login sessions: opening them, keeping them going by refresh tokens, and ending them.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{digest, hmac};
use base64ct::{Base64UrlUnpadded, Encoding};
use rand::Rng;
use zeroize::Zeroizing;

use super::{
    change_feed::Followed,
    read_cache::{Known, ReadCache},
};
use crate::{
    model::{
        Clock, Error, NameSet, Origin, Session, SessionId, SessionLifetime, Timestamp, User, UserId,
        user::uuid_v7,
    },
    store::{NewRefreshToken, Rotation, Store, StoredRefreshToken},
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

/// A refresh token: 256 random bits. Only its SHA-256 is kept.
///
/// The next token is made from this one and a salt that is kept beside it, so that an exchange that is repeated gives
/// the same token again, and no database ever held it.
pub struct RefreshToken(Zeroizing<[u8; 32]>);

/// What a login opens.
#[derive(Clone, Debug)]
pub struct Opening {
    /// With which client.
    pub client_id: String,
    /// What its tokens allow.
    pub scope: NameSet,
    /// Whom its tokens are meant for; the service's own audience if nothing is said.
    pub audience: Option<NameSet>,
    /// Where the login came from.
    pub origin: Origin,
}

/// A refresh token that has been found, and not yet been exchanged.
#[derive(Debug)]
pub struct Presented {
    token: RefreshToken,
    stored: StoredRefreshToken,
}

impl Presented {
    /// The session that it keeps going.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.stored.session
    }
}

impl RefreshToken {
    fn random() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The token that `text` spells; none if it has not the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        let decoded = Base64UrlUnpadded::decode(text, bytes.as_mut_slice()).ok()?.len();
        (decoded == bytes.len()).then_some(Self(bytes))
    }

    /// How the token is written: 43 characters of base64url.
    #[must_use]
    pub fn text(&self) -> String {
        Base64UrlUnpadded::encode_string(self.0.as_slice())
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, self.0.as_slice()).as_ref());
        hash
    }

    fn successor(&self, salt: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(hmac::sign(&key, salt).as_ref());
        Self(bytes)
    }

    fn to_store(&self) -> NewRefreshToken {
        let mut successor_salt = [0; 32];
        rand::rng().fill_bytes(&mut successor_salt);
        NewRefreshToken { hash: self.hash(), successor_salt }
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
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
        opening: Opening,
    ) -> Result<(Session, RefreshToken), Error> {
        let now = self.clock.now();
        let Opening { client_id, scope, audience, origin } = opening;
        let session = Session {
            id: SessionId(uuid_v7(now, &mut rand::rng())),
            user_id: user.id,
            client_id,
            scope,
            audience,
            origin,
            create_time: now,
            last_use_time: now,
        };
        let token = RefreshToken::random();
        let reading = self.known.begin();
        if !self.store.add_session(&session, token.to_store(), password_hash).await? {
            return Err(Error::InvalidCredentials);
        }
        // Its tokens are likely to be seen soon.
        self.known.put(session.id, Some(Arc::new(session.clone())), reading);
        Ok((session, token))
    }

    /// Finds what `token` stands for, and changes nothing.
    ///
    /// # Errors
    /// [`Error::RefreshTokenInvalid`].
    pub async fn present(&self, token: RefreshToken) -> Result<Presented, Error> {
        let stored = self.unexpired(&token).await?.ok_or(Error::RefreshTokenInvalid)?;
        Ok(Presented { token, stored })
    }

    /// The session of `token` and when the token was issued, if it is one and has not been used.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn of_unused(&self, token: &RefreshToken) -> Result<Option<(Session, Timestamp)>, Error> {
        let stored = self.unexpired(token).await?.filter(|stored| !stored.is_consumed);
        Ok(stored.map(|stored| (stored.session, stored.create_time)))
    }

    async fn unexpired(&self, token: &RefreshToken) -> Result<Option<StoredRefreshToken>, Error> {
        let (stored, now) = (self.store.refresh_token(token.hash()).await?, self.clock.now());
        Ok(stored.filter(|stored| now < stored.session.expire_time(self.settings.lifetime)))
    }

    /// Exchanges what was presented for the next token of its session.
    ///
    /// # Errors
    /// [`Error::RefreshTokenInvalid`]; [`Error::RefreshTokenReused`] for a replay, after which the session has ended.
    pub async fn exchange(&self, presented: Presented) -> Result<(Session, RefreshToken), Error> {
        let Presented { token, stored } = presented;
        let now = self.clock.now();
        let next = token.successor(&stored.successor_salt);
        let session = stored.session;
        match self.store.rotate_refresh_token(token.hash(), next.to_store(), now).await? {
            Rotation::Done | Rotation::Repeated => Ok((session, next)),
            Rotation::Replayed => {
                self.known.forget(session.id);
                tracing::warn!(
                    session_id = %session.id,
                    user_id = %session.user_id,
                    "a refresh token was used again: the session has been ended"
                );
                Err(Error::RefreshTokenReused)
            }
            Rotation::Gone => Err(Error::RefreshTokenInvalid),
        }
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
        let Some(stored) = self.store.refresh_token(token.hash()).await? else { return Ok(()) };
        match self.end(stored.session.user_id, stored.session.id).await {
            Ok(()) | Err(Error::SessionNotFound) => Ok(()),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_successor_follows_from_the_token_and_the_salt_and_from_nothing_less() {
        let token = RefreshToken::random();
        assert_eq!(token.successor(b"salt").text(), token.successor(b"salt").text());
        assert_ne!(token.successor(b"salt").text(), token.successor(b"pepper").text());
        assert_ne!(token.successor(b"salt").text(), RefreshToken::random().successor(b"salt").text());
    }

    proptest! {
        #[test]
        fn a_text_is_a_token_or_not_and_is_written_as_it_was_read(text in "[A-Za-z0-9_=-]{0,50}") {
            if let Some(token) = RefreshToken::parse(&text) {
                prop_assert_eq!(token.text(), text);
            }
        }
    }
}
