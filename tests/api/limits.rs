//! Owns what one call may take: time, places, and hashes.

use std::time::Duration;

use signet::proto::identity::v1::GetMeRequest;
use tokio::task::JoinSet;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::harness::{PASSWORD, TestServer, assert_refused, eventually, password_grant};

/// Hashes of half a second or so, one at a time; and nobody is in a hurry.
const SLOW: [&str; 4] =
    ["--argon2-memory-kib=65536", "--argon2-iterations=8", "--hash-threads=1", "--request-timeout=5m"];

#[tokio::test]
async fn hashes_beyond_the_queue_are_refused_at_once_with_a_hint() {
    let server = TestServer::start(&[&SLOW[..], &["--hash-queue=2"]].concat()).await;
    let client = server.client().await;
    let mut logins = JoinSet::new();
    for _ in 0..20 {
        let mut client = client.clone();
        logins.spawn(async move { client.log_in("nobody", PASSWORD).await });
    }
    let mut refused = 0;
    while refused < 17 {
        let status = logins.join_next().await.unwrap().unwrap();
        // Three have a place; everybody else is told so before the first of them is done.
        let status = assert_refused(status, Code::ResourceExhausted, "OVERLOADED");
        assert!(status.get_details_retry_info().is_some());
        refused += 1;
    }
    assert_eq!(logins.len(), 3);
    while let Some(login) = logins.join_next().await {
        assert_refused(login.unwrap(), Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
}

#[tokio::test]
async fn a_call_past_its_deadline_is_told_so_and_its_queued_hash_never_runs() {
    let server = TestServer::start(&[&SLOW[..], &["--hash-queue=8"]].concat()).await;
    let client = server.client().await;
    // The one hash thread is busy with this.
    let mut first = client.clone();
    let first = tokio::spawn(async move { first.log_in("nobody", PASSWORD).await });
    // No hash has been timed yet, so these are queued although they cannot make it.
    let mut late = JoinSet::new();
    for _ in 0..8 {
        let mut client = client.clone();
        late.spawn(async move {
            let mut request = Request::new(password_grant("nobody", PASSWORD));
            request.set_timeout(Duration::from_millis(100));
            client.0.issue_token(request).await
        });
    }
    while let Some(login) = late.join_next().await {
        let status = login.unwrap().unwrap_err();
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    }
    let clock = signet::base::Clock::system();
    let (started, _) = (clock.monotonic(), first.await.unwrap());
    let one_hash = clock.monotonic().saturating_sub(started).max(Duration::from_millis(100));
    // Had the eight run, this would wait for all of them.
    let started = clock.monotonic();
    let mut client = client;
    client.log_in("nobody", PASSWORD).await.unwrap_err();
    assert!(clock.monotonic().saturating_sub(started) < one_hash * 8);
}

#[tokio::test]
async fn a_hash_that_cannot_make_its_deadline_is_refused_at_once_while_others_wait() {
    let server = TestServer::start(&SLOW).await;
    let client = server.client().await;
    // From now on it is known what a hash takes.
    client.clone().log_in("nobody", PASSWORD).await.unwrap_err();
    let mut busy = client.clone();
    let busy = tokio::spawn(async move { busy.log_in("nobody", PASSWORD).await });
    eventually("a hurried login is refused", || {
        let mut hurried = client.clone();
        async move {
            let mut request = Request::new(password_grant("nobody", PASSWORD));
            request.set_timeout(Duration::from_millis(50));
            let status = hurried.0.issue_token(request).await.unwrap_err();
            status.get_details_error_info().is_some_and(|info| info.reason == "OVERLOADED")
        }
    })
    .await;
    assert_refused(busy.await.unwrap(), Code::Unauthenticated, "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn hashes_that_once_took_too_long_lock_nobody_out() {
    let args =
        ["--argon2-memory-kib=65536", "--argon2-iterations=100", "--hash-threads=1", "--request-timeout=1s"];
    let server = TestServer::start(&args).await;
    // The hash takes longer than calls may: it is told so, and the thread goes on to its end.
    let late = server.client().await.log_in("nobody", PASSWORD).await;
    assert_refused(late, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    let client = server.client().await;
    eventually("an idle thread is tried again", || {
        let mut client = client.clone();
        async move { client.log_in("nobody", PASSWORD).await.unwrap_err().code() == Code::DeadlineExceeded }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    // A hash that outlasts what is done meanwhile, so that it is not its end that frees a place.
    let args = [&SLOW[..], &["--argon2-iterations=200", "--hash-queue=1"]].concat();
    let server = TestServer::start(&args).await;
    let client = server.client().await;
    let log_in = |time: Duration| {
        let mut client = client.clone();
        let mut request = Request::new(password_grant("nobody", PASSWORD));
        request.set_timeout(time);
        async move { client.0.issue_token(request).await.unwrap_err().code() }
    };
    let mut logins = JoinSet::new();
    for _ in 0..3 {
        logins.spawn(log_in(Duration::from_mins(5)));
    }
    let refused = logins.join_next().await.unwrap().unwrap();
    assert_eq!(refused, Code::ResourceExhausted, "one is hashed, one waits, and one finds no place");
    // Both clients go away: what is being hashed is hashed to its end, and what waits waits no more.
    logins.abort_all();
    eventually("the place is free", || {
        let probe = log_in(Duration::from_millis(500));
        async { probe.await != Code::ResourceExhausted }
    })
    .await;
}

#[tokio::test]
async fn calls_beyond_those_in_flight_are_refused_and_the_others_are_served() {
    let server = TestServer::start(&[&SLOW[..], &["--max-in-flight-calls=1"]].concat()).await;
    let mut client = server.client().await;
    let mut busy = client.clone();
    let busy = tokio::spawn(async move { busy.log_in("nobody", PASSWORD).await });
    eventually("the one place is taken", || {
        let mut client = client.clone();
        async move {
            let status = client.0.get_me(GetMeRequest {}).await.unwrap_err();
            if status.code() == Code::ResourceExhausted {
                let status = assert_refused(Err::<(), _>(status), Code::ResourceExhausted, "OVERLOADED");
                assert!(status.get_details_retry_info().is_some());
                return true;
            }
            false
        }
    })
    .await;
    assert_refused(busy.await.unwrap(), Code::Unauthenticated, "INVALID_CREDENTIALS");
    assert_refused(client.0.get_me(GetMeRequest {}).await, Code::Unauthenticated, "TOKEN_MISSING");
}

#[tokio::test]
async fn the_server_has_a_deadline_of_its_own() {
    let server =
        TestServer::start(&[&SLOW[..], &["--request-timeout=1s", "--argon2-iterations=200"]].concat()).await;
    let status = server.client().await.log_in("nobody", PASSWORD).await;
    assert_refused(status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}
