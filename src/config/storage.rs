//! Owns the settings of storage: which database, and the master key of what is sealed in it.

use std::path::PathBuf;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, Secret};
use crate::identity::MasterKey;

const MASTER_KEY: Secret = Secret { direct: "--master-key", file: "--master-key-file" };
const DATABASE_URL: Secret = Secret { direct: "--database-url", file: "--database-url-file" };

/// Where the data are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct StorageConfig {
    /// Where the embedded database (signet.db) and its master key (master.key) live. Made if it is not there.
    #[arg(long, env = "SIGNET_DATA_DIR", global = true, value_name = "DIR", default_value = "./signet-data")]
    pub data_dir: PathBuf,

    /// Another database than the embedded one: `sqlite:PATH`. Needs --master-key.
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
}

/// Which database, and where its master key comes from.
#[derive(Debug)]
pub enum Database {
    /// The file in the data directory; the master key beside it, unless one is given.
    Embedded(Option<MasterKey>),
    /// Another SQLite file.
    Sqlite(PathBuf, MasterKey),
}

impl StorageConfig {
    /// The database that is configured.
    ///
    /// # Errors
    /// If the settings contradict each other, or a secret cannot be read or used.
    pub fn database(&self) -> Result<Database, ConfigError> {
        let master_key = MASTER_KEY
            .read(self.master_key.as_ref(), self.master_key_file.as_ref())?
            .map(|text| MasterKey::from_hex(text.expose_secret()))
            .transpose()
            .map_err(|problem| ConfigError::new(MASTER_KEY.direct, problem))?;
        let Some(url) = DATABASE_URL.read(self.database_url.as_ref(), self.database_url_file.as_ref())?
        else {
            return Ok(Database::Embedded(master_key));
        };
        let path =
            url.expose_secret().strip_prefix("sqlite:").filter(|path| !path.is_empty()).ok_or_else(|| {
                ConfigError::new(
                    "--database-url",
                    "must be `sqlite:` and a path: this version knows no other database",
                )
            })?;
        let master_key = master_key.ok_or_else(|| {
            ConfigError::new(
                "--master-key",
                "must be set when --database-url is: 32 bytes as 64 hexadecimal digits",
            )
        })?;
        Ok(Database::Sqlite(PathBuf::from(path), master_key))
    }
}
