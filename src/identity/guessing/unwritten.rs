//! Owns failures that the database did not take: they count here until one task has written them, many at a time.

use std::time::Duration;

use tokio::{
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::sleep,
};

use super::{Begun, Shared};
use crate::base::Throttle;

/// How many wait at most. More are given up: they have been answered as failures of the database.
const CAPACITY: usize = 4_096;

/// How many are written together.
const BATCH: usize = 100;

/// How long to wait before another attempt: twice as long each time, so that a database that comes back is left in peace.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often it is told that failures are given up.
const TELL_INTERVAL: Duration = Duration::from_mins(1);

/// Where failures go that are to be written again.
#[derive(Debug)]
pub(super) struct Unwritten {
    waiting: Sender<Begun>,
    told: Throttle,
}

/// The other end, for one task. When it goes, so do they.
#[derive(Debug)]
pub(super) struct Waiting(Mutex<Receiver<Begun>>);

pub(super) fn queue() -> (Unwritten, Waiting) {
    let (waiting, receiver) = channel(CAPACITY);
    (Unwritten { waiting, told: Throttle::new(TELL_INTERVAL) }, Waiting(Mutex::new(receiver)))
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
    /// Writes them, for as long as it is awaited.
    pub(super) async fn write(&self, shared: &Shared) {
        let mut waiting = self.0.lock().await;
        let (mut batch, mut pause) = (Vec::new(), FIRST_PAUSE);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            while shared.write(&batch).await.is_err() {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            batch.clear();
            pause = FIRST_PAUSE;
        }
    }
}
