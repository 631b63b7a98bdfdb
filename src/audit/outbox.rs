//! Owns the events that wait to be kept in the database: so many at most, and what does not fit is counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Actor, Event, KeptEvent};
use crate::{
    base::{Entropy, Timestamp},
    metrics::AuditMetrics,
};

/// How many may wait, some hundred bytes each: what a flood of logins makes in half a minute while the database is away.
const CAPACITY: usize = 4_096;

/// The events that wait to be kept in the database. Clones have the same ones.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    metrics: AuditMetrics,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<KeptEvent>,
    /// Events that did not fit, and that no row tells of yet.
    lost: u64,
}

/// The events that have waited longest: they wait until they are said to be kept.
#[derive(Debug)]
pub struct Batch {
    events: Vec<KeptEvent>,
    lost: u64,
}

impl Outbox {
    pub(super) fn new(metrics: AuditMetrics) -> Self {
        Self(Arc::new(Inner { waiting: Mutex::default(), arrived: Notify::new(), metrics }))
    }

    /// Has `event` wait; it is lost if too many do.
    pub(super) fn put(&self, event: KeptEvent) {
        let mut waiting = self.waiting();
        if waiting.events.len() < CAPACITY {
            waiting.events.push_back(event);
        } else {
            // One that stands for others is lost with them.
            let count = event.repeats.max(1);
            waiting.lost = waiting.lost.saturating_add(count);
            self.0.metrics.not_kept(count);
        }
        drop(waiting);
        self.0.arrived.notify_one();
    }

    /// Counts `count` events that never came this far.
    pub(super) fn lose(&self, count: u64) {
        self.waiting().lost += count;
        self.0.metrics.not_kept(count);
        self.0.arrived.notify_one();
    }

    /// Waits until there is something to keep.
    pub async fn arrived(&self) {
        while self.is_empty() {
            self.0.arrived.notified().await;
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let waiting = self.waiting();
        waiting.events.is_empty() && waiting.lost == 0
    }

    /// The oldest that wait, `most` of them at most.
    #[must_use]
    pub fn oldest(&self, most: usize) -> Batch {
        let waiting = self.waiting();
        Batch { events: waiting.events.iter().take(most).cloned().collect(), lost: waiting.lost }
    }

    /// The events of `batch` are kept: they wait no longer. There must be one at a time who says so.
    pub fn kept(&self, batch: &Batch) {
        let mut waiting = self.waiting();
        waiting.events.drain(..batch.events.len());
        waiting.lost -= batch.lost;
        drop(waiting);
        self.0.metrics.kept(batch.events.iter().map(|event| event.repeats.max(1)).sum());
    }

    /// The events of `batch` cannot be kept, as they are: they are lost.
    pub fn give_up(&self, batch: &Batch) {
        let count = batch.events.iter().map(|event| event.repeats.max(1)).sum();
        let mut waiting = self.waiting();
        waiting.events.drain(..batch.events.len());
        waiting.lost += count;
        drop(waiting);
        self.0.metrics.not_kept(count);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// What to keep: before the events one that tells of those that are missing, if any are, as of `now`.
    #[must_use]
    pub fn rows(&self, now: Timestamp, entropy: &Entropy) -> Vec<KeptEvent> {
        let lost =
            (self.lost > 0).then(|| Event::Lost.done().by(Actor::Service).kept(now, self.lost, entropy));
        lost.into_iter().chain(self.events.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(repeats: u64) -> KeptEvent {
        Event::Login.done().kept(Timestamp::from_micros(0), repeats, &Entropy::system())
    }

    #[tokio::test]
    async fn what_does_not_fit_is_told_in_a_row_of_its_own_and_nothing_waits_for_it() {
        let outbox = Outbox::new(AuditMetrics::default());
        assert!(outbox.is_empty());
        for _ in 0..CAPACITY {
            outbox.put(event(0));
        }
        outbox.put(event(0));
        outbox.put(event(7));
        outbox.lose(2);
        outbox.arrived().await;
        let batch = outbox.oldest(10);
        let rows = batch.rows(Timestamp::from_micros(5), &Entropy::system());
        assert_eq!((rows.len(), rows[0].event.as_str(), rows[0].repeats), (11, "audit.lost", 10));
        // Meanwhile more is lost.
        outbox.lose(1);
        outbox.kept(&batch);
        let batch = outbox.oldest(CAPACITY);
        assert_eq!((batch.events.len(), batch.lost), (CAPACITY - 10, 1));
        outbox.kept(&batch);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_the_database_does_not_take_as_it_is_holds_up_nothing() {
        let outbox = Outbox::new(AuditMetrics::default());
        (0..3).for_each(|_| outbox.put(event(0)));
        outbox.give_up(&outbox.oldest(2));
        let batch = outbox.oldest(9);
        assert_eq!((batch.events.len(), batch.lost), (1, 2));
    }
}
