//! Owns where the lines go: standard error, or the end of a file that may be moved away at any time.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use crate::{
    files::{OwnFiles, open_log},
    observe,
};

/// Where the lines go.
#[derive(Debug)]
pub(super) enum Sink {
    /// Nowhere: the events go to the database alone.
    Nowhere,
    /// Standard error.
    Stderr,
    /// A file.
    File(LogFile),
}

/// A file that lines are appended to, which works with both ways of rotating it: each write goes to where the end is
/// at that moment (`copytruncate`), and a file that was moved away is not written to any more (`create`).
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// What it must not be.
    own_files: OwnFiles,
    file: File,
    /// A write ended in the middle of a line.
    torn: bool,
}

impl Sink {
    /// The end of the file `path`, which is made if it is not there, and must be none of `own_files`.
    pub(super) fn file(path: PathBuf, own_files: OwnFiles) -> io::Result<Self> {
        let file = open_log(&path, &own_files)?;
        Ok(Self::File(LogFile { path, own_files, file, torn: false }))
    }

    /// Writes whole lines, and waits until they are written.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Stderr => observe::stderr().write(lines),
            Self::File(file) => file.write(lines),
        }
    }
}

impl LogFile {
    fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        if !self.is_in_place()? {
            self.file = open_log(&self.path, &self.own_files)?;
            self.torn = false;
        }
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        // One write for all that is there, so that the lines of several processes do not mix.
        while !lines.is_empty() {
            match self.file.write(lines) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.torn = lines[written - 1] != b'\n';
                    lines = &lines[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the file is still the one at its path.
    fn is_in_place(&self) -> io::Result<bool> {
        let there = match fs::metadata(&self.path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let open = self.file.metadata()?;
        Ok((there.dev(), there.ino()) == (open.dev(), open.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_moved_or_truncated_loses_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("audit"), dir.path().join("audit.1"));
        let mut sink = Sink::file(path.clone(), OwnFiles::default()).unwrap();
        sink.write(b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        sink.write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        File::options().write(true).truncate(true).open(&path).unwrap();
        sink.write(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n", "no hole where the lines were");
    }
}
