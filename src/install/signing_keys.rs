//! Owns opening the signing keys of the configured database for a command: to be listed, or to be changed.

use std::sync::Arc;

use super::{Missing, OpenDatabase, StartError};
use crate::{
    audit::Audit,
    base::Clock,
    config::{Config, StorageConfig},
    identity::{ClockCheck, KeyRotation},
    metrics::ClockMetrics,
    store::StoredKey,
};

/// The signing keys that are stored.
///
/// # Errors
/// If a setting cannot be used, or the database does not answer.
pub async fn signing_keys(config: &StorageConfig) -> Result<Vec<StoredKey>, StartError> {
    let store = OpenDatabase::for_command(config, Missing::Refused).await?.store;
    Ok(store.within(async |store| store.signing_keys().await).await?)
}

/// What changes the signing keys, and tells `audit`.
///
/// # Errors
/// If a setting cannot be used, or the database does not open.
pub async fn key_rotation(config: &Config, audit: &Audit) -> Result<KeyRotation, StartError> {
    let settings = config.tokens.keys()?;
    let OpenDatabase { store, master_key, .. } =
        OpenDatabase::for_command(&config.storage, Missing::Refused).await?;
    let clocks = ClockCheck::new(store.clone(), Clock::system(), settings.leeway, ClockMetrics::default());
    Ok(KeyRotation::new(store, master_key, settings, Arc::new(clocks), audit.clone()))
}
