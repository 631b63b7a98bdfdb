//! Owns a directory in which programs of Node.js run: copies of sources of the tests, beside the packages that they need.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::tools::texts;

/// One that ends with the test.
pub(crate) struct NodePlace(TempDir);

impl NodePlace {
    /// With the `names` of `tests/clients/FOLDER`, and the packages and programs of `tools`.
    pub(crate) fn new(tools: &Path, folder: &str, names: &[&str]) -> Self {
        let place = Self(TempDir::new().expect("a directory for temporary files"));
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(folder);
        for name in names {
            fs::copy(sources.join(name), place.path(name)).expect("a source can be copied");
        }
        for name in ["bin", "node_modules"] {
            symlink(tools.join(name), place.path(name)).expect("a new name");
        }
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program `name` of a package.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.path("node_modules/.bin").join(name))
    }

    /// Node.js.
    pub(crate) fn node(&self) -> Command {
        Command::new(self.path("bin/node"))
    }

    /// What `command` writes, here.
    pub(crate) fn run(&self, command: &mut Command) -> String {
        self.run_in(self.0.path(), command)
    }

    /// What `command` writes in `folder`, with the programs that are here.
    pub(crate) fn run_in(&self, folder: &Path, command: &mut Command) -> String {
        let path = env::var_os("PATH").unwrap_or_default();
        let own = [self.path("bin"), self.path("node_modules/.bin")];
        let paths = own.into_iter().chain(env::split_paths(&path));
        let output = command
            .current_dir(folder)
            .env("PATH", env::join_paths(paths).expect("paths without colons"))
            .output()
            .expect("the program runs");
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{command:?}:\n{stdout}{stderr}");
        stdout
    }
}
