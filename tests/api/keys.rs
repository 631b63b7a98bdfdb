//! Owns what signing keys promise: every algorithm, restarts, and the published set.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use signet::{base::Clock, install::StartError, server::Server, store::DatabaseClock};
use tonic::Code;

use crate::harness::{Data, PASSWORD, TestServer, assert_refused, config, eventually};

pub(crate) const A_MINUTE: Duration = Duration::from_mins(1);
pub(crate) const AN_HOUR: Duration = Duration::from_hours(1);
pub(crate) const A_DAY: Duration = Duration::from_hours(24);

/// After what time a key's successor is published by default: it signs for 30 days, and the next is published an hour ahead.
pub(crate) const UNTIL_DUE: Duration = Duration::from_hours(30 * 24 - 1);

/// Which key signed `token`.
pub(crate) fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// The keys that others verify with, as the server shows them.
pub(crate) async fn published(server: &TestServer) -> Vec<serde_json::Value> {
    let response = server.http_get("/.well-known/jwks.json").await;
    assert_eq!(response.headers()["content-type"], "application/jwk-set+json");
    assert!(response.headers().contains_key("cache-control"));
    let set: serde_json::Value = serde_json::from_str(response.body()).unwrap();
    set["keys"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_algorithm_signs_tokens_that_verify_and_publishes_what_others_need() {
    for (alg, members) in [
        ("ES256", &["alg", "crv", "kid", "kty", "use", "x", "y"][..]),
        ("EdDSA", &["alg", "crv", "kid", "kty", "use", "x"]),
        ("RS256", &["alg", "e", "kid", "kty", "n", "use"]),
    ] {
        let server = TestServer::start(&[&format!("--signing-alg={alg}")]).await;
        let mut client = server.client().await;
        let token = client.token_of_new("alice").await;
        client.get_me(&token).await.unwrap();
        let keys = published(&server).await;
        assert_eq!(keys.len(), 1);
        let names: Vec<_> = keys[0].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, members, "public members alone");
        assert_eq!((&keys[0]["alg"], &keys[0]["use"]), (&alg.into(), &"sig".into()));
        assert_eq!(keys[0]["kid"], server.started.signing_key.0);
    }
}

#[tokio::test]
async fn a_symmetric_key_is_never_published() {
    let server = TestServer::start(&["--signing-alg=HS256"]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    client.get_me(&token).await.unwrap();
    assert!(published(&server).await.is_empty());
}

#[tokio::test]
async fn a_restart_keeps_users_keys_and_tokens() {
    let server = TestServer::start(&[]).await;
    let token = server.client().await.token_of_new("alice").await;
    let kid = server.started.signing_key.clone();
    let (data, clock) = server.stop().await;
    let server = TestServer::start_in(data, clock, &[]).await;
    assert_eq!(server.started.signing_key, kid);
    assert!(server.started.master_key_made.is_none() && server.started.migrations_applied.is_empty());
    let mut client = server.client().await;
    assert_eq!(client.get_me(&token).await.unwrap().username, "alice");
    client.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn another_algorithm_takes_over_once_it_has_been_published_and_the_old_tokens_stay_valid() {
    let server = TestServer::start(&["--signing-alg=HS256"]).await;
    let old = server.client().await.token_of_new("alice").await;
    let old_kid = server.started.signing_key.clone();
    let (data, clock) = server.stop().await;
    let server = TestServer::start_in(data, clock, &["--signing-alg=EdDSA"]).await;
    assert_eq!(
        server.started.signing_key, old_kid,
        "the old one signs until the new one is known everywhere"
    );
    let keys = published(&server).await;
    assert_eq!((keys.len(), &keys[0]["alg"]), (1, &"EdDSA".into()), "the new one is published");
    let mut client = server.client().await;
    assert_eq!(kid(&client.log_in("alice", PASSWORD).await.unwrap().access_token), old_kid.0);

    // A start meanwhile makes no other.
    let (data, clock) = server.stop().await;
    let server = TestServer::start_in(data, clock, &["--signing-alg=EdDSA"]).await;
    assert_eq!(published(&server).await, keys);
    let mut client = server.client().await;
    server.clock.advance(Duration::from_secs(3_599));
    let last = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_eq!(kid(&last), old_kid.0);
    server.clock.advance(Duration::from_secs(1));
    let new = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_eq!(kid(&new), keys[0]["kid"]);
    client.get_me(&last).await.unwrap();
    client.get_me(&new).await.unwrap();
    assert_refused(client.get_me(&old).await, Code::Unauthenticated, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn whoever_changes_the_algorithm_twice_gets_the_one_that_was_asked_for_last() {
    let (data, clock) = TestServer::start(&[]).await.stop().await;
    let (data, clock) = TestServer::start_in(data, clock, &["--signing-alg=EdDSA"]).await.stop().await;
    let server = TestServer::start_in(data, clock, &["--signing-alg=RS256"]).await;
    let algs: Vec<_> = published(&server).await.iter().map(|key| key["alg"].clone()).collect();
    assert_eq!(algs, ["ES256", "RS256"], "the one that was not to be signed nothing, and is gone");
    server.clock.advance(AN_HOUR);
    let token = server.client().await.token_of_new("alice").await;
    assert_eq!(kid(&token), published(&server).await[1]["kid"]);

    let (data, clock) = server.stop().await;
    let server = TestServer::start_in(data, clock, &["--signing-alg=ES256"]).await;
    let algs: Vec<_> = published(&server).await.iter().map(|key| key["alg"].clone()).collect();
    assert_eq!(algs, ["ES256", "RS256", "ES256"], "a key that has retired does not sign again");
}

#[tokio::test]
async fn the_keys_of_the_schema_before_go_on_signing_and_are_replaced_in_their_turn() {
    let server = TestServer::start(&[]).await;
    let token = server.client().await.token_of_new("alice").await;
    let kid = server.started.signing_key.clone();
    let (data, clock) = server.stop().await;
    let db = data.connect().await;
    for statement in [
        "ALTER TABLE signing_keys DROP COLUMN sign_time",
        "ALTER TABLE signing_keys DROP COLUMN retention",
        "DROP TABLE leases",
        "DELETE FROM seaql_migrations WHERE version IN ('m20261123_000003_key_stages', 'm20261129_000015_job_runs')",
    ] {
        sea_orm::ConnectionTrait::execute_unprepared(&db, statement).await.unwrap();
    }
    db.close().await.unwrap();

    let server = TestServer::start_in(data, clock, &[]).await;
    assert_eq!(
        server.started.migrations_applied,
        ["m20261123_000003_key_stages", "m20261129_000015_job_runs"]
    );
    assert_eq!(server.started.signing_key, kid);
    let mut client = server.client().await;
    client.get_me(&token).await.unwrap();
    server.clock.advance(UNTIL_DUE);
    eventually("the next is published", async || published(&server).await.len() == 2).await;
    server.clock.advance(AN_HOUR);
    let next = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_ne!(self::kid(&next), kid.0);
    // It is not known how long its tokens live: it stays as long as any may.
    server.clock.advance(A_DAY + Duration::from_secs(659));
    assert_eq!(published(&server).await.len(), 2);
    server.clock.advance(Duration::from_secs(1));
    eventually("the old one is gone", async || published(&server).await.len() == 1).await;
}

async fn refusal(data: &Data, args: &[&str]) -> String {
    match Server::start(config(data, args), Clock::system(), DatabaseClock::Own).await {
        Err(StartError::Config(error)) => error.to_string(),
        Err(other) => panic!("not a setting: {other}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test]
async fn a_wrong_master_key_is_a_clear_refusal() {
    let (data, _) = TestServer::start(&[]).await.stop().await;
    let other = format!("--master-key={}", "0f".repeat(32));
    let text = refusal(&data, &[&other]).await;
    assert!(text.starts_with("--master-key (SIGNET_MASTER_KEY): the master key does not open"), "{text}");
    // Not even a start with another algorithm, which makes a key, writes anything under a wrong master key.
    let text = refusal(&data, &[&other, "--signing-alg=EdDSA"]).await;
    assert!(text.starts_with("--master-key"), "{text}");
}

#[tokio::test]
async fn a_master_key_file_that_is_missing_or_that_others_can_read_is_a_clear_refusal() {
    let server = TestServer::start_in(Data::embedded().await, Clock::system(), &[]).await;
    let (data, _) = server.stop().await;
    let key = data.path().join("master.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let text = refusal(&data, &[]).await;
    assert!(text.contains("can be read or written by others"), "{text}");
    std::fs::remove_file(&key).unwrap();
    let text = refusal(&data, &[]).await;
    assert!(text.contains("master.key is missing"), "{text}");
}
