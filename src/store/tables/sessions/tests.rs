//! Owns what the sweep of sessions promises, whatever happens meanwhile.

use std::time::Duration;

use super::*;
use crate::{base::Entropy, model::id::uuid_v7, store::tables::exchanges::Exchange};

/// A database without a row, and the directory that it is in.
async fn empty_store(entropy: Entropy) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_sqlite(dir.path().join("signet.db"), entropy).await.unwrap();
    store.migrate(Duration::ZERO).await.unwrap();
    (dir, store)
}

/// Adds a session that was opened and last used at `time`.
async fn add(store: &Store, id: Uuid, time: Timestamp) {
    let row = ActiveModel {
        id: Set(id),
        user_id: Set(Uuid::from_u128(3)),
        client_id: Set("signet".to_owned()),
        scope: Set("profile".to_owned()),
        audience: Set(None),
        user_agent: Set(None),
        address: Set(None),
        create_time: Set(time.as_micros()),
        last_use_time: Set(time.as_micros()),
        refresh_newest: Set(vec![1; 32]),
        refresh_before_newest: Set(None),
        refresh_salt: Set(vec![0; 32]),
        ..ActiveModel::default()
    };
    Entity::insert(row).exec_without_returning(&store.writer).await.unwrap();
}

/// The sessions that a sweep leaves of some that are opened at random times.
async fn left_by_sweep(seed: u64) -> Vec<Uuid> {
    let (_dir, store) = empty_store(Entropy::seeded(seed)).await;
    let start = Timestamp::from_micros(1_795_435_200_000_000);
    let lifetime = SessionLifetime { idle: Duration::from_mins(1), absolute: Duration::from_mins(10) };
    let now = start.after(lifetime.idle * 2);
    let mut expected = Vec::new();
    for _ in 0..40 {
        let opened = start.after(store.entropy().part_of(lifetime.idle * 2, 0.0..1.0));
        let id = uuid_v7(opened, store.entropy());
        add(&store, id, opened).await;
        if opened.after(lifetime.idle) > now {
            expected.push(id);
        }
    }
    let mut after = None;
    while let Some(next) = store.sweep_sessions(after, lifetime, now).await.unwrap() {
        after = Some(next);
    }
    let left = Entity::find().order_by_asc(Column::Id).all(&store.db).await.unwrap();
    let left: Vec<_> = left.into_iter().map(|row| row.id).collect();
    expected.sort();
    assert_eq!(left, expected, "with the seed {seed}");
    left
}

#[tokio::test]
async fn a_sweep_deletes_what_has_expired_and_repeats_by_its_seed() {
    for seed in 0..3 {
        assert_eq!(left_by_sweep(seed).await, left_by_sweep(seed).await);
    }
}

#[tokio::test]
async fn a_session_that_is_refreshed_after_a_sweep_has_read_it_stays() {
    let (_dir, store) = empty_store(Entropy::system()).await;
    let opened = Timestamp::from_micros(1_000_000);
    for id in 1..=2 {
        add(&store, Uuid::from_u128(id), opened).await;
    }
    let lifetime = SessionLifetime { idle: Duration::from_mins(1), absolute: Duration::from_mins(10) };
    let now = opened.after(lifetime.idle);
    let page = store.sweep_page(None).await.unwrap();
    assert!(page.len() == 2 && page.iter().all(|row| Expiry::by(now, lifetime).has_come_to(row)));
    // By a replica whose clock is a little behind.
    let refreshed = SessionId(Uuid::from_u128(1));
    assert!(
        store
            .exchange_refresh_token(
                refreshed,
                [1; 32],
                &Exchange { next: [2; 32], time: now.before(Duration::from_secs(1)), origin: [0; 32] }
            )
            .await
            .unwrap()
    );
    store.delete_expired(&page, Expiry::by(now, lifetime)).await.unwrap();
    let left = Entity::find().all(&store.db).await.unwrap();
    assert_eq!(left.into_iter().map(|row| SessionId(row.id)).collect::<Vec<_>>(), [refreshed]);
}
