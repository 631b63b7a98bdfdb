//! Owns what signing keys promise: every algorithm, restarts, and the published set.

use signet::{
    model::Clock,
    server::{Server, StartError},
};
use tempfile::TempDir;

use crate::harness::{PASSWORD, TestServer, config};

async fn published(server: &TestServer) -> Vec<serde_json::Value> {
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
    assert!(server.started.master_key_made.is_some());
    let (dir, clock) = server.stop().await;
    let server = TestServer::start_in(dir, clock, &[]).await;
    assert_eq!(server.started.signing_key, kid);
    assert!(server.started.master_key_made.is_none() && server.started.migrations_applied.is_empty());
    let mut client = server.client().await;
    assert_eq!(client.get_me(&token).await.unwrap().username, "alice");
    client.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn another_algorithm_takes_over_and_the_old_tokens_stay_valid() {
    let server = TestServer::start(&["--signing-alg=HS256"]).await;
    let old = server.client().await.token_of_new("alice").await;
    let (dir, clock) = server.stop().await;
    let server = TestServer::start_in(dir, clock, &["--signing-alg=EdDSA"]).await;
    let mut client = server.client().await;
    let new = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    client.get_me(&old).await.unwrap();
    client.get_me(&new).await.unwrap();
    let keys = published(&server).await;
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["alg"], "EdDSA");
}

async fn refusal(dir: &TempDir, args: &[&str]) -> String {
    match Server::start(config(dir.path(), args), Clock::system()).await {
        Err(StartError::Config(error)) => error.to_string(),
        Err(StartError::Failed(error)) => panic!("not a setting: {error}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test]
async fn a_wrong_or_missing_master_key_is_a_clear_refusal() {
    let (dir, _) = TestServer::start(&[]).await.stop().await;
    let other = format!("--master-key={}", "0f".repeat(32));
    let text = refusal(&dir, &[&other]).await;
    assert!(text.starts_with("--master-key (SIGNET_MASTER_KEY): the master key does not open"), "{text}");
    // Not even a start with another algorithm, which makes a key, writes anything under a wrong master key.
    let text = refusal(&dir, &[&other, "--signing-alg=EdDSA"]).await;
    assert!(text.starts_with("--master-key"), "{text}");

    let key = dir.path().join("master.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let text = refusal(&dir, &[]).await;
    assert!(text.contains("can be read by others"), "{text}");
    std::fs::remove_file(&key).unwrap();
    let text = refusal(&dir, &[]).await;
    assert!(text.contains("master.key is missing"), "{text}");
}
