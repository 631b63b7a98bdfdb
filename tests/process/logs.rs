//! Owns what logs promise: lines that programs read, and never a secret.

use std::fs;

use serde_json::Value;

use crate::{
    client::{PASSWORD, reason},
    harness::Place,
};

/// A password that is wrong, and that occurs nowhere else.
const BAD_PASSWORD: &str = "wrong-staple-battery";

#[tokio::test]
async fn json_logs_are_one_object_a_line() {
    let place = Place::new();
    let service = place.serve(&["--log-format=json", "--log-level=debug"]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
    let finished = service.stop().await;
    let mut own = 0;
    for line in finished.stderr.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let members = if event["target"] == "audit" {
            ["timestamp", "event", "outcome", "actor"]
        } else {
            ["timestamp", "level", "target", "message"]
        };
        for member in members {
            assert!(event[member].is_string(), "{member}: {line}");
        }
        own += usize::from(event["target"].as_str().unwrap().starts_with("signet"));
    }
    assert!(own >= 2, "it tells at least what it made and that it stops: {}", finished.stderr);
}

#[tokio::test]
async fn no_secret_is_ever_said_not_even_when_everything_is_logged() {
    for format in ["text", "json"] {
        let place = Place::new();
        let service = place.serve(&["--log-level=trace", "--log-format", format]).await;
        let client = service.client().await;
        client.sign_up("alice").await.unwrap();
        let token = client.log_in("alice", PASSWORD).await.unwrap();
        client.get_me(&token).await.unwrap();
        assert_eq!(reason(&client.log_in("alice", BAD_PASSWORD).await), "INVALID_CREDENTIALS");
        // A genuine token whose signature somebody cut is still a secret.
        let cut = &token[..token.len() - 4];
        assert_eq!(reason(&client.get_me(cut).await), "TOKEN_INVALID");
        let finished = service.stop().await;
        let args = ["users", "create", "bob", "--log-level=trace", "--log-format", format];
        let created = place.signet(&args).password().run().await.succeeded();

        let said = [finished.stdout, finished.stderr, created.stdout, created.stderr].concat();
        assert!(said.contains("TRACE"), "everything is logged");
        let key = fs::read_to_string(place.data("master.key")).unwrap();
        for (what, secret) in [
            ("password", PASSWORD),
            ("wrong password", BAD_PASSWORD),
            ("token", cut),
            ("token's signature", cut.rsplit('.').next().unwrap()),
            ("token's claims", cut.split('.').nth(1).unwrap()),
            ("master key", key.trim()),
            ("hash", "$argon2id$"),
        ] {
            let line = said.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "the {what} is said");
        }
    }
}

#[tokio::test]
async fn an_ingress_that_nobody_has_named_is_told_once_its_guesses_wait_behind_all_others() {
    let place = Place::new();
    let service = place.serve(&["--address-failures=10", "--log-format=json"]).await;
    let client = service.client().await;
    for _ in 0..12 {
        assert_eq!(reason(&client.log_in("alice", BAD_PASSWORD).await), "INVALID_CREDENTIALS");
    }
    let finished = service.stop().await;
    let lines = finished.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let advice = |line: &Value| {
        line["message"].as_str().is_some_and(|said| said.contains("--trusted-proxy-addresses"))
    };
    let advice: Vec<_> = lines.filter(advice).collect();
    let [advice] = advice.as_slice() else { panic!("{advice:?}") };
    assert_eq!((&advice["level"], &advice["address"]), (&"WARN".into(), &"127.0.0.1".into()));
}
