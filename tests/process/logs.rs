//! Owns what logs promise: lines that programs read, and never a secret.

use std::fs;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

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

#[tokio::test]
async fn full_places_are_told_with_the_busiest_peer_and_counted() {
    // Four messages may be on their way, and one of each peer.
    const FEW: [&str; 3] = ["--max-in-flight-calls=4", "--receive-timeout=1m", "--request-timeout=5m"];
    const BEGUN: &str = "POST /oauth2/token HTTP/1.1\r\nhost: signet\r\ncontent-length: 10\r\n\r\na";
    let place = Place::new();
    let service = place.serve(&[&FEW[..], &["--log-format=json"]].concat()).await;
    let begin = async || {
        let mut stream = TcpStream::connect(service.http_addr()).await.unwrap();
        stream.write_all(BEGUN.as_bytes()).await.unwrap();
        stream
    };
    let _kept = begin().await;
    let taken = "signet_places_taken{lane=\"arriving_strangers\",listener=\"http\"} 1\n";
    while !service.operations_get("/metrics").await.1.contains(taken) {}
    for _ in 0..3 {
        let mut status = [0; 12];
        begin().await.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 429");
    }
    let refused = "signet_places_refused_total{lane=\"arriving_strangers\",listener=\"http\"} 3\n";
    assert!(service.operations_get("/metrics").await.1.contains(refused));
    let log = service.stop().await.stderr;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told: Vec<_> = lines.filter(|line| line["busiest_peer"].is_string()).collect();
    let [told] = told.as_slice() else { panic!("once a minute: {told:?}") };
    for (field, expected) in [
        ("level", "WARN"),
        ("listener", "http"),
        ("lane", "arriving_strangers"),
        ("busiest_peer", "127.0.0.1"),
    ] {
        assert_eq!(told[field], expected, "{told}");
    }
}

#[tokio::test]
async fn bounds_beyond_the_memory_are_told_where_no_budget_was_set() {
    for (options, is_told) in [(&["--max-in-flight-calls=1000000"][..], true), (&[], false)] {
        let place = Place::new();
        let service = place.serve(&[options, &["--log-format=json"]].concat()).await;
        let log = service.stop().await.stderr;
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told: Vec<_> =
            lines.filter(|line| line["level"] == "WARN" && line["needed_bytes"].is_u64()).collect();
        assert_eq!(told.len(), usize::from(is_told), "{options:?}: {log}");
        for line in told {
            assert!(line["needed_bytes"].as_u64() > line["memory_budget_bytes"].as_u64(), "{line}");
        }
    }
}
