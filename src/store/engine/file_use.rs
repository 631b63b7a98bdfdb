//! Owns who uses a SQLite file: all who have the database open share it, and whoever replaces it has it alone.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
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
        let lock = lock_file(path)?;
        lock.try_lock_shared().map_err(|error| taken(error, "it is being restored"))?;
        Ok(Self(lock))
    }

    /// Has the database `path` alone.
    pub(in crate::store) fn sole(path: &Path) -> io::Result<Self> {
        let lock = lock_file(path)?;
        lock.try_lock().map_err(|error| taken(error, "a service or another command has it open"))?;
        Ok(Self(lock))
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
    let how = &mut OpenOptions::new();
    files::open(&beside(path, ".lock"), how.write(true).create(true).truncate(false))
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
