//! Owns the settings of storage: which database, and the master key of what is sealed in it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, value_parser};
use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, Switch, duration, duration_in_millis};
use crate::{
    files::read_text,
    identity::MasterKey,
    store::{Location, PoolSettings, ServerUrl},
};

/// A secret that is given directly or in a file, but not both: the flags of the two.
struct Secret {
    direct: &'static str,
    file: &'static str,
}

impl Secret {
    fn read(
        &self,
        direct: Option<&SecretString>,
        file: Option<&PathBuf>,
    ) -> Result<Option<SecretString>, ConfigError> {
        match (direct, file) {
            (Some(_), Some(_)) => {
                Err(ConfigError::new(self.direct, format!("is set twice: directly, and by {}", self.file)))
            }
            (Some(secret), None) => Ok(Some(secret.clone())),
            (None, Some(file)) => read_secret_file(self.file, file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// The secret in the file `path` that the setting `setting` names, without the space around it.
pub(crate) fn read_secret_file(setting: &'static str, path: &Path) -> Result<SecretString, ConfigError> {
    let text = read_text(path).map_err(|error| ConfigError::unreadable(setting, path, &error))?;
    Ok(text.trim().to_owned().into())
}

const MASTER_KEY: Secret = Secret { direct: "--master-key", file: "--master-key-file" };
const DATABASE_URL: Secret = Secret { direct: "--database-url", file: "--database-url-file" };

/// Where the data are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct StorageConfig {
    /// Where the embedded database (signet.db) and its master key (master.key) live. Made if it is not there.
    #[arg(long, env = "SIGNET_DATA_DIR", global = true, value_name = "DIR", default_value = "./signet-data")]
    pub data_dir: PathBuf,

    /// Another database than the embedded one: `postgres://USER:PASSWORD@HOST/DATABASE`, `mysql://USER:PASSWORD@HOST/DATABASE`
    /// (MariaDB too), or `sqlite:PATH`. Needs --master-key. TLS: `?sslmode=verify-full&sslrootcert=FILE`, or for MySQL
    /// `?ssl-mode=VERIFY_IDENTITY&ssl-ca=FILE`.
    #[arg(long, env = "SIGNET_DATABASE_URL", global = true, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,

    /// A file that holds --database-url.
    #[arg(long, env = "SIGNET_DATABASE_URL_FILE", global = true, value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,

    /// The key that seals the signing keys in the database: 32 bytes as 64 hexadecimal digits. The embedded database makes its
    /// own in the data directory.
    #[arg(long, env = "SIGNET_MASTER_KEY", global = true, value_name = "HEX", hide_env_values = true)]
    pub master_key: Option<SecretString>,

    /// A file that holds --master-key.
    #[arg(long, env = "SIGNET_MASTER_KEY_FILE", global = true, value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,

    /// Have `serve`, and each command that works on users, clients or keys, apply pending migrations to the database of --database-url.
    /// Otherwise they refuse until `signet migrate up` has. The embedded database is always brought up to date. `users import --dry-run`
    /// applies none.
    #[arg(
        long,
        env = "SIGNET_AUTO_MIGRATE",
        global = true,
        value_name = "WHETHER",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = Switch::Off,
        default_missing_value = "on"
    )]
    pub auto_migrate: Switch,

    /// How many connections to a database server this process may open. All processes together must stay below the server's own
    /// limit (PostgreSQL: 100 unless configured). More than it has cores seldom help it.
    #[arg(long, env = "SIGNET_DATABASE_POOL_SIZE", global = true, value_name = "COUNT", default_value_t = 16, value_parser = value_parser!(u32).range(1..=1_000))]
    pub database_pool_size: u32,

    /// How long a call waits for a connection to the database server before it is refused as UNAVAILABLE (10ms to 1m).
    #[arg(long, env = "SIGNET_DATABASE_ACQUIRE_TIMEOUT", global = true, value_name = "DURATION", default_value = "750ms", value_parser = duration_in_millis::<10, 60_000>)]
    pub database_acquire_timeout: Duration,

    /// How long one statement may take on the database server, which ends it then; none of this service's takes more than some
    /// milliseconds by itself. Together with --database-acquire-timeout it bounds an operation as a whole: by default below 2s
    /// (100ms to 1m).
    #[arg(long, env = "SIGNET_DATABASE_STATEMENT_TIMEOUT", global = true, value_name = "DURATION", default_value = "1s", value_parser = duration_in_millis::<100, 60_000>)]
    pub database_statement_timeout: Duration,

    /// After what time a connection to the database server is replaced, so that connections follow a new primary or a new address
    /// (1s to 24h).
    #[arg(long, env = "SIGNET_DATABASE_MAX_LIFETIME", global = true, value_name = "DURATION", default_value = "30m", value_parser = duration::<1, 86_400>)]
    pub database_max_lifetime: Duration,

    /// How long `serve` and `migrate up` wait at their start for a database server that does not answer, and each migration for
    /// tables that others have locked (0s to 1h).
    #[arg(long, env = "SIGNET_DATABASE_WAIT", global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::<0, 3_600>)]
    pub database_wait: Duration,

    /// What is done with a database that has been copied to another.
    #[arg(skip)]
    pub copied: CopiedDatabase,

    /// Whether the database and its master key are in memory alone, whatever the settings name.
    #[arg(skip)]
    pub in_memory: bool,
}

/// What is done with a database that has been copied to another, which is the service's from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopiedDatabase {
    /// It is refused.
    #[default]
    Refused,
    /// The log warns of it: what is there may be out of date.
    Told,
    /// It is taken for the service's: `--force`.
    Taken,
}

