//! Owns bringing the schema of a database up to date, and telling how it stands.

use std::time::Duration;

use super::{Missing, OpenDatabase, StartError};
use crate::{
    config::StorageConfig,
    store::{Migrated, MigrationState},
};

/// Applies every pending migration to the database of `config`, and creates the database if it is SQLite and missing.
///
/// # Errors
/// If a setting cannot be used, the database does not open, or a migration fails.
pub async fn migrate(config: &StorageConfig) -> Result<Migrated, StartError> {
    let store = OpenDatabase::open(config, Missing::Made, config.database_wait).await?.store;
    let migrated = store.migrate(config.database_wait).await?;
    store.close().await;
    Ok(migrated)
}

/// The migrations that the database of `config` has, and those that it lacks.
///
/// # Errors
/// If a setting cannot be used, or the database does not open.
pub async fn migrations(config: &StorageConfig) -> Result<Vec<MigrationState>, StartError> {
    let store = OpenDatabase::open(config, Missing::Refused, Duration::ZERO).await?.store;
    let migrations = store.migrations().await?;
    store.close().await;
    Ok(migrations)
}
