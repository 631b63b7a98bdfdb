//! Owns the cache of rows: what was read from the database, for as long as it is known not to have changed.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

use super::{NegativeCache, Watermark};
use crate::model::{Clock, Tally};

/// After what time a row is read anew, whatever the feed says: an end to whatever it should fail to say.
const MAX_AGE: Duration = Duration::from_mins(1);

/// How many marks there are. Rows that share one are read anew when either has changed, which is rare with so many.
const MARKS: usize = 1_024;

/// Rows by their ids, as they were read or as the feed of changes has confirmed them since, neither longer ago than a bound: so
/// long can a change by another process stay unseen. A change by this process is seen at once.
///
/// That a row does not exist is remembered apart ([`NegativeCache`]): the feed does not tell of new rows, and what anybody can make
/// up pushes out no row.
#[derive(Debug)]
pub(crate) struct RowCache<K, V> {
    entries: Cache<K, Entry<V>>,
    absent: NegativeCache<K>,
    clock: Clock,
    max_age: Duration,
    watermark: Arc<Watermark>,
    /// How often something was forgotten: what was read before that may be what was changed.
    changes: AtomicU64,
    /// The same, for the rows whose ids fall on each mark. An entry carries the count of its reading, so that one that is put after its row
    /// was forgotten is never taken for good, not even for a moment.
    marks: Box<[AtomicU64]>,
    tally: Tally,
}

/// What is known of a row: that it is there, or that it is not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known<V>(pub(crate) Option<Arc<V>>);

/// A read of the database that has begun, to fill the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    /// When, on the monotonic clock: what it sees is no older.
    begun: Duration,
    seen: Seen,
}

/// What had been forgotten when a reading began.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// By the mark of the row that is read.
    OfRow(u64),
    /// Of all rows, since it is not known yet which one is found.
    OfAll(u64),
}

#[derive(Debug)]
struct Entry<V> {
    row: Arc<V>,
    begun: Duration,
    mark: u64,
}

impl<K: Eq + Hash + Copy, V> RowCache<K, V> {
    pub(crate) fn new(capacity: usize, max_age: Duration, clock: Clock, watermark: Arc<Watermark>) -> Self {
        Self {
            entries: Cache::new(capacity),
            absent: NegativeCache::new(max_age, clock.clone()),
            clock,
            max_age,
            watermark,
            changes: AtomicU64::new(0),
            marks: (0..MARKS).map(|_| AtomicU64::new(0)).collect(),
            tally: Tally::default(),
        }
    }

    /// What is known of the row `id`.
    pub(crate) fn get(&self, id: K) -> Option<Known<V>> {
        let known = self.known(id);
        self.tally.count(known.is_some());
        known
    }

    /// The row `id` as it was once, however long ago: for those who have what they take from it confirmed by the database.
    pub(crate) fn once(&self, id: K) -> Option<Arc<V>> {
        Some(self.entry(id)?.row)
    }

    /// What is remembered of the row `id`, unless it was forgotten since.
    fn entry(&self, id: K) -> Option<Entry<V>> {
        self.entries.get(&id).filter(|entry| entry.mark == self.mark(id).load(Ordering::SeqCst))
    }

    /// How often a row was forgotten whose id falls where `id` does.
    fn mark(&self, id: K) -> &AtomicU64 {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
        &self.marks[usize::try_from(hash % MARKS as u64).unwrap_or_default()]
    }

    /// How often a row was known, and how often not.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Whether the row `id` did not exist a moment ago.
    pub(crate) fn is_absent(&self, id: K) -> bool {
        self.absent.contains(&id)
    }

    fn known(&self, id: K) -> Option<Known<V>> {
        let Some(entry) = self.entry(id) else {
            return self.absent.contains(&id).then_some(Known(None));
        };
        // Had it changed before the feed was last read, it would have been forgotten.
        let confirmed = entry.begun.max(self.watermark.until());
        let now = self.clock.monotonic();
        let fresh = now.saturating_sub(confirmed) < self.max_age && now.saturating_sub(entry.begun) < MAX_AGE;
        fresh.then_some(Known(Some(entry.row)))
    }

    /// To be called before the database is asked for the row `id`.
    pub(crate) fn begin(&self, id: K) -> Fill {
        let seen = Seen::OfRow(self.mark(id).load(Ordering::SeqCst));
        Fill { begun: self.clock.monotonic(), seen }
    }

    /// To be called before the database is asked for a row by something else than its id.
    pub(crate) fn begin_without_id(&self) -> Fill {
        let seen = Seen::OfAll(self.changes.load(Ordering::SeqCst));
        Fill { begun: self.clock.monotonic(), seen }
    }

    /// Remembers what `fill` found, unless it may have been changed meanwhile.
    pub(crate) fn put(&self, id: K, row: Option<Arc<V>>, fill: Fill) {
        let Some(row) = row else {
            // Whatever was changed meanwhile: a row that is gone does not come back.
            self.absent.note(id, fill.begun);
            self.entries.remove(&id);
            return;
        };
        // Before all changes are asked for: a change that is not seen there has yet to move the mark, and the entry is worth nothing then.
        let mark = self.mark(id).load(Ordering::SeqCst);
        let mark = match fill.seen {
            Seen::OfRow(mark) => mark,
            Seen::OfAll(changes) if changes == self.changes.load(Ordering::SeqCst) => mark,
            Seen::OfAll(_) => return,
        };
        self.absent.forget(&id);
        self.entries.insert(id, Entry { row, begun: fill.begun, mark });
    }

    /// To be called after the row `id` was changed in the database, before that is acknowledged.
    pub(crate) fn forget(&self, id: K) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.mark(id).fetch_add(1, Ordering::SeqCst);
        self.entries.remove(&id);
        self.absent.forget(&id);
    }

    /// To be called when any row may have changed.
    pub(crate) fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        for mark in &self.marks {
            mark.fetch_add(1, Ordering::SeqCst);
        }
        self.entries.clear();
        self.absent.clear();
    }
}

