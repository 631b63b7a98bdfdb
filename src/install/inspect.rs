//! Owns looking at the files of an installation without changing any: whose they are, and who else can use them.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::data_dir;
use crate::{
    config::{Config, DatabaseLocation},
    files::{check_directory, check_unopened, problem_and_mend},
};

/// What others than the owner may do with a file that holds a secret: nothing.
const OTHERS: u32 = 0o007;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// Which.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
    /// The command that mends it, if there is one.
    pub mend: Option<String>,
    /// Whether the service refuses it: it starts no more.
    pub is_refused: bool,
}

/// Looks at the files that `config` names or that the service has made: how many there are, and what is wrong with them.
///
/// The service's own must be this user's, and nobody else's to read. Those that others give it, as secrets of a container are, are only
/// told of where everybody can read them.
#[must_use]
pub fn inspect_files(config: &Config) -> (usize, Vec<FileFault>) {
    let (mut count, mut faults) = (0, Vec::new());
    let is_embedded = matches!(config.storage.location(), Ok(DatabaseLocation::Embedded));
    let dir = &config.storage.data_dir;
    if is_embedded && dir.exists() {
        count += 1;
        match check_directory(dir) {
            Ok(None) => {}
            Ok(Some(problem)) => {
                let mend = Some(format!("chmod go-w {}", dir.display()));
                faults.push(FileFault { path: dir.clone(), problem, mend, is_refused: false });
            }
            Err(error) => faults.push(refused(dir, &error)),
        }
    }
    let named = [&config.storage.master_key_file, &config.storage.database_url_file, &config.tls.tls_key];
    let named: Vec<&PathBuf> = named.into_iter().flatten().collect();
    let own = data_dir::own_files(&config.storage).into_iter().filter(|path| !named.contains(&path));
    for path in own.filter(|path| path.symlink_metadata().is_ok()) {
        count += 1;
        if let Err(error) = check_unopened(&path) {
            faults.push(refused(&path, &error));
        }
    }
    for path in named {
        count += 1;
        // A secret of Kubernetes is a link.
        match fs::metadata(path) {
            Ok(found) if found.permissions().mode() & OTHERS != 0 => {
                let problem = "every user of this machine can read it, or write it".to_owned();
                let mend = Some(format!("chmod o= {}", path.display()));
                faults.push(FileFault { path: path.clone(), problem, mend, is_refused: false });
            }
            Ok(_) => {}
            Err(error) => faults.push(refused(path, &error)),
        }
    }
    (count, faults)
}

fn refused(path: &Path, error: &io::Error) -> FileFault {
    let (problem, mend) = problem_and_mend(error);
    FileFault { path: path.to_owned(), problem, mend, is_refused: true }
}
