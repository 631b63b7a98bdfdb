//! Owns the schema's version: what is applied, what is pending, and applying it.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait};
use signet_migrations::{Migrator, MigratorTrait};

use super::{PoolSettings, Store, failure};
use crate::model::Error;

/// How long one step of a migration may take on a database server, and how long one process waits for another's migration.
pub(super) const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);

/// The lock that a migration holds: of a number on PostgreSQL, of a name on MySQL. Nothing else must use it in the same server.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(6001423587713271412)";
const MYSQL_LOCK: &str = "SELECT GET_LOCK(CONCAT('signet_migrations_', MD5(DATABASE())), 3600)";
const MYSQL_UNLOCK: &str = "SELECT RELEASE_LOCK(CONCAT('signet_migrations_', MD5(DATABASE())))";

/// One migration and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Its name, which sorts by age.
    pub name: String,
    /// Whether it has been applied.
    pub applied: bool,
}

impl Store {
    /// Applies what is pending, and returns the names of what was applied. SQLite and PostgreSQL apply all of it or nothing;
    /// MySQL cannot, and goes on after what was applied the next time.
    ///
    /// Safe when several processes do it at once: the others wait, and find nothing left to do.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        let Some((url, settings)) = &self.server else { return self.migrate_here().await };
        // What bounds a call must not cut a migration, so it gets a connection of its own.
        let patient = PoolSettings { size: 1, statement_timeout: MIGRATION_TIMEOUT, ..*settings };
        let own = Self::connect(url, patient).await?;
        let applied = own.migrate_here().await;
        own.close().await;
        applied
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

    async fn migrate_here(&self) -> Result<Vec<String>, Error> {
        let transaction = self.begin().await.map_err(failure::from)?;
        match transaction.get_database_backend() {
            DbBackend::Postgres => select(&transaction, POSTGRES_LOCK).await?,
            // Of the connection, not of the transaction, which ends with the first table that is made.
            DbBackend::MySql => select(&transaction, MYSQL_LOCK).await?,
            // SQLite's write lock is held already.
            _ => {}
        }
        let pending = Migrator::get_pending_migrations(&transaction).await.map_err(unreadable)?;
        let names = pending.iter().map(|migration| migration.name().to_owned()).collect();
        Migrator::up(&transaction, None).await.map_err(failure::from)?;
        if transaction.get_database_backend() == DbBackend::MySql {
            select(&transaction, MYSQL_UNLOCK).await?;
        }
        transaction.commit().await.map_err(failure::from)?;
        Ok(names)
    }
}

async fn select(transaction: &DatabaseTransaction, sql: &str) -> Result<(), Error> {
    let statement = Statement::from_string(transaction.get_database_backend(), sql);
    transaction.query_one_raw(statement).await.map(drop).map_err(failure::from)
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
