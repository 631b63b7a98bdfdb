//! Owns the table `sealed_secrets`: random secrets of the service, encrypted with the master key as its signing keys are.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, UpdateMany,
    sea_query::Expr,
};

use crate::model::Error;
use crate::store::{
    Store,
    engine::{failure, transaction::commit},
    tables::entity::sealed_secrets::{ActiveModel, Column, Entity},
};

/// A secret that has been sealed anew.
#[derive(Clone, Debug)]
pub struct ResealedSecret {
    /// Its name.
    pub name: String,
    /// As it was sealed before: if it no longer is, another process has replaced it meanwhile.
    pub old: Vec<u8>,
    /// The new ciphertext.
    pub new: Vec<u8>,
}

impl Store {
    /// Every secret, by its name.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn sealed_secrets(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let rows = self.ask(|| Entity::find().all(&self.db)).await?;
        Ok(rows.into_iter().map(|row| (row.name, row.sealed)).collect())
    }

    /// The secret `name`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn sealed_secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let row = self.ask_for_one(|| Entity::find_by_id(name).all(&self.db)).await?;
        Ok(row.map(|row| row.sealed))
    }

    /// Adds the secret `name`; false if there is one already.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_sealed_secret(&self, name: &str, sealed: Vec<u8>) -> Result<bool, Error> {
        let row = ActiveModel { name: Set(name.to_owned()), sealed: Set(sealed) };
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

    /// Removes the secret `name`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn remove_sealed_secret(&self, name: &str) -> Result<(), Error> {
        self.ask(|| Entity::delete_by_id(name).exec(&self.writer)).await.map(drop)
    }

    /// Replaces the secret `name`, if it still is `old`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn replace_sealed_secret(&self, name: &str, old: &[u8], new: Vec<u8>) -> Result<bool, Error> {
        let update = replace(name, old, new);
        Ok(self.ask(|| update.clone().exec(&self.writer)).await?.rows_affected > 0)
    }
}

/// Stores secrets that have been sealed anew, within a transaction; false if one of them is no longer what was sealed anew: then the
/// transaction is to be given up.
pub(in crate::store) async fn reseal(
    db: &impl ConnectionTrait,
    secrets: Vec<ResealedSecret>,
) -> Result<bool, DbErr> {
    for ResealedSecret { name, old, new } in secrets {
        if replace(&name, &old, new).exec(db).await?.rows_affected == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes every secret, within a transaction.
pub(in crate::store) async fn discard(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    Entity::delete_many().exec(db).await.map(drop)
}

fn replace(name: &str, old: &[u8], new: Vec<u8>) -> UpdateMany<Entity> {
    let update = Entity::update_many().col_expr(Column::Sealed, Expr::value(new));
    update.filter(Column::Name.eq(name)).filter(Column::Sealed.eq(old))
}
