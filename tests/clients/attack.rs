//! Owns the promise that `scripts/attack` runs. What it measures depends on the machine, so it is not judged here.

use std::process::Command;

fn attack(arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/attack");
    let output = Command::new(script).args(arguments).output().expect("scripts/attack can be run");
    let [said, complained] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    // 1: a trial did not keep what is promised.
    assert!(matches!(output.status.code(), Some(0 | 1)) && complained.is_empty(), "{said}{complained}");
    said.into_owned()
}

#[test]
fn it_names_its_attacks() {
    let listed = attack(&["--list"]);
    assert!(listed.lines().count() > 50, "{listed}");
    assert!(listed.lines().any(|line| line.starts_with("heads ")), "{listed}");
}

#[test]
fn it_attacks_a_server_of_its_own_and_tells_what_honest_callers_saw() {
    let program = env!("CARGO_BIN_EXE_signet");
    let told = attack(&["--program", program, "--only", "heads", "--from", "1", "--seconds", "1"]);
    let row = told.lines().find(|line| line.starts_with("| gRPC: 17 connections")).unwrap_or_default();
    assert_eq!(row.matches('|').count(), 7, "{told}");
    assert!(told.contains("of 1 trials kept what is promised."), "{told}");
}
