//! Owns what a crash promises to sessions: whoever was refreshing when it came stays logged in, with one living token.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use signet::{
    base::Entropy,
    model::SessionId,
    store::{PoolSettings, Store},
};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::{
    client::{Client, PASSWORD, reason},
    harness::{PATIENCE, Place, Service},
};

const CLIENTS: usize = 8;

/// After so many answers the process is killed, one number after the other: amid the first refreshes, and amid later ones.
const KILL_AFTER: [usize; 6] = [1, 2, 5, 17, 40, 90];

/// A kill hits a refresh before its commit or after it, as chance has it. The rounds go on until both have been seen.
const MAX_ROUNDS: usize = 60;

/// The refresh tokens that a client was answered with last.
struct Chain {
    /// The one before `newest`, if there was one.
    before: Option<String>,
    /// The one that it sent, and had no answer.
    newest: String,
}

/// Refreshes from `token` on until the connection breaks. Tells each answer.
async fn refresh_without_end(client: Client, token: String, answered: mpsc::UnboundedSender<()>) -> Chain {
    let mut chain = Chain { before: None, newest: token };
    while let Ok(response) = client.refresh(&chain.newest).await {
        let next = response.refresh_token.unwrap();
        chain.before = Some(std::mem::replace(&mut chain.newest, next));
        let _ = answered.send(());
    }
    chain
}

/// Has clients refresh without end, and kills the service when they have had `answers` answers.
async fn killed_amid_refreshes(service: Service, answers: usize) -> Vec<Chain> {
    let mut logins = Vec::new();
    for _ in 0..CLIENTS {
        let client = service.client().await;
        let token = client.open_session("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
        logins.push((client, token));
    }
    let (sender, mut answered) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for (client, token) in logins {
        clients.spawn(refresh_without_end(client, token, sender.clone()));
    }
    for _ in 0..answers {
        answered.recv().await.unwrap();
    }
    service.kill().await;
    clients.join_all().await
}

/// The database behind the service's back. The embedded one is read from a copy, so that the service itself recovers.
async fn behind_its_back(place: &Place) -> (Store, Option<TempDir>) {
    if !place.is_embedded() {
        let settings = PoolSettings {
            size: 1,
            acquire_timeout: PATIENCE,
            statement_timeout: PATIENCE,
            max_lifetime: PATIENCE,
        };
        let url = place.database_url().parse().unwrap();
        return (Store::connect(&url, settings, Entropy::system()).await.unwrap(), None);
    }
    let copy = TempDir::new().unwrap();
    for file in fs::read_dir(place.data("")).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("signet.db") {
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    (Store::open_sqlite(copy.path().join("signet.db"), Entropy::system()).await.unwrap(), Some(copy))
}

/// Whether the exchange of each client's newest token was committed.
async fn committed(place: &Place, chains: &[Chain]) -> Vec<bool> {
    let (store, _copy) = behind_its_back(place).await;
    let mut committed = Vec::new();
    for chain in chains {
        let token = URL_SAFE_NO_PAD.decode(&chain.newest).unwrap();
        let session = SessionId(Uuid::from_slice(&token[..16]).unwrap());
        let stored = store.session(session).await.unwrap().expect("the session is there");
        committed.push(stored.refresh.newest != *digest(&SHA256, &token).as_ref());
    }
    store.close().await;
    committed
}

/// What a client does after the crash: it sends again what had no answer.
async fn goes_on(client: &Client, Chain { before, newest }: Chain, is_thief_early: bool) {
    let again = client.refresh(&newest).await.expect("it is still logged in");
    client.get_me(&again.access_token).await.expect("its new access token is good");
    let next = again.refresh_token.unwrap();
    let twice = client.refresh(&newest).await.expect("until the answer is used, it may be asked for again");
    assert_eq!(twice.refresh_token.unwrap(), next, "there is one living branch");
    let (superseded, living) = match before {
        Some(before) if is_thief_early => (before, next),
        _ => (newest, client.refresh(&next).await.expect("it goes on").refresh_token.unwrap()),
    };
    assert_eq!(reason(&client.refresh(&superseded).await), "REFRESH_TOKEN_REUSED", "a replay is found out");
    assert_eq!(reason(&client.refresh(&living).await), "REFRESH_TOKEN_INVALID", "and ends the session");
}

#[tokio::test]
async fn nobody_is_logged_out_by_a_kill_between_consuming_and_answering_a_refresh() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let mut service = place.serve(&[]).await;
    let (mut rounds, mut before_commit, mut after_commit) = (0, 0, 0);
    while rounds < KILL_AFTER.len() || before_commit == 0 || after_commit == 0 {
        assert!(rounds < MAX_ROUNDS, "{before_commit} hit before their commit, {after_commit} after it");
        let chains = killed_amid_refreshes(service, KILL_AFTER[rounds % KILL_AFTER.len()]).await;
        assert_eq!(chains.len(), CLIENTS, "every client was amid a refresh");
        let hit = committed(&place, &chains).await.into_iter().filter(|committed| *committed).count();
        after_commit += hit;
        before_commit += CLIENTS - hit;

        service = place.serve(&[]).await;
        let client = service.client().await;
        for (number, chain) in chains.into_iter().enumerate() {
            goes_on(&client, chain, number % 2 == 0).await;
        }
        rounds += 1;
    }
    println!("{rounds} kills: {before_commit} refreshes hit before their commit, {after_commit} after it");
}
