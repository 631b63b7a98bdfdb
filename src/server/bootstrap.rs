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
    install::{
        FileProblem, ManifestProblem, Missing, OpenDatabase, StartError, manifest_secrets, may_have_database,
        read_manifest,
    },
    model::{ClientName, Error, RefusedChange},
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
    /// What is wrong with it, unless the service has started before: then it does not count. If that cannot be known, why.
    pub(super) async fn read(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(path) = &config.first_start.bootstrap else { return Ok(None) };
        match Self::of(path) {
            Ok(bootstrap) => Ok(Some(bootstrap)),
            // On the heap: few starts need it.
            Err(_) if Box::pin(has_started(&config.storage)).await? => Ok(None),
            Err(problem) => {
                let is_forbidden = matches!(problem, ManifestProblem::Unreadable(FileProblem::Forbidden, _));
                Err(ConfigError { is_forbidden, ..ConfigError::new(SETTING, problem.to_string()) }.into())
            }
        }
    }

    fn of(path: &Path) -> Result<Self, ManifestProblem> {
        let manifest = read_manifest(path)?;
        let secrets = manifest_secrets(&manifest)?;
        Ok(Self { manifest, secrets })
    }

    /// Makes it true with the first key of `keys`; false if there is a key.
    async fn apply(&self, manifests: &Manifests, keys: &KeyRotation) -> Result<bool, StartError> {
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

    /// The clients that it names, with their ids in `store`: nobody else tells these to whoever has no shell.
    async fn clients(&self, store: &Store) -> String {
        let mut told = Vec::new();
        for item in &self.manifest.clients {
            let Ok(name) = ClientName::parse(&item.name) else { continue };
            // It is applied, whether the ids can be read or not.
            if let Ok(Some(client)) = store.client_named(&name).await
                && !client.id.is_built_in()
            {
                told.push(format!("{}={}", item.name, client.id));
            }
        }
        told.join(", ")
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
    let file = path.display().to_string();
    if let Some(bootstrap) = bootstrap
        && bootstrap.apply(&manifests, keys).await?
    {
        let clients = bootstrap.clients(store).await;
        tracing::info!(file, clients, "applied --bootstrap: this is the first start");
    } else {
        tracing::info!(file, "--bootstrap is left alone: it counts at the first start only");
    }
    Ok(())
}

/// Whether the database of `config` is there and has a key: not if there is none, or nothing in it. Nothing is made.
///
/// # Errors
/// If the database cannot be used.
async fn has_started(config: &StorageConfig) -> Result<bool, StartError> {
    if !may_have_database(config)? {
        return Ok(false);
    }
    let database = OpenDatabase::open(config, Missing::Refused, config.database_wait).await?;
    let has_keys = has_keys(&database.store).await;
    database.store.close().await;
    has_keys.map_err(StartError::from)
}

/// Whether `store` has a key, whichever release's schema it has.
async fn has_keys(store: &Store) -> Result<bool, Error> {
    let has_schema = store.migrations().await?.iter().any(|migration| migration.applied);
    Ok(has_schema && !store.sealed_private_keys().await?.is_empty())
}
