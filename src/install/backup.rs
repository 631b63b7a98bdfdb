//! Owns backups of a SQLite database: making one while the service runs, and restoring one while none does.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    FileProblem, Missing, OpenDatabase, StartError, access,
    backup_file::{self, BackupFile},
    data_dir,
    database::tell_newer,
    master_key_file::MasterKeyFile,
};
use crate::{
    base::Entropy,
    config::{ConfigError, CopiedDatabase, Database, StorageConfig},
    files::{Draft, OwnFiles, check_unopened, sync_dir},
    identity::{MasterKey, keyring::opens_keys},
    model::{Error, error::chain},
    store::{ServerUrl, SoleUse, Store},
};

/// What making a backup did.
#[derive(Clone, Debug)]
pub struct BackedUp {
    /// The database.
    pub database: String,
    /// How many users the backup has.
    pub users: u64,
    /// Its length.
    pub bytes: u64,
    /// The file of the master key without which the backup is of no use, if the embedded database keeps its own.
    pub master_key_file: Option<String>,
}

/// Whether, and how, a backup takes the database's place.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    /// A database that is there is replaced.
    pub replace: bool,
    /// No session of the backup goes on.
    pub end_sessions: bool,
}

/// What restoring a backup did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The database.
    pub database: String,
    /// How many users it has.
    pub users: u64,
    /// The migrations that were applied, since the backup was an older version's.
    pub migrations_applied: Vec<String>,
    /// How many sessions were ended.
    pub sessions_ended: u64,
}

/// Backs the database of `config` up into the file `to`. A backup that is there is replaced only if it may `replace` it; any other
/// file is not.
///
/// # Errors
/// If a setting cannot be used, it is not SQLite, or something fails. There is no new file then.
pub async fn backup(config: &StorageConfig, to: &Path, replace: bool) -> Result<BackedUp, StartError> {
    if let Database::Server(url, _) = config.database()? {
        return Err(not_ours(&url));
    }
    let own_files = OwnFiles::new(data_dir::own_files(config));
    let unwritable =
        |error: io::Error| StartError::of_file(&error, &format!("{} cannot be written", to.display()));
    own_files.refuse_name(to).map_err(unwritable)?;
    check_target(to, replace)?;
    let mut draft = Draft::of(to).map_err(unwritable)?;
    let open = OpenDatabase::open(config, Missing::Refused, Duration::ZERO).await?;
    if let Err(error) = open.check_copied(CopiedDatabase::Told).await {
        tracing::debug!(error = %error, "an older schema does not say whether it was copied to another database");
    }
    let OpenDatabase { store, description, master_key_file, .. } = open;
    store.within(async |store| store.copy_to(draft.path()).await).await?;
    let checked = async |copy: &Store| {
        copy.check_integrity().await.map_err(|error| damaged(error, FileProblem::Damaged))?;
        Ok::<_, StartError>(copy.user_count().await?)
    };
    let users = Store::open_copy(draft.path(), Entropy::system()).await?.within(checked).await?;
    backup_file::seal(draft.file()).map_err(unwritable)?;
    let bytes = draft.file().metadata().map_err(unwritable)?.len();
    draft.put(to, replace).map_err(unwritable)?;
    let master_key_file = master_key_file.map(|file| file.path().display().to_string());
    Ok(BackedUp { database: description, users, bytes, master_key_file })
}

/// Puts the backup `from` in the place of the database of `config`, its schema up to date. The master key is the one that `serve`
/// would take, and must open the signing keys in the backup.
///
/// # Errors
/// If a setting cannot be used, it is not SQLite, somebody has the database open, the backup cannot be used, or something fails. What
/// was there is there then.
pub async fn restore(
    config: &StorageConfig,
    from: &Path,
    options: RestoreOptions,
) -> Result<Restored, StartError> {
    let shown = from.display();
    let configured = config.database()?;
    if let Database::Server(url, _) = &configured {
        return Err(not_ours(url));
    }
    let unreadable = |error| StartError::of_file(&error, &format!("{shown} cannot be read"));
    let backup = BackupFile::open(from).map_err(unreadable)?.ok_or_else(|| {
        let problem = format!("{shown} is no backup that `signet backup` made, or its end is missing");
        StartError::File(FileProblem::NoBackup, problem)
    })?;
    let new = MissingDirectories::of(&config.data_dir);
    let restored = put(config, configured, (backup, &shown.to_string()), options).await;
    if restored.is_err() {
        new.remove();
    }
    restored
}

/// Puts `backup`, which is called `shown`, in the place of the database `configured`.
async fn put(
    config: &StorageConfig,
    configured: Database,
    backup: (BackupFile, &str),
    options: RestoreOptions,
) -> Result<Restored, StartError> {
    let place = Destination::of(configured, &config.data_dir)?;
    let database = place.path.display().to_string();
    let unfit = |error: io::Error| StartError::of_file(&error, &format!("{database} cannot be restored"));
    check_unopened(&place.path).map_err(unfit)?;
    let sole = SoleUse::of(&place.path).map_err(unfit)?;
    let replaced = async {
        let (draft, restored) = draft(&place, backup, options).await?;
        sole.replace_with(draft.path()).await?;
        Ok(restored)
    };
    let restored = match replaced.await {
        Ok(restored) => restored,
        Err(refused) => {
            // Why nothing was restored matters more than what is left of trying.
            if let Err(error) = sole.give_up() {
                tracing::warn!(database, error = %error, "the database's lock file cannot be deleted");
            }
            return Err(refused);
        }
    };
    sync_dir(&place.path).map_err(unfit)?;
    Ok(restored)
}

