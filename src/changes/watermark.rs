//! Owns the watermark of the feed: the moment until which the changes of other processes are known.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Until when the feed has been read: every change made before that moment of the monotonic clock has been heeded.
#[derive(Debug, Default)]
pub struct Watermark(AtomicU64);

impl Watermark {
    /// The moment; zero if the feed has not been read at all.
    #[must_use]
    pub fn until(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn advance(&self, until: Duration) {
        self.0.store(u64::try_from(until.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}
