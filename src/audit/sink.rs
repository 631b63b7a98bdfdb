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
    /// Standard error, once the command has answered.
    AfterAnswer,
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
    /// Whether it is told that there is another file at its path, which cannot be opened.
    told_misplaced: bool,
}

impl Sink {
    /// The end of the file `path`, which is made if it is not there, and must be none of `own_files`.
    pub(super) fn file(path: PathBuf, own_files: OwnFiles) -> io::Result<Self> {
        let file = open_log(&path, &own_files)?;
        Ok(Self::File(LogFile { path, own_files, file, torn: false, told_misplaced: false }))
    }

    /// Writes whole lines, and waits until they are written.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Stderr => observe::stderr().write(lines),
            Self::AfterAnswer => observe::write_at_the_end(lines),
            Self::File(file) => file.write(lines).map_err(|error| file.named(&error)),
        }
    }

    /// Opens the file again if it was moved away: until something is written, it is open under its new name. If there is none to open, the
    /// old one stays open, and lines go on into it.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Nowhere | Self::Stderr | Self::AfterAnswer => Ok(()),
            Self::File(file) => file.follow().map_err(|error| file.named(&error)),
        }
    }
}

impl LogFile {
    /// `error`, with the path.
    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }

    /// Has the file open that is at its path now, or the one that was.
    fn follow(&mut self) -> io::Result<()> {
        if !self.is_in_place()? {
            self.file = open_log(&self.path, &self.own_files)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Has a file open that lines can be read in later: if not the one at its path, the one that was there.
    fn follow_if_possible(&mut self) -> io::Result<()> {
        let Err(error) = self.follow() else {
            if std::mem::take(&mut self.told_misplaced) {
                let file = self.path.display().to_string();
                tracing::info!(file, "the audit log is written there again");
            }
            return Ok(());
        };
        if self.file.metadata()?.nlink() == 0 {
            return Err(error);
        }
        if !std::mem::replace(&mut self.told_misplaced, true) {
            let file = self.path.display().to_string();
            tracing::error!(
                file,
                error = %error,
                "the audit log was moved away, and cannot be opened again: events go on into the old file"
            );
        }
        Ok(())
    }

    fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        self.follow_if_possible()?;
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
        fs::rename(&path, &moved).unwrap();
        sink.reopen().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "", "it is there before there is a line");
        sink.reopen().unwrap();
        fs::remove_dir_all(dir.path()).unwrap();
        assert!(sink.reopen().is_err());
        let error = sink.write(b"four\n").expect_err("nobody could read it");
        assert!(error.to_string().contains("audit: "), "{error}");
    }

    #[test]
    fn a_path_that_cannot_be_opened_loses_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("audit"), dir.path().join("audit.1"));
        let mut sink = Sink::file(path.clone(), OwnFiles::default()).unwrap();
        sink.write(b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        let error = sink.reopen().expect_err("it is a directory").to_string();
        assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
        for line in ["two\n", "three\n"] {
            sink.write(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&moved).unwrap(), "one\ntwo\nthree\n");
        fs::remove_dir(&path).unwrap();
        sink.write(b"four\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
        assert_eq!(fs::read_to_string(&moved).unwrap(), "one\ntwo\nthree\n");
    }
}