/// Where the database is.
#[derive(Debug)]
pub enum DatabaseLocation {
    /// The file in the data directory.
    Embedded,
    /// Another SQLite file.
    Sqlite(PathBuf),
    /// A database server.
    Server(Box<ServerUrl>),
}

/// Which database, and where its master key comes from.
#[derive(Debug)]
pub enum Database {
    /// The file in the data directory; the master key beside it, unless one is given.
    Embedded(Option<MasterKey>),
    /// Another SQLite file.
    Sqlite(PathBuf, MasterKey),
    /// A database server.
    Server(Box<ServerUrl>, MasterKey),
}

impl StorageConfig {
    /// The database that is configured.
    ///
    /// # Errors
    /// If the settings contradict each other, or a secret cannot be read or used.
    pub fn database(&self) -> Result<Database, ConfigError> {
        let master_key = self.given_master_key()?;
        let location = self.location()?;
        let needed = || {
            ConfigError::new(
                "--master-key",
                "must be set when --database-url is: 32 bytes as 64 hexadecimal digits, in the file of --master-key-file \
                 (SIGNET_MASTER_KEY_FILE), or in SIGNET_MASTER_KEY",
            )
        };
        Ok(match location {
            DatabaseLocation::Embedded => Database::Embedded(master_key),
            DatabaseLocation::Sqlite(path) => Database::Sqlite(path, master_key.ok_or_else(needed)?),
            DatabaseLocation::Server(url) => Database::Server(url, master_key.ok_or_else(needed)?),
        })
    }

    /// Where the database is, for what opens nothing that a master key seals.
    ///
    /// # Errors
    /// As [`Self::database`].
    pub fn location(&self) -> Result<DatabaseLocation, ConfigError> {
        let Some(url) = DATABASE_URL.read(self.database_url.as_ref(), self.database_url_file.as_ref())?
        else {
            return Ok(DatabaseLocation::Embedded);
        };
        let location: Result<Location, _> = url.expose_secret().parse();
        Ok(match location.map_err(|problem| ConfigError::new(DATABASE_URL.direct, problem))? {
            Location::File(path) => DatabaseLocation::Sqlite(path),
            Location::Server(url) => DatabaseLocation::Server(url),
        })
    }

    /// The master key, if one is given.
    ///
    /// # Errors
    /// As [`Self::database`].
    pub fn given_master_key(&self) -> Result<Option<MasterKey>, ConfigError> {
        MASTER_KEY
            .read(self.master_key.as_ref(), self.master_key_file.as_ref())?
            .map(|text| MasterKey::from_hex(text.expose_secret()))
            .transpose()
            .map_err(|problem| ConfigError::new(MASTER_KEY.direct, problem))
    }

    /// The connections to a database server.
    #[must_use]
    pub const fn pool(&self) -> PoolSettings {
        PoolSettings {
            size: self.database_pool_size,
            acquire_timeout: self.database_acquire_timeout,
            statement_timeout: self.database_statement_timeout,
            max_lifetime: self.database_max_lifetime,
        }
    }
}
