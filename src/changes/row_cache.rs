//! Owns the cache of rows: what was read from the database, for as long as it is known not to have changed.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ahash::RandomState;
use quick_cache::{Weighter, sync::Cache};

use super::{NegativeCache, Watermark};
use crate::base::{Clock, Tally};

/// How many marks there are. Rows that share one are read anew when either has changed, which is rare with so many.
const MARKS: usize = 1_024;

/// Rows by their ids. A row is good if it was read, or the feed of changes was, less than `max_age` ago, and never for longer than
/// [`Watermark::max_age`] after it was read. A change by this process is seen at once.
///
/// That a row does not exist is remembered apart ([`NegativeCache`]): the feed does not tell of new rows, and what anybody can make
/// up pushes out no row.
#[derive(Debug)]
pub(crate) struct RowCache<K, V> {
    entries: Cache<K, CachedRow<V>, ByWeight>,
    absent: NegativeCache<K>,
    clock: Clock,
    max_age: Duration,
    watermark: Arc<Watermark>,
    /// How many changes the cache has been told of.
    changes: AtomicU64,
    /// For each mark, the number of the newest change of a row whose id hashes to it. A read that began before that change is not
    /// remembered. An entry carries the mark's number at its insertion: if the two differ, the row has changed since, and the entry is
    /// worthless.
    marks: Box<[AtomicU64]>,
    hasher: RandomState,
    tally: Tally,
}

/// What is known of a row: its value, or that it does not exist.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known<V>(pub(crate) Option<Arc<V>>);

/// A read of the database that has begun, to fill the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    /// When, on the monotonic clock: what it sees is no older.
    begun: Duration,
    /// How many changes the cache had been told of by then. What it is told of later, the read may not have seen.
    changes: u64,
}

#[derive(Debug)]
struct CachedRow<V> {
    row: Arc<V>,
    begun: Duration,
    mark: u64,
    /// How many usual rows it takes the place of.
    weight: u64,
}

/// Entries weigh what was said of them when they came.
#[derive(Clone, Debug)]
struct ByWeight;

impl<K, V> Weighter<K, CachedRow<V>> for ByWeight {
    fn weight(&self, _: &K, entry: &CachedRow<V>) -> u64 {
        entry.weight
    }
}

impl<K: Eq + Hash + Copy, V> RowCache<K, V> {
    /// A cache with room for `capacity` usual rows.
    pub(crate) fn new(capacity: usize, max_age: Duration, clock: Clock, watermark: Arc<Watermark>) -> Self {
        Self {
            entries: Cache::with_weighter(capacity, capacity as u64, ByWeight),
            absent: NegativeCache::new(max_age, clock.clone()),
            clock,
            max_age,
            watermark,
            changes: AtomicU64::new(0),
            marks: (0..MARKS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            tally: Tally::default(),
        }
    }

    /// The row `id`, if it is remembered and still good.
    pub(crate) fn get(&self, id: K) -> Option<Known<V>> {
        let known = self.known(id);
        self.tally.count(known.is_some());
        known
    }

    /// The row `id` as last read, however old: for callers whose write the database checks against the present row.
    pub(crate) fn last_read(&self, id: K) -> Option<Arc<V>> {
        Some(self.entry(id)?.row)
    }

    /// The entry of the row `id`, unless it was forgotten.
    fn entry(&self, id: K) -> Option<CachedRow<V>> {
        self.entries.get(&id).filter(|entry| entry.mark == self.mark(id).load(Ordering::SeqCst))
    }

    /// The number of the newest change of a row whose id falls where `id` does.
    fn mark(&self, id: K) -> &AtomicU64 {
        &self.marks[usize::try_from(self.hasher.hash_one(id) % MARKS as u64).unwrap_or_default()]
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
        let is_good = self.watermark.vouches_for(entry.begun, self.clock.monotonic(), self.max_age);
        is_good.then_some(Known(Some(entry.row)))
    }

    /// To be called before the database is asked for a row.
    pub(crate) fn begin(&self) -> Fill {
        Fill { begun: self.clock.monotonic(), changes: self.changes.load(Ordering::SeqCst) }
    }

    /// Remembers what `fill` found, unless it may have been changed meanwhile.
    pub(crate) fn put(&self, id: K, row: Option<Arc<V>>, fill: Fill) {
        self.put_weighing(id, row, fill, 1);
    }

    /// The same of a row that takes the place of `weight` usual ones.
    pub(crate) fn put_weighing(&self, id: K, row: Option<Arc<V>>, fill: Fill, weight: u64) {
        let Some(row) = row else {
            // Whatever was changed meanwhile: only an import brings a row back, and then this is wrong for a second at most.
            self.absent.note(id, fill.begun);
            self.entries.remove(&id);
            return;
        };
        let mark = self.mark(id).load(Ordering::SeqCst);
        if mark > fill.changes {
            return;
        }
        self.absent.forget(&id);
        self.entries.insert(id, CachedRow { row, begun: fill.begun, mark, weight });
    }

    /// To be called when `row`, which is remembered as `id`, has come to weigh `weight`.
    pub(crate) fn reweigh(&self, id: K, row: &V, weight: u64) {
        if let Some(entry) =
            self.entry(id).filter(|entry| std::ptr::eq(&raw const *entry.row, row) && entry.weight != weight)
        {
            self.entries.insert(id, CachedRow { weight, ..entry });
        }
    }

    /// To be called after the row `id` was changed in the database, before that is acknowledged.
    pub(crate) fn forget(&self, id: K) {
        let change = self.next_change();
        // Two changes at once may come here in either order.
        self.mark(id).fetch_max(change, Ordering::SeqCst);
        self.entries.remove(&id);
        self.absent.forget(&id);
    }

    /// To be called when any row may have changed.
    pub(crate) fn forget_all(&self) {
        let change = self.next_change();
        for mark in &self.marks {
            mark.fetch_max(change, Ordering::SeqCst);
        }
        self.entries.clear();
        self.absent.clear();
    }

    fn next_change(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::SeqCst) + 1
    }
}

