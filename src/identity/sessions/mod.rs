//! Owns login sessions: opening them, keeping them going by refresh tokens, and ending them.

mod administering;
mod exchange;
mod refresh_allowance;
mod refresh_token;
mod repeats;
mod seen;

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{Proof, permissions};
use crate::{
    audit::{Actor, Audit, Event, Reason},
    base::{Clock, Tally, Timestamp},
    changes::{Fill, Known, NegativeCache, RowCache, Subscriber, Watermark},
    model::{
        Authentication, Error, NameSet, Origin, Session, SessionId, SessionLifetime, User, UserId,
        id::uuid_v7,
    },
    store::{
        Change, ChangeKind, Exchange, LastExchange, RefreshState, Sha256, Store, StoredSession, Strangers,
    },
};

pub use administering::{EndedSessions, SessionPage, SessionsOf};
pub use refresh_allowance::RefreshSettings;
pub use refresh_token::RefreshToken;

pub(super) use exchange::access_token_id;

use exchange::{exchange_time, origin_digest};
use refresh_allowance::RefreshAllowances;
use refresh_token::Generation;
use seen::{Remembered, SeenExchanges};

/// How many sessions a user may have. What ends them all is one transaction, and nobody is to make it fail by opening ever more.
const MAX_SESSIONS_OF_USER: u64 = 1_000;

/// How many of those a user may have beside them that no refresh token keeps going. Scripts that log in at each call open them, and end
/// nobody else's by that.
const MAX_ENDING_SESSIONS_OF_USER: u64 = 100;

/// How long the database is left to the calls between two pages of a sweep: ten million sessions take minutes.
const SWEEP_PAUSE: Duration = Duration::from_millis(10);

/// The sessions of the service.
#[derive(Debug)]
pub struct Sessions {
    store: Store,
    strangers: Strangers,
    clock: Clock,
    settings: SessionSettings,
    known: RowCache<SessionId, Remembered>,
    seen: SeenExchanges,
    refreshes: RefreshAllowances,
    /// SHA-256 of refresh tokens of which the database said lately that they were never issued, or that their session has ended or
    /// expired: none of that changes.
    worthless: NegativeCache<Sha256>,
    audit: Audit,
}

/// How long sessions live and are remembered.
#[derive(Clone, Copy, Debug)]
pub struct SessionSettings {
    /// How long they live.
    pub lifetime: SessionLifetime,
    /// For how long an exchange of a refresh token is repeated from where it came from.
    pub repeat_window: Duration,
    /// How often a user refreshes.
    pub refreshes: RefreshSettings,
    /// How many are remembered.
    pub cache_size: usize,
    /// For how long one is remembered: how long an end by another process may stay unseen.
    pub cache_max_age: Duration,
}

/// A session to be opened by a login.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The client that the user logs in with.
    pub client_id: String,
    /// The scopes that were asked for and that the client may have.
    pub asked_scope: NameSet,
    /// The audiences of its tokens; the service's own one if none is named.
    pub audience: Option<NameSet>,
    /// Which claims about roles its tokens have.
    pub token_claims: NameSet,
    /// The origin of the login.
    pub origin: Origin,
    /// After what time it ends, if it is given no refresh token.
    pub ends_after: Option<Duration>,
}

/// A refresh token whose session has been found, and that has not yet been exchanged.
#[derive(Clone, Debug)]
pub struct Presented {
    token: RefreshToken,
    stored: StoredSession,
    place: Generation,
    user: ItsUser,
}

/// The user of a refresh token that has been found.
#[derive(Clone, Debug)]
pub enum ItsUser {
    /// The database was not asked for it.
    Unread,
    /// The database has just said that there is none.
    Absent,
    /// As the database has just said.
    Found(Arc<User>),
}

