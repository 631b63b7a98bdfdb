//! Owns the table `signing_keys`.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    Store,
    entity::signing_keys::{ActiveModel, Column, Entity, Model},
    failure,
};
use crate::model::{Error, KeyId, SigningAlg, Timestamp};

/// A signing key as it is kept: its private part sealed.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Its id.
    pub kid: KeyId,
    /// What it signs with.
    pub alg: SigningAlg,
    /// The private part, under the master key.
    pub sealed_private_key: Vec<u8>,
    /// When it was made.
    pub create_time: Timestamp,
}

impl Store {
    /// Every signing key, the newest last.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn signing_keys(&self) -> Result<Vec<StoredKey>, Error> {
        let rows = Entity::find()
            .order_by_asc(Column::CreateTime)
            .order_by_asc(Column::Kid)
            .all(&self.db)
            .await
            .map_err(failure::from)?;
        rows.into_iter().map(StoredKey::try_from).collect()
    }

    /// Adds `key`, unless there is one of its algorithm already: of several processes that start at once, one adds its key.
    /// Returns whether `key` was added.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_first_signing_key(&self, key: StoredKey) -> Result<bool, Error> {
        let transaction = self.begin_write().await?;
        let present = Entity::find()
            .filter(Column::Alg.eq(key.alg.name()))
            .one(&transaction)
            .await
            .map_err(failure::from)?;
        if present.is_some() {
            return Ok(false);
        }
        let row = ActiveModel {
            kid: Set(key.kid.0),
            alg: Set(key.alg.name().to_owned()),
            sealed_private_key: Set(key.sealed_private_key),
            create_time: Set(key.create_time.as_micros()),
        };
        Entity::insert(row).exec_without_returning(&transaction).await.map_err(failure::from)?;
        transaction.commit().await.map_err(failure::from)?;
        Ok(true)
    }

    /// Whether the database answers and holds the key `kid`: what readiness asks.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn has_signing_key(&self, kid: &KeyId) -> Result<bool, Error> {
        let found = Entity::find_by_id(kid.0.clone())
            .select_only()
            .column(Column::Kid)
            .into_tuple::<String>()
            .one(&self.db)
            .await
            .map_err(failure::from)?;
        Ok(found.is_some())
    }
}

impl TryFrom<Model> for StoredKey {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self, Error> {
        Ok(Self {
            alg: row.alg.parse().map_err(|error: String| Error::internal(error))?,
            kid: KeyId(row.kid),
            sealed_private_key: row.sealed_private_key,
            create_time: Timestamp::from_micros(row.create_time),
        })
    }
}
