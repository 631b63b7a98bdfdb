//! Owns the table `sessions`.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    NewRefreshToken, Store, changes,
    entity::sessions::{ActiveModel, Column, Entity, Model},
    failure, refresh_tokens as tokens, users,
};
use crate::model::{
    ClientId, Error, NameSet, Origin, Session, SessionId, SessionLifetime, Timestamp, UserId,
};

/// How many expired sessions are deleted in one transaction, so that none holds the database for long.
const SWEEP: u64 = 500;

impl Store {
    /// Adds a session and its first refresh token, if the user is active and still has `password_hash`; false if not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_session(
        &self,
        session: &Session,
        token: NewRefreshToken,
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
        };
        let transaction = self.begin_write().await?;
        if !users::is_current(&transaction, session.user_id, password_hash).await? {
            return Ok(false);
        }
        Entity::insert(row).exec_without_returning(&transaction).await.map_err(failure::from)?;
        tokens::insert(&transaction, token, session.id, session.create_time).await?;
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

    /// The sessions of `user` after `after`, the oldest first; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn sessions(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Session>, Error> {
        let mut query =
            Entity::find().filter(Column::UserId.eq(user.0)).order_by_asc(Column::Id).limit(limit);
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
        tokens::delete_of_sessions(&transaction, vec![id.0]).await?;
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
        let idle = Column::LastUseTime.lte(now.before(lifetime.idle).as_micros());
        let aged = Column::CreateTime.lte(now.before(lifetime.absolute).as_micros());
        let ids: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(idle.or(aged))
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
    loop {
        let ids: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::ClientId.eq(client.to_string()))
            .limit(SWEEP)
            .into_tuple()
            .all(db)
            .await
            .map_err(failure::from)?;
        if ids.is_empty() {
            return Ok(());
        }
        delete_rows(db, ids).await?;
    }
}

/// Deletes one session and its refresh tokens, within a transaction.
pub(super) async fn delete_rows(db: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    tokens::delete_of_sessions(db, ids.clone()).await?;
    Entity::delete_many().filter(Column::Id.is_in(ids)).exec(db).await.map_err(failure::from)?;
    Ok(())
}

/// Notes that the session was refreshed, within a transaction.
pub(super) async fn touch(db: &impl ConnectionTrait, id: Uuid, now: Timestamp) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::LastUseTime, Expr::value(now.as_micros()))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await
        .map_err(failure::from)?;
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
