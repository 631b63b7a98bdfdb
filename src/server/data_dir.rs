//! Owns the data directory of the embedded database: the directory, the database file, and the master key beside it.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{files::PRIVATE_FILE, master_key_file::MasterKeyFile};
use crate::{config::ConfigError, identity::MasterKey};

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
    let database = database(dir);
    if must_exist && !database.exists() {
        let hint = "start the service or `signet migrate up` to make one";
        return Err(refuse(format!("there is no database in {}: {hint}", dir.display())));
    }
    make(dir).map_err(refuse)?;
    let (master_key_file, (master_key, master_key_made)) = if let Some(key) = given {
        (None, (key, false))
    } else {
        let file = MasterKeyFile::in_dir(dir);
        let key = file.read_or_make(database.exists()).map_err(refuse)?;
        (Some(file), key)
    };
    prepare_file(&database).map_err(refuse)?;
    Ok(Prepared { database, master_key, master_key_file, master_key_made })
}

/// The database in the data directory `dir`.
pub(super) fn database(dir: &Path) -> PathBuf {
    dir.join("signet.db")
}

/// Makes the data directory `dir` for this user alone, if it is not there.
pub(super) fn make(dir: &Path) -> Result<(), String> {
    DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(dir).map_err(|error| {
        let problem = match error.kind() {
            io::ErrorKind::AlreadyExists => "it is not a directory".to_owned(),
            _ => error.to_string(),
        };
        format!("{} cannot be made: {problem}", dir.display())
    })
}

/// Makes the database file `path` for this user alone, if it is not there. SQLite gives its other files the same mode.
pub(super) fn prepare_file(path: &Path) -> Result<(), String> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(PRIVATE_FILE)
        .open(path)
        .map(drop)
        .map_err(|error| format!("{} cannot be opened for writing: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_draft_that_a_crash_left_behind_does_not_stop_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let draft = dir.path().join(format!("master.key.{}", std::process::id()));
        fs::write(draft, "half of a ke").unwrap();
        let prepared = prepare(dir.path(), None, false).unwrap();
        assert!(prepared.master_key_made && dir.path().join("master.key").exists());
    }
}
