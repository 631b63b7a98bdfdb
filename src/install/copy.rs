//! Owns moving from a SQLite file to a database server: everything is copied, or the target counts as unfinished.

use std::{io, path::PathBuf, time::Duration};

use super::{StartError, access, data_dir, master_key_file::MasterKeyFile};
use crate::{
    audit::Entry,
    base::{Clock, Entropy, Timestamp},
    config::{ConfigError, Database, StorageConfig},
    files::check_unopened,
    identity::{MasterKey, keyring::check_sealed},
    model::Error,
    store::{COPIED, PoolSettings, ServerUrl, SoleUse, Store},
};

/// Rows are written one after the other, which needs few connections. To count millions of them takes a server its time.
const POOL: PoolSettings = PoolSettings {
    size: 2,
    acquire_timeout: Duration::from_secs(10),
    statement_timeout: Duration::from_hours(1),
    max_lifetime: Duration::from_hours(24),
};

/// How a database is copied.
#[derive(Clone, Copy, Debug)]
pub struct CopyOptions {
    /// It may have been copied to another before.
    pub again: bool,
}

/// What copying did.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The file.
    pub source: String,
    /// The server, and the database in it.
    pub target: String,
    /// How many users were copied.
    pub users: u64,
    /// How many rows, of all tables.
    pub rows: u64,
    /// How many keys and secrets were opened.
    pub sealed: usize,
    /// The file of the master key without which they are of no use, if the embedded database keeps its own.
    pub master_key_file: Option<String>,
}

/// What is copied.
struct CopySource {
    path: PathBuf,
    setting: &'static str,
    master_key: MasterKey,
    master_key_file: Option<String>,
}

/// Copies the SQLite database of `config` to the server at the URL `to`, in whose database nothing is yet but the schema. The target has
/// `event` of it, and the source has not: when it is told, the target is the service's.
///
/// # Errors
/// If a setting cannot be used, somebody has the source open, the target is not empty, the master key does not open what is sealed, or
/// something fails. Then the source has what it had, with the schema of this version, and the target is as it was or counts as unfinished.
pub async fn copy(
    config: &StorageConfig,
    to: &str,
    options: CopyOptions,
    event: &Entry,
) -> Result<Copied, StartError> {
    let target: ServerUrl = to.parse().map_err(|problem: String| ConfigError::new("--to", problem))?;
    let source = CopySource::of(config)?;
    let unfit = |error: io::Error| {
        StartError::of_file(&error, &format!("{} cannot be copied", source.path.display()))
    };
    check_unopened(&source.path).map_err(unfit)?;
    let sole = SoleUse::of(&source.path).map_err(unfit)?;
    let from = sole.open(Entropy::system()).await?;
    let copied = copy_from(&from, &source, &target, (options, event)).await;
    from.close().await;
    copied
}

impl CopySource {
    fn of(config: &StorageConfig) -> Result<Self, StartError> {
        let (path, setting, master_key, master_key_file) = match config.database()? {
            Database::Server(url, _) => {
                let problem = format!(
                    "{url} is a database server: copy it by its own programs ({})",
                    url.dump_program()
                );
                return Err(ConfigError::new("--database-url", problem).into());
            }
            Database::Sqlite(path, key) => {
                access::check(&path, false)?;
                (path, "--database-url", key, None)
            }
            Database::Embedded(given) => {
                let dir = &config.data_dir;
                access::check(&data_dir::database(dir), false)?;
                let path = data_dir::existing(dir)?;
                let file = MasterKeyFile::in_dir(dir);
                if let Some(key) = given {
                    (path, "--data-dir", key, None)
                } else {
                    file.present()?;
                    let (key, _) = file.read_or_make(true)?;
                    (path, "--data-dir", key, Some(file.path().display().to_string()))
                }
            }
        };
        // One name for one file, by whatever way it was named.
        let path = path.canonicalize().map_err(|error| ConfigError::unreadable(setting, &path, &error))?;
        Ok(Self { path, setting, master_key, master_key_file })
    }
}

async fn copy_from(
    from: &Store,
    source: &CopySource,
    url: &ServerUrl,
    asked: (CopyOptions, &Entry),
) -> Result<Copied, StartError> {
    from.check_integrity().await?;
    // Nobody else has it open.
    let migrated = from.migrate(Duration::ZERO).await?;
    if !migrated.newer.is_empty() {
        let problem = format!(
            "a newer version has changed the schema of {} ({}): copy it by that version, since this one does not know what else is there",
            source.path.display(),
            migrated.newer.join(", ")
        );
        return Err(ConfigError::new(source.setting, problem).into());
    }
    check_sealed(from, &source.master_key).await?;
    let of_target = |error| StartError::of_server(url, "--to", &error);
    let to = Box::pin(Store::connect(url, POOL, Entropy::system())).await.map_err(of_target)?;
    let copied = fill((from, &to), source, url, asked).await;
    to.close().await;
    copied.map_err(|problem| match problem {
        // Nobody else has the source, so it is the target that has ceased to answer, or refuses.
        StartError::Failed(error @ Error::Unavailable { .. }) => of_target(error),
        StartError::Failed(error) => StartError::Failed(error.at(&url.to_string())),
        other => other,
    })
}

