//! Owns the form of a backup: a SQLite file, and behind its last page a mark and the SHA-256 of all before the mark.
//!
//! SQLite does not look beyond the last page, so that its own tools open a backup as it is. The digest finds damage that SQLite
//! cannot: a page that is missing, a bit of a hash that has turned. It does not prove who wrote the file.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use crate::files::open_input;

/// What stands before the digest, with the version of this form.
const MARK: &[u8; 16] = b"signet backup 1\n";

/// Mark and digest together, in bytes.
const END: u64 = (MARK.len() + SHA256_OUTPUT_LEN) as u64;

/// How much is read at a time.
const BUFFER: usize = 1 << 16;

/// A backup, open to be read.
#[derive(Debug)]
pub(super) struct BackupFile {
    file: File,
    /// How long the database in it is, in bytes.
    length: u64,
    sha256: [u8; SHA256_OUTPUT_LEN],
}

impl BackupFile {
    /// Opens the backup `path`; none if the file is none, or its end is missing.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let mut file = open_input(path)?;
        let Some(length) = file.metadata()?.len().checked_sub(END) else { return Ok(None) };
        let (mut mark, mut sha256) = ([0; MARK.len()], [0; SHA256_OUTPUT_LEN]);
        file.seek(SeekFrom::Start(length))?;
        file.read_exact(&mut mark)?;
        file.read_exact(&mut sha256)?;
        Ok((mark == *MARK).then_some(Self { file, length, sha256 }))
    }

    /// Copies the database in it to `to`; false if it is not what was written once.
    pub(super) fn extract(mut self, to: &mut impl Write) -> io::Result<bool> {
        self.file.rewind()?;
        Ok(digest(&mut self.file.take(self.length), to)? == self.sha256)
    }
}

/// Makes the database in `file` a backup.
pub(super) fn seal(file: &mut File) -> io::Result<()> {
    file.rewind()?;
    let sha256 = digest(file, &mut io::sink())?;
    file.write_all(MARK)?;
    file.write_all(&sha256)
}

/// Copies `from` to its end, and returns its SHA-256.
fn digest(from: &mut impl Read, to: &mut impl Write) -> io::Result<[u8; SHA256_OUTPUT_LEN]> {
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; BUFFER]);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        context.update(read);
        to.write_all(read)?;
    }
    let mut sha256 = [0; SHA256_OUTPUT_LEN];
    sha256.copy_from_slice(context.finish().as_ref());
    Ok(sha256)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backup(content: &[u8]) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        seal(&mut file).unwrap();
        let mut all = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut all).unwrap();
        all
    }

    /// What comes out of a file with `content`: the database, if it is a backup and whole.
    fn extracted(content: &[u8]) -> Option<Vec<u8>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let mut database = Vec::new();
        let whole = BackupFile::open(file.path()).unwrap()?.extract(&mut database).unwrap();
        whole.then_some(database)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_cut_changed_or_lengthened_is_no_backup(
            content in proptest::collection::vec(any::<u8>(), 0..300),
            place in any::<proptest::sample::Index>(),
            bit in 0..8_u8,
            more in any::<u8>(),
        ) {
            let whole = backup(&content);
            prop_assert_eq!(extracted(&whole), Some(content));
            let place = place.index(whole.len());
            prop_assert_eq!(extracted(&whole[..place]), None);
            let mut changed = whole.clone();
            changed[place] ^= 1 << bit;
            prop_assert_eq!(extracted(&changed), None);
            let mut longer = whole;
            longer.push(more);
            prop_assert_eq!(extracted(&longer), None);
        }
    }
}
