//! Owns failures that the database did not take: they count here until one task has written them, many at a time.

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

/// Where failures go that are to be written again.
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
    /// Waits until there are some, and writes them, or those that an attempt before could not write.
    pub(super) async fn write(&self, shared: &Shared) -> Result<(), Error> {
        let mut waiting = self.0.lock().await;
        let (receiver, batch) = &mut *waiting;
        if batch.is_empty() {
            receiver.recv_many(batch, BATCH).await;
        }
        shared.write(batch).await?;
        batch.clear();
        Ok(())
    }
}
