//! Owns telling whether this user may use a database's file at all: what may not be seen is not what is not there.

use std::{fs, io, path::Path};

use rustix::fs::{Access, access};

use super::{FileProblem, StartError};
use crate::config::{or_here, owner};

/// Refuses the database file `path` if it exists, or may exist, and this user may not read and write it; and, if it is to be `made`, where
/// this user may not make it. A file that does not exist and is not to be made is no error here: the caller refuses it.
///
/// # Errors
/// [`StartError::File`], with whose it is.
pub(super) fn check(path: &Path, made: bool) -> Result<(), StartError> {
    // The first that can be seen keeps from view what is below it.
    let keeper = || path.ancestors().skip(1).map(or_here).find(|above| fs::metadata(above).is_ok());
    match path.try_exists() {
        Ok(true) if is_kept_from_us(path, Access::READ_OK | Access::WRITE_OK) => Err(refused(path, path)),
        Ok(false) if made => match keeper() {
            Some(keeper) if is_kept_from_us(keeper, Access::WRITE_OK) => Err(refused(path, keeper)),
            _ => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(refused(path, keeper().unwrap_or(path)))
        }
        // Whoever opens it says what is wrong.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_kept_from_us(path: &Path, how: Access) -> bool {
    access(path, how).is_err_and(|error| io::Error::from(error).kind() == io::ErrorKind::PermissionDenied)
}

/// That the owner of `keeper` keeps the file `path` from this user.
fn refused(path: &Path, keeper: &Path) -> StartError {
    let problem = format!("{} may not be read and written: {}", path.display(), owner(keeper));
    StartError::File(FileProblem::Forbidden, problem)
}
