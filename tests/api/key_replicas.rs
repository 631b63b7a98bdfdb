//! Owns what replicas on one database promise about the signing keys: one makes the next, all have it before it signs.

use std::time::Duration;

use signet::{
    base::Timestamp,
    model::KeyId,
    store::{KeyChange, Lease, SIGNING_KEYS_LEASE, Store, StoredKey},
};
use uuid::Uuid;

use crate::{
    harness::{Data, PASSWORD, TestServer, eventually},
    keys::{A_DAY, AN_HOUR, UNTIL_DUE, kid, published},
};

#[tokio::test]
async fn of_several_replicas_one_makes_the_next_key_and_all_have_it_before_it_signs() {
    let first = TestServer::start(&[]).await;
    let replicas = [first.replica(&[]).await, first.replica(&[]).await, first];
    let store = replicas[2].store().await;
    replicas[2].client().await.sign_up("alice", PASSWORD).await.unwrap();
    for round in 1..=3 {
        replicas[0].clock.advance(UNTIL_DUE);
        eventually("the next is published", async || store.signing_keys().await.unwrap().len() == 2).await;
        for replica in &replicas {
            eventually("every replica shows it", async || published(replica).await.len() == 2).await;
        }
        let keys = published(&replicas[0]).await;
        replicas[0].clock.advance(AN_HOUR);
        let mut tokens = Vec::new();
        for replica in &replicas {
            let token = replica.client().await.log_in("alice", PASSWORD).await.unwrap().access_token;
            assert_eq!(kid(&token), keys[1]["kid"], "round {round}");
            tokens.push(token);
        }
        for replica in &replicas {
            for token in &tokens {
                replica.client().await.get_me(token).await.unwrap();
            }
        }
        let stored = store.signing_keys().await.unwrap();
        assert_eq!(stored.len(), 2, "each round made one key: {stored:?}");
        // Time for the old one to go, and for the round to have lasted 30 days.
        replicas[0].clock.advance(AN_HOUR);
        eventually("the old one is gone", async || store.signing_keys().await.unwrap().len() == 1).await;
    }
}

#[tokio::test]
async fn replicas_with_different_algorithms_do_not_replace_each_others_keys() {
    let one = TestServer::start(&[]).await;
    let other = one.replica(&["--signing-alg=EdDSA"]).await;
    let store = one.store().await;
    let algs = async || -> Vec<String> {
        store.signing_keys().await.unwrap().into_iter().map(|key| key.alg).collect()
    };
    assert_eq!(algs().await, ["ES256", "EdDSA"]);
    other.clock.advance(AN_HOUR * 3);
    eventually("the old one is gone", async || algs().await == ["EdDSA"]).await;
    one.clock.advance(30 * A_DAY);
    eventually("the next is of the algorithm of the newest", async || algs().await == ["EdDSA", "EdDSA"])
        .await;
}

/// A database that has no key yet.
async fn migrated() -> (Data, Store) {
    let data = Data::new().await;
    let store = data.store().await;
    store.migrate(Duration::ZERO).await.unwrap();
    (data, store)
}

/// A moment.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(0).after(Duration::from_secs(seconds))
}

/// The keys that are there.
async fn kids(store: &Store) -> Vec<String> {
    store.signing_keys().await.unwrap().into_iter().map(|key| key.kid.0).collect()
}

fn row(number: i64) -> StoredKey {
    StoredKey {
        kid: KeyId(format!("key-{number}")),
        alg: "ES256".to_owned(),
        sealed_private_key: Vec::new(),
        create_time: Timestamp::from_micros(number),
        sign_time: Timestamp::from_micros(number),
        retention: Duration::ZERO,
    }
}

async fn insert(store: &Store, lease: Lease, now: Timestamp, number: i64) -> bool {
    let insert = |_: &[StoredKey]| {
        Ok::<_, signet::model::Error>(KeyChange { insert: Some(row(number)), ..KeyChange::default() })
    };
    store.change_signing_keys(lease, now, insert).await.unwrap()
}

