//! Owns telling the service's own files from others: what an operator has written must not take their place, nor go into them.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The files that the service needs: its database, its keys, its certificates.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnFiles(Vec<PathBuf>);

impl OwnFiles {
    /// The files at `paths`, whether they are there or not.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        Self(paths)
    }

    /// Refuses `path` if it is the name of one of them, by whatever way it leads there.
    pub(crate) fn refuse_name(&self, path: &Path) -> io::Result<()> {
        let is_own = |own: &PathBuf| {
            own.file_name() == path.file_name() && path.file_name().is_some() && {
                let [own, other] = [own, path].map(|path| fs::metadata(directory(path)).ok());
                own.zip(other).is_some_and(|(own, other)| is_same(&own, &other))
            }
        };
        self.0.iter().find(|own| is_own(own)).map_or(Ok(()), |own| refuse(own))
    }

    /// Refuses the file that is open and `found` so, if it is one of them, under whatever name it was opened.
    pub(crate) fn refuse_open(&self, found: &Metadata) -> io::Result<()> {
        let is_own = |own: &&PathBuf| fs::metadata(own).is_ok_and(|own| is_same(&own, found));
        self.0.iter().find(is_own).map_or(Ok(()), |own| refuse(own))
    }
}

/// The directory of `path`.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn refuse(own: &Path) -> io::Result<()> {
    let problem = format!("it is a file that the service itself needs: {}", own.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_own_file_is_known_by_every_way_that_leads_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("data")).unwrap();
        symlink(path("data"), path("also")).unwrap();
        fs::write(path("data/key"), "a key").unwrap();
        fs::hard_link(path("data/key"), path("copy")).unwrap();
        fs::write(path("other"), "a log").unwrap();
        let own =
            OwnFiles::new(vec![path("data/key"), path("data/not-yet"), PathBuf::from("no-directory/x")]);
        for name in ["data/key", "also/key", "data/../data/key", "data/not-yet", "also/not-yet"] {
            assert!(own.refuse_name(&path(name)).is_err(), "{name}");
        }
        for name in ["key", "data/other", "also/other", "nowhere/key", ".."] {
            assert!(own.refuse_name(&path(name)).is_ok(), "{name}");
        }
        assert!(own.refuse_open(&fs::metadata(path("copy")).unwrap()).is_err());
        assert!(own.refuse_open(&fs::metadata(path("other")).unwrap()).is_ok());
    }
}
