//! Owns failures that the database has not taken yet: they count here until one task has written them, many at a time.

use std::time::Duration;

use tokio::sync::{
    Mutex,
    mpsc::{Receiver, Sender, channel},
};

use super::{Begun, Shared};
use crate::{base::Throttle, model::Error};

/// How many wait at most. More are given up: they have been answered as failures of the database.
const CAPACITY: usize = 4_096;

/// How many are written together.
const BATCH: usize = 100;

/// How often it is told that failures are given up.
const TELL_INTERVAL: Duration = Duration::from_mins(1);

/// Takes failures that are to be written again.
#[derive(Debug)]
pub(super) struct Unwritten {
    waiting: Sender<Begun>,
    told: Throttle,
}

/// The other end, for one task, and those that are amid being written. When it goes, so do they.
#[derive(Debug)]
pub(super) struct Waiting(Mutex<(Receiver<Begun>, Vec<Begun>)>);

pub(super) fn queue() -> (Unwritten, Waiting) {
    let (waiting, receiver) = channel(CAPACITY);
    (Unwritten { waiting, told: Throttle::new(TELL_INTERVAL) }, Waiting(Mutex::new((receiver, Vec::new()))))
}

impl Unwritten {
    /// Keeps `failure`, which could not be written; at `now` on the monotonic clock.
    pub(super) fn keep(&self, failure: Begun, now: Duration) {
        if self.waiting.try_send(failure).is_err()
            && let Some(untold) = self.told.pass(now)
        {
            tracing::warn!(
                untold,
                "a wrong password could not be written and counts for its account no longer"
            );
        }
    }
}

impl Waiting {
    /// Waits until there are some, and writes them. Those that cannot be written wait again, behind all others.
    pub(super) async fn write(&self, shared: &Shared) -> Result<(), Error> {
        let mut waiting = self.0.lock().await;
        let (receiver, batch) = &mut *waiting;
        if batch.is_empty() {
            receiver.recv_many(batch, BATCH).await;
        }
        let Err(error) = shared.write(batch).await else {
            batch.clear();
            return Ok(());
        };
        // The database has answered, and may take the others without the one that it does not take.
        if matches!(error, Error::Internal(_)) {
            while let [.., last] = batch.as_slice() {
                match shared.write(std::slice::from_ref(last)).await {
                    Ok(()) => drop(batch.pop()),
                    Err(Error::Internal(_)) => keep_again(shared, batch.pop()),
                    // It answers no more.
                    Err(_) => break,
                }
            }
        }
        Err(error)
    }
}

fn keep_again(shared: &Shared, failure: Option<Begun>) {
    if let Some(failure) = failure {
        shared.unwritten.keep(failure, shared.clock.monotonic());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{Audit, AuditLog},
        base::{Clock, Entropy, Timestamp},
        identity::{
            NameKey,
            guessing::{GuessSettings, Guessing},
        },
        metrics::{AuditMetrics, Metrics},
        model::{Origin, SessionLifetime},
        store::{Payer, Store},
    };

    fn guessing(store: &Store) -> Guessing {
        let clock = Clock::manual(Timestamp::from_micros(1_795_435_200_000_000));
        let settings = GuessSettings {
            address_failures: 100,
            address_interval: Duration::from_mins(1),
            account_failures: 100,
            account_interval: Duration::from_mins(1),
            sessions: SessionLifetime { idle: Duration::from_hours(1), absolute: Duration::from_hours(1) },
        };
        let audit = Audit::open(&AuditLog::Off, clock.clone(), AuditMetrics::default()).unwrap();
        let names = NameKey::of(&[7; 32]);
        Guessing::new(store.clone(), &settings, names, &clock, Metrics::new().guesses.clone(), audit)
    }

    /// A failure for `name`, which costs its account `micros`.
    fn failure(guessing: &Guessing, name: &str, micros: i64) -> Begun {
        let mut failure = guessing.begin(name, &Origin::of(None, None)).unwrap().begun;
        failure.payer = Some(Payer::Account { micros });
        failure
    }

    #[tokio::test]
    async fn a_failure_that_can_never_be_written_keeps_no_other_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::system()).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let guessing = guessing(&store);
        let shared = &guessing.shared;
        // No time is as late as after two of these.
        shared.write(&[failure(&guessing, "mallory", i64::MAX)]).await.unwrap();
        let keep =
            |name: &str, micros| shared.unwritten.keep(failure(&guessing, name, micros), Duration::ZERO);
        keep("mallory", i64::MAX);
        for names in [["alice", "bob"], ["carol", "dave"]] {
            for name in names {
                keep(name, 1);
            }
            guessing.write_failures().await.expect_err("one cannot be written");
            for name in names {
                let keys = shared.keys(name, None);
                let failures = shared.strangers.login(None, keys).await.unwrap().failures;
                assert_eq!(failures.from_here.number, 1, "{name}");
            }
        }
    }
}
