//! Owns what the rotation of signing keys promises: every stage in its time, and no valid token refused by anybody.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jsonwebtoken::{DecodingKey, crypto, jwk::JwkSet};
use signet::{
    base::{Clock, Timestamp},
    proto::identity::v1::{IssueTokenRequest, RefreshTokenGrant, issue_token_request::Grant},
};
use tokio::sync::{Mutex, Semaphore};
use tonic::Code;

use crate::{
    harness::{Client, PASSWORD, TestServer, assert_refused, eventually},
    http::client::HttpClient,
    keys::{A_DAY, A_MINUTE, AN_HOUR, UNTIL_DUE, kid, published},
};

const A_SECOND: Duration = Duration::from_secs(1);

/// How many users there are while keys rotate.
const USERS: usize = 4;
/// How many calls each of them makes, at the least, in each minute of the clock: none falls so far behind that its token expires.
const CALLS_A_MINUTE: u32 = 3;

#[tokio::test]
async fn a_key_is_published_then_signs_then_verifies_and_then_is_gone() {
    tokio::join!(rotates("ES256"), rotates("EdDSA"), rotates("RS256"), rotates("HS256"));
}

/// A key of `alg` goes through its whole life, and its successor begins its own.
async fn rotates(alg: &str) {
    let server = TestServer::start(&[&format!("--signing-alg={alg}")]).await;
    let (mut client, store) = (server.client().await, server.store().await);
    client.sign_up("alice", PASSWORD).await.unwrap();
    let first = server.started.signing_key.0.clone();
    let kids = async || -> Vec<String> {
        store.signing_keys().await.unwrap().into_iter().map(|key| key.kid.0).collect()
    };
    let shown = usize::from(alg != "HS256");

    server.clock.advance(UNTIL_DUE);
    eventually("the next is published", async || kids().await.len() == 2).await;
    let second = kids().await.pop().unwrap();
    eventually("and shown", async || published(&server).await.len() == 2 * shown).await;
    server.clock.advance(Duration::from_secs(3_599));
    let old = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_eq!(kid(&old), first, "{alg}");

    // Its time has come, by the clock alone.
    server.clock.advance(A_SECOND);
    let new = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_eq!(kid(&new), second, "{alg}");
    client.get_me(&old).await.unwrap();
    client.get_me(&new).await.unwrap();

    // The old token was signed a second before, and is accepted for the leeway of 5 seconds after its 15 minutes.
    server.clock.advance(15 * A_MINUTE + 3 * A_SECOND);
    client.get_me(&old).await.unwrap();
    server.clock.advance(A_SECOND);
    assert_refused(client.get_me(&old).await, Code::Unauthenticated, "TOKEN_EXPIRED");
    server.clock.advance(6 * A_SECOND);
    assert_eq!(kids().await, [first.clone(), second.clone()], "{alg}: a replica's clock may be behind");
    server.clock.advance(A_SECOND);
    eventually("the old one is gone", async || kids().await == [second.clone()]).await;
    eventually("and not shown any more", async || published(&server).await.len() == shown).await;
}

