//! Owns the table `sessions`.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, SimpleExpr},
};
use uuid::Uuid;

use super::{
    Store, changes,
    entity::sessions::{ActiveModel, Column, Entity, Model},
    failure, users,
};
use crate::model::{
    ClientId, Error, NameSet, Origin, Session, SessionId, SessionLifetime, Timestamp, UserId,
};

/// How many expired sessions are deleted in one transaction, so that none holds the database for long.
const SWEEP: u64 = 500;

/// SHA-256 of something that is not kept.
pub type Sha256 = [u8; 32];

/// What a session keeps of its refresh tokens.
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
#[derive(Debug)]
pub struct StoredSession {
    /// The session.
    pub session: Session,
    /// Its refresh tokens.
    pub refresh: RefreshState,
}

impl Store {
    /// Adds a session, if the user is active and still has `password_hash`; false if not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_session(
        &self,
        session: &Session,
        refresh: &RefreshState,
        password_hash: &str,
    ) -> Result<bool, Error> {
        let row = ActiveModel {
            id: Set(session.id.0),
            user_id: Set(session.user_id.0),
            client_id: Set(session.client_id.clone()),
            scope: Set(session.scope.as_str().to_owned()),
            audience: Set(session.audience.as_ref().map(|audience| audience.as_str().to_owned())),
            user_agent: Set(session.origin.user_agent.clone()),
            address: Set(session.origin.address.clone()),
            create_time: Set(session.create_time.as_micros()),
            last_use_time: Set(session.last_use_time.as_micros()),
            refresh_newest: Set(refresh.newest.to_vec()),
            refresh_before_newest: Set(refresh.before_newest.map(Vec::from)),
            refresh_salt: Set(refresh.salt.to_vec()),
        };
        let transaction = self.begin_write().await?;
        if !users::is_current(&transaction, session.user_id, password_hash).await? {
            return Ok(false);
        }
        Entity::insert(row).exec_without_returning(&transaction).await.map_err(failure::from)?;
        transaction.commit().await.map_err(failure::from)?;
        Ok(true)
    }

    /// The session `id`, if it has not been ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, Error> {
        let row = Entity::find_by_id(id.0).one(&self.db).await.map_err(failure::from)?;
        Ok(row.map(Session::from))
    }

    /// The session `id`, if it has not been ended, with what it keeps of its refresh tokens.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn session_to_refresh(&self, id: SessionId) -> Result<Option<StoredSession>, Error> {
        let row = Entity::find_by_id(id.0).one(&self.db).await.map_err(failure::from)?;
        row.map(StoredSession::try_from).transpose()
    }

    /// Puts the refresh token of SHA-256 `next` after `newest`, if that is still the newest of the session `id`: of any number
    /// that do it at once, one does. One statement, so that it needs no transaction.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn rotate_refresh_token(
        &self,
        id: SessionId,
        newest: Sha256,
        next: Sha256,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = Entity::update_many()
            .col_expr(Column::RefreshNewest, Expr::value(next.to_vec()))
            .col_expr(Column::RefreshBeforeNewest, Expr::value(newest.to_vec()))
            .col_expr(Column::LastUseTime, Expr::value(now.as_micros()))
            .filter(Column::Id.eq(id.0))
            .filter(Column::RefreshNewest.eq(newest.to_vec()))
            .exec(&self.db)
            .await
            .map_err(failure::from)?;
        Ok(done.rows_affected > 0)
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
            .filter(has_expired(lifetime, now).not())
            .order_by_asc(Column::Id)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = query.all(&self.db).await.map_err(failure::from)?;
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
        let transaction = self.begin_write().await?;
        let ended = delete_of_user(&transaction, user, keep, now).await?;
        transaction.commit().await.map_err(failure::from)?;
        Ok(ended)
    }

    /// Ends the session `id` of `user`; false if the user has none of that id.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_session(&self, user: UserId, id: SessionId, now: Timestamp) -> Result<bool, Error> {
        let transaction = self.begin_write().await?;
        let done = Entity::delete_many()
            .filter(Column::Id.eq(id.0))
            .filter(Column::UserId.eq(user.0))
            .exec(&transaction)
            .await
            .map_err(failure::from)?;
        if done.rows_affected == 0 {
            return Ok(false);
        }
        changes::tell(&transaction, [id.0], now).await?;
        transaction.commit().await.map_err(failure::from)?;
        Ok(true)
    }

    /// Deletes sessions that have expired by `now`, a batch at a time; returns whether there may be more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_expired_sessions(
        &self,
        lifetime: SessionLifetime,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let transaction = self.begin_write().await?;
        let ids: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(has_expired(lifetime, now))
            .limit(SWEEP)
            .into_tuple()
            .all(&transaction)
            .await
            .map_err(failure::from)?;
        let more = ids.len() as u64 == SWEEP;
        delete_rows(&transaction, ids).await?;
        transaction.commit().await.map_err(failure::from)?;
        Ok(more)
    }
}

