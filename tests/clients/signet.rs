//! Owns a running `signet`: the real program on an empty data directory and free ports.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::runner::{Invocation, Process};

/// A server that ends with the test.
pub(crate) struct Signet {
    process: Process,
    directory: TempDir,
    pub(crate) grpc_addr: String,
    pub(crate) http_addr: String,
    pub(crate) operations_addr: String,
    pub(crate) admin_addr: String,
}

impl Signet {
    /// A server that told programs where it listens.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with the flags `flags`.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        Self::start_with_env(flags, &[])
    }

    /// A server with the flags `flags`, and `variables` in its environment.
    pub(crate) fn start_with_env(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::serve(TempDir::new().expect("a directory for temporary files"), flags, variables)
    }

    /// The server on the same data again, with the flags `flags`.
    pub(crate) fn restarted_with(self, flags: &[&str]) -> Self {
        let Self { mut process, directory, .. } = self;
        process.stop_now().succeeded();
        Self::serve(directory, flags, &[])
    }

    fn serve(directory: TempDir, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let service = program(&directory).args(flags).envs(variables.iter().copied()).serve_now();
        Self {
            grpc_addr: service.grpc_addr().to_string(),
            http_addr: service.http_addr().to_string(),
            operations_addr: service.operations_addr().to_string(),
            admin_addr: service.admin_addr().to_string(),
            process: service.process,
            directory,
        }
    }

    /// A server that told people where it listens, and the lines that it offers them to try.
    pub(crate) fn start_for_people() -> ((Process, TempDir), Vec<String>) {
        let directory = TempDir::new().expect("a directory for temporary files");
        let mut process = program(&directory).start();
        let mut line = || process.line_now().expect("it goes on");
        while line() != "Try it:" {}
        let lines = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty()));
        let lines = lines.filter_map(|line| line.strip_prefix("  ").map(str::to_owned)).collect();
        ((process, directory), lines)
    }

    /// Asks `signet` in another process, as an operator does, and returns its answer.
    pub(crate) fn operate(&self, arguments: &[&str]) -> Value {
        let answer = self.run(&[&["--json"], arguments].concat());
        serde_json::from_str(&answer).expect("--json answers in JSON")
    }

    /// Runs `signet` in another process, as an operator does, and returns what it writes.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        program(&self.directory).args(arguments).run_now().succeeded().stdout
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Where the server keeps its data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

/// The program on the data of `directory`.
fn program(directory: &TempDir) -> Invocation {
    let data = directory.path().join("data");
    Invocation::signet().with_cheap_hashes().args([format!("--data-dir={}", data.display())])
}
