//! Owns a running `signet`: the real program on an empty data directory and free ports.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::tools::texts;

/// How long a start may take on a machine that is busy with other things. Passing it is a failure, never a pace.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Argon2id as cheap as it gets: what these tests look at is not the hash.
const CHEAP_HASH: [&str; 5] =
    ["--argon2-memory-kib", "64", "--argon2-iterations", "1", "--argon2-below-owasp"];

/// Where a server listens that is not told otherwise.
const FREE_PORTS: [&str; 3] =
    ["--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--operations-addr=127.0.0.1:0"];

/// A server that ends with the test.
pub(crate) struct Signet {
    process: Child,
    stdout: Receiver<String>,
    directory: TempDir,
    pub(crate) grpc_addr: String,
    pub(crate) http_addr: String,
    pub(crate) operations_addr: String,
}

impl Signet {
    /// A server that told programs where it listens.
    pub(crate) fn start() -> Self {
        Self::start_with(&CHEAP_HASH)
    }

    /// A server with the flags `flags`.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        let mut signet = Self::spawn(&[flags, &["--json"]].concat());
        let started = signet.line();
        let started: Value = serde_json::from_str(&started).expect("--json answers in JSON");
        started["grpc_addr"].as_str().expect("an address").clone_into(&mut signet.grpc_addr);
        started["http_addr"].as_str().expect("an address").clone_into(&mut signet.http_addr);
        started["operations_addr"].as_str().expect("an address").clone_into(&mut signet.operations_addr);
        signet
    }

    /// A server that told people where it listens, and the lines that it offers them to try.
    pub(crate) fn start_for_people() -> (Self, Vec<String>) {
        let signet = Self::spawn(&CHEAP_HASH);
        while signet.line() != "Try it:" {}
        let mut lines = Vec::new();
        loop {
            let line = signet.line();
            if line.is_empty() {
                return (signet, lines);
            }
            lines.push(line.trim().to_owned());
        }
    }

    /// Asks `signet` in another process, as an operator does, and returns its answer.
    pub(crate) fn operate(&self, arguments: &[&str]) -> Value {
        let answer = self.run(&[&["--json"], arguments].concat());
        serde_json::from_str(&answer).expect("--json answers in JSON")
    }

    /// Runs `signet` in another process, as an operator does, and returns what it writes.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = program(&self.directory).args(arguments).output().expect("signet runs");
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "signet {arguments:?}: {stderr}");
        stdout
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Where the server keeps its data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn spawn(flags: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory for temporary files");
        let log = File::create(directory.path().join("log")).expect("a file in a new directory");
        let mut process = program(&directory)
            .args(
                FREE_PORTS.iter().filter(|free| !flags.iter().any(|flag| free.starts_with(flag_name(flag)))),
            )
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("signet runs");
        // A thread reads, so that waiting for a line can end.
        let stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let (grpc_addr, http_addr, operations_addr) = Default::default();
        Self { process, stdout: receiver, directory, grpc_addr, http_addr, operations_addr }
    }

    /// The next line that the server writes.
    fn line(&self) -> String {
        self.stdout
            .recv_timeout(START_TIMEOUT)
            .unwrap_or_else(|_| panic!("signet did not start; its log:\n{}", self.log()))
    }
}

impl Drop for Signet {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `--http-addr` of `--http-addr=127.0.0.1:0`.
fn flag_name(flag: &str) -> &str {
    flag.split('=').next().unwrap_or(flag)
}

/// The program on the data of `directory`, untouched by the settings of whoever runs the tests.
fn program(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SIGNET_")) {
        command.env_remove(name);
    }
    command.arg("--data-dir").arg(directory.path().join("data"));
    command
}
