//! Owns the file of the embedded database's master key: making it, and putting another in its place so that a crash at no point
//! loses the one that seals the keys.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::files::{PRIVATE_FILE, remove, rename_to_new, sync_dir};
use crate::{
    identity::{MasterKey, keyring::opens_keys},
    model::Error,
    store::Store,
};

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

    fn next(&self) -> PathBuf {
        self.dir.join("master.key.next")
    }

    /// The master key, and whether it was just made: it is if neither the file nor a database that needs it is there.
    pub(super) fn read_or_make(&self, database_exists: bool) -> Result<(MasterKey, bool), String> {
        let path = self.path();
        let shown = path.display();
        match read(&path)? {
            Some(key) => Ok((key, false)),
            None if !database_exists => {
                let text = random_key()?;
                match write_new(&path, text.as_bytes()) {
                    Ok(()) => {
                        tracing::info!(path = %shown, "made the master key: keep a copy apart from the database");
                        Ok((parse(&text, &path)?, true))
                    }
                    // Another process was first: its key is the one.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.read_or_make(true),
                    Err(error) => Err(format!("{shown} cannot be written: {error}")),
                }
            }
            None => Err(format!(
                "{shown} is missing: without it the signing keys in the database cannot be opened; restore it, or set --master-key"
            )),
        }
    }

    /// Finishes a replacement that was cut off, and returns the master key that seals the keys in `store`: if they are sealed under
    /// the next one, it takes its place; if not, it is dropped. Waits while a replacement is under way.
    pub(super) async fn settle(&self, store: &Store) -> Result<Result<MasterKey, String>, Error> {
        let next = self.next();
        if !next.exists() {
            return Ok(self.read_or_make(true).map(|(key, _)| key));
        }
        let waiting = self.clone();
        let locked =
            tokio::task::spawn_blocking(move || waiting.lock(File::lock)).await.map_err(Error::internal)?;
        let replacing = match locked {
            Ok(replacing) => replacing,
            Err(error) => return Ok(Err(format!("{} cannot be locked: {error}", self.dir.display()))),
        };
        replacing.settle(store).await
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
    pub(super) async fn settle(&self, store: &Store) -> Result<Result<MasterKey, String>, Error> {
        let present = || self.file.read_or_make(true).map(|(key, _)| key);
        match read(&self.file.next()) {
            Ok(Some(key)) if opens_keys(store, &key).await? => {
                tracing::warn!("sealing the signing keys anew was cut off: it is finished now");
                Ok(self.finish().map(|()| key))
            }
            Ok(Some(_)) => {
                tracing::warn!(
                    "sealing the signing keys anew was cut off before it began: the master key stays"
                );
                Ok(self.give_up().and_then(|()| present()))
            }
            Ok(None) => Ok(present()),
            Err(problem) => Ok(Err(problem)),
        }
    }

    /// Writes the next master key beside the present one, after [`Replacing::settle`]: the one that `text` spells, or a random one.
    pub(super) fn write_next(&self, text: Option<&str>) -> Result<MasterKey, String> {
        let next = self.file.next();
        let text = match text {
            Some(text) => Zeroizing::new(text.trim().to_owned() + "\n"),
            None => random_key()?,
        };
        let key = parse(&text, &next)?;
        // One that is there is never written over: it may be the only key that opens the signing keys.
        let written = write_new(&next, text.as_bytes());
        written.map_err(|error| format!("{} cannot be written: {error}", next.display()))?;
        Ok(key)
    }

    /// Puts the next master key in the place of the present one.
    pub(super) fn finish(&self) -> Result<(), String> {
        let (next, path) = (self.file.next(), self.file.path());
        let moved = fs::rename(&next, &path).and_then(|()| sync_dir(&path));
        moved.map_err(|error| {
            format!("{} cannot take the place of {}: {error}", next.display(), path.display())
        })
    }

    fn give_up(&self) -> Result<(), String> {
        let next = self.file.next();
        remove(&next).map_err(|error| format!("{} cannot be deleted: {error}", next.display()))
    }
}

/// The key in the file `path`, if it is there; refused if others can read it.
fn read(path: &Path) -> Result<Option<MasterKey>, String> {
    let shown = path.display();
    let unreadable = |error: io::Error| format!("{shown} cannot be read: {error}");
    let text = match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mode = fs::metadata(path).map_err(unreadable)?.permissions();
    if mode.mode() & 0o077 != 0 {
        return Err(format!("{shown} can be read by others: its mode must be 0600 (chmod 600 {shown})"));
    }
    parse(&text, path).map(Some)
}

fn parse(text: &str, path: &Path) -> Result<MasterKey, String> {
    MasterKey::from_hex(text).map_err(|problem| format!("{} {problem}", path.display()))
}

fn random_key() -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new([0; MasterKey::BYTES]);
    let filled = SystemRandom::new().fill(bytes.as_mut_slice());
    filled.map_err(|_| "the system gave no randomness for a master key".to_owned())?;
    Ok(Zeroizing::new(hex::encode(bytes.as_slice()) + "\n"))
}

/// Writes a new file so that it is either there whole or not at all, also after a power cut.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    // A name that nobody has: in containers every process may have the same id, and a draft may have outlived a crash.
    let draft = path.with_extension(format!("key.{}", Uuid::now_v7()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    // Of two processes that start at once, one fails rather than overwrite the other's key.
    if let Err(error) = rename_to_new(&draft, path) {
        fs::remove_file(&draft)?;
        return Err(error);
    }
    sync_dir(path)
}
