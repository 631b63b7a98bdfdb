//! Owns writing files that are for this user alone, and that are there whole or not at all, also after a power cut.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// For this user alone.
pub(super) const PRIVATE_FILE: u32 = 0o600;

/// A file in the making, beside its place. Dropped before it is put there, it is gone; what a crash leaves of one, the next one of
/// the same place removes.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    /// Open and locked: nobody else makes a file for the same place meanwhile.
    file: File,
    /// Its name is no longer its own.
    moved: bool,
}

impl Draft {
    /// An empty one of `place`.
    pub(super) fn of(place: &Path) -> io::Result<Self> {
        let mut name = place.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        if let Some(left) = open_existing(&path)? {
            lock(&left)?;
            remove(&path)?;
        }
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE_FILE).open(&path)?;
        lock(&file)?;
        // Between the two, another one may have taken it for what a crash left.
        if fs::metadata(&path)?.ino() != file.metadata()?.ino() {
            return Err(in_the_making());
        }
        Ok(Self { path, file, moved: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts it at `place`, where there must be nothing unless it may `replace` it.
    pub(super) fn put(mut self, place: &Path, replace: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if replace {
            fs::rename(&self.path, place)?;
        } else {
            rename_to_new(&self.path, place)?;
        }
        self.moved = true;
        sync_dir(place)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.moved {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives the file `from` the name `to`, which nothing must have.
///
/// Some file systems cannot rename so, and some have no links that are hard; one of the two has each that is known.
pub(super) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // NFS has no flags, and an old kernel has no such call.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            renamed => return renamed.map_err(io::Error::from),
        }
    }
    link_to_new(from, to)
}

/// As [`rename_to_new`], by a link, which does not replace.
fn link_to_new(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => in_the_making(),
        TryLockError::Error(error) => error,
    })
}

fn in_the_making() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "another process is writing it")
}

/// Deletes the file `path`, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_dir(path)),
    }
}

/// Has what was done to the name `path` survive a power cut.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_draft_is_put_whole_and_replaces_nothing_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("file");
        for (content, replace) in [("first", false), ("second", true)] {
            let mut draft = Draft::of(&place).unwrap();
            draft.file().write_all(content.as_bytes()).unwrap();
            draft.put(&place, replace).unwrap();
            assert_eq!(fs::read_to_string(&place).unwrap(), content);
        }
        assert_eq!(fs::metadata(&place).unwrap().mode() & 0o777, PRIVATE_FILE);
        let refused = Draft::of(&place).unwrap().put(&place, false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&place).unwrap(), "second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_file_is_renamed_to_what_has_no_name_yet_with_hard_links_and_without() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        for rename in [rename_to_new, link_to_new] {
            fs::write(&from, "new").unwrap();
            fs::write(&to, "old").unwrap();
            assert_eq!(rename(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(
                (fs::read_to_string(&from).unwrap(), fs::read_to_string(&to).unwrap()),
                ("new".into(), "old".into())
            );
            fs::remove_file(&to).unwrap();
            rename(&from, &to).unwrap();
            assert_eq!((from.exists(), fs::read_to_string(&to).unwrap()), (false, "new".into()));
        }
    }

    #[test]
    fn a_draft_that_a_crash_left_is_replaced_and_one_that_is_being_written_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("file");
        fs::write(dir.path().join("file.part"), "half of a f").unwrap();
        let mut draft = Draft::of(&place).unwrap();
        assert_eq!(draft.file().metadata().unwrap().len(), 0);
        assert_eq!(Draft::of(&place).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(draft);
        drop(Draft::of(&place).unwrap());
    }
}
