//! Owns what callers with a token, and probes, see while strangers have a slow database look up whatever they make up: nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper_util::client::legacy::connect::HttpConnector;
use sea_orm::{ConnectionTrait, DbBackend, TransactionTrait};
use signet::proto::identity::v1::identity_service_client::IdentityServiceClient;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, transport::Channel};

use super::relay::behind_relay;
use crate::{
    harness::{PASSWORD, TestServer, eventually},
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
const CALLS: usize = 50;

/// How many look-ups for strangers the database may do for one honest call. Were the honest one's reads to wait in one line with them, it
/// would do nearly as many for each read as there are strangers.
const LOOKUPS_OF_A_CALL: usize = 150;

/// How long an honest call may take on a busy machine: less than a stranger's look-up that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whatever the machine is busy with; and nothing is remembered, so that each call reads.
const ARGS: [&str; 5] = [
    "--request-timeout=60s",
    "--database-pool-size=4",
    "--database-acquire-timeout=30s",
    "--database-statement-timeout=30s",
    "--standing-cache-max-age=0s",
];

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

/// Has every look-up of a client hang until the transaction ends.
async fn lock_clients(server: &TestServer) -> sea_orm::DatabaseTransaction {
    let locking = server.data.connect().await.begin().await.unwrap();
    let lock = match locking.get_database_backend() {
        DbBackend::Postgres => "LOCK TABLE clients IN ACCESS EXCLUSIVE MODE",
        _ => "LOCK TABLES clients WRITE",
    };
    locking.execute_unprepared(lock).await.unwrap();
    locking
}

#[tokio::test]
async fn strangers_whose_look_ups_hang_keep_no_connection_from_callers_with_a_token_or_from_readiness() {
    let Some((server, _relay)) = behind_relay(Duration::ZERO, &ARGS).await else { return };
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let locking = lock_clients(&server).await;
    let before = server.scrape().await.sum("signet_stranger_lookups_total", &[("result", "made")]);
    let (mut strangers, channel) = (JoinSet::new(), server.channel().await);
    for _ in 0..OF_A_CONNECTION {
        let mut stranger = IdentityServiceClient::new(channel.clone());
        strangers.spawn(async move { stranger.issue_token(made_up(true)).await });
    }
    let wait = |count: usize| {
        let server = &server;
        async move {
            let made = server.scrape().await.sum("signet_stranger_lookups_total", &[("result", "made")]);
            made - before >= f64::from(u16::try_from(count).unwrap())
        }
    };
    eventually("as many wait as may", || wait(OF_ONE_PEER)).await;
    // Another peer has places of its own.
    let mut other = HttpConnector::new();
    other.set_local_address(Some([127, 0, 0, 2].into()));
    let other = Channel::from_shared(server.uri()).unwrap().connect_with_connector(other).await.unwrap();
    strangers.spawn(async move { IdentityServiceClient::new(other).issue_token(made_up(true)).await });
    eventually("the other's waits, too", || wait(OF_ONE_PEER + 1)).await;
    for _ in 0..3 {
        timeout(PATIENCE, client.get_me(&token)).await.expect("in time").unwrap();
        let ready = eventually("ready", || async { server.http_get("/readyz").await.status() == 200 });
        timeout(PATIENCE, ready).await.expect("in time");
    }
    if locking.get_database_backend() == DbBackend::MySql {
        locking.execute_unprepared("UNLOCK TABLES").await.unwrap();
    }
    locking.rollback().await.unwrap();
    let answers = strangers.join_all().await.into_iter().map(|answer| answer.unwrap_err().code());
    let (looked_up, refused): (Vec<_>, Vec<_>) = answers.partition(|code| *code == Code::Unauthenticated);
    assert_eq!(looked_up.len(), OF_ONE_PEER + 1);
    assert!(refused.iter().all(|code| *code == Code::ResourceExhausted), "{refused:?}");
}
