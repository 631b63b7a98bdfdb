//! Owns what a user reads when a call is refused: codes, reasons and details, decoded without the proto.

use serde_json::{Value, json};

use crate::{
    grpcurl::{self, Refusal},
    signet::Signet,
    tools::texts,
};

/// What a program would decide by.
fn verdict(refusal: &Refusal) -> (i32, i64, &str) {
    (refusal.exit_code, refusal.code, refusal.reason())
}

#[test]
fn a_taken_username_is_told_in_any_spelling() {
    let signet = Signet::start();
    grpcurl::sign_up(&signet, "Alice", "correct horse");
    for spelling in ["Alice", "ALICE", "\u{ff21}lice"] {
        let account = json!({ "username": spelling, "password": "correct horse" });
        let refusal = grpcurl::refusal(&signet, None, "SignUp", &account);
        assert_eq!(verdict(&refusal), (70, 6, "USERNAME_TAKEN"), "{spelling}");
        assert_eq!(refusal.message, "the username is taken");
    }
}

#[test]
fn every_violation_is_told_at_once() {
    let signet = Signet::start();
    let account = json!({ "username": "a b", "password": "hunter2", "email": "nowhere", "displayName": "" });
    let refusal = grpcurl::refusal(&signet, None, "SignUp", &account);
    assert_eq!(verdict(&refusal), (67, 3, "INVALID_FIELDS"));
    let violations = refusal.detail("BadRequest").expect("violations")["fieldViolations"].clone();
    let told: Vec<_> = violations
        .as_array()
        .expect("a list")
        .iter()
        .map(|violation| {
            assert!(violation["description"].as_str().is_some_and(|text| !text.is_empty()), "{violation}");
            (
                violation["field"].as_str().unwrap_or_default(),
                violation["reason"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("username", "FORBIDDEN_CHARACTER"),
            ("password", "TOO_SHORT"),
            ("email", "MALFORMED"),
            ("display_name", "REQUIRED"),
        ]
    );
    assert!(!format!("{refusal:?}").contains("hunter2"), "a password is never repeated: {refusal:?}");

    let refusal = grpcurl::refusal(&signet, None, "IssueToken", &json!({}));
    assert_eq!(verdict(&refusal), (67, 3, "INVALID_FIELDS"));
    assert_eq!(refusal.detail("BadRequest").expect("violations")["fieldViolations"][0]["field"], "grant");
}

#[test]
fn a_wrong_password_and_an_unknown_user_get_one_answer() {
    let signet = Signet::start();
    grpcurl::sign_up(&signet, "alice", "correct horse");
    let oversized = "x".repeat(10_000);
    let answers: Vec<_> =
        [("alice", "wrong horse"), ("mallory", "correct horse"), ("a b", ""), ("alice", &oversized)]
            .iter()
            .map(|(username, password)| {
                let grant = json!({ "password": { "username": username, "password": password } });
                let refusal = grpcurl::refusal(&signet, None, "IssueToken", &grant);
                assert_eq!(verdict(&refusal), (80, 16, "INVALID_CREDENTIALS"), "{username}");
                let of_any = |detail: &Value| detail["@type"] != "type.googleapis.com/google.rpc.RequestInfo";
                (refusal.message, refusal.details.into_iter().filter(of_any).collect::<Vec<_>>())
            })
            .collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

#[test]
fn a_missing_and_a_bad_token_are_told_apart() {
    let signet = Signet::start();
    let token = grpcurl::sign_up(&signet, "alice", "correct horse");
    let refusal = grpcurl::refusal(&signet, None, "GetMe", &json!({}));
    assert_eq!(verdict(&refusal), (80, 16, "TOKEN_MISSING"));
    assert!(refusal.message.contains("authorization: Bearer"), "it says what to send: {}", refusal.message);

    // The first letter of the signature is another one. (The last would not do: it has bits that mean nothing.)
    let (content, signature) = token.rsplit_once('.').expect("a JWT");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{content}.{other}{}", &signature[1..]);
    for bad in ["not-a-token", &forged] {
        let refusal = grpcurl::refusal(&signet, Some(bad), "GetMe", &json!({}));
        assert_eq!(verdict(&refusal), (80, 16, "TOKEN_INVALID"), "{bad}");
        assert!(!format!("{refusal:?}").contains(bad), "a token is never repeated: {refusal:?}");
    }
    assert!(grpcurl::call(&signet, Some(&token), "GetMe", &json!({})).is_ok(), "the token itself is good");
}

#[test]
fn without_any_flag_the_details_are_readable() {
    let signet = Signet::start();
    let output = grpcurl::run(&signet, &[], &["identity.v1.IdentityService/GetMe"]);
    assert_eq!(output.status.code(), Some(80));
    let (_, stderr) = texts(&output);
    for piece in
        ["Code: Unauthenticated", "Details:", r#""reason":"TOKEN_MISSING""#, r#""domain":"identity.v1""#]
    {
        assert!(stderr.contains(piece), "{piece:?} is not in {stderr}");
    }
}
