//! Owns what an operator's decision does to a user who is being served.

use std::time::Duration;

use serde_json::{Value, json};
use signet::base::Clock;

use crate::{
    grpcurl::{self, Refusal},
    signet::Signet,
};

/// By when another process's decision must have arrived, on a machine that is busy with other things. Whether it does in the promised
/// second (`--standing-cache-max-age`) is tried in tests/api, by a clock that is turned.
const ARRIVAL: Duration = Duration::from_mins(1);

/// Calls `GetMe` until its answer is `wanted`, which must come in time.
fn eventually(signet: &Signet, token: &str, wanted: impl Fn(&Result<Value, Refusal>) -> bool) {
    let clock = Clock::system();
    let started = clock.monotonic();
    loop {
        let answer = grpcurl::call(signet, Some(token), "GetMe", &json!({}));
        if wanted(&answer) {
            return;
        }
        let elapsed = clock.monotonic().saturating_sub(started);
        assert!(elapsed < ARRIVAL, "after {elapsed:?} the answer is still {answer:?}");
    }
}

fn is_revoked(answer: &Result<Value, Refusal>) -> bool {
    answer.as_ref().is_err_and(|refusal| {
        assert_eq!((refusal.exit_code, refusal.reason()), (80, "TOKEN_REVOKED"));
        true
    })
}

#[test]
fn a_disabled_user_is_refused_and_an_enabled_one_served_again() {
    let signet = Signet::start();
    let token = grpcurl::sign_up(&signet, "alice", "correct horse");
    let other = grpcurl::sign_up(&signet, "bob", "correct horse");
    // The server remembers her now, which is what must not last.
    grpcurl::call(&signet, Some(&token), "GetMe", &json!({})).expect("she is active");

    assert_eq!(signet.operate(&["users", "disable", "alice", "--yes"])["is_active"], false);
    eventually(&signet, &token, is_revoked);
    let grant = json!({ "password": { "username": "alice", "password": "correct horse" } });
    let refusal = grpcurl::refusal(&signet, None, "IssueToken", &grant);
    assert_eq!(refusal.reason(), "INVALID_CREDENTIALS", "nor does she get another token");
    grpcurl::call(&signet, Some(&other), "GetMe", &json!({})).expect("he is another");

    assert_eq!(signet.operate(&["users", "enable", "alice"])["is_active"], true);
    let answer = grpcurl::call(&signet, None, "IssueToken", &grant).expect("she is active again");
    eventually(&signet, answer["accessToken"].as_str().expect("a token"), Result::is_ok);
    assert!(is_revoked(&grpcurl::call(&signet, Some(&token), "GetMe", &json!({}))), "what she had has ended");
}

#[test]
fn a_deleted_user_is_refused_and_the_name_is_free() {
    let signet = Signet::start();
    let token = grpcurl::sign_up(&signet, "alice", "correct horse");
    grpcurl::call(&signet, Some(&token), "GetMe", &json!({})).expect("she is there");
    signet.operate(&["users", "delete", "alice", "--yes"]);
    eventually(&signet, &token, is_revoked);
    let heir = grpcurl::sign_up(&signet, "alice", "battery staple");
    grpcurl::call(&signet, Some(&heir), "GetMe", &json!({})).expect("she is another alice");
    eventually(&signet, &token, is_revoked);
}
