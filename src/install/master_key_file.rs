//! Owns the file of the embedded database's master key: making it, and putting another in its place so that a crash at no point
//! loses the one that seals the keys.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::StartError;
use crate::{
    config::ConfigError,
    files::{self, Draft, remove, rename_over},
    identity::{MasterKey, keyring::opens_keys},
    model::Error,
    store::Store,
};

/// The most that is read of a file: more than a key and the space around it.
const MAX_BYTES: u64 = 4_096;

/// The setting that says where the file is.
const SETTING: &str = "--data-dir";

/// `master.key`, and while the keys are sealed anew `master.key.next`, whose key takes its place.
#[derive(Clone, Debug)]
pub(super) struct MasterKeyFile {
    dir: PathBuf,
}

/// Held by whoever replaces the master key; it ends with the process, however that ends.
pub(super) struct Replacing {
    file: MasterKeyFile,
    _lock: File,
}

impl MasterKeyFile {
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join("master.key")
    }

    /// The file, and the one that takes its place.
    pub(super) fn all(&self) -> [PathBuf; 2] {
        [self.path(), self.next()]
    }

    /// The master key, if the file is there. What takes its place must not be: it may be the key that opens the signing keys.
    pub(super) fn present(&self) -> Result<Option<MasterKey>, ConfigError> {
        let next = self.next();
        if next.exists() {
            return Err(refused(format!(
                "{} exists, left by a `signet keys reseal` that was cut off: if {} is lost, rename it to that; otherwise move it to \
                 another directory",
                next.display(),
                self.path().display()
            )));
        }
        read(&self.path())
    }

    /// Deletes the master key, which seals nothing.
    pub(super) fn discard(&self) -> Result<(), ConfigError> {
        delete(&self.path())
    }

    fn next(&self) -> PathBuf {
        self.dir.join("master.key.next")
    }

    /// The master key, and whether it was just made: it is if neither the file nor a database that needs it is there.
    pub(super) fn read_or_make(&self, database_exists: bool) -> Result<(MasterKey, bool), ConfigError> {
        let path = self.path();
        let shown = path.display();
        match read(&path)? {
            Some(key) => {
                self.remove_left_drafts();
                Ok((key, false))
            }
            None if !database_exists => {
                let text = random_key()?;
                match write_new(&path, text.as_bytes()) {
                    Ok(()) => {
                        tracing::info!(path = %shown, "made the master key: keep a copy apart from the database");
                        self.remove_left_drafts();
                        Ok((parse(&text, &path)?, true))
                    }
                    // Another process was first: its key is the one.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.read_or_make(true),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        Draft::wait_for(&path).map_err(|error| unwritable(&path, &error))?;
                        self.read_or_make(false)
                    }
                    Err(error) => Err(unwritable(&path, &error)),
                }
            }
            None => Err(refused(format!(
                "{shown} is missing: without it the signing keys in the database cannot be opened; restore it, or set --master-key"
            ))),
        }
    }

    /// Deletes what a crash left of writing a master key, now that there is one: such a draft sealed nothing. Each holds a lock while it
    /// is written, and is left alone then.
    fn remove_left_drafts(&self) {
        let warn = |path: &Path, error: &io::Error| {
            tracing::warn!(path = %path.display(), %error, "a draft of a master key, which a crash left, could not be deleted");
        };
        let names = match fs::read_dir(&self.dir).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries.into_iter().map(|entry| entry.file_name()),
            Err(error) => return warn(&self.dir, &error),
        };
        for name in names.filter(|name| name.to_str().is_some_and(is_draft)) {
            let path = self.dir.join(name);
            match Draft::remove_left(&path) {
                Ok(true) => {
                    tracing::warn!(path = %path.display(), "deleted a draft of a master key that a crash had left");
                }
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => warn(&path, &error),
            }
        }
    }

    /// Finishes a replacement that was cut off, and returns the master key that seals the keys in `store`: if they are sealed under
    /// the next one, it takes its place; if not, it is dropped. Waits while a replacement is under way.
    pub(super) async fn settle(&self, store: &Store) -> Result<MasterKey, StartError> {
        let next = self.next();
        if !next.exists() {
            return Ok(self.read_or_make(true)?.0);
        }
        let waiting = self.clone();
        let locked =
            tokio::task::spawn_blocking(move || waiting.lock(File::lock)).await.map_err(Error::internal)?;
        let unlocked =
            |error: io::Error| refused(format!("{} cannot be locked: {error}", self.dir.display()));
        locked.map_err(unlocked)?.settle(store).await
    }

    /// Begins to replace the master key.
    pub(super) fn replace(&self) -> Result<Replacing, String> {
        let try_lock = |file: &File| file.try_lock().map_err(io::Error::from);
        self.lock(try_lock).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => "another `signet keys reseal` is under way".to_owned(),
            _ => format!("{} cannot be locked: {error}", self.dir.display()),
        })
    }

    fn lock(&self, lock: impl Fn(&File) -> io::Result<()>) -> io::Result<Replacing> {
        let dir = File::open(&self.dir)?;
        lock(&dir)?;
        Ok(Replacing { file: self.clone(), _lock: dir })
    }
}

