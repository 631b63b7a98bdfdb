//! Owns bringing the schema of a database up to date, and telling how it stands.

use std::time::Duration;

use super::{Missing, OpenDatabase, StartError, database::refuse_unfinished};
use crate::{
    config::StorageConfig,
    identity::access::{Upgrade, after_upgrade, unread},
    model::{Error, NameSet},
    store::{MigrationState, Store},
};

/// The number of the migration by which roles come into a database.
const ROLES: &str = "_000016_";

/// The number of the migration from which on a database tells that it is being copied to.
const COPIES: &str = "_000029_";

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

/// Applies every pending migration to the database of `config`, and creates the database if it is SQLite and missing. The service's own
/// audience is called `own`.
///
/// # Errors
/// If a setting cannot be used, the database does not open, or a migration fails.
pub async fn migrate(config: &StorageConfig, own: &NameSet) -> Result<SchemaUpdate, StartError> {
    let OpenDatabase { store, description, .. } =
        OpenDatabase::open(config, Missing::Made, config.database_wait).await?;
    let migrated = async |store: &Store| {
        let migrated = store.migrate(config.database_wait).await?;
        refuse_unfinished(store, &description).await?;
        let access = access_after(store, &migrated.applied, own).await?;
        Ok(SchemaUpdate { applied: migrated.applied, newer: migrated.newer, access })
    };
    store.within(migrated).await
}

/// What users have in `store`, if roles are among the migrations that were `applied`.
pub(super) async fn access_after(store: &Store, applied: &[String], own: &NameSet) -> Result<Upgrade, Error> {
    let has_come = applied.iter().any(|name| name.contains(ROLES));
    if has_come { after_upgrade(store, own).await } else { Ok(Upgrade::default()) }
}

/// Warns of what users have in `store` where nobody reads it, since the service's own audience is called `own`.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn warn_of_unread(store: &Store, own: &NameSet) -> Result<(), Error> {
    if let Some(unread) = unread(store, own).await? {
        tracing::warn!(
            audience = unread.audience.as_str(),
            scopes = unread.scopes.as_str(),
            "roles know this service's own audience as `signet`, whose `everyone` lacks these scopes: no user has them, until \
             `signet roles update everyone --add-scope` gives them"
        );
    }
    Ok(())
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
/// If a setting cannot be used, the database does not open, or it is being copied to and not all of it is there.
pub async fn migrations(config: &StorageConfig) -> Result<Vec<MigrationState>, StartError> {
    let OpenDatabase { store, description, .. } =
        OpenDatabase::open(config, Missing::Refused, Duration::ZERO).await?;
    let listed = async |store: &Store| {
        let migrations = store.migrations().await?;
        // An older schema has no place for what is looked up here.
        if migrations.iter().any(|migration| migration.applied && migration.name.contains(COPIES)) {
            refuse_unfinished(store, &description).await?;
        }
        Ok(migrations)
    };
    store.within(listed).await
}
