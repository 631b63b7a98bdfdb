//! Owns the promise of the lines that the program prints when it has started: they work as printed.

use std::{env, os::unix::fs::symlink, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    signet::Signet,
    support::program::find,
    tools::{self, texts},
};

#[test]
fn the_lines_to_try_work_as_printed() {
    let (_signet, lines) = Signet::start_for_people();
    let methods: Vec<_> =
        lines.iter().filter_map(|line| line.rsplit_once('/')).map(|(_, name)| name).collect();
    assert_eq!(methods, ["SignUp", "IssueToken", "GetMe", "SignUp"], "{lines:#?}");

    // The lines say `grpcurl` and `curl`, whatever the programs' files are called.
    let directory = TempDir::new().expect("a directory for temporary files");
    for (program, name) in [(tools::grpcurl(), "grpcurl"), (find("SIGNET_TEST_CURL", "curl"), "curl")] {
        symlink(program, directory.path().join(name)).expect("a link in a new directory");
    }
    let mut token = String::new();
    for line in lines {
        let line = line.replace("<access_token>", &token);
        let answer = shell(&directory, &line);
        if let Some(issued) = answer["accessToken"].as_str() {
            issued.clone_into(&mut token);
        } else {
            let name = if line.starts_with("curl") { "bob" } else { "alice" };
            assert_eq!(answer["user"]["username"], name, "{line}");
        }
    }
    assert!(!token.is_empty());
}

/// Runs `line` as a user would who copies it into a shell.
fn shell(directory: &TempDir, line: &str) -> Value {
    let path = env::var_os("PATH").unwrap_or_default();
    let path = [directory.path().to_owned()].into_iter().chain(env::split_paths(&path));
    let path = env::join_paths(path).expect("it was split just now");
    let output = Command::new("sh").args(["-c", line]).env("PATH", path).output().expect("a shell");
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{line}: {stderr}");
    serde_json::from_str(&stdout).expect("both answer in JSON")
}
