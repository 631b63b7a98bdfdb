//! Owns the watermark of the feed: the moment until which the changes of other processes are known, and what follows for copies.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::store::ChangeOrder;

/// A copy is read again after this time even if the feed does not name it, in case the feed missed a change.
const MAX_AGE: Duration = Duration::from_mins(15);

/// The same for databases whose ids need not ascend, where the feed can miss a change.
const MAX_AGE_IN_ANY_ORDER: Duration = Duration::from_mins(1);

/// Until when the feed has been read: every change made before that moment of the monotonic clock has been heeded.
#[derive(Debug)]
pub struct Watermark {
    until: AtomicU64,
    max_age: Duration,
    may_miss: bool,
}

impl Watermark {
    /// The watermark of a feed whose ids come in `order`, and that has not been read yet.
    #[must_use]
    pub const fn new(order: &ChangeOrder) -> Self {
        let (max_age, may_miss) = match order {
            ChangeOrder::Ascending => (MAX_AGE, false),
            ChangeOrder::Any { .. } => (MAX_AGE_IN_ANY_ORDER, true),
        };
        Self { until: AtomicU64::new(0), max_age, may_miss }
    }

    /// The moment; zero if the feed has not been read at all.
    #[must_use]
    pub fn until(&self) -> Duration {
        Duration::from_micros(self.until.load(Ordering::SeqCst))
    }

    /// After what time a copy is read again, whatever the feed says.
    #[must_use]
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Whether the feed can miss a change, since its ids need not ascend.
    #[must_use]
    pub const fn may_miss(&self) -> bool {
        self.may_miss
    }

    /// Whether at `now` a copy is good whose read began at `begun`, and that the feed has not named since. It is if it was read, or the
    /// feed was, less than `bound` ago; and never beyond [`Self::max_age`].
    #[must_use]
    pub fn vouches_for(&self, begun: Duration, now: Duration, bound: Duration) -> bool {
        let confirmed = begun.max(self.until());
        now.saturating_sub(confirmed) < bound && now.saturating_sub(begun) < self.max_age
    }

    pub(super) fn advance(&self, until: Duration) {
        self.until.store(u64::try_from(until.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}
