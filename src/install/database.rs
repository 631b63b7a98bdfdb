//! Owns opening the database that is configured: making what may be made, waiting for what does not answer yet.

use std::{path::PathBuf, time::Duration};

use tokio::time::{Instant, sleep};

use super::{StartError, data_dir, master_key_file::MasterKeyFile, migrate};
use crate::{
    base::Entropy,
    config::{ConfigError, Database, StorageConfig, Switch},
    identity::MasterKey,
    model::{Error, error},
    store::{MigrationState, PoolSettings, ServerUrl, Store},
};

/// How often a server that does not answer is asked again.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// What helps where no database is.
pub(super) const HOW_TO_MAKE_ONE: &str = "start the service or `signet migrate up` to make one";

/// A database that is open, and the master key of its signing keys.
pub struct OpenDatabase {
    /// The database.
    pub store: Store,
    /// The master key.
    pub master_key: MasterKey,
    /// Where the data are.
    pub description: String,
    /// The file of the master key, if it was just made.
    pub master_key_made: Option<String>,
    /// The file of the master key, if the embedded database keeps its own.
    pub(super) master_key_file: Option<MasterKeyFile>,
    /// Whether it is the embedded one, whose schema is nobody else's affair.
    embedded: bool,
    /// How long migrations wait for others to release its tables.
    patience: Duration,
}

/// What to do if there is no database where one is named. Servers make none in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Make it.
    Made,
    /// Refuse.
    Refused,
}

impl OpenDatabase {
    /// Opens the database that `config` names. For a server that does not answer it waits, at most for `wait`.
    ///
    /// # Errors
    /// If a setting cannot be used, or the database does not open.
    pub async fn open(config: &StorageConfig, missing: Missing, wait: Duration) -> Result<Self, StartError> {
        match config.database()? {
            Database::Embedded(given) => {
                let prepared = data_dir::prepare(&config.data_dir, given, missing == Missing::Refused)?;
                let data_dir::Prepared { database, mut master_key, master_key_file, master_key_made } =
                    prepared;
                let description = database.display().to_string();
                let store = open_file(database, "--data-dir").await?;
                if let Some(file) = &master_key_file {
                    master_key = file.settle(&store).await?;
                }
                let made = master_key_file.as_ref().filter(|_| master_key_made);
                let master_key_made = made.map(|file| file.path().display().to_string());
                let patience = config.database_wait;
                let embedded = true;
                Ok(Self {
                    store,
                    master_key,
                    description,
                    master_key_made,
                    master_key_file,
                    embedded,
                    patience,
                })
            }
            Database::Sqlite(path, master_key) => {
                if missing == Missing::Refused && !path.exists() {
                    let problem = format!("there is no database at {}: {HOW_TO_MAKE_ONE}", path.display());
                    return Err(ConfigError::new("--database-url", problem).into());
                }
                data_dir::prepare_file(&path)
                    .map_err(|problem| ConfigError::new("--database-url", problem))?;
                let description = path.display().to_string();
                let store = open_file(path, "--database-url").await?;
                Ok(Self::shared(store, master_key, description, config.database_wait))
            }
            Database::Server(url, master_key) => {
                // Two databases' handshakes, whose state would lie on the stack of whoever starts a server.
                let store = Box::pin(connect(&url, config.pool(), wait)).await?;
                let description = url.to_string();
                Ok(Self::shared(store, master_key, description, config.database_wait))
            }
        }
    }

    fn shared(store: Store, master_key: MasterKey, description: String, patience: Duration) -> Self {
        let (master_key_made, master_key_file, embedded) = (None, None, false);
        Self { store, master_key, description, master_key_made, master_key_file, embedded, patience }
    }

    /// Opens the database that `config` names for a command, with the schema of this version: the embedded one is brought up to
    /// date, any other must be.
    ///
    /// # Errors
    /// If a setting cannot be used, the database does not open, or its schema is another version's.
    pub async fn for_command(config: &StorageConfig, missing: Missing) -> Result<Self, StartError> {
        let open = Self::open(config, missing, Duration::ZERO).await?;
        open.migrate(config.auto_migrate == Switch::On).await?;
        Ok(open)
    }

