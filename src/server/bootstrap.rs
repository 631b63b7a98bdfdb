//! Owns what `--bootstrap` names: it is read before anything is made, and counts at the first start alone.

use std::{collections::HashMap, path::Path};

use zeroize::Zeroizing;

use crate::{
    audit::Audit,
    base::Clock,
    config::{Config, ConfigError, StorageConfig},
    identity::{
        KeyRotation,
        apply::{Manifest, Manifests},
    },
    install::{Missing, OpenDatabase, StartError, manifest_secrets, read_manifest},
    model::{Error, RefusedChange},
    store::Store,
};

const SETTING: &str = "--bootstrap";

/// The manifest of a first start, and the secrets that it refers to.
pub(super) struct Bootstrap {
    manifest: Manifest,
    secrets: HashMap<String, Zeroizing<String>>,
}

impl Bootstrap {
    /// The one that `config` names, if it names one that can be read.
    ///
    /// # Errors
    /// What is wrong with it, unless the service has started before: then it does not count.
    pub(super) async fn read(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(path) = &config.first_start.bootstrap else { return Ok(None) };
        match Self::of(path) {
            Ok(bootstrap) => Ok(Some(bootstrap)),
            // On the heap: few starts need it.
            Err(_) if Box::pin(has_started(&config.storage)).await => Ok(None),
            Err(problem) => Err(ConfigError::new(SETTING, problem).into()),
        }
    }

    fn of(path: &Path) -> Result<Self, String> {
        let manifest = read_manifest(path)?;
        let secrets = manifest_secrets(&manifest)?;
        Ok(Self { manifest, secrets })
    }

    /// Makes it true with the first key of `keys`; false if there is a key.
    async fn apply(self, manifests: &Manifests, keys: &KeyRotation) -> Result<bool, StartError> {
        let applied = manifests.bootstrap(&self.manifest, &self.secrets, keys).await;
        applied.map_err(|refused| match refused.error {
            error @ (Error::Unavailable { .. }
            | Error::Internal(_)
            | Error::ClocksApart { .. }
            | Error::PlanOutdated
            | Error::WrongMasterKey { .. }) => error.into(),
            error => {
                let refused = RefusedChange { error, ..refused };
                ConfigError::new(SETTING, refused.to_string()).into()
            }
        })
    }
}

/// Makes `bootstrap` true with the first key of `keys`, if `store` has none, and tells the log whether it has.
///
/// # Errors
/// If it cannot be made true, or something that is needed fails: then neither it nor the key is made.
pub(super) async fn settle(
    bootstrap: Option<Bootstrap>,
    config: &Config,
    (store, clock, audit): (&Store, &Clock, &Audit),
    keys: &KeyRotation,
) -> Result<(), StartError> {
    let Some(path) = &config.first_start.bootstrap else { return Ok(()) };
    let own = config.tokens.issuing().audience;
    let manifests = Manifests::new(store.clone(), clock.clone(), audit.clone(), own);
    let applied = match bootstrap {
        Some(bootstrap) => bootstrap.apply(&manifests, keys).await?,
        None => false,
    };
    let file = path.display().to_string();
    if applied {
        tracing::info!(file, "applied --bootstrap: this is the first start");
    } else {
        tracing::info!(file, "--bootstrap is left alone: it counts at the first start only");
    }
    Ok(())
}

/// Whether the database of `config` is there and has a key. Nothing is made.
async fn has_started(config: &StorageConfig) -> bool {
    let Ok(database) = OpenDatabase::open(config, Missing::Refused, config.database_wait).await else {
        return false;
    };
    let has_keys = database.store.signing_keys().await.is_ok_and(|keys| !keys.is_empty());
    database.store.close().await;
    has_keys
}
