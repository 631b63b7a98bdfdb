//! Owns what replicas promise that are processes of their own on one database: together they are one service, and none of them is
//! needed.

use std::{fs, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::ConnectionTrait;
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    client::{Client, PASSWORD, reason},
    harness::{PATIENCE, Place, Service},
};

/// How many replicas there are.
const REPLICAS: usize = 3;

/// Replicas that were started at once on a fresh database, and a client of each.
struct Replicas {
    place: Place,
    services: Vec<Service>,
    clients: Vec<Client>,
}

impl Replicas {
    /// Each with `args`, and an audit log of its own.
    async fn start(args: &[&str]) -> Self {
        let place = Place::migrated().await;
        let logs: Vec<_> = (0..REPLICAS).map(|number| Self::audit_log(&place, number)).collect();
        let with_log = |number: usize| [args, &[logs[number].as_str()]].concat();
        let [first, second, third] = [with_log(0), with_log(1), with_log(2)];
        let services = tokio::join!(place.serve(&first), place.serve(&second), place.serve(&third));
        let services = vec![services.0, services.1, services.2];
        let mut clients = Vec::new();
        for service in &services {
            clients.push(service.client().await);
        }
        Self { place, services, clients }
    }

    fn audit_log(place: &Place, number: usize) -> String {
        format!("--audit-log={}", place.path(&format!("audit-{number}.log")).display())
    }

    /// How often all of them together recorded `event`.
    fn recorded(&self, event: &str) -> usize {
        let log = |number| fs::read_to_string(self.place.path(&format!("audit-{number}.log"))).unwrap();
        let logs: String = (0..REPLICAS).map(log).collect();
        let is_event = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["event"] == event;
        logs.lines().filter(is_event).count()
    }
}

#[tokio::test]
async fn a_name_that_is_signed_up_on_all_replicas_at_once_is_one_users() {
    let replicas = Replicas::start(&[]).await;
    for round in 0..10 {
        let mut calls = JoinSet::new();
        for number in 0..12 {
            let client = replicas.clients[number % REPLICAS].clone();
            // One name by RFC 8265, whatever the case.
            let name = ["user", "User"][number / 6];
            calls.spawn(async move { client.sign_up(&format!("{name}-{round}")).await });
        }
        let mut reasons: Vec<_> = calls.join_all().await.iter().map(reason).collect();
        reasons.sort();
        let expected: Vec<_> = ["OK"].into_iter().chain(["USERNAME_TAKEN"; 11]).collect();
        assert_eq!(reasons, expected, "round {round}");
    }
    let users = replicas.place.run(&["users", "list", "--json"]).await.succeeded().objects();
    assert_eq!(users.len(), 10);
}

