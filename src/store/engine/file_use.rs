//! Owns who uses a SQLite file: all who have the database open share it, and whoever replaces it has it alone.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::files;

/// A lock on a file beside the database. It ends with the process, however that ends.
///
/// Not on the database itself: a process that closes any handle on that gives up the locks by which SQLite tells its users apart.
#[derive(Debug)]
pub(in crate::store) struct FileUse(#[expect(dead_code, reason = "held, not read")] File);

impl FileUse {
    /// Shares the database `path` with others who use it.
    pub(in crate::store) fn shared(path: &Path) -> io::Result<Self> {
        let take = |lock: &File| lock.try_lock_shared();
        locked(path, take, "it is being restored or copied").map(Self)
    }

    /// Has the database `path` alone.
    pub(in crate::store) fn sole(path: &Path) -> io::Result<Self> {
        locked(path, File::try_lock, "a service or another command has it open").map(Self)
    }

    /// Whether there is a lock file of the database `path` already.
    pub(in crate::store) fn is_known(path: &Path) -> bool {
        beside(path, LOCK).exists()
    }

    /// Gives the database `path`, which is had alone, up again, and deletes the lock file.
    pub(in crate::store) fn give_up(self, path: &Path) -> io::Result<()> {
        let removed = fs::remove_file(beside(path, LOCK));
        // Only now unlocked: whoever has opened the file before it was deleted then notices that, and makes another.
        drop(self);
        removed
    }
}

/// The end of the name of a lock file.
const LOCK: &str = ".lock";

/// The lock file of the database `path`, locked by `take`; otherwise it is used `by` somebody.
fn locked(path: &Path, take: impl Fn(&File) -> Result<(), TryLockError>, by: &str) -> io::Result<File> {
    let lock = beside(path, LOCK);
    loop {
        let how = &mut OpenOptions::new();
        let file = files::open(&lock, how.write(true).create(true).truncate(false))?;
        take(&file).map_err(|error| taken(error, by))?;
        // Whoever had it may have deleted it: then a lock on it says nothing to those who come later.
        let opened = file.metadata()?;
        if fs::metadata(&lock).is_ok_and(|there| (there.dev(), there.ino()) == (opened.dev(), opened.ino())) {
            return Ok(file);
        }
    }
}

fn taken(error: TryLockError, by: &str) -> io::Error {
    match error {
        TryLockError::WouldBlock => io::Error::new(io::ErrorKind::WouldBlock, by),
        TryLockError::Error(error) => error,
    }
}

/// The file whose name is that of `path` and `suffix`.
pub(in crate::store) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Deletes what SQLite may have left beside the file `path`: of another file that had this name, it would be read into this one.
pub(in crate::store) fn remove_companions(path: &Path) -> io::Result<()> {
    for suffix in ["-journal", "-wal", "-shm"] {
        match fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}
