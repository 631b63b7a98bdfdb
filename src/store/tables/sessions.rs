//! Owns the table `sessions`: opening, reading, using and ending logins.

mod administering;

pub use administering::{EndedPage, SessionPage, SessionsOf};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, JoinType,
    QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{IntoCondition, SimpleExpr},
};
use uuid::Uuid;

use crate::store::{
    BATCH, CredentialVersion, Store,
    engine::transaction::commit,
    tables::{
        changes::{self, ChangeEffect, ChangeKind, Detailed},
        entity::{
            sessions::{ActiveModel, Column, Entity, Model},
            users::{Column as UserColumn, Entity as UserEntity},
        },
        exchanges::LastExchange,
        users,
    },
};
use crate::{
    base::Timestamp,
    model::{
        Authentication, ClientId, Error, NameSet, Origin, Session, SessionId, SessionLifetime, User, UserId,
        authentication,
        claims::{ACCOUNT_SCOPE, USER_SCOPE},
        role::is_admin_scope,
    },
};

/// How the feed is told that sessions have ended.
const ENDED: (ChangeKind, ChangeEffect) = (ChangeKind::Session, ChangeEffect::Ended);

/// SHA-256 of something that is not kept.
pub type Sha256 = [u8; 32];

/// The columns of a session about its refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshState {
    /// SHA-256 of the token that has not been used.
    pub newest: Sha256,
    /// SHA-256 of the token that was exchanged for it.
    pub before_newest: Option<Sha256>,
    /// Random: what makes the next token of the newest, together with that token.
    pub salt: [u8; 32],
}

/// A session, and what it keeps of its refresh tokens.
#[derive(Clone, Debug)]
pub struct StoredSession {
    /// The session.
    pub session: Session,
    /// Its refresh tokens.
    pub refresh: RefreshState,
    /// The exchange that made the newest of them.
    pub exchange: LastExchange,
}

/// A session that is opened in the place of another one of the same user.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The session that ends.
    pub old: SessionId,
    /// The id of the new one.
    pub new: SessionId,
    /// The state of the new session's refresh tokens.
    pub refresh: RefreshState,
    /// From where it was asked for.
    pub origin: Origin,
    /// How the user proved who they are.
    pub authentication: Authentication,
    /// When the new one ends, if no refresh tokens keep the old one going.
    pub end_time: Timestamp,
}

