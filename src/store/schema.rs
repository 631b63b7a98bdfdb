//! Owns the schema's version: what is applied, what is pending, and applying it.

use sea_orm::{DbErr, TransactionTrait};
use signet_migrations::{Migrator, MigratorTrait};

use super::{Store, failure};
use crate::model::Error;

/// One migration and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Its name, which sorts by age.
    pub name: String,
    /// Whether it has been applied.
    pub applied: bool,
}

impl Store {
    /// Applies what is pending, all of it or nothing, and returns the names of what was applied.
    ///
    /// Safe when several processes do it at once: the others wait, and find nothing left to do.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        let transaction = self.begin_write().await?;
        let pending = Migrator::get_pending_migrations(&transaction).await.map_err(unreadable)?;
        let names = pending.iter().map(|migration| migration.name().to_owned()).collect();
        Migrator::up(&transaction, None).await.map_err(failure::from)?;
        transaction.commit().await.map_err(failure::from)?;
        Ok(names)
    }

    /// Every migration this binary knows, oldest first. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn migrations(&self) -> Result<Vec<MigrationState>, Error> {
        let transaction = self.db.begin().await.map_err(failure::from)?;
        let pending = Migrator::get_pending_migrations_read_only(&transaction).await.map_err(unreadable)?;
        transaction.rollback().await.map_err(failure::from)?;
        Ok(Migrator::get_migration_files()
            .iter()
            .map(|migration| MigrationState {
                name: migration.name().to_owned(),
                applied: pending.iter().all(|other| other.name() != migration.name()),
            })
            .collect())
    }
}

/// Why the state of the migrations cannot be told. SeaORM's own error is for one thing alone: the database has migrations
/// that this binary does not know; their names stand in quotes.
fn unreadable(error: DbErr) -> Error {
    match error {
        DbErr::Custom(text) => {
            let names: Vec<_> = text.split('\'').skip(1).step_by(2).collect();
            Error::internal(format!(
                "a newer version has changed the database's schema ({}): run that version, or one that is newer still",
                names.join(", ")
            ))
        }
        other => failure::from(other),
    }
}