impl Fill {
    /// When it began, on the monotonic clock.
    pub(crate) const fn begun(self) -> Duration {
        self.begun
    }
}

impl<V> Clone for CachedRow<V> {
    fn clone(&self) -> Self {
        Self { row: Arc::clone(&self.row), begun: self.begun, mark: self.mark, weight: self.weight }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::Timestamp, store::ChangeOrder};

    fn watermark() -> Arc<Watermark> {
        Arc::new(Watermark::new(&ChangeOrder::Ascending))
    }

    fn cache() -> (RowCache<u8, &'static str>, Clock) {
        let clock = Clock::manual(Timestamp::from_micros(0));
        (RowCache::new(8, Duration::from_secs(1), clock.clone(), watermark()), clock)
    }

    #[test]
    fn an_entry_is_worth_nothing_once_its_reading_is_older_than_the_bound() {
        let (cache, clock) = cache();
        assert_eq!(cache.get(1), None);
        for row in [None, Some(Arc::new("row"))] {
            let fill = cache.begin();
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
        cache.put(1, Some(Arc::new("row")), cache.begin());
        for id in 2..=u8::MAX {
            cache.put(id, None, cache.begin());
        }
        assert_eq!(cache.get(1), Some(Known(Some(Arc::new("row")))));
        // What exists after all is known at once.
        cache.put(2, Some(Arc::new("new")), cache.begin());
        assert_eq!(cache.get(2), Some(Known(Some(Arc::new("new")))));
    }

    #[test]
    fn a_row_takes_the_place_of_as_many_as_it_weighs() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let cache: RowCache<u64, &str> = RowCache::new(32, Duration::from_secs(1), clock, watermark());
        let remembered = || (0..100).filter(|id| cache.get(*id).is_some()).count();
        for id in 0..100 {
            cache.put(id, Some(Arc::new("row")), cache.begin());
        }
        assert!((20..=32).contains(&remembered()), "{}", remembered());
        for id in 0..100 {
            cache.put_weighing(id, Some(Arc::new("heavy")), cache.begin(), 8);
        }
        assert!((1..=4).contains(&remembered()), "{}", remembered());
        let (id, row) = (0..100).find_map(|id| Some((id, cache.last_read(id)?))).unwrap();
        cache.reweigh(id, &row, 30);
        assert!((1..=4).contains(&remembered()));
        cache.reweigh(id, &"another", 1);
        assert_eq!(cache.entry(id).map_or(30, |entry| entry.weight), 30);
    }