/// The result of exchanging a refresh token.
#[derive(Debug)]
pub struct Exchanged {
    /// Its session, which was last used at the time of the exchange.
    pub session: Session,
    /// The state of the session's refresh tokens after it.
    pub refresh: RefreshState,
    /// The next token.
    pub next: RefreshToken,
    /// Whether the token had been exchanged before, and the next one not yet used: an answer was lost, or two asked at once.
    pub is_repeated: bool,
}

impl Presented {
    /// SHA-256 of the token.
    pub(super) fn hash(&self) -> Sha256 {
        self.token.hash()
    }

    /// The session that it is of.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.stored.session
    }

    /// Its user.
    #[must_use]
    pub fn its_user(&self) -> ItsUser {
        self.user.clone()
    }
}

impl Sessions {
    /// The sessions in `store`.
    #[must_use]
    pub fn new(
        store: Store,
        settings: SessionSettings,
        clock: Clock,
        watermark: Arc<Watermark>,
        audit: Audit,
    ) -> Self {
        let known = RowCache::new(settings.cache_size, settings.cache_max_age, clock.clone(), watermark);
        let worthless = NegativeCache::new(settings.cache_max_age, clock.clone());
        let strangers = store.for_strangers();
        let seen = SeenExchanges::default();
        let refreshes = RefreshAllowances::new(settings.refreshes, &clock);
        Self { store, strangers, clock, settings, known, seen, refreshes, worthless, audit }
    }

    /// How long sessions live.
    #[must_use]
    pub const fn lifetime(&self) -> SessionLifetime {
        self.settings.lifetime
    }

    /// Opens a session on `proof`, whose first token is `given` these scopes. Returns it with its refresh token, if it is to have one.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] if the user was changed meanwhile: a password that was replaced opens nothing.
    pub async fn open(
        &self,
        proof: &Proof,
        opening: Opening,
        given: &NameSet,
    ) -> Result<(Session, Option<RefreshToken>), Error> {
        let Proof { user, credential_version, .. } = proof;
        let now = self.clock.now();
        let Opening { client_id, asked_scope, audience, origin, ends_after, .. } = opening;
        let session = Session {
            id: SessionId(uuid_v7(now, self.store.entropy())),
            user_id: user.id,
            client_id,
            scope: given.clone(),
            asked_scope: permissions::kept(&asked_scope, given),
            audience,
            origin,
            authentication: proof.authentication(),
            create_time: now,
            last_use_time: now,
            end_time: ends_after.map(|lifetime| now.after(lifetime)),
        };
        let at_most = if session.is_refreshed() { MAX_SESSIONS_OF_USER } else { MAX_ENDING_SESSIONS_OF_USER };
        // Each has one. Where nobody is told of it, nobody has it.
        let (token, refresh) = RefreshToken::first(session.id);
        let token = session.is_refreshed().then_some(token);
        let reading = self.known.begin();
        let opened = Event::Login.done().user(user.id).session(session.id).origin(&session.origin);
        let pending = self.audit.begin(opened);
        let added = self.store.add_session(&session, &refresh, credential_version, at_most).await?;
        let Some(ended) = added else {
            pending.dismiss();
            let refusal = Event::Login.refused(Reason::UserChanged).user(user.id);
            self.audit.record(refusal.origin(&session.origin));
            return Err(Error::InvalidCredentials);
        };
        pending.done();
        for id in &ended {
            self.audit.record(Event::SessionRevoked.done().by(Actor::Service).user(user.id).session(*id));
        }
        self.forget(&ended);
        // Its tokens are likely to be seen soon.
        let exchange = LastExchange::default();
        self.remember(StoredSession { session: session.clone(), refresh, exchange }, reading);
        Ok((session, token))
    }

