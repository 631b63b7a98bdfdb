//! Owns what callers with a token, and probes, see while strangers have a slow database look up whatever they make up: nothing.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use signet::proto::identity::v1::{ListSessionsRequest, identity_service_client::IdentityServiceClient};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, transport::Channel};

use super::{locks::Lock, relay::behind_relay};
use crate::{
    harness::{PASSWORD, TestServer, assert_refused, eventually, with_token},
    strangers::made_up,
};

/// How far away the database is.
const ROUND_TRIP: Duration = Duration::from_millis(2);

/// How many strangers ask at a time.
const STRANGERS: usize = 600;

/// How many of them share a connection: fewer than `--max-concurrent-streams`.
const OF_A_CONNECTION: usize = 150;

/// How many look-ups of one peer may wait.
const OF_ONE_PEER: usize = 128;

/// How often the honest one asks.
const CALLS: usize = 20;

/// How many look-ups for strangers the database may do for one honest call. Were the honest one's reads to wait in one line with them, it
/// would do nearly as many for each read as there are strangers.
const LOOKUPS_OF_A_CALL: usize = 150;

/// How long an honest call may take on a busy machine: less than a stranger's look-up that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whatever the machine is busy with; and nothing is remembered, so that each call reads.
const ARGS: [&str; 5] = [
    "--request-timeout=5m",
    "--database-pool-size=4",
    "--database-acquire-timeout=1m",
    "--database-statement-timeout=1m",
    "--standing-cache-max-age=0s",
];

impl TestServer {
    /// How many look-ups for strangers were made, or wait.
    async fn lookups(&self) -> usize {
        let made = self.scrape().await.sum("signet_stranger_lookups_total", &[("result", "made")]);
        format!("{made}").parse().unwrap()
    }
}