impl Replacing {
    /// As [`MasterKeyFile::settle`], while nobody else replaces it. There is no next master key afterwards.
    pub(super) async fn settle(&self, store: &Store) -> Result<MasterKey, StartError> {
        let present = || self.file.read_or_make(true).map(|(key, _)| key);
        let settled = match read(&self.file.next()) {
            Ok(Some(key)) if opens_keys(store, &key).await? => {
                tracing::warn!("sealing the signing keys anew was cut off: it is finished now");
                self.finish().map(|()| key)
            }
            Ok(Some(_)) => {
                tracing::warn!(
                    "sealing the signing keys anew was cut off before it began: the master key stays"
                );
                self.give_up().and_then(|()| present())
            }
            Ok(None) => present(),
            Err(problem) => Err(problem),
        };
        Ok(settled?)
    }

    /// Writes the next master key beside the present one, after [`Replacing::settle`]: the one that `text` spells, or a random one.
    pub(super) fn write_next(&self, text: Option<&str>) -> Result<MasterKey, ConfigError> {
        let next = self.file.next();
        let text = match text {
            Some(text) => Zeroizing::new(text.trim().to_owned() + "\n"),
            None => random_key()?,
        };
        let key = parse(&text, &next)?;
        // One that is there is never written over: it may be the only key that opens the signing keys.
        write_new(&next, text.as_bytes()).map_err(|error| unwritable(&next, &error))?;
        Ok(key)
    }

    /// Puts the next master key in the place of the present one.
    pub(super) fn finish(&self) -> Result<(), ConfigError> {
        let (next, path) = (self.file.next(), self.file.path());
        rename_over(&next, &path).map_err(|error| {
            refused(format!("{} cannot take the place of {}: {error}", next.display(), path.display()))
        })
    }

    /// Deletes the next master key, which seals nothing.
    pub(super) fn give_up(&self) -> Result<(), ConfigError> {
        delete(&self.file.next())
    }
}

/// What is wrong with the file, or its directory.
fn refused(problem: String) -> ConfigError {
    ConfigError::new(SETTING, problem)
}

fn unwritable(path: &Path, error: &io::Error) -> ConfigError {
    ConfigError::unwritable(SETTING, path, error)
}

fn delete(path: &Path) -> Result<(), ConfigError> {
    remove(path).map_err(|error| refused(format!("{} cannot be deleted: {error}", path.display())))
}

/// The key in the file `path`, if it is there; refused if it is not this user's alone.
fn read(path: &Path) -> Result<Option<MasterKey>, ConfigError> {
    let mut text = Zeroizing::new(String::new());
    let read = files::open(path, OpenOptions::new().read(true))
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => parse(&text, path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::unreadable(SETTING, path, &error)),
    }
}

/// Whether `name` is one under which a master key is, or by earlier releases was, written before it gets its own.
fn is_draft(name: &str) -> bool {
    let rest = name.strip_prefix("master.key.");
    rest.is_some_and(|rest| matches!(rest, "part" | "next.part") || Uuid::try_parse(rest).is_ok())
}

fn parse(text: &str, path: &Path) -> Result<MasterKey, ConfigError> {
    MasterKey::from_hex(text).map_err(|problem| refused(format!("{} {problem}", path.display())))
}

/// A master key that no file has.
pub(super) fn in_memory() -> Result<MasterKey, ConfigError> {
    MasterKey::from_hex(&random_key()?).map_err(refused)
}

fn random_key() -> Result<Zeroizing<String>, ConfigError> {
    let mut bytes = Zeroizing::new([0; MasterKey::BYTES]);
    let filled = SystemRandom::new().fill(bytes.as_mut_slice());
    filled.map_err(|_| refused("the system gave no randomness for a master key".to_owned()))?;
    Ok(Zeroizing::new(hex::encode(bytes.as_slice()) + "\n"))
}

/// Writes a new file so that it is either there whole or not at all, also after a power cut. Of two processes that start at once, one
/// fails rather than overwrite the other's key.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut draft = Draft::of(path)?;
    draft.file().write_all(content)?;
    draft.put(path, false)
}