#[tokio::test]
async fn a_refresh_token_that_is_used_on_all_replicas_at_once_has_one_successor() {
    let Replicas { clients, place: _place, services: _services } = Replicas::start(&[]).await;
    clients[0].sign_up("alice").await.unwrap();
    let mut token =
        clients[0].open_session("alice", PASSWORD).await.unwrap().refresh_token.expect("a login has one");
    let mut used = token.clone();
    for round in 0..10 {
        let mut calls = JoinSet::new();
        // No more than are repeated, if none are in flight together.
        for number in 0..9 {
            let (client, token) = (clients[number % REPLICAS].clone(), token.clone());
            calls.spawn(async move { client.refresh(&token).await.unwrap().refresh_token.unwrap() });
        }
        let mut next = calls.join_all().await;
        next.dedup();
        assert_eq!(next.len(), 1, "round {round}");
        used = std::mem::replace(&mut token, next.remove(0));
    }
    clients[1].refresh(&token).await.unwrap();
    // By now `used` is a copy that somebody else has: wherever it comes, the session ends, everywhere.
    let refused =
        tokio::join!(clients[0].refresh(&used), clients[1].refresh(&used), clients[2].refresh(&used));
    let reasons = [reason(&refused.0), reason(&refused.1), reason(&refused.2)];
    assert!(reasons.iter().any(|reason| reason == "REFRESH_TOKEN_REUSED"), "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.starts_with("REFRESH_TOKEN_")), "{reasons:?}");
    for client in &clients {
        assert_eq!(reason(&client.refresh(&token).await), "REFRESH_TOKEN_INVALID");
    }
}

fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// Logs in on each replica and shows the token to each: all of them take it, and publish its key. Returns the key's id.
async fn judged_by_all(clients: &[Client]) -> Vec<String> {
    let mut kids = Vec::new();
    for issuer in clients {
        let token = issuer.log_in("alice", PASSWORD).await.unwrap();
        for verifier in clients {
            verifier.get_me(&token).await.expect("every replica takes every other's tokens");
            let published = verifier.published_kids().await;
            assert!(published.contains(&kid(&token)), "{} is not among {published:?}", kid(&token));
        }
        kids.push(kid(&token));
    }
    kids
}

#[tokio::test]
async fn keys_are_made_once_by_one_replica_and_known_to_all_before_they_sign() {
    // Longer than the test may take, or one more key would be due on a slow machine; and not as long as tokens live, with which keys go.
    let args = ["--key-rotation-interval=10m", "--key-publish-ahead=4s", "--clock-leeway=0s"];
    let replicas = Replicas::start(&args).await;
    let first = &replicas.services[0].started["signing_key"];
    assert!(replicas.services.iter().all(|service| service.started["signing_key"] == *first));
    replicas.clients[0].sign_up("alice").await.unwrap();
    let db = replicas.place.connect().await;
    for round in 1..=2 {
        let present = judged_by_all(&replicas.clients).await;
        assert!(present.iter().all(|kid| *kid == present[0]), "{present:?}");
        // As if it had signed for ten minutes: all replicas find the next one due in the same second.
        db.execute_unprepared("UPDATE signing_keys SET sign_time = sign_time - 601000000").await.unwrap();
        let changing_over = async { while judged_by_all(&replicas.clients).await.contains(&present[0]) {} };
        timeout(PATIENCE, changing_over).await.expect("the next key signs");
        let keys = replicas.place.run(&["keys", "list", "--json"]).await.succeeded().objects();
        assert_eq!(keys.len(), 1 + round, "one key was made for all: {keys:?}");
    }
    // The first one too was published by one of them.
    assert_eq!(replicas.recorded("signing_key.published"), 1 + 2);
}

/// How long `client` goes on taking `token`.
async fn refused_after(client: &Client, token: &str) -> Duration {
    let start = Instant::now();
    let waiting = async { while reason(&client.get_me(token).await) != "TOKEN_REVOKED" {} };
    timeout(PATIENCE, waiting).await.expect("it is refused at last");
    start.elapsed()
}

#[tokio::test]
async fn what_one_replica_ended_is_refused_by_the_others() {
    let Replicas { clients, place, services: _services } = Replicas::start(&[]).await;
    let mut longest = Duration::ZERO;
    for round in 0..6 {
        let name = format!("user-{round}");
        let client = &clients[round % REPLICAS];
        client.sign_up(&name).await.unwrap();
        let token = client.log_in(&name, PASSWORD).await.unwrap();
        // All of them have just seen it, and remember it.
        for client in &clients {
            client.get_me(&token).await.unwrap();
        }
        if round % 2 == 0 {
            client.revoke_all(&token).await.unwrap();
            assert_eq!(reason(&client.get_me(&token).await), "TOKEN_REVOKED", "at once where it was ended");
        } else {
            place.run(&["users", "disable", &name]).await.succeeded();
        }
        let times = tokio::join!(
            refused_after(&clients[0], &token),
            refused_after(&clients[1], &token),
            refused_after(&clients[2], &token)
        );
        longest = longest.max(times.0).max(times.1).max(times.2);
    }
    // How soon is judged in tests/api, by a clock that is turned: here it would depend on what else the machine does.
    println!("refused everywhere after {longest:?} at the longest");
}

/// Signs up, logs in and refreshes without end, until `stop`. Returns the names that were acknowledged; panics if a call fails,
/// unless the replica `may_die`.
async fn live(client: Client, prefix: String, stop: watch::Receiver<bool>, may_die: bool) -> Vec<String> {
    let mut names = Vec::new();
    while !*stop.borrow() {
        let name = format!("{prefix}-{}", names.len());
        let lived = async {
            client.sign_up(&name).await?;
            names.push(name.clone());
            let mut tokens = client.open_session(&name, PASSWORD).await?;
            for _ in 0..3 {
                client.get_me(&tokens.access_token).await?;
                tokens = client.refresh(&tokens.refresh_token.unwrap()).await?;
            }
            client.revoke_all(&tokens.access_token).await
        };
        match timeout(PATIENCE, lived).await.expect("nobody waits for a dead replica's locks") {
            Ok(()) => {}
            Err(_) if may_die => break,
            Err(status) => panic!("{name}: {status:?}"),
        }
    }
    names
}

#[tokio::test]
async fn a_replica_that_is_killed_at_any_moment_costs_the_others_nothing() {
    let Replicas { place, mut services, clients } = Replicas::start(&[]).await;
    let (stop, stopped) = watch::channel(false);
    let mut others = JoinSet::new();
    for (number, client) in clients[..2].iter().enumerate() {
        for worker in 0..2 {
            let prefix = format!("steady-{number}-{worker}");
            others.spawn(live(client.clone(), prefix, stopped.clone(), false));
        }
    }
    let mut names = Vec::new();
    let mut victim = services.pop().unwrap();
    for round in 0..5 {
        let mut doomed = JoinSet::new();
        for worker in 0..4 {
            let client = victim.client().await;
            doomed.spawn(live(client, format!("doomed-{round}-{worker}"), stopped.clone(), true));
        }
        // It is killed amid work, each time a little later.
        let client = victim.client().await;
        for extra in 0..=round {
            client.sign_up(&format!("counted-{round}-{extra}")).await.unwrap();
        }
        victim.kill().await;
        names.extend(doomed.join_all().await.into_iter().flatten());
        victim = place.serve(&[]).await;
    }
    stop.send_replace(true);
    let steady = others.join_all().await;
    assert!(
        steady.iter().all(|names| names.len() > 1),
        "{:?}",
        steady.iter().map(Vec::len).collect::<Vec<_>>()
    );
    // Whatever it acknowledged is there for the others.
    for name in names.iter().chain(steady.iter().flatten()) {
        assert_eq!(reason(&clients[0].log_in(name, PASSWORD).await), "OK", "{name}");
    }
    let counts: Vec<_> = steady.iter().map(Vec::len).collect();
    println!("5 kills, {} users of the killed one, {counts:?} of the others", names.len());
}
