//! Owns what revoking a key promises: its tokens are refused within the bound, and everything else goes on.

use std::{fs, time::Duration};

use signet::{
    identity::{Administrator, KeyRotation, MasterKey},
    model::Error,
    proto::identity::v1::{
        IssueTokenRequest, RefreshTokenGrant, RevokeTokenRequest, issue_token_request::Grant,
    },
    store::{KeyChange, Lease, ResealedSecret, StoredKey},
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    harness::{Client, PASSWORD, TestServer, assert_refused, config, eventually, unaudited},
    keys::{A_DAY, A_MINUTE, AN_HOUR, UNTIL_DUE, kid, published},
};

/// How long another process's change may stay unseen.
const BOUND: Duration = Duration::from_secs(1);

/// The keys of `server`, for whoever changes them as another process does.
fn operator() -> Administrator {
    Administrator::operator()
}

pub(crate) async fn elsewhere(server: &TestServer) -> KeyRotation {
    let hex = fs::read_to_string(server.data.path().join("master.key")).unwrap();
    with_master_key(server, MasterKey::from_hex(&hex).unwrap()).await
}

async fn with_master_key(server: &TestServer, master_key: MasterKey) -> KeyRotation {
    let settings = config(&server.data, &[]).tokens.keys().unwrap();
    let store = server.store().await;
    let clocks = server.clocks(&store);
    KeyRotation::new(store, master_key, settings, clocks, unaudited(&server.clock))
}

async fn log_in(client: &mut Client) -> (String, String) {
    let tokens = client.log_in("alice", PASSWORD).await.unwrap();
    (tokens.access_token, tokens.refresh_token.unwrap())
}

async fn kids(server: &TestServer) -> Vec<String> {
    published(server).await.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn without_the_key_that_signed_it_a_token_is_nothing_and_the_session_goes_on() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let (token, refresh_token) = log_in(&mut client).await;
    // It has been verified, and is remembered.
    client.get_me(&token).await.unwrap();

    let next =
        elsewhere(&server).await.revoke(&kid(&token), &operator()).await.unwrap().expect("another key signs");
    server.clock.advance(BOUND);
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_INVALID");
    let grant = Some(Grant::RefreshToken(RefreshTokenGrant { refresh_token }));
    let renewed = client
        .0
        .issue_token(IssueTokenRequest { grant, ..IssueTokenRequest::default() })
        .await
        .unwrap()
        .into_inner()
        .access_token;
    assert_eq!(kid(&renewed), next.kid.0, "it signs at once");
    client.get_me(&renewed).await.unwrap();
    assert_eq!(kids(&server).await, [next.kid.0]);
    assert_eq!(server.http_get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn without_the_key_that_signed_it_a_token_ends_no_session() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let (token, refresh_token) = log_in(&mut client).await;
    elsewhere(&server).await.revoke(&kid(&token), &operator()).await.unwrap().expect("another key signs");
    // Known in time, and expired.
    for later in [BOUND, AN_HOUR] {
        server.clock.advance(later);
        let request = RevokeTokenRequest { token: token.clone(), client: None };
        client.0.revoke_token(request).await.unwrap();
    }
    client.refresh(&refresh_token).await.unwrap();
}

#[tokio::test]
async fn when_the_signing_key_is_revoked_the_published_one_takes_over_at_once() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let pending = elsewhere(&server).await.rotate(false, &operator()).await.unwrap();
    eventually("it is published", async || kids(&server).await.len() == 2).await;
    let (token, _) = log_in(&mut client).await;
    assert_ne!(kid(&token), pending.kid.0);
    let next = elsewhere(&server).await.revoke(&kid(&token), &operator()).await.unwrap().unwrap();
    assert_eq!(next.kid, pending.kid);
    assert!(next.sign_time < server.clock.now().after(BOUND), "at once");
    server.clock.advance(BOUND);
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_INVALID");
    assert_eq!(kid(&log_in(&mut client).await.0), pending.kid.0);
}

#[tokio::test]
async fn a_published_key_that_is_revoked_never_signs_and_another_is_published_when_it_is_time() {
    let server = TestServer::start(&[]).await;
    let first = server.started.signing_key.0.clone();
    server.clock.advance(UNTIL_DUE);
    eventually("the next is published", async || kids(&server).await.len() == 2).await;
    let pending = kids(&server).await.pop().unwrap();
    assert!(
        elsewhere(&server).await.revoke(&pending, &operator()).await.unwrap().is_none(),
        "the first goes on signing"
    );
    // The leader of the rotation waits until the operator's term is over.
    server.clock.advance(A_MINUTE);
    eventually("another is published", async || {
        let kids = kids(&server).await;
        kids.len() == 2 && kids[1] != pending
    })
    .await;
    let next = kids(&server).await.pop().unwrap();
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    assert_eq!(kid(&log_in(&mut client).await.0), first);
    server.clock.advance(AN_HOUR);
    assert_eq!(kid(&log_in(&mut client).await.0), next);
}

