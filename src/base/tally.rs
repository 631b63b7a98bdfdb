//! Owns counting the hits and misses of what is remembered.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How often something was found among what is remembered, and how often not. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Tally {
    /// Counts one look.
    pub fn count(&self, found: bool) {
        let counter = if found { &self.0.hits } else { &self.0.misses };
        // Nothing else depends on the order in which counts are seen.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was found.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.0.hits.load(Ordering::Relaxed)
    }

    /// How often it was not.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.0.misses.load(Ordering::Relaxed)
    }
}
