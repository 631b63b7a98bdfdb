//! Owns where the programs are that cargo does not bring.

use std::{env, path::PathBuf};

/// The program `name`: what the environment's `variable` names, or else the one on the `PATH`.
pub(crate) fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable).map(PathBuf::from) {
        assert!(path.is_file(), "{variable} names {}, and there is no such file", path.display());
        return path;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file()).unwrap_or_else(
        || panic!("{name} is neither on the PATH nor named by {variable}: scripts/test --help says where it comes from"),
    )
}

/// The directory that the environment's `variable` names.
pub(crate) fn directory(variable: &str) -> PathBuf {
    let path = env::var_os(variable).map(PathBuf::from);
    let path = path.unwrap_or_else(|| {
        panic!("{variable} is not set: scripts/test fetches what is in it and runs these tests")
    });
    assert!(path.is_dir(), "{variable} names {}, and there is no such directory", path.display());
    path
}
