//! Owns the table `client_assertions`: which assertions of clients have been used, each until it expires.

use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::store::{
    BATCH, Store,
    engine::{failure, transaction::commit},
    tables::entity::client_assertions::{ActiveModel, Column, Entity},
};
use crate::{base::Timestamp, model::Error};

impl Store {
    /// Notes that the assertion of SHA-256 `hash` is used, and is to be remembered until `expire_time`; false if it was used
    /// before. Of any number that do it at once, the database lets one be the first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn use_assertion(&self, hash: [u8; 32], expire_time: Timestamp) -> Result<bool, Error> {
        let row = ActiveModel { hash: Set(hash.to_vec()), expire_time: Set(expire_time.as_micros()) };
        self.write(|| async {
            let db = self.begin().await?;
            match Entity::insert(row.clone()).exec_without_returning(&db).await {
                Ok(_) => commit(db, true).await,
                Err(error) if failure::is_duplicate(&error) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Deletes the assertions that have expired by `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_expired_assertions(&self, now: Timestamp) -> Result<(), Error> {
        let expired = Entity::find().filter(Column::ExpireTime.lte(now.as_micros()));
        let page = expired.select_only().column(Column::Hash).order_by_asc(Column::ExpireTime);
        let page = page.limit(BATCH as u64);
        loop {
            let hashes: Vec<Vec<u8>> = self.ask(|| page.clone().into_tuple().all(&self.db)).await?;
            self.delete_rows::<Entity, _>(Column::Hash, &hashes, Condition::all()).await?;
            if hashes.len() < BATCH {
                return Ok(());
            }
        }
    }
}