impl Store {
    /// Adds a session, if the user is active and still has the credentials `proven`. Returns the sessions of the user that it ended, so
    /// that there are not more than `at_most` of its kind, with refresh tokens or without; none at all if the user is another by now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_session(
        &self,
        session: &Session,
        refresh: &RefreshState,
        proven: &CredentialVersion,
        at_most: u64,
    ) -> Result<Option<Vec<SessionId>>, Error> {
        let row = row(session, refresh);
        self.write(|| async {
            let db = self.begin().await?;
            if !users::log_in(&db, session.user_id, proven, session.create_time).await? {
                return Ok(None);
            }
            let ended = make_room(&db, session, at_most).await?;
            Entity::insert(row.clone()).exec_without_returning(&db).await?;
            commit(db, Some(ended)).await
        })
        .await
    }

    /// The session `id`, if it has not been ended, with what it keeps of its refresh tokens.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn session(&self, id: SessionId) -> Result<Option<StoredSession>, Error> {
        let row = self.ask_for_one(|| Entity::find_by_id(id.0).all(&self.db)).await?;
        row.map(StoredSession::try_from).transpose()
    }

    /// The same, and its user, if there is one, in one question: see [`Strangers`](crate::store::Strangers).
    pub(in crate::store) async fn find_session_and_user(
        &self,
        id: SessionId,
    ) -> Result<Option<(StoredSession, Option<User>)>, Error> {
        let its_user = Entity::belongs_to(UserEntity).from(Column::UserId).to(UserColumn::Id);
        let query =
            Entity::find_by_id(id.0).join(JoinType::LeftJoin, its_user.into()).select_also(UserEntity);
        let Some((session, user)) = self.ask_for_one(|| query.clone().all(&self.db)).await? else {
            return Ok(None);
        };
        Ok(Some((session.try_into()?, user.map(User::from))))
    }

    /// The sessions of `user` after `after` that have not expired by `now`, the oldest first; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn sessions(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u64,
        lifetime: SessionLifetime,
        now: Timestamp,
    ) -> Result<Vec<Session>, Error> {
        let mut query = Entity::find()
            .filter(Column::UserId.eq(user.0))
            .filter(Expiry::by(now, lifetime).has_come().not())
            .order_by_asc(Column::Id)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().map(Session::from).collect())
    }

    /// Ends every session of `user` but `keep`, and returns those that it ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_sessions(
        &self,
        user: UserId,
        keep: Option<SessionId>,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            let ended = delete_of_users(&db, &[user], keep, now).await?;
            if ended.is_empty() {
                return Ok(ended);
            }
            commit(db, ended).await
        })
        .await
    }

    /// Ends the session `id` of `user`; false if the user has none of that id.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_session(&self, user: UserId, id: SessionId, now: Timestamp) -> Result<bool, Error> {
        let find = Entity::find_by_id(id.0).filter(Column::UserId.eq(user.0));
        self.write(|| async {
            let db = self.begin().await?;
            let found = ending(find.clone()).into_tuple().all(&db).await?;
            if found.is_empty() || end(&db, found, now).await?.is_empty() {
                return Ok(false);
            }
            commit(db, true).await
        })
        .await
    }

    /// Looks at the next [`BATCH`] sessions after `after`, in the order of their ids, and deletes those of them that have expired by
    /// `now` or were opened with a client that is gone. Returns the last one that it looked at; none if it has come to the end.
    ///
    /// There is no index that would find them, since each refresh would have to write it. Nobody is told: their tokens are refused in
    /// any case.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn sweep_sessions(
        &self,
        after: Option<SessionId>,
        lifetime: SessionLifetime,
        now: Timestamp,
    ) -> Result<Option<SessionId>, Error> {
        let expiry = Expiry::by(now, lifetime);
        let page = self.sweep_page(after).await?;
        self.delete_expired(&page, expiry).await?;
        let others = page.iter().filter(|row| !expiry.has_come_to(row));
        // Asked after the sessions were read: a client is there before its sessions, and one that is gone does not come back.
        let clients = others.clone().filter_map(Swept::client).collect();
        let there = self.clients_among(&clients).await?;
        let orphans = others.filter(|row| row.client().is_some_and(|client| !there.contains(&client)));
        let orphans: Vec<_> = orphans.map(|row| row.id).collect();
        self.delete_rows::<Entity, _>(Column::Id, &orphans, Condition::all()).await?;
        Ok(page.last().filter(|_| page.len() == BATCH).map(|row| SessionId(row.id)))
    }

    /// Deletes those of `page` that have expired, unless they were refreshed since it was read, which has been acknowledged.
    async fn delete_expired(&self, page: &[Swept], expiry: Expiry) -> Result<(), Error> {
        let expired = page.iter().filter(|row| expiry.has_come_to(row)).map(|row| row.id);
        let expired: Vec<_> = expired.collect();
        self.delete_rows::<Entity, _>(Column::Id, &expired, expiry.has_come().into_condition()).await
    }

    async fn sweep_page(&self, after: Option<SessionId>) -> Result<Vec<Swept>, Error> {
        let mut query = Entity::find().select_only().order_by_asc(Column::Id).limit(BATCH as u64);
        query = query.columns([
            Column::Id,
            Column::ClientId,
            Column::CreateTime,
            Column::LastUseTime,
            Column::EndTime,
        ]);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        self.ask(|| query.clone().into_model().all(&self.db)).await
    }

    /// Deletes every session and returns how many there were. Nobody is told: it is for a database that nobody else has open.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_all_sessions(&self) -> Result<u64, Error> {
        Ok(self.ask(|| Entity::delete_many().exec(&self.writer)).await?.rows_affected)
    }
}

/// The columns of a session that a sweep reads.
#[derive(Debug, FromQueryResult)]
struct Swept {
    id: Uuid,
    client_id: String,
    create_time: i64,
    last_use_time: i64,
    end_time: Option<i64>,
}

impl Swept {
    /// The client that it was opened with; none if that is the built-in one, which is never gone.
    fn client(&self) -> Option<ClientId> {
        ClientId::parse(&self.client_id).filter(|client| !client.is_built_in())
    }
}

/// [`Session::expire_time`], turned round: since when a session must have been used, and been opened, to go on, and until when it must
/// last.
#[derive(Clone, Copy, Debug)]
struct Expiry {
    last_use_time: i64,
    create_time: i64,
    now: i64,
}

impl Expiry {
    /// The cutoffs of sessions that have expired by `now`.
    fn by(now: Timestamp, lifetime: SessionLifetime) -> Self {
        Self {
            last_use_time: now.before(lifetime.idle).as_micros(),
            create_time: now.before(lifetime.absolute).as_micros(),
            now: now.as_micros(),
        }
    }

    /// As a condition.
    fn has_come(self) -> SimpleExpr {
        let idle = Column::LastUseTime.lte(self.last_use_time);
        idle.or(Column::CreateTime.lte(self.create_time)).or(ended_by(self.now))
    }

