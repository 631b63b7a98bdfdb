//! Owns the table `changes`: the feed by which other processes learn which users, sessions, clients and signing keys were changed
//! or ended.

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    Store,
    entity::changes::{ActiveModel, Column, Entity},
    failure,
};
use crate::model::{Error, Timestamp};

/// The subject of a change of the signing keys: they are few, and are read anew all at once. Nothing else has this id.
pub const SIGNING_KEYS: Uuid = Uuid::from_u128(1);

/// A user, a session or a client that was changed or ended, or the signing keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place in the feed.
    pub id: i64,
    /// The id of the user, the session or the client, or [`SIGNING_KEYS`].
    pub subject: Uuid,
}

impl Store {
    /// The place of the newest change; zero if there has been none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn newest_change(&self) -> Result<i64, Error> {
        let newest = Entity::find().order_by_desc(Column::Id).one(&self.db).await.map_err(failure::from)?;
        Ok(newest.map_or(0, |row| row.id))
    }

    /// The changes after the place `after`, in their order; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn changes(&self, after: i64, limit: u64) -> Result<Vec<Change>, Error> {
        let rows = Entity::find()
            .filter(Column::Id.gt(after))
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(&self.db)
            .await
            .map_err(failure::from)?;
        Ok(rows.into_iter().map(|row| Change { id: row.id, subject: row.subject }).collect())
    }

    /// Deletes the changes made before `time`, but never the newest: its place must not be used again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_changes_before(&self, time: Timestamp) -> Result<(), Error> {
        let newest = self.newest_change().await?;
        Entity::delete_many()
            .filter(Column::CreateTime.lt(time.as_micros()))
            .filter(Column::Id.lt(newest))
            .exec(&self.db)
            .await
            .map_err(failure::from)?;
        Ok(())
    }
}

/// Tells the others of changes, in the transaction that makes them.
pub(super) async fn tell(
    db: &impl ConnectionTrait,
    subjects: impl IntoIterator<Item = Uuid>,
    now: Timestamp,
) -> Result<(), Error> {
    let rows: Vec<_> = subjects
        .into_iter()
        .map(|subject| ActiveModel { id: NotSet, subject: Set(subject), create_time: Set(now.as_micros()) })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    Entity::insert_many(rows).exec_without_returning(db).await.map_err(failure::from)?;
    Ok(())
}
