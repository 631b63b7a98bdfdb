//! Owns opening and creating the service's own files: for this user alone, never through a link, checked while they are open.

mod check;
mod draft;
mod own;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};
use zeroize::Zeroizing;

pub(crate) use check::{check_directory, check_unopened, problem_and_mend};
pub(crate) use draft::{Draft, remove, rename_over, sync_dir};
pub(crate) use own::OwnFiles;

/// Following no link, and waiting for nobody.
const CAREFULLY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The mode of every file that is created: for this user alone.
const PRIVATE_FILE: u32 = 0o600;

/// The longest text that a setting names, in bytes: the certificates of all authorities have a part of that.
const MAX_TEXT_BYTES: u64 = 1024 * 1024;

/// How long such a text may take to come: a pipe may have nobody at its other end, and a mount be dead.
const TEXT_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the file `path` for this user alone. Nothing may have that name yet, a link neither.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    let created = OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE_FILE).open(path);
    created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            io::Error::new(error.kind(), "there is a file of that name already, and it is not replaced")
        }
        _ => error,
    })
}

/// Opens the file `path` of the service's own as `how` says. If that creates it, it is for this user alone.
///
/// A symbolic link is refused, and so is whatever is not an ordinary file, without waiting for the other end of a pipe. Who owns the
/// open file, and whether others can use it, is checked too.
pub(crate) fn open(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    let opened = how.mode(PRIVATE_FILE).custom_flags(CAREFULLY.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| check::explained(error, path))?;
    check::check(&file.metadata()?, path)?;
    Ok(file)
}

/// Opens the end of the log `path`, and creates it if it is not there. Who may read it is the operator's to decide.
///
/// It may be a pipe or a device: one that nobody has open for reading is refused, since waiting for a reader could take for ever. None of
/// the `own` files is a log.
pub(crate) fn open_log(path: &Path, own: &OwnFiles) -> io::Result<File> {
    // Before it is opened: a database that is not there yet must not be created by that.
    own.refuse_name(path)?;
    let mut how = OpenOptions::new();
    how.append(true).create(true).mode(PRIVATE_FILE).custom_flags(CAREFULLY.bits().cast_signed());
    let file = how.open(path).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NXIO) => io::Error::new(error.kind(), "nobody reads from it"),
        _ => check::explained(error, path),
    })?;
    let found = file.metadata()?;
    own.refuse_open(&found)?;
    check::check_log(&found, path)?;
    // From now on whoever writes waits for a reader that is slow, instead of losing what that could still read.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Opens the file `path`, which somebody names to be read: links are followed, and a pipe is refused instead of being waited for.
pub(crate) fn open_input(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    check::check_kind(&file.metadata()?)?;
    Ok(file)
}

/// The text in the file `path`, which somebody names: links are followed, as Kubernetes mounts Secrets, and a pipe is read to its end,
/// as a shell makes one of `<(command)`.
pub(crate) fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    let reading = move || {
        let mut text = Zeroizing::new(String::new());
        let read = File::open(path).and_then(|file| bounded(file, MAX_TEXT_BYTES).read_to_string(&mut text));
        // Nobody may be waiting any more.
        let _ = sender.send(read.map(|_| text));
    };
    // A thread of its own, which nobody waits for if it never comes back.
    thread::Builder::new().name("read-text".to_owned()).spawn(reading)?;
    receiver.recv_timeout(TEXT_TIMEOUT).unwrap_or_else(|_| {
        let problem = format!("nothing has come out of it within {} seconds", TEXT_TIMEOUT.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, problem))
    })
}

/// An input that fails once it has given `most` bytes and has more: a part of it would be taken for the whole.
pub(crate) const fn bounded<R: Read>(input: R, most: u64) -> Bounded<R> {
    Bounded { input, most, left: most }
}

/// What [`bounded`] makes.
pub(crate) struct Bounded<R> {
    input: R,
    most: u64,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte more, to see whether it goes on.
        let wanted = usize::try_from(self.left + 1).map_or(buffer.len(), |left| buffer.len().min(left));
        let read = self.input.read(&mut buffer[..wanted])?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let problem = format!("it is longer than {} KiB", self.most.div_ceil(1024));
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_no_shorter_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let longest = usize::try_from(MAX_TEXT_BYTES).unwrap();
        std::fs::write(&path, "x".repeat(longest)).unwrap();
        assert_eq!(read_text(&path).unwrap().len(), longest);
        std::fs::write(&path, "x".repeat(longest + 1)).unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("longer than 1024 KiB"));
        assert!(read_text(Path::new("/dev/zero")).unwrap_err().to_string().contains("longer than 1024 KiB"));
    }
}
