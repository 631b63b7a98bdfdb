//! Owns writing files that are there whole or not at all, also after a power cut.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{create_new, open};

/// A file in the making, beside its place. Dropped before it is put there, it is gone; what a crash leaves of one, the next one of
/// the same place removes.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    /// Open and locked: nobody else makes a file for the same place meanwhile.
    file: File,
    /// Its name is no longer its own.
    moved: bool,
}

impl Draft {
    /// An empty one of `place`; [`io::ErrorKind::WouldBlock`] if another process makes one.
    pub(crate) fn of(place: &Path) -> io::Result<Self> {
        let path = Self::path_of(place);
        Self::remove_left(&path)?;
        let file = create_new(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => in_the_making(),
            _ => error,
        })?;
        lock(&file)?;
        // Between the two, another one may have taken it for what a crash left.
        let created = file.metadata()?;
        match fs::symlink_metadata(&path) {
            Ok(named) if (named.dev(), named.ino()) == (created.dev(), created.ino()) => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => return Err(in_the_making()),
        }
        Ok(Self { path, file, moved: false })
    }

    /// Deletes `path`, a draft that a crash left, if it is there; an error if it is being written now. Returns whether it was there.
    pub(crate) fn remove_left(path: &Path) -> io::Result<bool> {
        match open(path, OpenOptions::new().write(true)) {
            Ok(left) => {
                lock(&left)?;
                remove(path).map(|()| true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until nobody writes a draft of `place` any more.
    pub(crate) fn wait_for(place: &Path) -> io::Result<()> {
        match open(&Self::path_of(place), OpenOptions::new().write(true)) {
            Ok(file) => file.lock(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where a draft of `place` stands.
    pub(crate) fn path_of(place: &Path) -> PathBuf {
        let mut name = place.as_os_str().to_owned();
        name.push(".part");
        PathBuf::from(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts it at `place`, where there must be nothing unless it may `replace` it.
    pub(crate) fn put(mut self, place: &Path, replace: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if replace {
            rename_over(&self.path, place)?;
        } else {
            rename_to_new(&self.path, place)?;
        }
        self.moved = true;
        sync_dir(place)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.moved
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a draft could not be deleted");
        }
    }
}

/// Puts the file `from` in the place of `to`; it survives a power cut. Of a link, the link gives way.
pub(crate) fn rename_over(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_dir(to)
}

/// Gives the file `from` the name `to`, which nothing must have.
///
/// Some file systems cannot rename so, and some have no hard links; each that is known can do one of the two.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
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
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_dir(path)),
    }
}

/// Has what was done to the name `path` survive a power cut.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
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
        assert_eq!(fs::metadata(&place).unwrap().mode() & 0o777, 0o600);
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
        create_new(&dir.path().join("file.part")).unwrap().write_all(b"half of a f").unwrap();
        let mut draft = Draft::of(&place).unwrap();
        assert_eq!(draft.file().metadata().unwrap().len(), 0);
        assert_eq!(Draft::of(&place).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(draft);
        drop(Draft::of(&place).unwrap());
    }
}
