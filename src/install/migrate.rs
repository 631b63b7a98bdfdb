//! Owns bringing the schema of a database up to date, and telling how it stands.

use std::time::Duration;

use super::{Missing, OpenDatabase, StartError};
use crate::{
    config::StorageConfig,
    identity::access::{Upgrade, after_upgrade},
    model::Error,
    store::{MigrationState, Store},
};

/// The number of the migration by which roles come into a database.
const ROLES: &str = "_000016_";

/// What bringing a schema up to date did.
#[derive(Clone, Debug, Default)]
pub struct SchemaUpdate {
    /// The names of the migrations that were applied.
    pub applied: Vec<String>,
    /// The names of those that were there, of newer versions.
    pub newer: Vec<String>,
    /// What users have from now on, if roles have come.
    pub access: Upgrade,
}

/// Applies every pending migration to the database of `config`, and creates the database if it is SQLite and missing.
///
/// # Errors
/// If a setting cannot be used, the database does not open, or a migration fails.
pub async fn migrate(config: &StorageConfig) -> Result<SchemaUpdate, StartError> {
    let store = OpenDatabase::open(config, Missing::Made, config.database_wait).await?.store;
    let migrated = store.migrate(config.database_wait).await?;
    let access = access_after(&store, &migrated.applied).await?;
    store.close().await;
    Ok(SchemaUpdate { applied: migrated.applied, newer: migrated.newer, access })
}

/// What users have in `store`, if roles are among the migrations that were `applied`.
pub(super) async fn access_after(store: &Store, applied: &[String]) -> Result<Upgrade, Error> {
    let has_come = applied.iter().any(|name| name.contains(ROLES));
    if has_come { after_upgrade(store).await } else { Ok(Upgrade::default()) }
}

/// Tells of it in the log.
pub(super) fn tell_access(access: &Upgrade) {
    for role in &access.everyone {
        let (audience, scopes) = (role.audience.as_str(), role.scopes.as_str());
        tracing::info!(
            audience,
            scopes,
            "every user has these scopes there, until the role `everyone` is changed"
        );
    }
    for (audience, scopes) in &access.left_out {
        tracing::warn!(
            audience = audience.as_str(),
            scopes = scopes.as_str(),
            "the role `everyone` has no room for these scopes of clients: no user has them there without another role"
        );
    }
    for audience in &access.too_long {
        tracing::warn!(
            audience,
            "a client has an audience whose name is longer than 512 bytes: no role can be made there, and nobody has anything"
        );
    }
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
