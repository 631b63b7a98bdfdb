//! Owns what a replica does, and leaves alone, whose clock and the database's disagree.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::time::Duration;

use signet::{
    base::{Clock, Timestamp},
    install::StartError,
    model::error,
    server::Server,
    store::DatabaseClock,
};

use crate::{
    harness::{Data, PASSWORD, START, TestServer, config, eventually},
    keys::published,
    own_account::rename,
};

/// Longer than a session may go without its refresh token being used.
const DAYS: Duration = Duration::from_hours(15 * 24);

/// The keys are due long before.
const ROTATION: [&str; 2] = ["--key-rotation-interval=3h", "--key-publish-ahead=1h"];

async fn withheld(server: &TestServer, work: &str) -> f64 {
    server.scrape().await.sum("signet_clock_withheld_total", &[("work", work)])
}

async fn is_ready(server: &TestServer) -> bool {
    server.http_get("/readyz").await.status() == 200
}

async fn changes(data: &Data) -> usize {
    data.store().await.changes(0, 1_000).await.unwrap().len()
}

#[tokio::test]
async fn the_database_tells_its_own_time_and_sqlite_has_none() {
    let data = Data::new().await;
    let store = data.store().await;
    let clock = Clock::system();
    let before = clock.now();
    let time = store.time().await.unwrap();
    let after = clock.now();
    match time {
        None => assert!(data.is_embedded()),
        // Both are on this machine.
        Some(time) => assert!(before <= time && time <= after, "{before} {time} {after}"),
    }
}

/// Of two replicas with one database, `wrong` takes its clock for right.
async fn two_replicas(hand: &Clock, wrong: Clock, database: DatabaseClock) -> (TestServer, TestServer) {
    let data = Data::new().await;
    let right = TestServer::start_with(data.clone(), hand.clone(), database.clone(), &ROTATION).await;
    let wrong = TestServer::start_with(data, wrong, database, &ROTATION).await;
    (right, wrong)
}

#[tokio::test]
async fn a_replica_whose_clock_is_fifteen_days_ahead_ends_no_session_and_rotates_no_key() {
    let hand = Clock::manual(START);
    let (right, wrong) = two_replicas(&hand, Clock::manual(START), DatabaseClock::Given(hand.clone())).await;
    let mut client = right.client().await;
    let token = client.token_of_new("alice").await;
    let refresh_token = client.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    // Each is told in the feed, where it stays for those who have not read it.
    for number in 0..3 {
        rename(&mut client, &token, &format!("Alice {number}")).await.unwrap();
    }
    let (keys, told) = (published(&right).await, changes(&right.data).await);
    assert!(is_ready(&wrong).await, "its clock is right so far");

    wrong.clock.advance(DAYS);
    for work in ["sessions", "assertions", "changes", "signing_keys"] {
        eventually(work, || async { withheld(&wrong, work).await > 0.0 }).await;
    }
    eventually("not ready", || async { !is_ready(&wrong).await }).await;
    let answer = wrong.http_get("/readyz").await;
    assert_eq!(answer.body(), "not ready: the clocks of this machine and of the database disagree\n");
    let offset = wrong.scrape().await.sum("signet_clock_offset_seconds", &[]);
    assert_eq!(offset, DAYS.as_secs_f64());

    assert_eq!(published(&right).await, keys);
    assert_eq!(changes(&right.data).await, told);
    assert!(is_ready(&right).await);
    assert_eq!(withheld(&right, "sessions").await, 0.0);
    client.get_me(&token).await.unwrap();
    client.refresh(&refresh_token).await.unwrap();

    // The clock of the database agrees when it is as late.
    hand.advance(DAYS);
    eventually("ready again", || async { is_ready(&wrong).await }).await;
}

#[tokio::test]
async fn clocks_that_differ_by_less_than_five_minutes_let_a_replica_serve_but_delete_nothing() {
    let hand = Clock::manual(START);
    let (right, wrong) = two_replicas(&hand, Clock::manual(START), DatabaseClock::Given(hand.clone())).await;
    assert!(is_ready(&right).await && is_ready(&wrong).await, "they have begun to wait");
    // Half an hour passes; one clock loses four minutes of it.
    hand.advance(Duration::from_mins(30));
    wrong.clock.advance(Duration::from_mins(26));
    eventually("withheld", || async { withheld(&wrong, "sessions").await > 0.0 }).await;
    eventually("ready", || async { is_ready(&wrong).await }).await;
    assert_eq!(wrong.scrape().await.sum("signet_clock_offset_seconds", &[]), -240.0);
    assert_eq!(withheld(&right, "sessions").await, 0.0);
}

/// With the time that a server tells.
#[tokio::test]
async fn a_clock_that_is_wrong_at_the_start_is_noticed_then() {
    let machine = Clock::system();
    let ahead = Clock::manual(machine.now().after(DAYS));
    let data = Data::new().await;
    if data.is_embedded() {
        return; // Nothing else could tell.
    }
    let right = TestServer::start_with(data.clone(), machine, DatabaseClock::Own, &[]).await;
    let wrong = TestServer::start_with(data, ahead, DatabaseClock::Own, &[]).await;
    assert!(!is_ready(&wrong).await);
    assert!(is_ready(&right).await);
    let offset = wrong.scrape().await.sum("signet_clock_offset_seconds", &[]);
    assert!((offset - DAYS.as_secs_f64()).abs() < 300.0, "{offset}");
    assert_eq!(right.scrape().await.sum("signet_clock_offset_seconds", &[]), 0.0);
}

#[tokio::test]
async fn no_first_key_is_made_by_a_wrong_time() {
    let data = Data::new().await;
    let database = DatabaseClock::Given(Clock::manual(Timestamp::from_micros(0)));
    let problem = match Server::start(config(&data, &[]), Clock::manual(START), database).await {
        Err(StartError::Failed(problem)) => error::chain(&problem),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    };
    assert!(problem.contains("ahead of the database's: no signing key is made"), "{problem}");
}