/// [`Session::expire_time`] as a condition: it is not after `now`.
fn has_expired(lifetime: SessionLifetime, now: Timestamp) -> SimpleExpr {
    let idle = Column::LastUseTime.lte(now.before(lifetime.idle).as_micros());
    let aged = Column::CreateTime.lte(now.before(lifetime.absolute).as_micros());
    idle.or(aged)
}

/// Ends every session of `user` but `keep`, within a transaction.
pub(super) async fn delete_of_user(
    db: &impl ConnectionTrait,
    user: UserId,
    keep: Option<SessionId>,
    now: Timestamp,
) -> Result<Vec<SessionId>, Error> {
    let mut query = Entity::find().select_only().column(Column::Id).filter(Column::UserId.eq(user.0));
    if let Some(keep) = keep {
        query = query.filter(Column::Id.ne(keep.0));
    }
    let ids: Vec<Uuid> = query.into_tuple().all(db).await.map_err(failure::from)?;
    delete_rows(db, ids.clone()).await?;
    changes::tell(db, ids.iter().copied(), now).await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// Ends every session that was opened with `client`, within a transaction. Nobody need be told: the client itself is gone.
pub(super) async fn delete_of_client(db: &impl ConnectionTrait, client: ClientId) -> Result<(), Error> {
    Entity::delete_many()
        .filter(Column::ClientId.eq(client.to_string()))
        .exec(db)
        .await
        .map_err(failure::from)?;
    Ok(())
}

/// Deletes sessions, within a transaction.
async fn delete_rows(db: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    Entity::delete_many().filter(Column::Id.is_in(ids)).exec(db).await.map_err(failure::from)?;
    Ok(())
}

impl From<Model> for Session {
    fn from(row: Model) -> Self {
        Self {
            id: SessionId(row.id),
            user_id: UserId(row.user_id),
            client_id: row.client_id,
            scope: NameSet::from_stored(row.scope),
            audience: row.audience.map(NameSet::from_stored),
            origin: Origin { user_agent: row.user_agent, address: row.address },
            create_time: Timestamp::from_micros(row.create_time),
            last_use_time: Timestamp::from_micros(row.last_use_time),
        }
    }
}

impl TryFrom<Model> for StoredSession {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self, Error> {
        let refresh = RefreshState {
            newest: sha256(&row.refresh_newest)?,
            before_newest: row.refresh_before_newest.as_deref().map(sha256).transpose()?,
            salt: sha256(&row.refresh_salt)?,
        };
        Ok(Self { session: Session::from(row), refresh })
    }
}

/// 32 bytes, as they are stored.
fn sha256(stored: &[u8]) -> Result<Sha256, Error> {
    Sha256::try_from(stored).map_err(|_| Error::internal("a stored value of a session is not of 32 bytes"))
}