    fn has_come_to(self, row: &Swept) -> bool {
        row.last_use_time <= self.last_use_time
            || row.create_time <= self.create_time
            || row.end_time.is_some_and(|end| end <= self.now)
    }
}

/// That a session without refresh tokens has ended by `time`. True or false, and never null, so that its opposite is, too.
fn ended_by(time: i64) -> SimpleExpr {
    Column::EndTime.is_not_null().and(Column::EndTime.lte(time))
}

/// Ends sessions of the user of `next` that are of its kind, with refresh tokens or without, first those that were not used for longest,
/// so that there are fewer than `at_most`, within a transaction. Not more than [`BATCH`] at a time: there are so many only if the bound was
/// a higher one before.
async fn make_room(db: &impl ConnectionTrait, next: &Session, at_most: u64) -> Result<Vec<SessionId>, DbErr> {
    let now = next.create_time;
    let kind = if next.is_refreshed() { Column::EndTime.is_null() } else { Column::EndTime.is_not_null() };
    let of_user = Column::UserId.eq(next.user_id.0).and(kind);
    let of_user = Entity::find().select_only().column(Column::Id).filter(of_user);
    // The index finds them in this order, and there are no more to look at than are allowed of both kinds, and these.
    let beyond =
        of_user.clone().order_by_asc(Column::Id).offset(at_most.saturating_sub(1)).limit(BATCH as u64);
    let mut beyond: Vec<Uuid> = beyond.into_tuple().all(db).await?;
    if !beyond.is_empty() && !next.is_refreshed() {
        // A script that logs in at each call leaves many behind whose tokens have expired: nobody need hear of their end.
        let expired = Column::UserId.eq(next.user_id.0).and(ended_by(now.as_micros()));
        let deleted = Entity::delete_many().filter(expired).exec(db).await?.rows_affected;
        let left = beyond.len().saturating_sub(usize::try_from(deleted).unwrap_or(usize::MAX));
        beyond.truncate(left);
    }
    if beyond.is_empty() {
        return Ok(Vec::new());
    }
    let unused = of_user.order_by_asc(Column::LastUseTime).order_by_asc(Column::Id);
    let mut rows: Vec<Ending> = ending(unused.limit(beyond.len() as u64)).into_tuple().all(db).await?;
    rows.sort_unstable();
    end(db, rows, now).await
}

/// The row of `session`.
fn row(session: &Session, refresh: &RefreshState) -> ActiveModel {
    ActiveModel {
        id: Set(session.id.0),
        user_id: Set(session.user_id.0),
        client_id: Set(session.client_id.clone()),
        scope: Set(session.scope.as_str().to_owned()),
        asked_scope: Set(Some(session.asked_scope.as_str().to_owned())),
        audience: Set(session.audience.as_ref().map(|audience| audience.as_str().to_owned())),
        user_agent: Set(session.origin.user_agent.clone()),
        address: Set(session.origin.user_address().map(str::to_owned)),
        amr: Set(Some(session.authentication.methods.as_str().to_owned())),
        auth_time: Set(Some(session.authentication.time.as_micros())),
        acr: Set(session.authentication.level.clone()),
        create_time: Set(session.create_time.as_micros()),
        last_use_time: Set(session.last_use_time.as_micros()),
        refresh_newest: Set(refresh.newest.to_vec()),
        refresh_before_newest: Set(refresh.before_newest.map(Vec::from)),
        refresh_salt: Set(refresh.salt.to_vec()),
        end_time: Set(session.end_time.map(Timestamp::as_micros)),
        ..ActiveModel::default()
    }
}

/// Ends every session of `user`, and opens one in the place of `replacement.old`, with the same client, scope and audience, within a
/// transaction. None, and nothing is done, if the old one has ended.
pub(in crate::store) async fn replace_of_user(
    db: &impl ConnectionTrait,
    user: UserId,
    replacement: &Replacement,
    now: Timestamp,
) -> Result<Option<(Session, Vec<SessionId>)>, DbErr> {
    let old = Entity::find_by_id(replacement.old.0).filter(Column::UserId.eq(user.0));
    let Some(old) = old.one(db).await? else { return Ok(None) };
    let session = Session {
        id: replacement.new,
        origin: replacement.origin.clone(),
        authentication: replacement.authentication.clone(),
        create_time: now,
        last_use_time: now,
        end_time: old.end_time.map(|_| replacement.end_time),
        ..Session::from(old)
    };
    let ended = delete_of_users(db, &[user], None, now).await?;
    Entity::insert(row(&session, &replacement.refresh)).exec_without_returning(db).await?;
    Ok(Some((session, ended)))
}

