//! Owns the table `refresh_tokens`: which token follows which, and which have been used.

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, sea_query::Expr};
use uuid::Uuid;

use super::{
    Store, changes,
    entity::refresh_tokens::{ActiveModel, Column, Entity, Model},
    failure, sessions,
};
use crate::model::{Error, Session, SessionId, Timestamp};

/// What is kept of a refresh token.
#[derive(Clone, Copy, Debug)]
pub struct NewRefreshToken {
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// What its successor is made from, together with the token itself.
    pub successor_salt: [u8; 32],
}

/// A refresh token that is known.
#[derive(Debug)]
pub struct StoredRefreshToken {
    /// The session that it keeps going.
    pub session: Session,
    /// What its successor is made from, together with the token itself.
    pub successor_salt: Vec<u8>,
    /// When it was issued.
    pub create_time: Timestamp,
    /// Whether it has been exchanged for its successor.
    pub is_consumed: bool,
}

/// What came of exchanging a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It had not been used: its successor is there now.
    Done,
    /// It had been used, its successor has not: the exchange is the same as before.
    Repeated,
    /// It had been used, and its successor too: somebody holds a copy. The session has been ended.
    Replayed,
    /// It is not known any more.
    Gone,
}

impl Store {
    /// The refresh token of SHA-256 `hash`, with its session.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn refresh_token(&self, hash: [u8; 32]) -> Result<Option<StoredRefreshToken>, Error> {
        let Some(row) = find(&self.db, hash).await? else { return Ok(None) };
        let session = self.session(SessionId(row.session_id)).await?;
        Ok(session.map(|session| StoredRefreshToken {
            session,
            successor_salt: row.successor_salt,
            create_time: Timestamp::from_micros(row.create_time),
            is_consumed: row.consume_time.is_some(),
        }))
    }

    /// Exchanges the token of SHA-256 `hash` for `successor`, in one transaction: of any number that do it at once, one does
    /// it and the others repeat it. A replay ends the session.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn rotate_refresh_token(
        &self,
        hash: [u8; 32],
        successor: NewRefreshToken,
        now: Timestamp,
    ) -> Result<Rotation, Error> {
        let transaction = self.begin_write().await?;
        let Some(token) = find(&transaction, hash).await? else { return Ok(Rotation::Gone) };
        if token.consume_time.is_none() {
            consume(&transaction, hash, now).await?;
            insert(&transaction, successor, SessionId(token.session_id), now).await?;
            sessions::touch(&transaction, token.session_id, now).await?;
            transaction.commit().await.map_err(failure::from)?;
            return Ok(Rotation::Done);
        }
        match find(&transaction, successor.hash).await? {
            Some(next) if next.consume_time.is_none() => Ok(Rotation::Repeated),
            _ => {
                sessions::delete_rows(&transaction, vec![token.session_id]).await?;
                changes::tell(&transaction, [token.session_id], now).await?;
                transaction.commit().await.map_err(failure::from)?;
                Ok(Rotation::Replayed)
            }
        }
    }
}

async fn find(db: &impl ConnectionTrait, hash: [u8; 32]) -> Result<Option<Model>, Error> {
    Entity::find_by_id(hash.to_vec()).one(db).await.map_err(failure::from)
}

async fn consume(db: &impl ConnectionTrait, hash: [u8; 32], now: Timestamp) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::ConsumeTime, Expr::value(now.as_micros()))
        .filter(Column::Hash.eq(hash.to_vec()))
        .exec(db)
        .await
        .map_err(failure::from)?;
    Ok(())
}

pub(super) async fn insert(
    db: &impl ConnectionTrait,
    token: NewRefreshToken,
    session: SessionId,
    now: Timestamp,
) -> Result<(), Error> {
    let row = ActiveModel {
        hash: Set(token.hash.to_vec()),
        session_id: Set(session.0),
        successor_salt: Set(token.successor_salt.to_vec()),
        create_time: Set(now.as_micros()),
        consume_time: Set(None),
    };
    Entity::insert(row).exec_without_returning(db).await.map_err(failure::from)?;
    Ok(())
}

/// Deletes the tokens of `sessions`, within a transaction.
pub(super) async fn delete_of_sessions(db: &impl ConnectionTrait, sessions: Vec<Uuid>) -> Result<(), Error> {
    Entity::delete_many().filter(Column::SessionId.is_in(sessions)).exec(db).await.map_err(failure::from)?;
    Ok(())
}