    #[test]
    fn what_a_row_was_once_is_told_until_it_is_forgotten() {
        let (cache, clock) = cache();
        assert_eq!(cache.last_read(1), None);
        cache.put(1, Some(Arc::new("row")), cache.begin());
        clock.advance(Duration::from_hours(1));
        assert_eq!((cache.get(1), cache.last_read(1)), (None, Some(Arc::new("row"))));
        cache.forget(1);
        assert_eq!(cache.last_read(1), None);
    }

    #[test]
    fn an_entry_stays_good_as_long_as_the_feed_is_followed() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let watermark = watermark();
        let cache: RowCache<u8, &str> =
            RowCache::new(8, Duration::from_secs(1), clock.clone(), Arc::clone(&watermark));
        cache.put(1, Some(Arc::new("row")), cache.begin());
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
    fn an_entry_does_not_stay_good_for_ever_and_the_less_where_the_feed_may_pass_over_changes() {
        let any = ChangeOrder::Any { version: "CockroachDB".to_owned() };
        for (order, minutes) in [(ChangeOrder::Ascending, 15), (any, 1)] {
            let clock = Clock::manual(Timestamp::from_micros(0));
            let watermark = Arc::new(Watermark::new(&order));
            let cache: RowCache<u8, &str> =
                RowCache::new(8, Duration::from_secs(1), clock.clone(), Arc::clone(&watermark));
            cache.put(1, Some(Arc::new("row")), cache.begin());
            clock.advance(Duration::from_mins(minutes).saturating_sub(Duration::from_micros(1)));
            watermark.advance(clock.monotonic());
            assert_eq!(cache.get(1), Some(Known(Some(Arc::new("row")))), "{order:?}");
            clock.advance(Duration::from_micros(1));
            assert_eq!(cache.get(1), None, "{order:?}");
        }
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let (cache, _clock) = cache();
        let fill = cache.begin();
        cache.forget(1);
        cache.put(1, Some(Arc::new("before the change")), fill);
        assert_eq!((cache.get(1), cache.last_read(1)), (None, None));
        let fill = cache.begin();
        cache.forget_all();
        cache.put(1, Some(Arc::new("before the change")), fill);
        assert_eq!(cache.get(1), None);
        let fill = cache.begin();
        cache.put(1, Some(Arc::new("after the change")), fill);
        assert_eq!(cache.get(1), Some(Known(Some(Arc::new("after the change")))));
    }

    #[test]
    fn an_entry_that_is_put_while_its_row_is_forgotten_is_not_told_for_a_moment() {
        // What `forget` does, up to the removal. The entry may come before each step; then it stays among the entries, and is worth
        // nothing.
        for steps_before in 0..=2 {
            let (cache, _clock) = cache();
            let fill = cache.begin();
            let mut change = 0;
            for step in 0..=2 {
                if step == steps_before {
                    cache.put(1, Some(Arc::new("before the change")), fill);
                }
                match step {
                    0 => change = cache.next_change(),
                    1 => drop(cache.mark(1).fetch_max(change, Ordering::SeqCst)),
                    _ => {}
                }
            }
            assert_eq!(cache.get(1), None, "put after {steps_before} steps");
        }
    }

    #[test]
    fn of_two_changes_at_once_the_newer_counts_whichever_marks_the_row_first() {
        let (cache, _clock) = cache();
        let (first, fill, second) = (cache.next_change(), cache.begin(), cache.next_change());
        cache.mark(1).fetch_max(second, Ordering::SeqCst);
        cache.mark(1).fetch_max(first, Ordering::SeqCst);
        cache.put(1, Some(Arc::new("before the second change")), fill);
        assert_eq!(cache.get(1), None);
    }

    #[test]
    fn a_change_of_another_row_costs_a_read_in_flight_nothing() {
        let (cache, _clock) = cache();
        let other = (2..=u8::MAX).find(|id| !std::ptr::eq(cache.mark(*id), cache.mark(1))).unwrap();
        let fill = cache.begin();
        cache.forget(other);
        cache.put(1, Some(Arc::new("row")), fill);
        assert_eq!(cache.get(1), Some(Known(Some(Arc::new("row")))));
    }
}
