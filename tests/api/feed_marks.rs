//! Owns that a process which has not read the feed in time finds that changes are gone, whatever is left of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, sea_query::Query};
use signet::{
    base::{Clock, Timestamp},
    changes::{Feed, Subscriber},
    store::{Change, ChangeKind, Store},
};
use uuid::Uuid;

use crate::harness::TestServer;

/// Counts how often it is told to forget everything, and what else it is told.
#[derive(Default)]
struct Forgetful {
    everything: AtomicUsize,
    changes: AtomicUsize,
}

impl Subscriber for Forgetful {
    fn hear(&self, change: &Change) {
        if change.concerns(ChangeKind::Binding) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn forget_everything(&self) {
        self.everything.fetch_add(1, Ordering::Relaxed);
    }
}

/// A feed, and what is told by it.
struct Reader {
    feed: Feed,
    forgetful: Arc<Forgetful>,
}

impl Reader {
    async fn open(store: &Store, clock: &Clock) -> Self {
        let feed = Feed::open(store.clone(), clock.clone()).await.unwrap();
        Self { feed, forgetful: Arc::default() }
    }

    /// Reads the feed: how often everything was forgotten so far, and how many changes were told.
    async fn read(&self) -> (usize, usize) {
        let forgetful: Arc<dyn Subscriber> = self.forgetful.clone();
        self.feed.follow(&[forgetful]).await.unwrap();
        let Forgetful { everything, changes } = &*self.forgetful;
        (everything.load(Ordering::Relaxed), changes.load(Ordering::Relaxed))
    }
}

/// Tells of something at the time `time`.
async fn tell(db: &DatabaseConnection, kind: &str, effect: &str, time: Timestamp) {
    let mut insert = Query::insert();
    insert.into_table("changes").columns(["subject", "create_time", "kind", "effect"]);
    insert.values_panic([Uuid::now_v7().into(), time.as_micros().into(), kind.into(), effect.into()]);
    db.execute(&insert).await.unwrap();
}

/// Of a machine that was paused, so that its clocks stood still: what it reads next begins after a change that lasts.
#[tokio::test]
async fn a_process_that_was_paused_forgets_everything_also_where_the_change_that_it_read_last_is_there() {
    let (data, clock) = TestServer::start(&[]).await.stop().await;
    let (store, db) = (data.store().await, data.connect().await);
    let reader = Reader::open(&store, &clock).await;
    tell(&db, "session", "ended", clock.now()).await;
    assert_eq!(reader.read().await, (0, 0));
    let in_time = Reader::open(&store, &clock).await;
    let before = in_time.read().await;
    tell(&db, "binding", "changed", clock.now()).await;
    tell(&db, "session", "ended", clock.now()).await;
    assert_eq!(in_time.read().await, (before.0, 1));
    // Nothing can come before it any more (`Store::late_changes`).
    clock.advance(Duration::from_mins(2));
    assert_eq!(in_time.read().await, (before.0, 1));
    // Eleven minutes by the clock of the process that deletes.
    in_time.feed.delete_old(clock.now().after(Duration::from_mins(11))).await.unwrap();
    tell(&db, "binding", "changed", clock.now().after(Duration::from_mins(11))).await;
    assert_eq!(in_time.read().await, (before.0, 2), "who has read it has missed nothing");
    assert_eq!(reader.read().await.0, 1, "the first binding is gone");
    // What is there is told from the last minutes on, once.
    let after = reader.read().await;
    assert_eq!(after.0, 1);
    assert!(after.1 > 0);
    assert_eq!(reader.read().await, after);
}

#[tokio::test]
async fn what_the_stream_tells_stays_as_long_as_any_token_that_it_is_of() {
    let (data, clock) = TestServer::start(&[]).await.stop().await;
    let (store, db) = (data.store().await, data.connect().await);
    let feed = Feed::open(store.clone(), clock.clone()).await.unwrap();
    let told = clock.now();
    for (kind, effect) in
        [("session", "ended"), ("client", "ended"), ("scopes", "changed"), ("user", "ended")]
    {
        tell(&db, kind, effect, told).await;
    }
    tell(&db, "session", "ended", told.after(Duration::from_mins(1))).await;
    let is_there = async |minutes| {
        feed.delete_old(told.after(Duration::from_mins(minutes))).await.unwrap();
        let changes = store.changes(0, 100).await.unwrap();
        changes.into_iter().filter(|change| change.create_time == told).count()
    };
    assert_eq!(is_there(12).await, 3);
    // Issued up to some minutes after the change, by a replica that did not know.
    assert_eq!(is_there(24 * 60 + 14).await, 3);
    assert_eq!(is_there(24 * 60 + 16).await, 0);
}
