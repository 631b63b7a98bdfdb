//! Owns an installation: the data directory, the master key, the database, its backup, and what an operator does to them as a whole.

mod access;
mod backup;
mod backup_file;
mod copy;
mod data_dir;
mod database;
mod inspect;
mod manifests;
mod master_key_file;
mod migrate;
mod reseal;
mod reset;
mod signing_keys;

use std::{io, path::Path};

use crate::{
    audit::{Audit, AuditLog},
    base::Clock,
    config::{Config, ConfigError, Database, StorageConfig, is_forbidden},
    files::OwnFiles,
    metrics::Metrics,
    model::{Error, error, named::named},
    store::ServerUrl,
};

pub use backup::{BackedUp, RestoreOptions, Restored, backup, restore};
pub use copy::{Copied, CopyOptions, copy};
pub use database::{Missing, OpenDatabase, Unsealed};
pub use inspect::{FileFault, inspect_files};
pub use manifests::{ManifestProblem, manifest_secrets, read_dev_files, read_manifest};
pub use migrate::{SchemaUpdate, migrate, migrations, warn_of_unread};
pub use reseal::{Resealed, reseal};
pub use reset::{Reset, Sealed, reset, sealed};
pub use signing_keys::{key_rotation, signing_keys};

named! {
    /// What is wrong with a file that a command is to read or to write.
    FileProblem {
        /// It cannot be read or written.
        Unusable = "FILE_UNUSABLE",
        /// This user may not use it.
        Forbidden = "FILE_FORBIDDEN",
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

impl FileProblem {
    /// What is wrong with a file of which the system says `error`.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists,
            _ if is_forbidden(error) => Self::Forbidden,
            _ => Self::Unusable,
        }
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
    /// The database server does not answer; in words, which.
    #[error("{0}")]
    Unavailable(String),
    /// What there is to be cannot be; in words, what and why.
    #[error("{0}")]
    Refused(String),
    /// Something else failed.
    #[error(transparent)]
    Failed(Error),
}

impl StartError {
    /// That a file failed with `error`, of which `what` tells.
    fn of_file(error: &io::Error, what: &str) -> Self {
        let problem = match error.kind() {
            // That is how a lock is refused.
            io::ErrorKind::WouldBlock => FileProblem::InUse,
            _ => FileProblem::of(error),
        };
        Self::File(problem, format!("{what}: {error}"))
    }

    /// That the database server `url` of `setting` failed with `error`: it does not answer, or is not what it should be.
    fn of_server(url: &ServerUrl, setting: &'static str, error: &Error) -> Self {
        match error {
            Error::Unavailable { source, .. } => {
                let cause = error::chain(source.as_ref());
                Self::Unavailable(format!("the database {url} cannot be reached: {cause}"))
            }
            Error::Internal(source) => {
                let cause = error::chain(source.as_ref());
                ConfigError::new(setting, format!("{url} cannot be used: {cause}")).into()
            }
            other => {
                let cause = error::chain(other);
                ConfigError::new(setting, format!("{url} cannot be used: {cause}")).into()
            }
        }
    }
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
    // What may not be seen may be there.
    let may_be = |path: &Path| !matches!(path.try_exists(), Ok(false));
    Ok(match config.database()? {
        Database::Embedded(_) => may_be(&data_dir::database(&config.data_dir)),
        Database::Sqlite(path, _) => may_be(&path),
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
    let unwritable = |error: io::Error| match target {
        AuditLog::File(path) => ConfigError::unwritable("--audit-log", path, &error),
        AuditLog::Off | AuditLog::Stderr | AuditLog::AfterAnswer => {
            ConfigError::new("--audit-log", format!("it cannot be written: {error}"))
        }
    };
    Audit::open_apart(target, own_files(config), kept, clock.clone(), metrics.audit.clone())
        .map_err(unwritable)
}

/// The files that the service needs itself: nothing else may be written to them, or in their place.
pub(crate) fn own_files(config: &Config) -> OwnFiles {
    let named = [&config.tls.tls_cert, &config.tls.tls_key, &config.tls.tls_client_ca];
    let of_storage = data_dir::own_files(&config.storage);
    OwnFiles::new(of_storage.into_iter().chain(named.into_iter().flatten().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_told_by_what_the_system_says() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::ACCESS.raw_os_error());
        for (error, problem) in [
            (io::ErrorKind::WouldBlock.into(), FileProblem::InUse),
            (io::ErrorKind::AlreadyExists.into(), FileProblem::Exists),
            (io::ErrorKind::NotFound.into(), FileProblem::Unusable),
            (refused, FileProblem::Forbidden),
        ] {
            let StartError::File(found, sentence) = StartError::of_file(&error, "it cannot be copied") else {
                panic!("{error}")
            };
            assert_eq!((found, sentence), (problem, format!("it cannot be copied: {error}")));
        }
    }
}
