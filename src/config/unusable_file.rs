//! Owns what is said of a file that is named and cannot be used: what the system says of it, and whose it is where this user may not.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use rustix::process::geteuid;

use crate::audit::LocalUser;

/// A file that cannot be used.
#[derive(Debug)]
pub(crate) struct UnusableFile {
    /// The sentence.
    pub(crate) problem: String,
    /// Whether this user may not.
    pub(crate) is_forbidden: bool,
}

impl UnusableFile {
    /// The file `path` cannot be read, of which the system says `error`.
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::of(path, "read", error)
    }

    /// The file `path` cannot be written, of which the system says `error`.
    pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Self {
        Self::of(path, "written", error)
    }

    fn of(path: &Path, done: &str, error: &io::Error) -> Self {
        let problem = format!("{} cannot be {done}: {}", path.display(), cause(path, error));
        Self { problem, is_forbidden: is_forbidden(error) }
    }
}

/// Why the file `path` cannot be used, of which the system says `error`; and whose it is, where this user may not.
pub(crate) fn cause(path: &Path, error: &io::Error) -> String {
    if !is_forbidden(error) {
        return error.to_string();
    }
    format!("{error}; {}", owner(keeper(path).unwrap_or(path)))
}

/// Whether the system says by `error` that this user may not. What this program itself refuses has no number.
pub(crate) fn is_forbidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_some()
}

/// The file `path`, or the first directory above it that can be seen: that keeps from view what is below it.
fn keeper(path: &Path) -> Option<&Path> {
    path.ancestors().map(or_here).find(|above| fs::metadata(above).is_ok())
}

/// `path`, which is empty above a relative one.
pub(crate) fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Whose the file `keeper` is, who runs this, and what helps.
pub(crate) fn owner(keeper: &Path) -> String {
    let (shown, own) = (keeper.display(), geteuid().as_raw());
    match fs::metadata(keeper) {
        Ok(found) if found.uid() == own => {
            let mode = found.permissions().mode() & 0o7777;
            format!("{shown} belongs to {}, who runs this, and its mode is {mode:o}", user(own))
        }
        Ok(found) => {
            format!(
                "{shown} belongs to {}, and this runs as {}: run it as its owner",
                user(found.uid()),
                user(own)
            )
        }
        Err(_) => format!("{shown} belongs to another user than {}, who runs this", user(own)),
    }
}

fn user(uid: u32) -> String {
    match LocalUser::of_uid(uid) {
        LocalUser { name: Some(name), .. } => format!("the user {name} (id {uid})"),
        LocalUser { name: None, .. } => format!("the user with the id {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_this_user_may_not_read_is_told_with_its_owner_and_any_other_with_the_cause_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        fs::write(&file, "x").unwrap();
        let denied = io::Error::from_raw_os_error(rustix::io::Errno::ACCESS.raw_os_error());
        // What is not to be seen is kept by the first that is.
        for (path, keeper) in [(file.clone(), file.clone()), (dir.path().join("a/b"), dir.path().to_owned())]
        {
            let UnusableFile { problem, is_forbidden } = UnusableFile::unreadable(&path, &denied);
            assert!(is_forbidden);
            assert!(problem.starts_with(&format!("{} cannot be read: ", path.display())), "{problem}");
            assert!(problem.contains(&format!("; {} belongs to the user", keeper.display())), "{problem}");
        }
        for other in [
            io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error()),
            io::Error::new(io::ErrorKind::PermissionDenied, "it is a symbolic link"),
        ] {
            let UnusableFile { problem, is_forbidden } = UnusableFile::unwritable(&file, &other);
            assert!(!is_forbidden && problem.ends_with(&format!("cannot be written: {other}")), "{problem}");
        }
    }
}