#[tokio::test]
async fn a_key_is_kept_for_the_longest_lifetime_that_its_tokens_may_have_had() {
    let server = TestServer::start(&["--access-token-ttl=1m"]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let (dir, clock) = server.stop().await;
    // Tokens live longer for a while; and shorter again when the next key takes over.
    let server = TestServer::start_in(dir, clock, &["--access-token-ttl=10h"]).await;
    server.clock.advance(UNTIL_DUE);
    eventually("the next is published", async || published(&server).await.len() == 2).await;
    let long = server.client().await.log_in("alice", PASSWORD).await.unwrap().access_token;
    let (dir, clock) = server.stop().await;
    let server = TestServer::start_in(dir, clock, &["--access-token-ttl=1m"]).await;
    server.clock.advance(9 * AN_HOUR);
    let mut client = server.client().await;
    let new = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_ne!(kid(&new), kid(&long));
    client.get_me(&long).await.unwrap();
    assert_eq!(published(&server).await.len(), 2);
    server.clock.advance(3 * AN_HOUR);
    eventually("the old one is gone", async || published(&server).await.len() == 1).await;
}

#[tokio::test]
async fn a_service_that_slept_through_its_rotation_still_publishes_before_it_signs() {
    let (dir, clock) = TestServer::start(&[]).await.stop().await;
    clock.advance(90 * A_DAY);
    let server = TestServer::start_in(dir, clock, &[]).await;
    let first = server.started.signing_key.0.clone();
    eventually("the next is published", async || published(&server).await.len() == 2).await;
    let mut client = server.client().await;
    assert_eq!(kid(&client.token_of_new("alice").await), first);
    server.clock.advance(AN_HOUR);
    assert_ne!(kid(&client.log_in("alice", PASSWORD).await.unwrap().access_token), first);
}

/// Somebody who verifies by the published keys alone, and keeps them for as long as he may.
struct Verifier {
    server: std::net::SocketAddr,
    clock: Clock,
    kept: Mutex<Option<(Timestamp, JwkSet)>>,
}

impl Verifier {
    async fn verify(&self, token: &str) {
        let mut kept = self.kept.lock().await;
        let now = self.clock.now();
        if kept.as_ref().is_none_or(|(until, _)| *until <= now) {
            let answer = HttpClient::new(self.server).get("/.well-known/jwks.json").await.0;
            let directive = answer.headers()["cache-control"].to_str().unwrap();
            let max_age = directive.strip_prefix("public, max-age=").unwrap().parse().unwrap();
            *kept =
                Some((now.after(Duration::from_secs(max_age)), serde_json::from_str(answer.body()).unwrap()));
        }
        let (_, keys) = kept.as_ref().unwrap();
        let key = keys
            .find(&kid(token))
            .unwrap_or_else(|| panic!("the key {} was not published in time", kid(token)));
        let (message, signature) = token.rsplit_once('.').unwrap();
        let key = DecodingKey::from_jwk(key).unwrap();
        let algorithm = jsonwebtoken::decode_header(token).unwrap().alg;
        assert!(crypto::verify(signature, message.as_bytes(), &key, algorithm).unwrap());
    }
}

/// Logs in, calls, refreshes and calls without end; every answer must be good, and every token verify.
async fn use_without_end(mut client: Client, number: usize, shared: Arc<Shared>) {
    let name = format!("user-{number}");
    client.sign_up(&name, PASSWORD).await.unwrap();
    while !shared.stop.load(Ordering::SeqCst) {
        let mut tokens = client.log_in(&name, PASSWORD).await.unwrap();
        for _ in 0..5 {
            let issued = shared.verifier.clock.now();
            // For as long as it is certain to be valid.
            while shared.verifier.clock.now() < issued.after(10 * A_MINUTE)
                && !shared.stop.load(Ordering::SeqCst)
            {
                client.get_me(&tokens.access_token).await.unwrap();
                shared.verifier.verify(&tokens.access_token).await;
                shared.calls[number].add_permits(1);
            }
            shared.kids.lock().await.insert(kid(&tokens.access_token));
            let grant = RefreshTokenGrant { refresh_token: tokens.refresh_token.unwrap() };
            let request =
                IssueTokenRequest { grant: Some(Grant::RefreshToken(grant)), ..IssueTokenRequest::default() };
            tokens = client.0.issue_token(request).await.unwrap().into_inner();
        }
    }
}

struct Shared {
    verifier: Verifier,
    kids: Mutex<BTreeSet<String>>,
    /// For each user one permit for each call since the clock was turned.
    calls: [Semaphore; USERS],
    stop: AtomicBool,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_refuses_no_token_and_leaves_none_that_others_cannot_verify() {
    let server = TestServer::start(&["--key-rotation-interval=1h", "--key-publish-ahead=20m"]).await;
    let verifier =
        Verifier { server: server.started.http_addr, clock: server.clock.clone(), kept: Mutex::default() };
    let shared = Arc::new(Shared {
        verifier,
        kids: Mutex::default(),
        calls: std::array::from_fn(|_| Semaphore::new(0)),
        stop: AtomicBool::default(),
    });
    let mut users = tokio::task::JoinSet::new();
    for number in 0..USERS {
        users.spawn(use_without_end(server.client().await, number, Arc::clone(&shared)));
    }
    // Time passes with the calls, so that there are many at every stage.
    let store = server.store().await;
    let first = server.started.signing_key.clone();
    let rotated = async || {
        let keys = store.signing_keys().await.unwrap();
        shared.kids.lock().await.len() >= 3 && keys.iter().all(|key| key.kid != first)
    };
    while !rotated().await {
        for calls in &shared.calls {
            tokio::select! {
                ended = users.join_next() => panic!("a user saw a failure: {ended:?}"),
                calls = calls.acquire_many(CALLS_A_MINUTE) => calls.unwrap().forget(),
            }
        }
        server.clock.advance(A_MINUTE);
        for calls in &shared.calls {
            calls.forget_permits(calls.available_permits());
        }
    }
    shared.stop.store(true, Ordering::SeqCst);
    users.join_all().await;
}
