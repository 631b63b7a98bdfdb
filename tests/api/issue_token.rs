//! Owns what `IssueToken` promises.

use std::{collections::BTreeMap, time::Duration};

use signet::{
    base::{Entropy, Timestamp},
    model::{Password, PasswordRules, User, UserAttributes, UserId, Username},
    proto::identity::v1::IssueTokenRequest,
    store::NewUser,
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::{PASSWORD, TestServer, assert_refused, details};

/// The parts of a JWT, decoded without looking at its signature.
fn decoded(token: &str) -> (serde_json::Value, serde_json::Value) {
    let part = |index| {
        let text = token.split('.').nth(index).unwrap();
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    (part(0), part(1))
}

#[tokio::test]
async fn a_token_is_a_jwt_of_rfc_9068() {
    let server = TestServer::start(&[
        "--audience=api.example",
        "--issuer=https://id.example",
        "--access-token-ttl=5m",
    ])
    .await;
    let mut client = server.client().await;
    let user = client.sign_up("alice", PASSWORD).await.unwrap();
    let response = client.log_in("ALICE", PASSWORD).await.unwrap();
    assert_eq!((response.token_type.as_str(), response.expires_in), ("Bearer", 300));
    assert_eq!(response.scope, "profile account");

    let (header, claims) = decoded(&response.access_token);
    assert_eq!((&header["typ"], &header["alg"]), (&"at+jwt".into(), &"ES256".into()));
    assert_eq!(header["kid"], server.started.signing_key.0);
    assert_eq!(header.as_object().unwrap().len(), 3);
    let now = server.clock.now().as_secs();
    let fixed: BTreeMap<&str, serde_json::Value> = BTreeMap::from([
        ("iss", "https://id.example".into()),
        ("aud", "api.example".into()),
        ("sub", user.id.clone().into()),
        ("client_id", "signet".into()),
        ("scope", "profile account".into()),
        ("iat", now.into()),
        ("exp", (now + 300).into()),
        ("auth_time", now.into()),
        ("amr", vec!["pwd"].into()),
    ]);
    for (name, value) in &fixed {
        assert_eq!(&claims[*name], value, "{name}");
    }
    assert!(claims["jti"].is_string() && claims["sid"].is_string());
    assert_eq!(claims.as_object().unwrap().len(), fixed.len() + 2, "nothing else is told: {claims}");
}

#[tokio::test]
async fn two_tokens_are_never_the_same() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let first = client.token_of_new("alice").await;
    let second = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let ids = |token: &str| {
        let (_, claims) = decoded(token);
        (claims["jti"].clone(), claims["sid"].clone())
    };
    assert_ne!(ids(&first).0, ids(&second).0);
    assert_ne!(ids(&first).1, ids(&second).1);
}

#[tokio::test]
async fn every_failed_login_gets_the_same_answer() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let disabled = client.sign_up("disabled", PASSWORD).await.unwrap();
    let id = UserId(disabled.id.parse().unwrap());
    server
        .store()
        .await
        .set_active(id, false, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();

    let mut answers = Vec::new();
    for (username, password) in [
        ("alice", "wrong password"),
        ("alice", ""),
        ("alice", &"x".repeat(60_000)),
        ("alice", &PASSWORD.to_uppercase()),
        ("nobody", PASSWORD),
        ("not a name", PASSWORD),
        ("", ""),
        ("disabled", PASSWORD),
        ("disabled", "wrong password"),
    ] {
        let refused = client.log_in(username, password).await;
        let status = assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
        answers.push((status.message().to_owned(), details(&status)));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

#[tokio::test]
async fn a_request_without_a_grant_names_the_field() {
    let server = TestServer::start(&[]).await;
    let refused = server
        .client()
        .await
        .0
        .issue_token(IssueTokenRequest { grant: None, ..IssueTokenRequest::default() })
        .await;
    let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "grant");
}

/// Puts a user into the database whose hash another system, or other settings, made.
pub(crate) async fn bring_over(server: &TestServer, username: &str, password_hash: &str) -> UserId {
    let now = Timestamp::from_micros(0);
    let id = UserId::new(server.clock.now(), &Entropy::system());
    let user = User {
        id,
        username: Username::parse(username).unwrap(),
        email: None,
        display_name: None,
        attributes: UserAttributes::default(),
        is_active: true,
        create_time: now,
        update_time: now,
    };
    let new = NewUser { user, password_hash: password_hash.to_owned(), resting: None };
    server.store().await.add_user(new).await.unwrap();
    id
}

async fn stored_hash(server: &TestServer, username: &str) -> String {
    let username = Username::parse(username).unwrap();
    let store = server.store().await;
    let user = store.user_named(&username).await.unwrap().unwrap();
    store.credentials_of(user.id).await.unwrap().unwrap().password_hash
}

#[tokio::test]
async fn bcrypt_users_log_in_with_their_old_password_and_have_argon2id_afterwards() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let long = "pässword ".repeat(12);
    for (username, password, prefix) in [
        ("ann", "correct horse", "$2b$"),
        ("bob", "correct horse", "$2a$"),
        ("cat", "correct horse", "$2y$"),
        ("dan", &long, "$2b$"),
    ] {
        let hash = bcrypt::hash(password, 4).unwrap().replacen("$2b$", prefix, 1);
        bring_over(&server, username, &hash).await;
        assert_refused(
            client.log_in(username, "wrong horse").await,
            Code::Unauthenticated,
            "INVALID_CREDENTIALS",
        );
        assert_eq!(stored_hash(&server, username).await, hash, "a failed login changes nothing");
        client.log_in(username, password).await.unwrap();
        let replaced = stored_hash(&server, username).await;
        assert!(replaced.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{replaced}");
        client.log_in(username, password).await.unwrap();
        assert_eq!(stored_hash(&server, username).await, replaced, "an up-to-date hash stays");
    }
    // bcrypt read 72 bytes of the long one; from now on every byte counts.
    assert_refused(client.log_in("dan", &long[..75]).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn new_parameters_reach_every_hash_at_its_next_login() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let (data, clock) = server.stop().await;
    let server =
        TestServer::start_in(data, clock, &["--argon2-memory-kib=128", "--argon2-parallelism=2"]).await;
    server.client().await.log_in("alice", PASSWORD).await.unwrap();
    assert!(stored_hash(&server, "alice").await.starts_with("$argon2id$v=19$m=128,t=1,p=2$"));
}

/// The hash of [`PASSWORD`] by `algorithm`, with `memory` KiB and so many `passes`.
fn argon2(algorithm: argon2::Algorithm, memory: u32, passes: u32) -> String {
    const SALT: &[u8] = b"0123456789abcdef";
    let params = argon2::Params::new(memory, passes, 1, Some(32)).unwrap();
    let mut hash = [0; 32];
    argon2::Argon2::new(algorithm, argon2::Version::V0x13, params)
        .hash_password_into(PASSWORD.as_bytes(), SALT, &mut hash)
        .unwrap();
    let encoded = |bytes| base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, bytes);
    let (salt, hash) = (encoded(SALT), encoded(&hash));
    format!("${algorithm}$v=19$m={memory},t={passes},p=1${salt}${hash}")
}

#[tokio::test]
async fn an_argon2id_hash_that_costs_no_less_than_a_new_one_stays_and_any_other_is_replaced() {
    let server = TestServer::start(&["--argon2-memory-kib=64", "--argon2-iterations=2"]).await;
    let mut client = server.client().await;
    let id = argon2::Algorithm::Argon2id;
    for (number, (hash, stays)) in [
        (argon2(id, 64, 2), true),
        (argon2(id, 128, 2), true),
        (argon2(id, 64, 3), true),
        (argon2(id, 1_024, 1), false),
        (argon2(id, 56, 9), false),
        (argon2(argon2::Algorithm::Argon2i, 128, 3), false),
    ]
    .into_iter()
    .enumerate()
    {
        let username = format!("user-{number}");
        bring_over(&server, &username, &hash).await;
        client.log_in(&username, PASSWORD).await.unwrap();
        let stored = stored_hash(&server, &username).await;
        assert_eq!(stored == hash, stays, "{hash}");
        assert!(stays || stored.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{stored}");
        client.log_in(&username, PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn a_disabled_user_learns_nothing_of_an_outdated_hash() {
    let server = TestServer::start(&[]).await;
    let hash = bcrypt::hash("correct horse", 4).unwrap();
    let id = bring_over(&server, "ann", &hash).await;
    server
        .store()
        .await
        .set_active(id, false, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();
    let refused = server.client().await.log_in("ann", "correct horse").await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    assert_eq!(stored_hash(&server, "ann").await, hash);
}

/// Each kind of refused login queues exactly one hash with the present parameters: the work is the same by
/// construction, and here by the clock. Kinds take turns, and the fast tenth of each is compared: a busy machine only ever
/// adds to a time.
#[tokio::test]
async fn refused_logins_take_the_same_time() {
    let server = TestServer::start(&[
        "--argon2-memory-kib=16384",
        "--argon2-iterations=2",
        "--hash-threads=1",
        "--request-timeout=60s",
    ])
    .await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let disabled = client.sign_up("disabled", PASSWORD).await.unwrap();
    let id = UserId(disabled.id.parse().unwrap());
    server
        .store()
        .await
        .set_active(id, false, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();
    let oversized = "x".repeat(30_000);
    let kinds = [
        ("alice", "wrong password"),
        ("nobody", "wrong password"),
        ("disabled", PASSWORD),
        ("alice", ""),
        ("alice", &oversized),
        ("not a name", PASSWORD),
    ];
    let clock = signet::base::Clock::system();
    let mut times = vec![Vec::new(); kinds.len()];
    let mut fast = Vec::new();
    // Hash threads run when nothing else does: on a busy machine it takes more logins until the fast ones are as fast as they get.
    // A kind that is not hashed would stay several times faster for ever.
    for _ in 0..ROUNDS {
        for _ in 0..20 {
            for (kind, (username, password)) in kinds.iter().enumerate() {
                let started = clock.monotonic();
                client.log_in(username, password).await.unwrap_err();
                times[kind].push(clock.monotonic().saturating_sub(started));
            }
        }
        for times in &mut times {
            times.sort();
        }
        fast = times.iter().map(|times| times[times.len() / 10]).collect::<Vec<Duration>>();
        let (fastest, slowest) = (fast.iter().min().unwrap(), fast.iter().max().unwrap());
        if slowest.as_secs_f64() < fastest.as_secs_f64() * 1.5 {
            return;
        }
    }
    panic!("by kind: {fast:?}");
}

/// How many times twenty logins of each kind are compared before a difference is believed.
const ROUNDS: usize = 20;

#[test]
fn a_password_rule_is_no_rule_of_login() {
    // A password that is too short to be set today may have been brought over from another system.
    assert!(PasswordRules { min_chars: 8 }.check("1234567", None).is_err());
    assert!(Password::for_login("1234567").is_some());
}