/// Asks without a pause until `stop`, and counts the look-ups that were made.
async fn flood(channel: Channel, number: usize, made: Arc<AtomicUsize>, stop: CancellationToken) {
    let mut client = IdentityServiceClient::new(channel);
    while !stop.is_cancelled() {
        match client.issue_token(made_up(number.is_multiple_of(2))).await.unwrap_err().code() {
            Code::Unauthenticated => drop(made.fetch_add(1, Ordering::SeqCst)),
            // On a busy machine.
            Code::DeadlineExceeded | Code::Unavailable => {}
            // Not to wait for something: else the test would measure how fast the machine refuses.
            Code::ResourceExhausted => tokio::time::sleep(Duration::from_millis(200)).await,
            code => panic!("{code:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_make_up_tokens_and_clients_do_not_stand_in_line_before_callers_with_a_token() {
    let Some((server, _relay)) = behind_relay(ROUND_TRIP, &ARGS).await else { return };
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let (made, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let (mut flooding, mut channel) = (JoinSet::new(), server.channel().await);
    for number in 0..STRANGERS {
        if number % OF_A_CONNECTION == 0 {
            channel = server.channel().await;
        }
        flooding.spawn(flood(channel.clone(), number, Arc::clone(&made), stop.clone()));
    }
    eventually("strangers are answered, too", || async { made.load(Ordering::SeqCst) > 0 }).await;
    let before = made.load(Ordering::SeqCst);
    for _ in 0..CALLS {
        assert_eq!(client.get_me(&token).await.unwrap().username, "alice");
    }
    let lookups = made.load(Ordering::SeqCst) - before;
    assert!(lookups < CALLS * LOOKUPS_OF_A_CALL, "{lookups} look-ups for {CALLS} calls");
    eventually("ready", || async { server.http_get("/readyz").await.status() == 200 }).await;
    stop.cancel();
    flooding.join_all().await;
    client.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn strangers_whose_look_ups_hang_keep_no_connection_from_callers_with_a_token_or_from_readiness() {
    let args = [&ARGS[..4], &["--standing-cache-max-age=1m"]].concat();
    let Some((server, _relay)) = behind_relay(Duration::ZERO, &args).await else { return };
    let client = server.client().await;
    let token = client.clone().token_of_new("alice").await;
    let sessions = async || {
        let request = with_token(ListSessionsRequest::default(), &token);
        client.clone().0.list_sessions(request).await
    };
    // The client of the token is remembered, unless it was read while something changed: the honest one reads what nobody locks.
    eventually("all is remembered", async || {
        let misses = async || server.scrape().await.sum("signet_cache_lookups_total", &[("result", "miss")]);
        let before = misses().await;
        sessions().await.unwrap();
        misses().await == before
    })
    .await;
    let lock = Lock::all(&server, "clients").await;
    let before = server.lookups().await;
    let (mut strangers, channel) = (JoinSet::new(), server.channel().await);
    for _ in 0..OF_A_CONNECTION {
        let mut stranger = IdentityServiceClient::new(channel.clone());
        strangers.spawn(async move { stranger.issue_token(made_up(true)).await });
    }
    let wait = async |count: usize| server.lookups().await >= before + count;
    eventually("as many wait as may", || wait(OF_ONE_PEER)).await;
    // Another peer has places of its own.
    let mut other = server.client_from("127.0.0.2").await;
    strangers.spawn(async move { other.0.issue_token(made_up(true)).await });
    eventually("the other's waits, too", || wait(OF_ONE_PEER + 1)).await;
    for _ in 0..3 {
        timeout(PATIENCE, sessions()).await.expect("in time").unwrap();
        let ready = eventually("ready", || async { server.http_get("/readyz").await.status() == 200 });
        timeout(PATIENCE, ready).await.expect("in time");
    }
    lock.release().await;
    let answers = strangers.join_all().await.into_iter().map(|answer| answer.unwrap_err().code());
    let (looked_up, refused): (Vec<_>, Vec<_>) = answers.partition(|code| *code == Code::Unauthenticated);
    assert_eq!(looked_up.len(), OF_ONE_PEER + 1);
    assert!(refused.iter().all(|code| *code == Code::ResourceExhausted), "{refused:?}");
}

/// A failure that is being written holds a place of whoever failed. Else a flood of wrong passwords from one address would have the
/// connections for all strangers, its share of the look-ups notwithstanding.
#[tokio::test]
async fn a_failed_password_is_written_in_its_callers_share_of_look_ups() {
    let Some((server, _relay)) = behind_relay(Duration::ZERO, &ARGS).await else { return };
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let lock = Lock::writes(&server, "password_failures").await;
    let before = server.lookups().await;
    let made = async |count: usize| server.lookups().await >= before + count;
    let mut owner = client.clone();
    let failing = tokio::spawn(async move { owner.log_in("alice", "wrong staple battery").await });
    eventually("it has been looked up, and the failure is being written", || made(2)).await;
    // That has the only connection for strangers.
    let (mut strangers, channel) = (JoinSet::new(), server.channel().await);
    for _ in 1..OF_ONE_PEER {
        let mut stranger = IdentityServiceClient::new(channel.clone());
        strangers.spawn(async move { stranger.issue_token(made_up(true)).await });
    }
    eventually("as many wait as may", || made(1 + OF_ONE_PEER)).await;
    let refused = timeout(PATIENCE, client.0.issue_token(made_up(true))).await.expect("in time");
    assert_refused(refused, Code::ResourceExhausted, "OVERLOADED");
    let mut other = server.client_from("127.0.0.2").await;
    strangers.spawn(async move { other.0.issue_token(made_up(true)).await });
    eventually("another's waits", || made(2 + OF_ONE_PEER)).await;
    lock.release().await;
    assert_refused(failing.await.unwrap(), Code::Unauthenticated, "INVALID_CREDENTIALS");
    for answer in strangers.join_all().await {
        assert_refused(answer, Code::Unauthenticated, "INVALID_CLIENT");
    }
}
