//! Owns who waits for a password's hash, and for whom: by account, by address, and apart from imported hashes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    harness::{Client, PASSWORD, TestServer, assert_refused, eventually},
    issue_token::bring_over,
};

/// Hashes of half a second or so, one at a time; and nobody is in a hurry.
const SLOW: [&str; 5] = [
    "--argon2-memory-kib=65536",
    "--argon2-iterations=8",
    "--hash-threads=1",
    "--hash-queue=2",
    "--request-timeout=5m",
];

/// How long a guesser leaves the machine to those who hash.
const PAUSE: Duration = Duration::from_millis(5);

const GUESSER: &str = "127.0.0.2";
const HONEST: &str = "127.0.0.3";

/// Fills the thread and the queue with guesses at `username`, and returns those that have their place.
async fn guesses_that_wait(client: &Client, username: &'static str) -> JoinSet<Code> {
    let mut guesses = JoinSet::new();
    for _ in 0..10 {
        let mut client = client.clone();
        guesses.spawn(async move { client.log_in(username, "a wrong guess").await.unwrap_err().code() });
    }
    for _ in 0..7 {
        assert_eq!(guesses.join_next().await.unwrap().unwrap(), Code::ResourceExhausted);
    }
    guesses
}

async fn count(mut guesses: JoinSet<Code>, code: Code) -> usize {
    let mut count = 0;
    while let Some(found) = guesses.join_next().await {
        count += usize::from(found.unwrap() == code);
    }
    count
}

/// Everybody has one address here: whoever has a session that came from there is told from the names that a guesser makes up.
#[tokio::test]
async fn behind_an_ingress_that_nobody_has_named_a_guess_goes_for_an_account_with_a_session() {
    let server = TestServer::start(&[&SLOW[..], &["--address-failures=10"]].concat()).await;
    let mut honest = server.client_from(HONEST).await;
    honest.sign_up("bob", PASSWORD).await.unwrap();
    honest.sign_up("carol", PASSWORD).await.unwrap();
    honest.log_in("bob", PASSWORD).await.unwrap();
    // What the address may fail is used up, without a hash.
    for _ in 0..10 {
        assert_refused(honest.sign_up("bob", PASSWORD).await, Code::AlreadyExists, "USERNAME_TAKEN");
    }
    let guesses = guesses_that_wait(&server.client_from(HONEST).await, "nobody").await;
    assert_refused(honest.log_in("carol", PASSWORD).await, Code::ResourceExhausted, "OVERLOADED");
    honest.log_in("bob", PASSWORD).await.unwrap();
    assert_eq!(count(guesses, Code::ResourceExhausted).await, 1);
    honest.log_in("carol", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_guess_that_waits_goes_for_a_login_or_a_sign_up_from_elsewhere() {
    let server = TestServer::start(&SLOW).await;
    let mut honest = server.client_from(HONEST).await;
    honest.sign_up("bob", PASSWORD).await.unwrap();
    let guesser = server.client_from(GUESSER).await;

    let waiting = guesses_that_wait(&guesser, "bob").await;
    honest.log_in("bob", PASSWORD).await.expect("the owner of the account itself has room");
    assert_eq!(count(waiting, Code::ResourceExhausted).await, 1, "one has gone for it");

    let waiting = guesses_that_wait(&guesser, "nobody").await;
    honest.sign_up("carol", PASSWORD).await.expect("a sign-up has room");
    assert_eq!(count(waiting, Code::ResourceExhausted).await, 1);
}

#[tokio::test]
async fn sign_ups_from_one_address_take_no_room_from_others() {
    let server = TestServer::start(&SLOW).await;
    let mut honest = server.client_from(HONEST).await;
    honest.sign_up("bob", PASSWORD).await.unwrap();
    let flooding = server.client_from(GUESSER).await;
    let mut flood = JoinSet::new();
    for number in 0..10 {
        let mut flooding = flooding.clone();
        let username = format!("made-up-{number}");
        flood.spawn(async move { flooding.sign_up(&username, PASSWORD).await });
    }
    // The thread and the queue are full of them.
    let refused = flood.join_next().await.unwrap().unwrap();
    let refused = assert_refused(refused, Code::ResourceExhausted, "OVERLOADED");
    assert!(refused.get_details_retry_info().is_some());
    honest.log_in("bob", PASSWORD).await.unwrap();
    honest.sign_up("carol", PASSWORD).await.unwrap();
}

/// How many passwords have been refused in `lane`.
async fn refused(server: &TestServer, lane: &str) -> f64 {
    server.scrape().await.sum("signet_hash_refused_total", &[("lane", lane)])
}

/// Calls that go on until they are told to stop, each again as soon as it has been answered; and how often they were refused.
struct Storm {
    stop: Arc<AtomicBool>,
    callers: JoinSet<usize>,
}

impl Storm {
    fn at(client: &Client, username: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..12 {
            let (mut client, stop) = (client.clone(), Arc::clone(&stop));
            callers.spawn(async move {
                let mut refused = 0;
                while !stop.load(Ordering::SeqCst) {
                    let status = client.log_in(username, "a wrong guess").await.unwrap_err();
                    refused += usize::from(status.code() == Code::ResourceExhausted);
                    // The hash threads run when nobody else wants their core.
                    tokio::time::sleep(PAUSE).await;
                }
                refused
            });
        }
        Self { stop, callers }
    }

    /// How often it was refused.
    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let mut refused = 0;
        while let Some(caller) = self.callers.join_next().await {
            refused += caller.unwrap();
        }
        refused
    }
}

#[tokio::test]
async fn a_storm_at_an_imported_account_refuses_no_other_login() {
    let server = TestServer::start(&["--hash-threads=1", "--hash-queue=2", "--request-timeout=5m"]).await;
    let mut honest = server.client_from(HONEST).await;
    honest.sign_up("bob", PASSWORD).await.unwrap();
    bring_over(&server, "old", &bcrypt::hash(PASSWORD, 10).unwrap()).await;
    let storm = Storm::at(&server.client_from(GUESSER).await, "old");
    eventually("the storm has more than the queue takes", || async {
        refused(&server, "imported").await > 0.0
    })
    .await;
    for _ in 0..20 {
        honest.log_in("bob", PASSWORD).await.unwrap();
    }
    assert!(storm.end().await > 0);
    assert!(refused(&server, "own").await < 1.0);
}

#[tokio::test]
async fn a_storm_at_another_account_refuses_no_login_with_an_imported_hash() {
    let server = TestServer::start(&SLOW).await;
    bring_over(&server, "old", &bcrypt::hash(PASSWORD, 4).unwrap()).await;
    let storm = Storm::at(&server.client_from(GUESSER).await, "nobody");
    eventually("the storm has more than the queue takes", || async { refused(&server, "own").await > 0.0 })
        .await;
    // Its new hash has room, too: it waits for one guess.
    server.client_from(HONEST).await.log_in("old", PASSWORD).await.unwrap();
    assert!(storm.end().await > 0);
    assert!(refused(&server, "imported").await < 1.0);
}
