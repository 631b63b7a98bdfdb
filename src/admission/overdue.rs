//! Owns whether the work is overdue that is done when no call wants a core: the password hashes, while calls keep every core busy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::model::Clock;

/// Nothing is expected.
const NEVER: u64 = u64::MAX;

/// What is late by more than this does not count: calls are not to blame, or holding them back does not help, since the machine has no
/// time for this process, say.
const LONGEST: Duration = Duration::from_secs(1);

/// When the work that is under way should be done. Clones share it: whoever does the work says when, and whoever can leave it time asks.
#[derive(Clone, Debug)]
pub(crate) struct Overdue {
    clock: Clock,
    /// Microseconds of the monotonic clock.
    due: Arc<AtomicU64>,
}

impl Overdue {
    /// No work yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, due: Arc::new(AtomicU64::new(NEVER)) }
    }

    /// Of all that is under way the first should be done by `due`; none: there is nothing under way.
    pub(crate) fn expect(&self, due: Option<Duration>) {
        let micros = due.map_or(NEVER, |due| u64::try_from(due.as_micros()).unwrap_or(NEVER));
        // Nothing else depends on when this is seen.
        self.due.store(micros, Ordering::Relaxed);
    }

    /// Whether it is not done, though it should be. As long as there is nothing under way, this is one load.
    pub(crate) fn is(&self) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        if due == NEVER {
            return false;
        }
        let (now, due) = (self.clock.monotonic(), Duration::from_micros(due));
        now >= due && !Self::is_given_up(now, due)
    }

    /// Whether anything is under way.
    #[cfg(test)]
    pub(crate) fn is_expected(&self) -> bool {
        self.due.load(Ordering::Relaxed) != NEVER
    }

    /// Whether what should be done by `due` counts no more at `now`.
    pub(crate) fn is_given_up(now: Duration, due: Duration) -> bool {
        now.saturating_sub(due) > LONGEST
    }

    /// The clock that it is measured by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn what_is_not_done_in_time_is_overdue_for_a_second() {
        let clock = Clock::manual(Timestamp::from_micros(1_000_000));
        let overdue = Overdue::new(clock.clone());
        assert!(!overdue.is());
        overdue.expect(Some(clock.monotonic() + Duration::from_millis(20)));
        assert!(!overdue.is());
        clock.advance(Duration::from_millis(20));
        assert!(overdue.is());
        clock.advance(LONGEST);
        assert!(overdue.is());
        clock.advance(Duration::from_millis(1));
        assert!(!overdue.is(), "it has not helped");
        overdue.expect(Some(clock.monotonic()));
        assert!(overdue.is());
        overdue.expect(None);
        assert!(!overdue.is());
    }
}
