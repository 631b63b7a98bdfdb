//! Owns what one address may fail, whatever names it tries.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Guessed, PASSWORD, Somebody, WRONG};
use crate::http::client::encoded;

const A_SECOND: Duration = Duration::from_secs(1);

/// How many failures an address has at once: fewer than by default, since each costs a call.
const FEW: &str = "--address-failures=10";

#[tokio::test]
async fn an_address_has_its_failures_at_once_and_then_one_each_second() {
    let guessed = Guessed::start(&[]).await;
    let attacker = guessed.from("192.0.2.1").await;
    let mut tries = JoinSet::new();
    for number in 0..130 {
        let attacker = attacker.clone();
        // Names that exist and names that do not, side by side.
        let name = if number % 10 == 0 { "alice".to_owned() } else { format!("nobody{number}") };
        tries.spawn(async move { attacker.log_in(&name, WRONG).await.unwrap_err().code() });
    }
    let codes = tries.join_all().await;
    let judged = codes.iter().filter(|code| **code == tonic::Code::Unauthenticated).count();
    assert_eq!((judged, codes.len()), (100, 130), "so many at one moment, and no more");
    // The right password is not looked at either.
    Somebody::assert_throttled(attacker.log_in("alice", PASSWORD).await, A_SECOND);
    Somebody::assert_throttled(attacker.sign_up("mallory").await, A_SECOND);
    guessed.from("192.0.2.2").await.log_in("alice", PASSWORD).await.unwrap();
    guessed.server.clock.advance(A_SECOND);
    attacker.log_in("alice", PASSWORD).await.unwrap();
    attacker.log_in("alice", PASSWORD).await.unwrap();
    attacker.must_fail("alice").await;
    Somebody::assert_throttled(attacker.log_in("alice", PASSWORD).await, A_SECOND);

    let told = guessed.told("login.throttled", 1).await;
    assert_eq!(
        (&told[0]["outcome"], &told[0]["reason"], &told[0]["address"]),
        (&"failure".into(), &"address_failures".into(), &"192.0.2.1".into())
    );
    assert_eq!(told[0]["user_id"], serde_json::Value::Null);
    assert_eq!((guessed.counted("failed").await, guessed.counted("address_throttled").await), (101.0, 33.0));
}

#[tokio::test]
async fn right_passwords_cost_nothing_and_each_sign_up_does() {
    let guessed = Guessed::start(&[FEW]).await;
    let office = guessed.from("198.51.100.7").await;
    for _ in 0..30 {
        office.log_in("alice", PASSWORD).await.unwrap();
    }
    for number in 0..9 {
        office.sign_up(&format!("user{number}")).await.unwrap();
    }
    // Whoever hears that a name is taken has learnt something; whoever breaks a rule has not.
    office.sign_up("not a name").await.unwrap_err();
    office.sign_up("alice").await.unwrap_err();
    Somebody::assert_throttled(office.sign_up("user10").await, A_SECOND);
}

#[tokio::test]
async fn networks_of_one_site_share_what_it_may_fail() {
    let guessed = Guessed::start(&[FEW]).await;
    for network in 0..20 {
        guessed.from(format!("2001:db8:0:{network:x}::1")).await.must_fail("alice").await;
    }
    let another = guessed.from("2001:db8:0:ff::1").await;
    Somebody::assert_throttled(another.log_in("alice", PASSWORD).await, A_SECOND / 2);
    guessed.from("2001:db8:1::1").await.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn an_ingress_that_nobody_has_named_is_never_refused() {
    let guessed = Guessed::start(&[FEW, "--trusted-proxy-addresses=127.0.0.9"]).await;
    // Its header is not read, so all of this comes from 127.0.0.1.
    let everybody = guessed.from("192.0.2.1").await;
    for _ in 0..30 {
        everybody.must_fail("bob").await;
    }
    everybody.log_in("alice", PASSWORD).await.unwrap();
    everybody.sign_up("carol").await.unwrap();
    // The first sign-up, nine failures, and then all wait behind those from elsewhere.
    assert_eq!((guessed.counted("deferred").await, guessed.counted("address_throttled").await), (23.0, 0.0));
}

#[tokio::test]
async fn over_http_it_is_told_by_429_and_retry_after() {
    let guessed = Guessed::start(&["--address-failures=10", "--address-failure-interval=1500ms"]).await;
    let http = guessed.server.http();
    let send = async |password: &str| {
        let form = encoded(&[("grant_type", "password"), ("username", "nobody"), ("password", password)]);
        http.send(http.form("/oauth2/token").header("x-forwarded-for", "192.0.2.1"), &form).await
    };
    for _ in 0..10 {
        send(WRONG).await.assert_refused(400, "invalid_grant", "INVALID_CREDENTIALS");
    }
    let refused = send(PASSWORD).await;
    refused.assert_refused(429, "temporarily_unavailable", "TOO_MANY_ATTEMPTS");
    assert_eq!(refused.header("retry-after"), "2");
    // It is one allowance for every protocol.
    let attacker = guessed.from("192.0.2.1").await;
    Somebody::assert_throttled(attacker.log_in("alice", PASSWORD).await, Duration::from_millis(1_500));
}

#[tokio::test]
async fn who_changes_addresses_within_a_network_is_told_of_as_one() {
    let guessed = Guessed::start(&[]).await;
    let attacker = guessed.from("2001:db8::1").await;
    for number in 1..=20 {
        let one = Somebody { address: format!("2001:db8::{number:x}"), ..attacker.clone() };
        one.must_fail("alice").await;
        one.log_in("alice", PASSWORD).await.unwrap();
    }
    guessed.from("2001:db8:0:1::1").await.must_fail("alice").await;
    let told = guessed.told("login", 12).await;
    let of = |outcome: &str| told.iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!((of("failure"), of("success")), (2, 10));
    // The minute is over: what was counted is told.
    guessed.server.clock.advance(Duration::from_mins(1));
    let told = guessed.told("login", 14).await;
    let repeated: Vec<_> = told.iter().filter_map(|line| line["repeats"].as_u64()).collect();
    assert_eq!(repeated.iter().sum::<u64>(), 19 + 10, "{told:#?}");
}