impl Fill {
    /// When it began, on the monotonic clock.
    pub(crate) const fn begun(self) -> Duration {
        self.begun
    }
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { row: Arc::clone(&self.row), begun: self.begun, mark: self.mark }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn cache() -> (RowCache<u8, &'static str>, Clock) {
        let clock = Clock::manual(Timestamp::from_micros(0));
        (RowCache::new(8, Duration::from_secs(1), clock.clone(), Arc::default()), clock)
    }

    #[test]
    fn an_entry_is_worth_nothing_once_its_reading_is_older_than_the_bound() {
        let (cache, clock) = cache();
        assert_eq!(cache.get(1), None);
        for row in [None, Some(Arc::new("row"))] {
            let fill = cache.begin(1);
            clock.advance(Duration::from_millis(600));
            cache.put(1, row.clone(), fill);
            assert_eq!(cache.get(1), Some(Known(row.clone())));
            clock.advance(Duration::from_millis(399));
            assert_eq!(cache.get(1), Some(Known(row)));
            clock.advance(Duration::from_millis(1));
            assert_eq!(cache.get(1), None);
        }
    }

    #[test]
    fn rows_that_do_not_exist_push_out_none_that_do() {
        let (cache, _clock) = cache();
        cache.put(1, Some(Arc::new("row")), cache.begin(1));
        for id in 2..=u8::MAX {
            cache.put(id, None, cache.begin(id));
        }
        assert_eq!(cache.get(1), Some(Known(Some(Arc::new("row")))));
        // What exists after all is known at once.
        cache.put(2, Some(Arc::new("new")), cache.begin(2));
        assert_eq!(cache.get(2), Some(Known(Some(Arc::new("new")))));
    }

    #[test]
    fn what_a_row_was_once_is_told_until_it_is_forgotten() {
        let (cache, clock) = cache();
        assert_eq!(cache.once(1), None);
        cache.put(1, Some(Arc::new("row")), cache.begin(1));
        clock.advance(Duration::from_hours(1));
        assert_eq!((cache.get(1), cache.once(1)), (None, Some(Arc::new("row"))));
        cache.forget(1);
        assert_eq!(cache.once(1), None);
    }

    #[test]
    fn an_entry_stays_good_as_long_as_the_feed_is_followed() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let watermark = Arc::new(Watermark::default());
        let cache: RowCache<u8, &str> =
            RowCache::new(8, Duration::from_secs(1), clock.clone(), Arc::clone(&watermark));
        cache.put(1, Some(Arc::new("row")), cache.begin(1));
        for _ in 0..10 {
            clock.advance(Duration::from_millis(500));
            watermark.advance(clock.monotonic());
            clock.advance(Duration::from_millis(499));
            assert_eq!(cache.get(1), Some(Known(Some(Arc::new("row")))));
        }
        clock.advance(Duration::from_secs(1));
        assert_eq!(cache.get(1), None, "nobody reads the feed any more");
    }

    #[test]
    fn an_entry_does_not_stay_good_for_ever() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let watermark = Arc::new(Watermark::default());
        let cache: RowCache<u8, &str> =
            RowCache::new(8, Duration::from_secs(1), clock.clone(), Arc::clone(&watermark));
        cache.put(1, Some(Arc::new("row")), cache.begin(1));
        clock.advance(MAX_AGE.saturating_sub(Duration::from_micros(1)));
        watermark.advance(clock.monotonic());
        assert_eq!(cache.get(1), Some(Known(Some(Arc::new("row")))));
        clock.advance(Duration::from_micros(1));
        assert_eq!(cache.get(1), None);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let (cache, _clock) = cache();
        let fills = || [cache.begin(1), cache.begin_without_id()];
        for fill in fills() {
            cache.forget(1);
            cache.put(1, Some(Arc::new("before the change")), fill);
            assert_eq!((cache.get(1), cache.once(1)), (None, None));
        }
        for fill in fills() {
            cache.forget_all();
            cache.put(1, Some(Arc::new("before the change")), fill);
            assert_eq!(cache.get(1), None);
        }
        for fill in fills() {
            cache.put(1, Some(Arc::new("after the change")), fill);
            assert_eq!(cache.get(1), Some(Known(Some(Arc::new("after the change")))));
        }
    }

    #[test]
    fn an_entry_that_is_put_between_a_change_and_its_forgetting_is_not_told_for_a_moment() {
        let (cache, _clock) = cache();
        for fill in [cache.begin(1), cache.begin_without_id()] {
            // What `forget` does, up to the removal: the entry that comes then stays among the entries, and is worth nothing.
            cache.put(1, Some(Arc::new("before the change")), fill);
            cache.changes.fetch_add(1, Ordering::SeqCst);
            cache.mark(1).fetch_add(1, Ordering::SeqCst);
            assert_eq!((cache.get(1), cache.entries.get(&1).is_some()), (None, true));
        }
    }

    #[test]
    fn a_change_of_another_row_costs_a_reading_nothing() {
        let (cache, _clock) = cache();
        let other = (2..=u8::MAX).find(|id| !std::ptr::eq(cache.mark(*id), cache.mark(1))).unwrap();
        let (fill, of_any) = (cache.begin(1), cache.begin_without_id());
        cache.forget(other);
        cache.put(1, Some(Arc::new("row")), of_any);
        assert_eq!(cache.get(1), None, "it may have been this one");
        cache.put(1, Some(Arc::new("row")), fill);
        assert_eq!(cache.get(1), Some(Known(Some(Arc::new("row")))));
    }
}