    /// Finds the session of `token`, and changes nothing.
    ///
    /// # Errors
    /// [`Error::RefreshTokenInvalid`] if the token was never issued, or its session has ended or expired.
    pub async fn present(&self, token: RefreshToken) -> Result<Presented, Error> {
        if let Some(known) = self.known.last_read(token.session_id()) {
            // However long ago that was, and whatever other replicas did since: a token that was never issued is none by that
            // either, and one that is taken for the newest is so only if the database agrees when it is exchanged. If it does, the
            // row is the one that is remembered, since each exchange writes another newest token, and nothing else in it changes.
            let known = &known.stored;
            match token.place(&known.refresh) {
                Generation::Invented => return Err(Error::RefreshTokenInvalid),
                Generation::Newest
                    if self.clock.now() < known.session.expire_time(self.settings.lifetime) =>
                {
                    let stored = known.clone();
                    return Ok(Presented { token, stored, place: Generation::Newest, user: ItsUser::Unread });
                }
                _ => {}
            }
        }
        self.find(token).await
    }

    /// The same, as the database has it.
    async fn find(&self, token: RefreshToken) -> Result<Presented, Error> {
        let (id, hash) = (token.session_id(), token.hash());
        if self.worthless.contains(&hash) || self.known.is_absent(id) {
            return Err(Error::RefreshTokenInvalid);
        }
        let reading = self.known.begin();
        let Some((stored, user)) = self.strangers.session_and_user(id).await? else {
            self.known.put(id, None, reading);
            return Err(Error::RefreshTokenInvalid);
        };
        // Whatever else is presented as a token of this session is decided by that.
        self.remember(stored.clone(), reading);
        let place = token.place(&stored.refresh);
        if place == Generation::Invented
            || self.clock.now() >= stored.session.expire_time(self.settings.lifetime)
        {
            self.worthless.note(hash, reading.begun());
            return Err(Error::RefreshTokenInvalid);
        }
        let user = user.map_or(ItsUser::Absent, |user| ItsUser::Found(Arc::new(user)));
        Ok(Presented { token, stored, place, user })
    }

    /// The session of `token` and when the token was issued, if it is one and has not been used.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn of_unused(&self, token: RefreshToken) -> Result<Option<(Session, Timestamp)>, Error> {
        match self.find(token).await {
            Ok(Presented { stored: StoredSession { session, .. }, place: Generation::Newest, .. }) => {
                // The newest token was issued when the session was last used.
                let issue_time = session.last_use_time;
                Ok(Some((session, issue_time)))
            }
            Ok(_) | Err(Error::RefreshTokenInvalid) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Exchanges what was presented, and came from `origin`, for the next token of its session.
    ///
    /// # Errors
    /// [`Error::RefreshTokenInvalid`]; [`Error::RefreshTokenReused`] for a replay, after which the session has ended;
    /// [`Error::TooManyRepeats`], [`Error::TooManyRefreshes`]; [`Error::Unavailable`].
    pub async fn exchange(&self, mut presented: Presented, origin: &Origin) -> Result<Exchanged, Error> {
        if presented.place == Generation::Newest {
            let Presented { token, stored, .. } = &presented;
            let (session, refresh) = (&stored.session, &stored.refresh);
            self.refreshes.charge(session)?;
            let next = token.successor(refresh);
            let time = exchange_time(self.clock.now(), session.last_use_time);
            let origin = origin_digest(refresh, origin);
            let exchange = Exchange { next: next.hash(), time, origin };
            let refresh =
                RefreshState { newest: exchange.next, before_newest: Some(token.hash()), ..*refresh };
            let reading = self.known.begin();
            if self.store.exchange_refresh_token(session.id, token.hash(), &exchange).await? {
                let session = Session { last_use_time: time, ..session.clone() };
                let odd_repeat_time = stored.exchange.odd_repeat_time;
                let exchange =
                    LastExchange { origin: Some(origin), odd_repeat_time, ..LastExchange::default() };
                self.remember(StoredSession { session: session.clone(), refresh, exchange }, reading);
                return Ok(Exchanged { session, refresh, next, is_repeated: false });
            }
            // Another call exchanged it meanwhile, or ended the session.
            presented = self.find(presented.token).await?;
        }
        self.repeat(presented, origin).await
    }

    /// Remembers `stored`, as `reading` found or made it.
    fn remember(&self, stored: StoredSession, reading: Fill) {
        self.known.put(stored.session.id, Some(Arc::new(Remembered::new(stored))), reading);
    }

    /// Whether the session `id` goes on, as it was at most the bound of the cache ago.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn goes_on(&self, id: SessionId) -> Result<bool, Error> {
        Ok(self.recall(id).await?.is_some())
    }

