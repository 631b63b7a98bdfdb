//! Owns the data directory of the embedded database: the directory, the database file, and the master key beside it.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{database::HOW_TO_MAKE_ONE, master_key_file::MasterKeyFile};
use secrecy::ExposeSecret;

use crate::{
    config::{ConfigError, StorageConfig},
    files::{self, check_directory, check_unopened},
    identity::MasterKey,
    store::Location,
};

const PRIVATE_DIR: u32 = 0o700;

/// A data directory that can be used.
pub(super) struct Prepared {
    pub(super) database: PathBuf,
    pub(super) master_key: MasterKey,
    /// The master key's file, unless the key was given.
    pub(super) master_key_file: Option<MasterKeyFile>,
    pub(super) master_key_made: bool,
}

/// Makes what is missing of the data directory `dir`, or refuses if `must_exist` and there is no database in it.
/// `given` takes the place of the master key file.
pub(super) fn prepare(
    dir: &Path,
    given: Option<MasterKey>,
    must_exist: bool,
) -> Result<Prepared, ConfigError> {
    let refuse = |problem: String| ConfigError::new("--data-dir", problem);
    let database = if must_exist { existing(dir)? } else { database(dir) };
    make(dir).map_err(refuse)?;
    let (master_key_file, (master_key, master_key_made)) = if let Some(key) = given {
        (None, (key, false))
    } else {
        let file = MasterKeyFile::in_dir(dir);
        let key = file.read_or_make(database.exists())?;
        (Some(file), key)
    };
    prepare_file(&database).map_err(refuse)?;
    Ok(Prepared { database, master_key, master_key_file, master_key_made })
}

/// The database in the data directory `dir`, which must be there.
pub(super) fn existing(dir: &Path) -> Result<PathBuf, ConfigError> {
    let database = database(dir);
    if database.exists() {
        return Ok(database);
    }
    let problem = format!("there is no database in {}: {HOW_TO_MAKE_ONE}", dir.display());
    Err(ConfigError::new("--data-dir", problem))
}

/// The database in the data directory `dir`.
pub(super) fn database(dir: &Path) -> PathBuf {
    dir.join("signet.db")
}

/// The files of the database and its master key by `config`, whether they are there or not.
pub(super) fn own_files(config: &StorageConfig) -> Vec<PathBuf> {
    let location = config.database_url.as_ref().map(|url| url.expose_secret().parse());
    let database = match location {
        Some(Ok(Location::File(path))) => path,
        _ => database(&config.data_dir),
    };
    let beside = |suffix: &&str| {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    };
    let mut files: Vec<PathBuf> =
        ["", "-wal", "-shm", "-journal", ".lock", ".part"].iter().map(beside).collect();
    files.extend(MasterKeyFile::in_dir(&config.data_dir).all());
    files.extend([&config.master_key_file, &config.database_url_file].into_iter().flatten().cloned());
    files
}

/// Creates the data directory `dir` for this user alone, if it is not there; refuses one that is not this user's.
pub(super) fn make(dir: &Path) -> Result<(), String> {
    DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(dir).map_err(|error| {
        let problem = match error.kind() {
            io::ErrorKind::AlreadyExists => "it is not a directory".to_owned(),
            _ => error.to_string(),
        };
        format!("{} cannot be made: {problem}", dir.display())
    })?;
    let warning = check_directory(dir)
        .map_err(|error| format!("{} cannot be the data directory: {error}", dir.display()))?;
    if let Some(problem) = warning {
        tracing::warn!(problem, "the data directory is not kept to this service");
    }
    Ok(())
}

/// Creates the database file `path` for this user alone, if it is not there; refuses it, and what SQLite keeps beside it, if it is
/// not this user's alone. SQLite gives its other files the same mode.
pub(super) fn prepare_file(path: &Path) -> Result<(), String> {
    let how = &mut OpenOptions::new();
    files::open(path, how.read(true).append(true).create(true))
        .map_err(|error| format!("{} cannot be opened as a SQLite database: {error}", path.display()))?;
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        let beside = Path::new(&beside);
        check_unopened(beside).map_err(|error| format!("{} cannot be used: {error}", beside.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use uuid::Uuid;

    use super::*;

    /// Files that a crash may have left, each with half a key.
    fn leave_drafts(dir: &Path) -> Vec<PathBuf> {
        let names = ["master.key.part".to_owned(), format!("master.key.{}", Uuid::from_u128(7))];
        let left: Vec<_> = names.iter().map(|name| dir.join(name)).collect();
        for draft in &left {
            fs::write(draft, "half of a ke").unwrap();
            fs::set_permissions(draft, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        left
    }

    #[test]
    fn drafts_of_the_key_that_a_crash_left_behind_stop_no_start_and_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        for made in [true, false] {
            let left = leave_drafts(dir.path());
            let prepared = prepare(dir.path(), None, false).unwrap();
            assert_eq!(prepared.master_key_made, made);
            assert!(dir.path().join("master.key").exists());
            assert!(left.iter().all(|draft| !draft.exists()), "{left:?}");
        }
    }

    #[test]
    fn a_draft_that_another_process_writes_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path(), None, false).unwrap();
        let draft = files::Draft::of(&dir.path().join("master.key")).unwrap();
        prepare(dir.path(), None, false).unwrap();
        assert!(draft.path().exists());
    }
}
