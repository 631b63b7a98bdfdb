//! Owns what a user reads when an answer takes too long.

use serde_json::json;

use crate::{grpcurl, signet::Signet, tools::texts};

/// A hash that takes many seconds on any machine. One thread computes it, and the server's end ends it.
const SLOW_HASH: [&str; 6] =
    ["--argon2-memory-kib", "65536", "--argon2-iterations", "1000", "--hash-threads", "1"];

fn grant() -> serde_json::Value {
    json!({ "password": { "username": "alice", "password": "correct horse" } })
}

#[test]
fn the_servers_own_timeout_is_told_with_its_reason() {
    let signet = Signet::start_with(&[&SLOW_HASH[..], &["--request-timeout", "1s"]].concat());
    let refusal = grpcurl::refusal(&signet, None, "IssueToken", &grant());
    assert_eq!((refusal.exit_code, refusal.code, refusal.reason()), (68, 4, "DEADLINE_EXCEEDED"));
}

#[test]
fn a_clients_own_deadline_is_kept() {
    let signet = Signet::start_with(&[&SLOW_HASH[..], &["--request-timeout", "5m"]].concat());
    let method = "identity.v1.IdentityService/IssueToken";
    let output = grpcurl::run(&signet, &["-max-time", "1", "-d", &grant().to_string()], &[method]);
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(68), "{stderr}");
    assert!(stderr.contains("Code: DeadlineExceeded"), "{stderr}");
}
