//! Owns an installation: the data directory, the master key, the database, its backup, and what an operator does to them as a whole.

mod backup;
mod backup_file;
mod data_dir;
mod database;
mod manifests;
mod master_key_file;
mod migrate;
mod reseal;
mod signing_keys;

use crate::{
    audit::Audit,
    base::Clock,
    config::{Config, ConfigError, Database, StorageConfig},
    files::OwnFiles,
    metrics::Metrics,
    model::{Error, named::named},
};

pub use backup::{BackedUp, RestoreOptions, Restored, backup, restore};
pub use database::{Missing, OpenDatabase};
pub use manifests::{ManifestProblem, manifest_secrets, read_manifest};
pub use migrate::{SchemaUpdate, migrate, migrations};
pub use reseal::{Resealed, reseal};
pub use signing_keys::{key_rotation, signing_keys};

named! {
    /// What is wrong with a file that a command is to read or to write.
    FileProblem {
        /// It cannot be read or written.
        Unusable = "FILE_UNUSABLE",
        /// It is there already.
        Exists = "FILE_EXISTS",
        /// It is no backup, or not whole.
        NoBackup = "BACKUP_UNUSABLE",
        /// It is a database that somebody has open.
        InUse = "DATABASE_IN_USE",
        /// It is a database that is damaged.
        Damaged = "DATABASE_DAMAGED",
    }
}

/// An installation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be used; in words, why.
    #[error("{1}")]
    File(FileProblem, String),
    /// Something else failed.
    #[error(transparent)]
    Failed(Error),
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        match error {
            Error::WrongMasterKey { .. } => ConfigError::new("--master-key", error.to_string()).into(),
            other => Self::Failed(other),
        }
    }
}

/// Whether there may be a database where `config` names one: a file that is there, or a server.
///
/// # Errors
/// If a setting cannot be used.
pub fn may_have_database(config: &StorageConfig) -> Result<bool, ConfigError> {
    Ok(match config.database()? {
        Database::Embedded(_) => data_dir::database(&config.data_dir).exists(),
        Database::Sqlite(path, _) => path.exists(),
        Database::Server(..) => true,
    })
}

/// The audit log that `config` asks for.
///
/// # Errors
/// If it cannot be written.
pub fn open_audit_log(config: &Config, clock: &Clock, metrics: &Metrics) -> Result<Audit, ConfigError> {
    let target = &config.observe.audit_log;
    let kept = Some(config.observe.audit_database.into());
    Audit::open_apart(target, own_files(config), kept, clock.clone(), metrics.audit.clone())
        .map_err(|error| ConfigError::new("--audit-log", format!("it cannot be written: {error}")))
}

/// The files that the service needs itself: nothing else may be written to them, or in their place.
pub(crate) fn own_files(config: &Config) -> OwnFiles {
    let named = [&config.tls.tls_cert, &config.tls.tls_key, &config.tls.tls_client_ca];
    let of_storage = data_dir::own_files(&config.storage);
    OwnFiles::new(of_storage.into_iter().chain(named.into_iter().flatten().cloned()).collect())
}