/// The database in `backup`, beside the `place` that it is to take.
async fn draft(
    place: &Destination,
    (backup, shown): (BackupFile, &str),
    options: RestoreOptions,
) -> Result<(Draft, Restored), StartError> {
    let database = place.path.display();
    let unfit = |error: io::Error| StartError::of_file(&error, &format!("{database} cannot be restored"));
    if place.path.exists() && !options.replace {
        let problem =
            format!("{database} is there already: with --replace it gives way, and what is in it is lost");
        return Err(StartError::File(FileProblem::Exists, problem));
    }
    let mut draft = Draft::of(&place.path).map_err(unfit)?;
    if !backup.extract(draft.file()).map_err(unfit)? {
        let problem = format!("{shown} is damaged: its SHA-256 is not the one that it was written with");
        return Err(StartError::File(FileProblem::NoBackup, problem));
    }
    let store = Store::open_copy(draft.path(), Entropy::system()).await?;
    let brought_up = store.within(async |store| bring_up(store, place, options.end_sessions).await).await;
    draft.file().sync_all().map_err(unfit)?;
    Ok((draft, brought_up?))
}

/// Checks the database in a draft, and makes it what is to take its `place`.
async fn bring_up(store: &Store, place: &Destination, end_sessions: bool) -> Result<Restored, StartError> {
    store.check_integrity().await.map_err(|error| damaged(error, FileProblem::NoBackup))?;
    // Nobody else has it open.
    let migrated = store.migrate(Duration::ZERO).await?;
    let database = place.path.display().to_string();
    tell_newer(&database, &migrated.newer);
    if !opens_keys(store, &place.master_key).await? {
        let problem =
            "does not open the signing keys in the backup: restore with the one of the time when it was made";
        return Err(ConfigError::new("--master-key", problem).into());
    }
    let sessions_ended = if end_sessions { store.delete_all_sessions().await? } else { 0 };
    let users = store.user_count().await?;
    Ok(Restored { database, users, migrations_applied: migrated.applied, sessions_ended })
}

/// The directories that lead to a data directory and are not there yet, the innermost first.
struct MissingDirectories(Vec<PathBuf>);

impl MissingDirectories {
    fn of(dir: &Path) -> Self {
        let named = dir.ancestors().filter(|path| !path.as_os_str().is_empty());
        Self(named.take_while(|path| !path.exists()).map(Path::to_owned).collect())
    }

    /// Removes those that have been made since, unless somebody uses them.
    fn remove(self) {
        for dir in self.0 {
            if fs::remove_dir(dir).is_err() {
                return;
            }
        }
    }
}

/// Where a database is to be, and the master key that is in force there.
struct Destination {
    path: PathBuf,
    master_key: MasterKey,
}

impl Destination {
    /// Of `database`; the embedded one's in `dir`, whose master key is not made: a new one would open nothing.
    fn of(database: Database, dir: &Path) -> Result<Self, StartError> {
        let given = match database {
            Database::Server(url, _) => return Err(not_ours(&url)),
            Database::Sqlite(path, master_key) => {
                access::check(&path, true)?;
                return Ok(Self { path, master_key });
            }
            Database::Embedded(given) => given,
        };
        let refuse = |problem| ConfigError::new("--data-dir", problem);
        access::check(&data_dir::database(dir), true)?;
        data_dir::make(dir).map_err(refuse)?;
        let master_key = match given {
            Some(key) => key,
            None => MasterKeyFile::in_dir(dir).read_or_make(true)?.0,
        };
        Ok(Self { path: data_dir::database(dir), master_key })
    }
}

/// Refuses a file that must not be written over.
fn check_target(to: &Path, replace: bool) -> Result<(), StartError> {
    let shown = to.display();
    let problem = match BackupFile::open(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StartError::of_file(&error, &format!("{shown} cannot be written"))),
        Ok(Some(_)) if replace => return Ok(()),
        Ok(None) if replace => format!("{shown} is there already, and is no backup: it is not replaced"),
        Ok(_) => format!("{shown} is there already: with --replace a new backup takes its place"),
    };
    Err(StartError::File(FileProblem::Exists, problem))
}

/// That a database is not whole, as `error` says, unless it says something else.
fn damaged(error: Error, problem: FileProblem) -> StartError {
    match error {
        Error::Internal(cause) => StartError::File(problem, chain(cause.as_ref())),
        other => other.into(),
    }
}

/// Why nothing is done with a database server.
fn not_ours(url: &ServerUrl) -> StartError {
    let problem = format!(
        "{url} is a database server: back it up and restore it with its own programs ({}), and keep the master key apart",
        url.dump_program()
    );
    ConfigError::new("--database-url", problem).into()
}
