//! Owns opening the database that is configured: making what may be made, waiting for what does not answer yet.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    StartError, access, data_dir,
    master_key_file::{self, MasterKeyFile},
    migrate,
};
use crate::{
    base::Entropy,
    config::{ConfigError, CopiedDatabase, Database, DatabaseLocation, StorageConfig, Switch},
    identity::MasterKey,
    model::{AudienceName, Error, NameSet, error},
    store::{MigrationState, PoolSettings, ServerUrl, SoleUse, Store},
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

/// A database that is open, of which nothing is needed that a master key seals.
pub struct Unsealed {
    /// The database.
    pub store: Store,
    /// Where the data are.
    pub description: String,
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
        if config.in_memory {
            return Self::open_in_memory().await;
        }
        match config.database()? {
            Database::Embedded(given) => {
                access::check(&data_dir::database(&config.data_dir), missing == Missing::Made)?;
                let prepared = data_dir::prepare(&config.data_dir, given, missing == Missing::Refused)?;
                let data_dir::Prepared { database, mut master_key, master_key_file, master_key_made } =
                    prepared;
                let description = database.display().to_string();
                let store = open_file(database, "--data-dir").await?;
                if let Some(file) = &master_key_file {
                    master_key = or_given_up(file.settle(&store).await, &store).await?;
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
                let description = path.display().to_string();
                let store = open_other_file(path, missing).await?;
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

    /// A new one in memory, with a master key of its own: neither is anywhere else.
    async fn open_in_memory() -> Result<Self, StartError> {
        let store = Store::open_in_memory(Entropy::system()).await?;
        let (master_key, description) =
            (master_key_file::in_memory()?, "in memory, for as long as this runs".to_owned());
        Ok(Self { embedded: true, ..Self::shared(store, master_key, description, Duration::ZERO) })
    }

    fn shared(store: Store, master_key: MasterKey, description: String, patience: Duration) -> Self {
        let (master_key_made, master_key_file, embedded) = (None, None, false);
        Self { store, master_key, description, master_key_made, master_key_file, embedded, patience }
    }

    /// Opens the database that `config` names for a command, with the schema of this version: the embedded one is brought up to
    /// date, any other must be. One that was copied to another is refused, or told of, as `config` says.
    ///
    /// # Errors
    /// If a setting cannot be used, the database does not open, its schema is another version's, or it is refused.
    pub async fn for_command(config: &StorageConfig, missing: Missing) -> Result<Self, StartError> {
        let open = Self::open(config, missing, Duration::ZERO).await?;
        let auto_migrate = config.auto_migrate == Switch::On;
        let fit = async {
            open.migrate(auto_migrate).await?;
            open.check_copied(config.copied).await
        };
        or_given_up(Box::pin(fit).await, &open.store).await?;
        Ok(open)
    }

    /// Opens the database that `config` names for a command that writes nothing: it must be there, with the schema of this version.
    ///
    /// # Errors
    /// As [`OpenDatabase::for_command`].
    pub async fn as_it_is(config: &StorageConfig) -> Result<Self, StartError> {
        let open = Self::open(config, Missing::Refused, Duration::ZERO).await?;
        let fit = async {
            refuse_pending(&open.store, (&open.description, open.embedded), "").await?;
            open.check_copied(CopiedDatabase::Told).await
        };
        or_given_up(fit.await, &open.store).await?;
        Ok(open)
    }

    /// Opens the database that `config` names as [`OpenDatabase::for_command`] does, without its master key, which may be lost. The
    /// database must be there.
    ///
    /// # Errors
    /// As [`OpenDatabase::for_command`].
    pub async fn without_master_key(config: &StorageConfig) -> Result<Unsealed, StartError> {
        let open = async |path, setting| Ok(open_file(path, setting).await?);
        Self::unsealed(config, open).await
    }

    /// The same for whoever lets nobody else have it open meanwhile, where that can be kept up: with SQLite, for as long as what is
    /// returned beside it.
    ///
    /// # Errors
    /// As [`OpenDatabase::for_command`], and if somebody has it open.
    pub(super) async fn alone_without_master_key(
        config: &StorageConfig,
    ) -> Result<(Unsealed, Option<SoleUse>), StartError> {
        let mut sole = None;
        let open = async |path: PathBuf, _| {
            let in_use = |error| StartError::of_file(&error, &format!("{} cannot be used", path.display()));
            let store = sole.insert(SoleUse::of(&path).map_err(in_use)?).open(Entropy::system()).await?;
            Ok(store)
        };
        let unsealed = Self::unsealed(config, open).await?;
        Ok((unsealed, sole))
    }

    /// Opens the database without its master key, a SQLite file by `open`.
    async fn unsealed(
        config: &StorageConfig,
        open: impl AsyncFnOnce(PathBuf, &'static str) -> Result<Store, StartError>,
    ) -> Result<Unsealed, StartError> {
        let location = config.location()?;
        let embedded = matches!(location, DatabaseLocation::Embedded);
        let (store, description) = match location {
            DatabaseLocation::Embedded => {
                access::check(&data_dir::database(&config.data_dir), false)?;
                let path = data_dir::existing(&config.data_dir)?;
                let refuse = |problem| ConfigError::new("--data-dir", problem);
                data_dir::make(&config.data_dir)
                    .and_then(|()| data_dir::prepare_file(&path))
                    .map_err(refuse)?;
                let description = path.display().to_string();
                (open(path, "--data-dir").await?, description)
            }
            DatabaseLocation::Sqlite(path) => {
                let description = path.display().to_string();
                prepare_other_file(&path, Missing::Refused)?;
                (open(path, "--database-url").await?, description)
            }
            DatabaseLocation::Server(url) => {
                let store = Box::pin(connect(&url, config.pool(), Duration::ZERO)).await?;
                (store, url.to_string())
            }
        };
        let auto_migrate = config.auto_migrate == Switch::On;
        let fit = async {
            bring_up(&store, (&description, embedded), config.database_wait, auto_migrate).await?;
            check_copied(&store, (&description, embedded), config.copied).await
        };
        or_given_up(Box::pin(fit).await, &store).await?;
        Ok(Unsealed { store, description })
    }

    /// Does what `copied` says, if the database has been copied to another, which is the service's from then on.
    ///
    /// # Errors
    /// [`StartError::Config`] with where it went, if it is refused.
    pub async fn check_copied(&self, copied: CopiedDatabase) -> Result<(), StartError> {
        check_copied(&self.store, (&self.description, self.embedded), copied).await
    }

    /// Applies pending migrations, if this is the embedded database or `auto_migrate` is set, and returns their names. Otherwise
    /// refuses a schema that lacks some. A newer version's schema that this version can use is one of its own.
    ///
    /// # Errors
    /// [`StartError::Config`] with what to do, if the schema is not this version's.
    pub async fn migrate(&self, auto_migrate: bool) -> Result<Vec<String>, StartError> {
        bring_up(&self.store, (&self.description, self.embedded), self.patience, auto_migrate).await
    }
}

/// The `outcome` of looking at `store`, which is given up where that is why nobody gets it.
async fn or_given_up<T, E>(outcome: Result<T, E>, store: &Store) -> Result<T, E> {
    if outcome.is_err() {
        store.clone().give_up().await;
    }
    outcome
}

/// Applies pending migrations to the database `description`, or refuses them: [`OpenDatabase::migrate`].
async fn bring_up(
    store: &Store,
    (description, embedded): (&str, bool),
    patience: Duration,
    auto_migrate: bool,
) -> Result<Vec<String>, StartError> {
    if embedded || auto_migrate {
        let migrated = store.migrate(patience).await?;
        tell_newer(description, &migrated.newer);
        // How the service calls its own audience only whoever serves knows, who warns of what comes of that.
        let own = NameSet::from_stored(AudienceName::SIGNET.to_owned());
        migrate::tell_access(&migrate::access_after(store, &migrated.applied, &own).await?);
        refuse_unfinished(store, description).await?;
        return Ok(migrated.applied);
    }
    refuse_pending(store, (description, embedded), ", or set --auto-migrate").await.map(|()| Vec::new())
}

/// Does what `copied` says with the database `description`: [`OpenDatabase::check_copied`].
async fn check_copied(
    store: &Store,
    (description, embedded): (&str, bool),
    copied: CopiedDatabase,
) -> Result<(), StartError> {
    if copied == CopiedDatabase::Taken {
        return Ok(());
    }
    let Some((place, time)) = store.copied_to().await? else { return Ok(()) };
    if copied == CopiedDatabase::Told {
        let copy_time = time.to_string();
        tracing::warn!(
            database = description,
            copied_to = place,
            copy_time,
            "this database was copied to another: what is in it may be out of date"
        );
        return Ok(());
    }
    let setting = if embedded { "--data-dir" } else { "--database-url" };
    let problem = format!(
        "{description} was copied to {place} at {time}: name that one. With --force (`signet serve --force`) this one is taken all the \
         same, and what each takes from then on the other does not have"
    );
    Err(ConfigError::new(setting, problem).into())
}

/// Refuses a database of which not all is there, since it is being copied from another.
pub(super) async fn refuse_unfinished(store: &Store, description: &str) -> Result<(), StartError> {
    let Some(source) = store.copied_from().await? else { return Ok(()) };
    let problem = format!(
        "{description} is being copied from {source}, and not all of it is there: run `signet copy` again if that was cut off"
    );
    Err(ConfigError::new("--database-url", problem).into())
}

/// Refuses a schema that lacks migrations. `or` is what helps besides `signet migrate up`.
async fn refuse_pending(
    store: &Store,
    (description, embedded): (&str, bool),
    or: &str,
) -> Result<(), StartError> {
    let all = store.migrations().await?;
    let name = |migration: &MigrationState| migration.name.clone();
    let newer: Vec<_> = all.iter().filter(|migration| !migration.known).map(name).collect();
    tell_newer(description, &newer);
    let names: Vec<_> = all.iter().filter(|migration| !migration.applied).map(name).collect();
    if names.is_empty() {
        return refuse_unfinished(store, description).await;
    }
    let setting = if embedded { "--data-dir" } else { "--database-url" };
    let problem = format!(
        "{description} lacks {} of this version's migrations ({}): run `signet migrate up`{or}",
        names.len(),
        names.join(", ")
    );
    Err(ConfigError::new(setting, problem).into())
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

/// Opens a SQLite file that is not the embedded database.
async fn open_other_file(path: PathBuf, missing: Missing) -> Result<Store, StartError> {
    prepare_other_file(&path, missing)?;
    Ok(open_file(path, "--database-url").await?)
}

/// Makes one that may be made, and refuses one that cannot be used.
fn prepare_other_file(path: &Path, missing: Missing) -> Result<(), StartError> {
    access::check(path, missing == Missing::Made)?;
    let refuse = |problem| ConfigError::new("--database-url", problem);
    if missing == Missing::Refused && !path.exists() {
        return Err(refuse(format!("there is no database at {}: {HOW_TO_MAKE_ONE}", path.display())).into());
    }
    Ok(data_dir::prepare_file(path).map_err(refuse)?)
}

async fn open_file(path: PathBuf, setting: &'static str) -> Result<Store, ConfigError> {
    let shown = path.display().to_string();
    Store::open_sqlite(path, Entropy::system()).await.map_err(|error| {
        let cause = error::chain(&error);
        ConfigError::new(setting, format!("{shown} cannot be opened as a SQLite database: {cause}"))
    })
}

async fn connect(url: &ServerUrl, settings: PoolSettings, wait: Duration) -> Result<Store, StartError> {
    let until = Instant::now() + wait;
    let mut told = false;
    loop {
        let error = match Store::connect(url, settings, Entropy::system()).await {
            Ok(store) => return Ok(store),
            Err(error) => error,
        };
        let Error::Unavailable { source, .. } = &error else {
            return Err(StartError::of_server(url, "--database-url", &error));
        };
        if Instant::now() + ASK_INTERVAL > until {
            return Err(StartError::of_server(url, "--database-url", &error));
        }
        if !told {
            let cause = error::chain(source.as_ref());
            tracing::warn!(database = %url, error = %cause, at_most = ?wait, "waiting for the database to answer");
            told = true;
        }
        sleep(ASK_INTERVAL).await;
    }
}