#[tokio::test]
async fn a_lease_keeps_other_leaders_out_until_its_term_is_over_but_no_operator() {
    let (_data, store) = migrated().await;
    let [one, other, operator] = [1, 2, 3].map(Uuid::from_u128);
    assert!(insert(&store, Lease::of_leader(one), at(1), 1).await);
    assert!(insert(&store, Lease::of_leader(one), at(2), 2).await, "who has it goes on");
    assert!(!insert(&store, Lease::of_leader(other), at(61), 3).await);
    assert!(insert(&store, Lease::of_leader(other), at(62), 4).await);
    assert!(!insert(&store, Lease::of_leader(one), at(63), 5).await);
    assert!(insert(&store, Lease::of_operator(operator), at(64), 6).await);
    assert!(!insert(&store, Lease::of_leader(other), at(65), 7).await);
    assert_eq!(kids(&store).await, ["key-1", "key-2", "key-4", "key-6"]);

    // A clock far ahead has taken it.
    assert!(insert(&store, Lease::of_leader(one), at(100_000), 9).await);
    assert!(insert(&store, Lease::of_leader(other), at(150), 10).await);
    assert!(!insert(&store, Lease::of_leader(one), at(151), 11).await);
    // Given back, it is free.
    store.give_back_lease(SIGNING_KEYS_LEASE, Lease::of_leader(one), at(152)).await.unwrap();
    assert!(!store.take_lease(SIGNING_KEYS_LEASE, Lease::of_leader(one), at(153)).await.unwrap());
    store.give_back_lease(SIGNING_KEYS_LEASE, Lease::of_leader(other), at(154)).await.unwrap();
    assert!(store.take_lease(SIGNING_KEYS_LEASE, Lease::of_leader(one), at(155)).await.unwrap());

    // Whoever wants nothing keeps nothing.
    let nothing = |_: &[StoredKey]| Ok::<_, signet::model::Error>(KeyChange::default());
    let operator = Lease::of_operator(operator);
    assert!(!store.change_signing_keys(operator, at(200), nothing).await.unwrap());
    assert!(insert(&store, Lease::of_leader(one), at(201), 8).await);
}

#[tokio::test]
async fn a_key_is_not_written_if_its_maker_has_lost_the_lease_since() {
    let (_data, store) = migrated().await;
    let [one, other, operator] = [1, 2, 3].map(Uuid::from_u128);
    let take = async |leader, time| {
        store.take_lease(SIGNING_KEYS_LEASE, Lease::of_leader(leader), time).await.unwrap()
    };
    // Making a key takes as long as it takes: here longer than the lease.
    assert!(take(one, at(1)).await);
    assert!(!take(other, at(60)).await);
    assert!(take(other, at(61)).await);
    assert!(!insert(&store, Lease::of_leader(one), at(62), 1).await);
    assert!(insert(&store, Lease::of_leader(other), at(63), 2).await);

    // An operator comes between.
    assert!(take(other, at(64)).await);
    assert!(insert(&store, Lease::of_operator(operator), at(65), 3).await);
    assert!(!insert(&store, Lease::of_leader(other), at(66), 4).await);
    assert_eq!(kids(&store).await, ["key-2", "key-3"]);
}

#[tokio::test]
async fn a_key_that_is_due_while_another_process_has_the_lease_is_made_when_that_is_over() {
    let server = TestServer::start(&[]).await;
    let store = server.store().await;
    let other = Lease::of_operator(Uuid::now_v7());
    let due = server.clock.now().after(UNTIL_DUE);
    assert!(store.take_lease(SIGNING_KEYS_LEASE, other, due).await.unwrap());
    server.clock.advance(UNTIL_DUE);
    let looks = async || {
        server
            .scrape()
            .await
            .sum("signet_job_runs_total", &[("job", "signing_keys"), ("result", "succeeded")])
    };
    let before = looks().await;
    eventually("it looks, and looks again", async || looks().await >= before + 2.0).await;
    assert_eq!(published(&server).await.len(), 1, "it leaves it to the other");
    server.clock.advance(Duration::from_mins(1));
    eventually("it makes the key", async || published(&server).await.len() == 2).await;
}

#[tokio::test]
async fn of_leaders_that_all_see_the_same_need_one_meets_it() {
    let (_data, store) = migrated().await;
    let mut leaders = tokio::task::JoinSet::new();
    for number in 0..8 {
        let store = store.clone();
        leaders.spawn(async move {
            let if_none = |keys: &[StoredKey]| {
                let insert = keys.is_empty().then(|| row(number));
                Ok::<_, signet::model::Error>(KeyChange { insert, ..KeyChange::default() })
            };
            // Not even a lease by force lets two in at once.
            let lease = Lease::of_operator(Uuid::from_u128(7));
            store.change_signing_keys(lease, Timestamp::from_micros(0), if_none).await.unwrap()
        });
    }
    let changed = leaders.join_all().await.into_iter().filter(|changed| *changed).count();
    assert_eq!((changed, store.signing_keys().await.unwrap().len()), (1, 1));
}
