//! Owns the negative cache: what the database lately said does not exist, for a moment.

use std::{hash::Hash, time::Duration};

use quick_cache::sync::Cache;

use crate::base::Clock;

/// For how long it is remembered. Whoever repeats a question without a pause, such as a client with a token that has ended, asks the
/// database once in this time.
const MAX_AGE: Duration = Duration::from_secs(1);

/// How much of it: anybody can make up what does not exist, so it pushes out nothing but its own kind.
const CAPACITY: usize = 4_096;

/// Keys of rows that do not exist, and when a reading that said so had begun.
///
/// The keys are random (ids, SHA-256), and are told to nobody before their row is committed: nobody asks for a row, but by mistake,
/// that will exist later. Where it does happen, an answer is wrong for no longer than the bound on what other processes change, and
/// not at all for what this process creates.
#[derive(Debug)]
pub(crate) struct NegativeCache<K> {
    readings: Cache<K, Duration>,
    clock: Clock,
    max_age: Duration,
}

impl<K: Eq + Hash> NegativeCache<K> {
    /// An empty cache, which remembers nothing for longer than `bound`.
    pub(crate) fn new(bound: Duration, clock: Clock) -> Self {
        Self { readings: Cache::new(CAPACITY), clock, max_age: bound.min(MAX_AGE) }
    }

    /// Whether the row `key` did not exist a moment ago.
    pub(crate) fn contains(&self, key: &K) -> bool {
        let begun = self.readings.get(key);
        begun.is_some_and(|begun| self.clock.monotonic().saturating_sub(begun) < self.max_age)
    }

    /// Remembers that a reading that had begun at `begun`, on the monotonic clock, did not find the row `key`.
    pub(crate) fn note(&self, key: K, begun: Duration) {
        self.readings.insert(key, begun);
    }

    /// To be called when the row `key` may exist now.
    pub(crate) fn forget(&self, key: &K) {
        self.readings.remove(key);
    }

    /// To be called when any row may exist now.
    pub(crate) fn clear(&self) {
        self.readings.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn what_does_not_exist_is_remembered_for_a_moment_and_no_longer_than_the_bound() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        for (bound, remembered) in
            [(Duration::from_mins(1), MAX_AGE), (Duration::from_millis(200), Duration::from_millis(200))]
        {
            let cache = NegativeCache::new(bound, clock.clone());
            cache.note(1, clock.monotonic());
            clock.advance(remembered.saturating_sub(Duration::from_micros(1)));
            assert!(cache.contains(&1) && !cache.contains(&2));
            clock.advance(Duration::from_micros(1));
            assert!(!cache.contains(&1));
        }
        let never = NegativeCache::new(Duration::ZERO, clock.clone());
        never.note(1, clock.monotonic());
        assert!(!never.contains(&1));
    }

    #[test]
    fn what_exists_now_is_no_longer_absent() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let cache = NegativeCache::new(MAX_AGE, clock.clone());
        for key in 1..=3 {
            cache.note(key, clock.monotonic());
        }
        cache.forget(&1);
        assert!(!cache.contains(&1) && cache.contains(&2));
        cache.clear();
        assert!(!cache.contains(&2) && !cache.contains(&3));
    }

    #[test]
    fn any_number_of_inventions_takes_no_more_room_than_its_bound() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let cache = NegativeCache::new(MAX_AGE, clock.clone());
        for key in 0..10 * CAPACITY {
            cache.note(key, clock.monotonic());
        }
        assert!(cache.readings.len() <= CAPACITY, "{}", cache.readings.len());
    }
}
