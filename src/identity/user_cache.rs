//! Owns the users that were read lately, each for a bounded time.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;

use crate::model::{Clock, User, UserId};

/// Users by their ids, none older than a bound: so long can a change by another process stay unseen.
#[derive(Debug)]
pub(super) struct UserCache {
    entries: Cache<UserId, Entry>,
    clock: Clock,
    max_age: Duration,
}

/// What is known of a user: that it is there, or that it is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known(pub(super) Option<Arc<User>>);

#[derive(Clone, Debug)]
struct Entry {
    /// None for a user that was not there.
    user: Option<Arc<User>>,
    /// When the reading began, on the monotonic clock: what it saw is no older.
    read_at: Duration,
}

impl UserCache {
    pub(super) fn new(capacity: usize, max_age: Duration, clock: Clock) -> Self {
        Self { entries: Cache::new(capacity), clock, max_age }
    }

    /// What was read of the user `id` within the bound.
    pub(super) fn get(&self, id: UserId) -> Option<Known> {
        let entry = self.entries.get(&id)?;
        let age = self.clock.monotonic().saturating_sub(entry.read_at);
        (age < self.max_age).then_some(Known(entry.user))
    }

    /// The moment to give to [`Self::put`], taken before the reading begins.
    pub(super) fn reading_begins(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn put(&self, id: UserId, user: Option<Arc<User>>, read_at: Duration) {
        self.entries.insert(id, Entry { user, read_at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn an_entry_is_worth_nothing_once_its_reading_is_older_than_the_bound() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let cache = UserCache::new(8, Duration::from_secs(1), clock.clone());
        let id = UserId::new(clock.now(), &mut rand::rng());
        assert!(cache.get(id).is_none());

        let begun = cache.reading_begins();
        clock.advance(Duration::from_millis(600));
        cache.put(id, None, begun);
        assert_eq!(cache.get(id), Some(Known(None)));
        clock.advance(Duration::from_millis(399));
        assert_eq!(cache.get(id), Some(Known(None)));
        clock.advance(Duration::from_millis(1));
        assert!(cache.get(id).is_none());
    }
}