    /// The same for a call with the access token `jti` of the session: if it is the first of its exchange, that it has been seen is noted
    /// in the background.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn goes_on_for(&self, id: SessionId, jti: Uuid) -> Result<bool, Error> {
        Ok(self.recall(id).await?.inspect(|session| session.see(jti, &self.seen)).is_some())
    }

    /// How and when the user of the session `id` logged in; none if it does not go on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(super) async fn authentication(&self, id: SessionId) -> Result<Option<Authentication>, Error> {
        Ok(self.recall(id).await?.map(|session| session.stored.session.authentication.clone()))
    }

    async fn recall(&self, id: SessionId) -> Result<Option<Arc<Remembered>>, Error> {
        if let Some(Known(session)) = self.known.get(id) {
            return Ok(session);
        }
        let reading = self.known.begin();
        let session = self.store.session(id).await?.map(Remembered::new).map(Arc::new);
        self.known.put(id, session.clone(), reading);
        Ok(session)
    }

    /// The sessions of `user` after `after` that have not expired, the oldest first; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn list(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Session>, Error> {
        self.store.sessions(user, after, limit, self.settings.lifetime, self.clock.now()).await
    }

    /// Ends the session `id` of `user`, who asks for it from `origin`.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`] if the user has none of that id.
    pub(super) async fn end(&self, user: UserId, id: SessionId, origin: &Origin) -> Result<(), Error> {
        let pending = self.audit.begin(Event::SessionRevoked.done().user(user).session(id).origin(origin));
        if !self.store.delete_session(user, id, self.clock.now()).await? {
            pending.dismiss();
            return Err(Error::SessionNotFound);
        }
        pending.done();
        self.known.forget(id);
        Ok(())
    }

    /// Ends every session of `user`, who asks for it from `origin`, but `keep`. Returns whether there were any.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(super) async fn end_all(
        &self,
        user: UserId,
        keep: Option<SessionId>,
        origin: &Origin,
    ) -> Result<bool, Error> {
        let all = Event::AllSessionsRevoked.done().user(user).origin(origin);
        let pending = self.audit.begin(match keep {
            Some(kept) => all.session(kept),
            None => all,
        });
        let ended = self.store.delete_sessions(user, keep, self.clock.now()).await?;
        // Who ends nothing has done nothing, and could be told of without end.
        pending.done_if(!ended.is_empty());
        self.forget(&ended);
        Ok(!ended.is_empty())
    }

    /// Forgets sessions that were ended in the database.
    pub(super) fn forget(&self, ended: &[SessionId]) {
        for id in ended {
            self.known.forget(*id);
        }
    }

    /// How often a session was known, and how often not.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.known.tally()
    }

    /// Deletes the sessions that had expired by `now`, and those of clients that are gone.
    ///
    /// Each sweep begins at the oldest session: those are the likeliest to have expired, and how far one came that failed only its process
    /// would know.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause; what was deleted before stays deleted.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        let mut after = None;
        loop {
            after = self.store.sweep_sessions(after, self.settings.lifetime, now).await?;
            if after.is_none() {
                return Ok(());
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }
}

impl Subscriber for Sessions {
    fn hear(&self, change: &Change) {
        if change.concerns(ChangeKind::Session) {
            self.known.forget(SessionId(change.subject));
        }
    }

    fn forget_everything(&self) {
        self.known.forget_all();
        self.worthless.clear();
    }
}
