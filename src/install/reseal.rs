//! Owns changing the master key: every private key is sealed anew, and the embedded database's file of it replaced.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Missing, OpenDatabase, StartError, master_key_file::MasterKeyFile};
use crate::{
    audit::Audit,
    base::Clock,
    config::{Config, ConfigError},
    identity::{
        ClockCheck, KeyRotation, MasterKey,
        keyring::{KeySettings, opens_keys},
    },
    metrics::ClockMetrics,
    model::Error,
    store::Store,
};

/// What changing the master key did.
#[derive(Clone, Debug)]
pub struct Resealed {
    /// How many private keys are sealed anew.
    pub keys: usize,
    /// The file that holds the new master key, if the embedded database keeps its own.
    pub master_key_file: Option<String>,
}

/// Seals every private key under `new`, the text of a master key. Without one the embedded database makes its own. `audit` is told.
///
/// # Errors
/// If a setting cannot be used, the present master key does not open the keys, or there must be a new one and is none. The keys are
/// then as they were.
pub async fn reseal(
    config: &Config,
    new: Option<Zeroizing<String>>,
    audit: &Audit,
) -> Result<Resealed, StartError> {
    let keys = config.tokens.keys()?;
    let OpenDatabase { store, master_key, master_key_file, .. } =
        OpenDatabase::for_command(&config.storage, Missing::Refused).await?;
    let present = (master_key, master_key_file);
    store.within(async |store| reseal_in(store, present, (new, keys), audit).await).await
}

async fn reseal_in(
    store: &Store,
    (master_key, master_key_file): (MasterKey, Option<MasterKeyFile>),
    (new, keys): (Option<Zeroizing<String>>, KeySettings),
    audit: &Audit,
) -> Result<Resealed, StartError> {
    let clocks = ClockCheck::new(store.clone(), Clock::system(), keys.leeway, ClockMetrics::default());
    let clocks = Arc::new(clocks);
    let rotation =
        |master_key| KeyRotation::new(store.clone(), master_key, keys, Arc::clone(&clocks), audit.clone());
    if let Some(file) = master_key_file {
        let replacing = file.replace().map_err(Error::internal)?;
        // As it is now that nobody else replaces it: since this process opened the database another one may have been killed here.
        let present = replacing.settle(store).await?;
        let next = replacing.write_next(new.as_ref().map(|text| text.as_str()))?;
        let count = match rotation(present).reseal(&next).await {
            Ok(count) => count,
            Err(error) => {
                // Where it is not known whether the next one seals the keys by now, the next start finds it out.
                if opens_keys(store, &next).await.is_ok_and(|opens| !opens) {
                    replacing.give_up()?;
                }
                return Err(error.into());
            }
        };
        // Should this not come to pass, the next start does it.
        replacing.finish().map_err(Error::internal)?;
        Ok(Resealed { keys: count, master_key_file: Some(file.path().display().to_string()) })
    } else {
        let text = new.ok_or_else(|| {
            ConfigError::new("--master-key", "is given, so the new one must be too: --new-master-key-file")
        })?;
        let next = MasterKey::from_hex(&text).map_err(|problem| ConfigError::new("--master-key", problem))?;
        Ok(Resealed { keys: rotation(master_key).reseal(&next).await?, master_key_file: None })
    }
}