#[tokio::test]
async fn a_key_that_only_verifies_is_revoked_and_the_one_that_signs_goes_on() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let (old, _) = log_in(&mut client).await;
    let next = elsewhere(&server).await.rotate(true, &operator()).await.unwrap();
    server.clock.advance(BOUND);
    client.get_me(&old).await.unwrap();
    let (new, _) = log_in(&mut client).await;
    assert_eq!(kid(&new), next.kid.0, "it signs at once");

    assert!(elsewhere(&server).await.revoke(&kid(&old), &operator()).await.unwrap().is_none());
    server.clock.advance(BOUND);
    assert_refused(client.get_me(&old).await, Code::Unauthenticated, "TOKEN_INVALID");
    client.get_me(&new).await.unwrap();
    assert_eq!(kid(&log_in(&mut client).await.0), next.kid.0);
    // Nor does a key come back that signed before.
    assert_eq!(kids(&server).await, [next.kid.0]);
}

#[tokio::test]
async fn the_feed_tells_of_a_revoked_key_though_nobody_asks_for_it() {
    let server = TestServer::start(&[]).await;
    let token = server.client().await.token_of_new("alice").await;
    elsewhere(&server).await.revoke(&kid(&token), &operator()).await.unwrap();
    // The hand of the clock stands still: what is known would stay good.
    let mut client = server.client().await;
    let refused = || {
        let (mut client, token) = (client.clone(), token.clone());
        async move { client.get_me(&token).await.is_err() }
    };
    eventually("it is refused", refused).await;
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_INVALID");
}

#[tokio::test]
async fn keys_are_rotated_and_revoked_with_the_right_master_key_alone() {
    let server = TestServer::start(&[]).await;
    let foreign = with_master_key(&server, MasterKey::from_hex(&"0f".repeat(32)).unwrap()).await;
    let before = server.store().await.signing_keys().await.unwrap();
    let kid = server.started.signing_key.0.clone();
    let refused = |error: Error| matches!(error, Error::WrongMasterKey { .. });
    assert!(refused(foreign.rotate(false, &operator()).await.unwrap_err()));
    assert!(refused(foreign.rotate(true, &operator()).await.unwrap_err()));
    assert!(refused(foreign.revoke(&kid, &operator()).await.unwrap_err()));
    let other = MasterKey::from_hex(&"0e".repeat(32)).unwrap();
    assert!(refused(foreign.reseal(&other).await.unwrap_err()));
    assert_eq!(server.store().await.signing_keys().await.unwrap(), before);
}

#[tokio::test]
async fn no_private_key_is_sealed_anew_while_another_process_replaces_a_secret() {
    let server = TestServer::start(&[]).await;
    let store = server.store().await;
    let stored = async || (store.signing_keys().await.unwrap(), store.sealed_secrets().await.unwrap());
    let before = stored().await;
    let overtaken =
        ResealedSecret { name: before.1[0].0.clone(), old: b"replaced".to_vec(), new: b"anew".to_vec() };
    let reseal = |keys: &[StoredKey]| {
        let reseal = keys.iter().map(|key| (key.kid.clone(), b"anew".to_vec())).collect();
        Ok::<_, Error>(KeyChange { reseal, reseal_secrets: vec![overtaken.clone()], ..KeyChange::default() })
    };
    let lease = Lease::of_operator(Uuid::now_v7());
    assert!(!store.change_signing_keys(lease, server.clock.now(), reseal).await.unwrap());
    assert_eq!(stored().await, before);
}

#[tokio::test]
async fn a_service_under_the_old_master_key_goes_on_makes_no_key_and_is_not_ready_once_another_signs() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let new = MasterKey::from_hex(&"0f".repeat(32)).unwrap();
    assert_eq!(elsewhere(&server).await.reseal(&new).await.unwrap(), 1);
    server.clock.advance(BOUND);
    client.get_me(&token).await.unwrap();
    log_in(&mut client).await;

    // A key of its own would open for nobody else, so it makes none though it is time to.
    server.clock.advance(30 * A_DAY);
    let renewed = with_master_key(&server, new).await;
    let next = renewed.rotate(false, &operator()).await.unwrap();
    server.clock.advance(BOUND);
    eventually("it has seen the key", async || server.http_get("/readyz").await.status() == 200).await;
    log_in(&mut client).await;
    let stored = server.store().await.signing_keys().await.unwrap();
    assert_eq!((stored.len(), &stored[1].kid), (2, &next.kid));

    server.clock.advance(AN_HOUR);
    eventually("not ready", async || server.http_get("/readyz").await.status() == 503).await;
    let told = server.http_get("/readyz").await;
    assert_eq!(told.body(), "not ready: the master key does not open the key that signs\n");
    let master_key = format!("--master-key={}", "0f".repeat(32));
    let (dir, clock) = server.stop().await;
    let server = TestServer::start_in(dir, clock, &[&master_key]).await;
    let mut client = server.client().await;
    let (token, _) = log_in(&mut client).await;
    assert_eq!(kid(&token), next.kid.0);
    client.get_me(&token).await.unwrap();
}