    /// Opens the database that `config` names for a command that writes nothing: it must be there, with the schema of this version.
    ///
    /// # Errors
    /// As [`OpenDatabase::for_command`].
    pub async fn as_it_is(config: &StorageConfig) -> Result<Self, StartError> {
        let open = Self::open(config, Missing::Refused, Duration::ZERO).await?;
        open.refuse_pending("").await?;
        Ok(open)
    }

    /// Applies pending migrations, if this is the embedded database or `auto_migrate` is set, and returns their names. Otherwise
    /// refuses a schema that lacks some. A newer version's schema that this version can use is one of its own.
    ///
    /// # Errors
    /// [`StartError::Config`] with what to do, if the schema is not this version's.
    pub async fn migrate(&self, auto_migrate: bool) -> Result<Vec<String>, StartError> {
        if self.embedded || auto_migrate {
            let migrated = self.store.migrate(self.patience).await?;
            tell_newer(&self.description, &migrated.newer);
            migrate::tell_access(&migrate::access_after(&self.store, &migrated.applied).await?);
            return Ok(migrated.applied);
        }
        self.refuse_pending(", or set --auto-migrate").await.map(|()| Vec::new())
    }

    /// Refuses a schema that lacks migrations. `or` is what helps besides `signet migrate up`.
    async fn refuse_pending(&self, or: &str) -> Result<(), StartError> {
        let all = self.store.migrations().await?;
        let name = |migration: &MigrationState| migration.name.clone();
        let newer: Vec<_> = all.iter().filter(|migration| !migration.known).map(name).collect();
        tell_newer(&self.description, &newer);
        let names: Vec<_> = all.iter().filter(|migration| !migration.applied).map(name).collect();
        if names.is_empty() {
            return Ok(());
        }
        let setting = if self.embedded { "--data-dir" } else { "--database-url" };
        let problem = format!(
            "{} lacks {} of this version's migrations ({}): run `signet migrate up`{or}",
            self.description,
            names.len(),
            names.join(", ")
        );
        Err(ConfigError::new(setting, problem).into())
    }
}

/// Says that `database` has the migrations `newer`, if there are any: whoever upgrades, or goes back, sees how far that is.
pub(super) fn tell_newer(database: &str, newer: &[String]) {
    if !newer.is_empty() {
        let migrations = newer.join(", ");
        tracing::info!(
            database,
            migrations,
            "a newer version has changed the schema; this version can use it"
        );
    }
}

async fn open_file(path: PathBuf, setting: &'static str) -> Result<Store, ConfigError> {
    let shown = path.display().to_string();
    Store::open_sqlite(path, Entropy::system()).await.map_err(|error| {
        let cause = error::chain(&error);
        ConfigError::new(setting, format!("{shown} cannot be opened as a SQLite database: {cause}"))
    })
}

async fn connect(url: &ServerUrl, settings: PoolSettings, wait: Duration) -> Result<Store, ConfigError> {
    let until = Instant::now() + wait;
    let mut told = false;
    loop {
        let (cause, may_come) = match Store::connect(url, settings, Entropy::system()).await {
            Ok(store) => return Ok(store),
            Err(Error::Unavailable { source, .. }) => (error::chain(source.as_ref()), true),
            Err(Error::Internal(source)) => (error::chain(source.as_ref()), false),
            Err(other) => (error::chain(&other), false),
        };
        if !may_come || Instant::now() + ASK_INTERVAL > until {
            return Err(ConfigError::new("--database-url", format!("{url} cannot be used: {cause}")));
        }
        if !told {
            tracing::warn!(database = %url, error = %cause, at_most = ?wait, "waiting for the database to answer");
            told = true;
        }
        sleep(ASK_INTERVAL).await;
    }
}
