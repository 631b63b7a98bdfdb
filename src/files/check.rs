//! Owns checking the service's own files and their directory: what kind they are, whose they are, and who else may use them.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::OFlags,
    process::{getegid, geteuid, getgroups},
};

/// What users other than the file's owner, and than the groups of this process, may do with a file.
///
/// The groups of this process may do anything: Kubernetes gives them read and write access to all files of a volume (`fsGroup`).
#[derive(Clone, Copy)]
enum Others {
    /// Nothing.
    MayNothing,
    /// Read it.
    MayRead,
}

impl Others {
    /// The bits of a mode that give others more, as the last of its octal digits has them.
    const fn forbidden(self) -> u32 {
        match self {
            Self::MayNothing => 0o7,
            Self::MayRead => 0o2,
        }
    }
}

/// Opens what has a name without opening the file behind it: no device reacts, and no lock of this process on it ends.
#[cfg(target_os = "linux")]
const NAME_ONLY: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const NAME_ONLY: OFlags = OFlags::NONBLOCK;

/// Checks the file `path`, if it is there, without opening it: SQLite will, and it follows no link there.
pub(crate) fn check_unopened(path: &Path) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW | NAME_ONLY;
    match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(name) => check(&name.metadata()?, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(explained(error, path)),
    }
}

/// Checks the directory `path`, and returns a warning if it cannot be kept to this process: it is root's, and anybody may write to it,
/// as to a new `emptyDir` of Kubernetes.
pub(crate) fn check_directory(path: &Path) -> io::Result<Option<String>> {
    let flags = OFlags::DIRECTORY | OFlags::NONBLOCK;
    let directory = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let found = directory.and_then(|directory: File| directory.metadata())?;
    let shown = path.display();
    check_owner(&found, path)?;
    let others = found.mode() & 0o002 != 0;
    let group = found.mode() & 0o020 != 0 && !is_own_group(found.gid());
    // Where it is sticky (/tmp), nobody can rename or delete the files of another.
    if !(others || group) || found.mode() & 0o1000 != 0 {
        return Ok(None);
    }
    let problem = "others can write to it, and so put other files in the place of the service's own";
    if found.uid() == geteuid().as_raw() && found.uid() != 0 {
        return Err(mended(problem, format!("chmod go-w {shown}")));
    }
    Ok(Some(format!("{shown}: {problem}")))
}

/// Checks an open file.
pub(super) fn check(found: &Metadata, path: &Path) -> io::Result<()> {
    check_kind(found)?;
    check_access(found, path, Others::MayNothing)
}

/// Checks an open log. A device is everybody's.
pub(super) fn check_log(found: &Metadata, path: &Path) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_char_device() {
        return Ok(());
    }
    if !kind.is_fifo() {
        check_kind(found)?;
    }
    check_access(found, path, Others::MayRead)
}

fn check_access(found: &Metadata, path: &Path, others: Others) -> io::Result<()> {
    check_owner(found, path)?;
    let forbidden = others.forbidden();
    let of_group = if is_own_group(found.gid()) { 0 } else { forbidden << 3 };
    if found.mode() & (forbidden | of_group) != 0 {
        let (what, fix) = match others {
            Others::MayNothing => {
                ("it can be read or written by others than this user and the groups of this process", "600")
            }
            Others::MayRead => ("it can be written by others", "go-w"),
        };
        return Err(mended(what, format!("chmod {fix} {}", path.display())));
    }
    Ok(())
}

/// Refuses whatever is not an ordinary file.
pub(super) fn check_kind(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_symlink() {
        return Err(link());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(unfit(format!("it is {what}, and not an ordinary file")))
}

/// Refuses what belongs to neither this user nor root: its owner could change it, and give others access to it, at any time.
fn check_owner(found: &Metadata, path: &Path) -> io::Result<()> {
    let (owner, own) = (found.uid(), geteuid().as_raw());
    if owner == own || owner == 0 {
        return Ok(());
    }
    let problem = format!(
        "it belongs to the user with the id {owner}, and this process runs as {own}: run it as its owner, or give it to {own}"
    );
    Err(mended(&problem, format!("chown {own} {}", path.display())))
}

/// Says more of an error with which `path` did not open.
pub(super) fn explained(error: io::Error, path: &Path) -> io::Error {
    let is_link = || path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let no_reader = error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error());
    if error.kind() != io::ErrorKind::NotFound && is_link() {
        link()
    } else if no_reader {
        unfit("it is a pipe or a device, and not an ordinary file".to_owned())
    } else {
        error
    }
}

fn link() -> io::Error {
    unfit("it is a symbolic link, which is not followed: name the file that it leads to".to_owned())
}

/// What is wrong with a file, and the command that mends it.
#[derive(Debug, thiserror::Error)]
#[error("{problem} ({mend})")]
struct Mended {
    problem: String,
    mend: String,
}

fn mended(problem: &str, mend: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, Mended { problem: problem.to_owned(), mend })
}

/// What `error` says, and apart from it the command that mends it, if there is one.
pub(crate) fn problem_and_mend(error: &io::Error) -> (String, Option<String>) {
    match error.get_ref().and_then(|source| source.downcast_ref::<Mended>()) {
        Some(Mended { problem, mend }) => (problem.clone(), Some(mend.clone())),
        None => (error.to_string(), None),
    }
}

fn unfit(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, problem)
}

fn is_own_group(gid: u32) -> bool {
    gid == getegid().as_raw() || getgroups().is_ok_and(|groups| groups.iter().any(|own| own.as_raw() == gid))
}
