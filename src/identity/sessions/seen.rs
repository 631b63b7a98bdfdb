//! Owns recording of which exchanges an access token has been seen: collected where tokens are checked, and written in the background.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use uuid::Uuid;

use super::Sessions;
use crate::{
    model::{SessionId, id},
    store::{SeenExchange, StoredSession},
};

/// How many exchanges wait to be written at most: 4 million a minute. Others are noted when their tokens are seen again.
const MAX_WAITING: usize = 16_384;

/// How many are written by one statement.
const BATCH: usize = 200;

/// How long to gather what is written together. So long can a thief take a seen token for an unseen one at another replica.
const GATHER: Duration = Duration::from_millis(200);

/// Exchanges that are to be noted as seen.
#[derive(Debug, Default)]
pub(super) struct SeenExchanges {
    /// The newest of each session, in milliseconds. Ordered, so that replicas that write the same rows do not wait for each other.
    waiting: Mutex<BTreeMap<SessionId, u64>>,
    filled: Notify,
}

/// A session as it is remembered, and of which of its exchanges an access token was seen.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) stored: StoredSession,
    /// The newest exchange that need not be noted any more, in milliseconds: no token of an older one matters.
    noted: AtomicU64,
}

impl Remembered {
    pub(super) fn new(stored: StoredSession) -> Self {
        let last = stored.session.last_use_time.as_millis();
        // The tokens of a login are none of an exchange: there is nothing to repeat.
        let is_noted = stored.exchange.is_seen || stored.refresh.before_newest.is_none();
        Self { stored, noted: AtomicU64::new(if is_noted { last } else { last.saturating_sub(1) }) }
    }

    /// Notes in `seen` that the access token `jti` has been seen, if it is the first of its exchange.
    pub(super) fn see(&self, jti: Uuid, seen: &SeenExchanges) {
        let Some(millis) = id::millis(jti) else { return };
        if millis <= self.noted.load(Ordering::Relaxed) {
            return;
        }
        if seen.note(SeenExchange { session: self.stored.session.id, millis }) {
            self.noted.fetch_max(millis, Ordering::Relaxed);
        }
    }
}

impl SeenExchanges {
    /// Has `exchange` noted; false if there is no room.
    fn note(&self, exchange: SeenExchange) -> bool {
        let mut waiting = self.lock();
        if waiting.len() >= MAX_WAITING && !waiting.contains_key(&exchange.session) {
            return false;
        }
        let newest = waiting.entry(exchange.session).or_default();
        *newest = exchange.millis.max(*newest);
        drop(waiting);
        self.filled.notify_one();
        true
    }

    /// Whether `exchange` waits to be noted.
    pub(super) fn contains(&self, exchange: SeenExchange) -> bool {
        self.lock().get(&exchange.session) == Some(&exchange.millis)
    }

    fn batch(&self) -> Vec<SeenExchange> {
        let exchange =
            |(session, millis): (&SessionId, &u64)| SeenExchange { session: *session, millis: *millis };
        self.lock().iter().take(BATCH).map(exchange).collect()
    }

    fn written(&self, batch: &[SeenExchange]) {
        let mut waiting = self.lock();
        for exchange in batch {
            if waiting.get(&exchange.session) == Some(&exchange.millis) {
                waiting.remove(&exchange.session);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Waits until access tokens have been seen that are to be noted, and writes of which exchanges they are.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::model::Error::Unavailable) or [`Error::Internal`](crate::model::Error::Internal), with the cause: they
    /// are written the next time.
    pub async fn note_seen(&self) -> Result<(), crate::model::Error> {
        self.seen.filled.notified().await;
        sleep(GATHER).await;
        let written = self.write_seen().await;
        if written.is_err() {
            self.seen.filled.notify_one();
        }
        written
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::model::Error::Unavailable) or [`Error::Internal`](crate::model::Error::Internal), with the cause.
    pub async fn write_seen(&self) -> Result<(), crate::model::Error> {
        loop {
            let batch = self.seen.batch();
            if batch.is_empty() {
                return Ok(());
            }
            self.store.note_seen(&batch).await?;
            self.seen.written(&batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(session: u128, millis: u64) -> SeenExchange {
        SeenExchange { session: SessionId(Uuid::from_u128(session)), millis }
    }

    #[test]
    fn what_is_seen_while_a_batch_is_written_waits_for_the_next() {
        let seen = SeenExchanges::default();
        assert!(seen.note(exchange(2, 20)) && seen.note(exchange(1, 10)) && seen.note(exchange(1, 9)));
        let batch = seen.batch();
        assert_eq!(batch, [exchange(1, 10), exchange(2, 20)]);
        assert!(seen.note(exchange(2, 21)) && seen.contains(exchange(1, 10)));
        seen.written(&batch);
        assert_eq!(seen.batch(), [exchange(2, 21)]);
        assert!(!seen.contains(exchange(1, 10)) && !seen.contains(exchange(2, 20)));
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let seen = SeenExchanges::default();
        for session in 0..MAX_WAITING {
            assert!(seen.note(exchange(session as u128, 1)));
        }
        assert!(!seen.note(exchange(u128::MAX, 1)));
        assert!(seen.note(exchange(0, 2)), "the next of a session that waits takes no room");
        assert_eq!(seen.batch().len(), BATCH);
    }
}