/// Ends every session of `users` but `keep`, within a transaction.
pub(in crate::store) async fn delete_of_users(
    db: &impl ConnectionTrait,
    users: &[UserId],
    keep: Option<SessionId>,
    now: Timestamp,
) -> Result<Vec<SessionId>, DbErr> {
    let of_users = Column::UserId.is_in(users.iter().map(|user| user.0));
    let mut query = ending(Entity::find().filter(of_users));
    if let Some(keep) = keep {
        query = query.filter(Column::Id.ne(keep.0));
    }
    // In one order, so that two that end the same sessions do not wait for each other.
    let rows = query.order_by_asc(Column::Id).into_tuple().all(db).await?;
    end(db, rows, now).await
}

/// What the end of a session needs to know of it: its id, its user, and the audiences of its tokens.
type Ending = (Uuid, Uuid, Option<String>);

/// `query`, as [`Ending`]s.
fn ending(query: Select<Entity>) -> Select<Entity> {
    query.select_only().columns([Column::Id, Column::UserId, Column::Audience])
}

/// Deletes sessions and tells of it, within a transaction. None if somebody else has just deleted them all.
async fn end(db: &impl ConnectionTrait, rows: Vec<Ending>, now: Timestamp) -> Result<Vec<SessionId>, DbErr> {
    let mut deleted = 0;
    for rows in rows.chunks(BATCH) {
        let ids = rows.iter().map(|(id, ..)| *id);
        deleted += Entity::delete_many().filter(Column::Id.is_in(ids)).exec(db).await?.rows_affected;
    }
    if deleted == 0 {
        return Ok(Vec::new());
    }
    let ended = rows.iter().map(|(id, _, _)| SessionId(*id)).collect();
    let told = rows.into_iter().map(|(subject, user, audience)| {
        // Nothing stands for the service's own.
        Detailed { subject, holder: Some(user), audience: Some(audience.unwrap_or_default()), scopes: None }
    });
    changes::tell_in_detail(db, ENDED, told.collect(), now).await?;
    Ok(ended)
}

impl From<Model> for Session {
    fn from(row: Model) -> Self {
        // Sessions that are older than these columns, or that a replica of the release before has opened, have nothing in them: they
        // were opened on a password, at once.
        let authentication = Authentication {
            methods: row.amr.map_or_else(authentication::by_password, NameSet::from_stored),
            time: Timestamp::from_micros(row.auth_time.unwrap_or(row.create_time)),
            level: row.acr,
        };
        let scope = scope(row.scope, row.asked_scope.is_some());
        Self {
            id: SessionId(row.id),
            user_id: UserId(row.user_id),
            client_id: row.client_id,
            asked_scope: row.asked_scope.map_or_else(|| by_release_before(&scope), NameSet::from_stored),
            scope,
            audience: row.audience.map(NameSet::from_stored),
            origin: Origin { user_agent: row.user_agent, address: row.address, ..Origin::default() },
            authentication,
            create_time: Timestamp::from_micros(row.create_time),
            last_use_time: Timestamp::from_micros(row.last_use_time),
            end_time: row.end_time.map(Timestamp::from_micros),
        }
    }
}

/// What the tokens of a session allow whose row has `stored`. A session that the release before opened did not ask: what it has by
/// `profile` it has by `account` from now on, too.
fn scope(stored: String, has_asked: bool) -> NameSet {
    let scope = NameSet::from_stored(stored);
    if has_asked || !scope.contains(USER_SCOPE) {
        return scope;
    }
    scope.with_name(ACCOUNT_SCOPE).as_far_as_fits()
}

/// What a login that the release before has served asked for, whose session has `scope`. What administers the service it did not: to that
/// release such a name meant nothing.
fn by_release_before(scope: &NameSet) -> NameSet {
    scope.keeping(|scope| !is_admin_scope(scope))
}

impl TryFrom<Model> for StoredSession {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self, Error> {
        let refresh = RefreshState {
            newest: sha256(&row.refresh_newest)?,
            before_newest: row.refresh_before_newest.as_deref().map(sha256).transpose()?,
            salt: sha256(&row.refresh_salt)?,
        };
        let exchange = LastExchange::read(&row)?;
        Ok(Self { session: Session::from(row), refresh, exchange })
    }
}

/// 32 bytes, as they are stored.
pub(in crate::store) fn sha256(stored: &[u8]) -> Result<Sha256, Error> {
    Sha256::try_from(stored).map_err(|_| Error::internal("a stored value of a session is not of 32 bytes"))
}

#[cfg(test)]
mod tests;