async fn fill(
    (from, to): (&Store, &Store),
    source: &CopySource,
    url: &ServerUrl,
    (options, event): (CopyOptions, &Entry),
) -> Result<Copied, StartError> {
    let (name, target) = (source.path.display().to_string(), url.to_string());
    same_schema((from, to), &target).await?;
    begin((from, to), source, &target, options).await?;
    for table in COPIED {
        table.empty(to).await?;
    }
    let (mut users, mut rows) = (0, 0);
    for table in COPIED {
        let count = table.copy(from, to).await?;
        tracing::info!(table = table.name, rows = count, "copied a table");
        rows += count;
        if table.name == "users" {
            users = count;
        }
    }
    to.keep_built_as(from).await?;
    for table in COPIED {
        let (here, there) = (table.count(from).await?, table.count(to).await?);
        if here != there {
            let problem = format!("there are {there} rows of {here} in the table {}", table.name);
            return Err(Error::internal(problem).into());
        }
    }
    let sealed = check_sealed(to, &source.master_key).await?;
    to.users_have_grown().await?;
    let now = Clock::system().now();
    // Before anybody opens the target: one that is cut off here is emptied, and the event with it.
    event.leave_to_transaction();
    to.for_strangers().keep_events(&[event.kept(now, 0, &Entropy::system())]).await?;
    // Before the target counts as whole: at no moment does a service start on both.
    from.note_copy_to(&target, now).await?;
    to.end_copy_from().await?;
    Ok(Copied { source: name, target, users, rows, sealed, master_key_file: source.master_key_file.clone() })
}

/// Refuses a target that has not had the same migrations.
async fn same_schema((from, to): (&Store, &Store), target: &str) -> Result<(), StartError> {
    let states = to.migrations().await?;
    let pending = states.iter().filter(|migration| !migration.applied).count();
    let problem = if pending > 0 {
        format!(
            "{target} lacks {pending} of this version's migrations: run `signet migrate up` with it as --database-url first"
        )
    } else if states != from.migrations().await? {
        format!(
            "{target} has other migrations than the database that is to be copied: copy with the newest version that has used either"
        )
    } else {
        return Ok(());
    };
    Err(ConfigError::new("--to", problem).into())
}

/// What the source is called in the target: the names of files are the same on many machines.
async fn mark(from: &Store, source: &CopySource, now: Timestamp) -> Result<String, StartError> {
    let identity = from.copy_identity(&hex::encode(Entropy::system().bytes::<8>()), now).await?;
    Ok(format!("{} ({identity})", source.path.display()))
}

/// Marks the target as one that is being copied to, if it is being filled from the same source already, or has nothing in it.
async fn begin(
    (from, to): (&Store, &Store),
    source: &CopySource,
    target: &str,
    options: CopyOptions,
) -> Result<(), StartError> {
    let now = Clock::system().now();
    let name = mark(from, source, now).await?;
    let begun_from = to.copied_from().await?;
    if let Some(other) = begun_from.as_ref().filter(|other| **other != name) {
        let problem =
            format!("{target} is being copied from {other}: empty it yourself if that was given up");
        return Err(ConfigError::new("--to", problem).into());
    }
    // Cut off at the very end, it was copied to this one.
    let is_elsewhere = |place: &str| begun_from.is_none() || place != target;
    if let Some((place, time)) = from.copied_to().await?
        && !options.again
        && is_elsewhere(&place)
    {
        let shown = source.path.display();
        let problem = format!(
            "{shown} was copied to {place} at {time}, which has what was changed since: with --force it is copied all the same"
        );
        return Err(ConfigError::new(source.setting, problem).into());
    }
    // What is there counts as an earlier copy's only if it was found empty before.
    if begun_from.is_some() && to.is_filled_from(&name).await? {
        tracing::info!(target, "an earlier copy was cut off: it is begun anew");
        return Ok(());
    }
    if begun_from.is_none() && !to.begin_copy_from(&name, now).await? {
        return Err(
            ConfigError::new("--to", format!("{target} is being copied to by another command")).into()
        );
    }
    // Marked first: whatever opens it from then on is refused, and so it stays empty.
    match used_table(to).await {
        Ok(None) => Ok(to.note_filling(&name, now).await?),
        Ok(Some(table)) => {
            unmark(to, target).await;
            let problem = format!("{target} is not empty: there are rows in the table {table}");
            Err(ConfigError::new("--to", problem).into())
        }
        Err(error) => {
            unmark(to, target).await;
            Err(error.into())
        }
    }
}

/// Lets go of a target to which nothing was copied. A mark that stays is looked into again by the next copy.
async fn unmark(to: &Store, target: &str) {
    if let Err(error) = to.end_copy_from().await {
        tracing::warn!(target, error = %error, "the target counts as being copied to: the mark could not be deleted");
    }
}

/// A table in which there is something.
async fn used_table(to: &Store) -> Result<Option<&'static str>, Error> {
    for table in COPIED {
        if !table.is_unused(to).await? {
            return Ok(Some(table.name));
        }
    }
    Ok(None)
}
