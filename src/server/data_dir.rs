//! Owns the data directory of the embedded database: the directory, the database file, and the master key beside it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{config::ConfigError, identity::MasterKey};

/// For this user alone.
const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIR: u32 = 0o700;

/// A data directory that can be used.
pub(super) struct Prepared {
    pub(super) database: PathBuf,
    pub(super) master_key: MasterKey,
    /// The master key's file, if it was just made.
    pub(super) master_key_made: Option<PathBuf>,
}

/// Makes what is missing of the data directory `dir`, or refuses if `must_exist` and there is no database in it.
/// `given` takes the place of the master key file.
pub(super) fn prepare(
    dir: &Path,
    given: Option<MasterKey>,
    must_exist: bool,
) -> Result<Prepared, ConfigError> {
    let refuse = |problem: String| ConfigError::new("--data-dir", problem);
    let database = dir.join("signet.db");
    if must_exist && !database.exists() {
        let hint = "start the service or `signet migrate up` to make one";
        return Err(refuse(format!("there is no database in {}: {hint}", dir.display())));
    }
    DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(dir).map_err(|error| {
        let problem = match error.kind() {
            io::ErrorKind::AlreadyExists => "it is not a directory".to_owned(),
            _ => error.to_string(),
        };
        refuse(format!("{} cannot be made: {problem}", dir.display()))
    })?;
    let (master_key, master_key_made) = match given {
        Some(key) => (key, None),
        None => master_key(&dir.join("master.key"), database.exists()).map_err(refuse)?,
    };
    prepare_file(&database).map_err(refuse)?;
    Ok(Prepared { database, master_key, master_key_made })
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

/// The master key in the file `path`; a new one, if neither the file nor a database that needs it is there.
fn master_key(path: &Path, database_exists: bool) -> Result<(MasterKey, Option<PathBuf>), String> {
    let shown = path.display();
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => {
            let mode =
                fs::metadata(path).map_err(|error| format!("{shown} cannot be read: {error}"))?.permissions();
            if mode.mode() & 0o077 != 0 {
                return Err(format!(
                    "{shown} can be read by others: its mode must be 0600 (chmod 600 {shown})"
                ));
            }
            let key = MasterKey::from_hex(&text).map_err(|problem| format!("{shown} {problem}"))?;
            Ok((key, None))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !database_exists => {
            let text = new_master_key().ok_or("the system gave no randomness for a master key")?;
            match write_durably(path, text.as_bytes()) {
                Ok(()) => {
                    let key = MasterKey::from_hex(&text).map_err(|problem| format!("{shown} {problem}"))?;
                    tracing::info!(path = %shown, "made the master key: keep a copy apart from the database");
                    Ok((key, Some(path.to_owned())))
                }
                // Another process was first: its key is the one.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => master_key(path, true),
                Err(error) => Err(format!("{shown} cannot be written: {error}")),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
            "{shown} is missing: without it the signing keys in the database cannot be opened; restore it, or set --master-key"
        )),
        Err(error) => Err(format!("{shown} cannot be read: {error}")),
    }
}

fn new_master_key() -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; MasterKey::BYTES]);
    SystemRandom::new().fill(bytes.as_mut_slice()).ok()?;
    Some(Zeroizing::new(hex::encode(bytes.as_slice()) + "\n"))
}

/// Writes a new file so that it is either there whole or not at all, also after a power cut.
fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    // A name that nobody has: in containers every process may have the same id, and a draft may have outlived a crash.
    let draft = path.with_extension(format!("key.{}", Uuid::now_v7()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    // A link does not replace: of two processes that start at once, one fails rather than overwrite the other's key.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_a_crash_left_behind_does_not_stop_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let draft = dir.path().join(format!("master.key.{}", std::process::id()));
        fs::write(draft, "half of a ke").unwrap();
        let prepared = prepare(dir.path(), None, false).unwrap();
        assert_eq!(prepared.master_key_made, Some(dir.path().join("master.key")));
    }
}
