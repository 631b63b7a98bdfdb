//! Owns beginning anew where the master key is lost: what it sealed is discarded, and everything else stays.

use std::sync::Arc;

use super::{OpenDatabase, StartError, Unsealed, master_key_file::MasterKeyFile};
use crate::{
    audit::Audit,
    base::Clock,
    config::{Config, ConfigError, DatabaseLocation},
    identity::{
        ClockCheck, KeyRotation, MasterKey,
        keyring::{KeySettings, opens_keys},
    },
    metrics::ClockMetrics,
    model::KeyId,
    store::Store,
};

/// The name of the secret whose loss is told by what it means: [`Sealed::resting_names`].
const NAMES: &str = "names";

/// What the lost master key has sealed.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The database.
    pub database: String,
    /// How many signing keys.
    pub signing_keys: usize,
    /// How many names of deleted users rest under a key that is sealed.
    pub resting_names: u64,
    /// The names of other secrets.
    pub secrets: Vec<String>,
    /// How many users have a hash of a digest under a key that is among them.
    pub users_without_key: u64,
}

/// What beginning anew did.
#[derive(Clone, Debug)]
pub struct Reset {
    /// What was discarded.
    pub discarded: Sealed,
    /// The key that signs from now on.
    pub signing_key: KeyId,
    /// The file of the new master key, if the embedded database keeps its own.
    pub master_key_file: Option<String>,
}

/// The master key that is in force from now on, where it is.
enum NewMasterKey {
    Given(MasterKey),
    /// In its file, in which it is made if it is not there.
    InFile(MasterKeyFile, Option<MasterKey>),
}

/// What [`reset`] would discard.
///
/// # Errors
/// As with [`reset`].
pub async fn sealed(config: &Config) -> Result<Sealed, StartError> {
    let Unsealed { store, description } = OpenDatabase::without_master_key(&config.storage).await?;
    let counted = async |store: &Store| {
        lost_key(config, store).await?;
        count(store, description).await
    };
    store.within(counted).await
}

/// Discards what the lost master key has sealed, and makes a signing key under the one that is configured: the embedded database makes one
/// if its file is not there. `audit` is told.
///
/// # Errors
/// If a setting cannot be used, the database does not open, somebody else has it open and it is SQLite, or the configured master key opens
/// the signing keys: then it is not lost. Everything is then as it was.
pub async fn reset(config: &Config, audit: &Audit) -> Result<Reset, StartError> {
    let keys = config.tokens.keys()?;
    // Alone: a service goes on with keys that are no more, and of two that begin anew one would delete the other's master key. Held to the
    // end of this.
    let (Unsealed { store, description }, _sole) =
        OpenDatabase::alone_without_master_key(&config.storage).await?;
    store.within(async |store| begin_anew(config, keys, (store, description), audit).await).await
}

async fn begin_anew(
    config: &Config,
    keys: KeySettings,
    (store, description): (&Store, String),
    audit: &Audit,
) -> Result<Reset, StartError> {
    let new = lost_key(config, store).await?;
    let discarded = count(store, description).await?;
    let (master_key, file, is_made) = match new {
        NewMasterKey::Given(key) => (key, None, false),
        NewMasterKey::InFile(file, Some(key)) => (key, Some(file), false),
        NewMasterKey::InFile(file, None) => {
            let (key, is_made) = file.read_or_make(false)?;
            (key, Some(file), is_made)
        }
    };
    let clocks = ClockCheck::new(store.clone(), Clock::system(), keys.leeway, ClockMetrics::default());
    let rotation = KeyRotation::new(store.clone(), master_key, keys, Arc::new(clocks), audit.clone());
    let signing_key = match rotation.reset().await {
        Ok(kid) => kid,
        Err(error) => {
            // Where that is not known, it may seal the keys by now.
            let seals_nothing = rotation.opens_stored().await.is_ok_and(|opens| !opens);
            if let Some(file) = file.filter(|_| is_made && seals_nothing) {
                file.discard()?;
            }
            return Err(error.into());
        }
    };
    let master_key_file = file.map(|file| file.path().display().to_string());
    Ok(Reset { discarded, signing_key, master_key_file })
}

/// The master key that takes the place of the lost one.
///
/// # Errors
/// If it is not lost.
async fn lost_key(config: &Config, store: &Store) -> Result<NewMasterKey, StartError> {
    let given = config.storage.given_master_key()?;
    let (new, setting) = match (given, config.storage.location()?) {
        (Some(key), _) => (NewMasterKey::Given(key), "--master-key"),
        (None, DatabaseLocation::Embedded) => {
            let file = MasterKeyFile::in_dir(&config.storage.data_dir);
            let present = file.present()?;
            (NewMasterKey::InFile(file, present), "--data-dir")
        }
        (None, _) => {
            let problem = "must be set to the new master key, 32 bytes as 64 hexadecimal digits: what is made anew is sealed under it";
            return Err(ConfigError::new("--master-key", problem).into());
        }
    };
    let present = match &new {
        NewMasterKey::Given(key) | NewMasterKey::InFile(_, Some(key)) => Some(key),
        NewMasterKey::InFile(_, None) => None,
    };
    if let Some(key) = present
        && opens_keys(store, key).await?
    {
        let problem = "the master key there opens every signing key in the database: it is not lost";
        return Err(ConfigError::new(setting, problem).into());
    }
    Ok(new)
}

async fn count(store: &Store, database: String) -> Result<Sealed, StartError> {
    let signing_keys = store.signing_keys().await?.len();
    let secrets = store.sealed_secrets().await?.into_iter().map(|(name, _)| name);
    let secrets = secrets.filter(|name| name != NAMES).collect();
    let (resting_names, users_without_key) =
        (store.resting_usernames().await?, store.users_with_prehash_key().await?);
    Ok(Sealed { database, signing_keys, resting_names, secrets, users_without_key })
}
