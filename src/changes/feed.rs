//! Owns reading the feed of changes: whoever subscribes hears what other processes have changed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Subscriber, Watermark};
use crate::{
    base::{Clock, Timestamp},
    model::Error,
    store::{Change, ChangeOrder, FeedPage, Store},
};

/// How many changes are read at a time.
const PAGE: u64 = 500;

/// How long changes stay in the feed.
const RETENTION: Duration = Duration::from_mins(10);

/// How long those stay that the stream tells to services that begin to follow it: as long as any access token may live, 24 hours, and for
/// what a token may be issued after the change, by a replica that remembers what was before and whose clock is wrong: some ten minutes by
/// the longest settings (`--standing-cache-max-age`, `--clock-leeway` twice).
const LASTING_RETENTION: Duration = Duration::from_mins(24 * 60 + 15);

/// After this time without a reading, everything is forgotten: changes may have been deleted unread.
const GAP: Duration = Duration::from_mins(5);

/// How far the clocks of replicas may differ: the first reading begins at the newest change that is older than this, and than a change may
/// come late, when the feed is opened.
pub(super) const CLOCKS_APART: Duration = Duration::from_mins(5);

/// The feed of changes, as one process reads it.
///
/// On a database server, changes do not come in the order of their ids: of two transactions at once the one that took its id first
/// may be committed last. So each reading begins again where the feed ended some time ago, longer than any transaction takes
/// that is acknowledged ([`Store::late_changes`]), and heeds what it had not seen. That costs reading each change some sixteen times.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    clock: Clock,
    /// How far it has been read; none if that is not known. At first from where it was opened, at an id that it had passed some time
    /// before.
    progress: Mutex<Option<Progress>>,
    watermark: Arc<Watermark>,
    /// Up to which id only those are left that stay for longer.
    kept_to: AtomicI64,
}

/// How far the feed has been read.
#[derive(Debug)]
struct Progress {
    /// When readings ended, and the last id of each: the oldest is where the next reading begins. Up to there every change has
    /// been heeded.
    ends: VecDeque<(Duration, i64)>,
    /// The ids from that oldest one on that have been heeded, and what each was of.
    heeded: BTreeMap<i64, Stamp>,
    /// Up to which id changes had been deleted before anything was remembered.
    gone: i64,
}

/// Tells two changes of one id apart: the row that changed, and when.
type Stamp = (Uuid, Timestamp);

/// How a reading of the feed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FeedRead {
    /// All that there is was heeded.
    Done,
    /// Changes are gone that were not read.
    Missed,
}

/// Whether a change was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    New,
    SeenBefore,
    /// Another change had this id: the database is an older one than it was.
    InAnothersPlace,
}

impl Progress {
    /// Begins at the id `passed`, before which no change can come any more, when those up to the id `gone` have been deleted.
    fn from(passed: (Duration, i64), gone: i64) -> Self {
        Self { ends: VecDeque::from([passed]), heeded: BTreeMap::new(), gone }
    }

    /// The id at which the next reading begins.
    fn begin(&self) -> i64 {
        self.ends.front().map_or(0, |(_, id)| *id)
    }

    /// Whether changes may have been deleted before they were read, if `first` is the first that there is from [`Self::begin`] on, and
    /// changes have been deleted up to the id `passed`.
    ///
    /// Whoever reads in time is never behind that mark ([`Store::delete_changes_before`]). The release before sets none: but the change
    /// where a reading begins has been read before, and one that does not last goes before those after it do. No clock tells that as
    /// surely: while a machine sleeps, or is moved to another, its clocks may stand still.
    fn has_missed(&self, first: Option<i64>, passed: i64) -> bool {
        // At zero there was none.
        let begin = self.begin();
        (begin != 0 && first != Some(begin)) || self.has_been_passed(passed)
    }

    /// Whether changes after [`Self::begin`] have been deleted since then, if they have been up to the id `passed`.
    fn has_been_passed(&self, passed: i64) -> bool {
        passed > self.begin() && passed > self.gone
    }

    /// Notes `change`, and says what it is.
    fn note(&mut self, change: &Change) -> Sight {
        let stamp = (change.subject, change.create_time);
        match self.heeded.insert(change.id, stamp) {
            Some(before) if before == stamp => Sight::SeenBefore,
            Some(_) => Sight::InAnothersPlace,
            // It was passed before the feed was opened.
            None if change.id == self.begin() => Sight::SeenBefore,
            None => Sight::New,
        }
    }

    /// Notes that everything after [`Self::begin`] was read from `begun` to `ended`, up to `last_id`, if changes may come as late as
    /// `late`.
    ///
    /// What came late before an end is sure to have been seen only by a reading that began when nothing could come there any more:
    /// not by one that failed, nor by the time that has passed since.
    fn done(&mut self, begun: Duration, ended: Duration, last_id: i64, late: Duration) {
        if late.is_zero() {
            self.ends.clear(); // Changes come in the order of their ids.
        }
        self.ends.push_back((ended, last_id));
        while self.ends.get(1).is_some_and(|(ended, _)| *ended + late <= begun) {
            self.ends.pop_front();
        }
        self.heeded = self.heeded.split_off(&self.begin());
    }
}

impl Feed {
    /// The feed from here on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn open(store: Store, clock: Clock) -> Result<Self, Error> {
        let opened = clock.monotonic();
        let progress = begin(&store, &clock).await?;
        let order = store.change_order().await?;
        let watermark = Arc::new(Watermark::new(&order));
        if let ChangeOrder::Any { version } = order {
            tracing::info!(
                database = %version, max_age = ?watermark.max_age(),
                "this database is not known to give the changes of processes ascending ids: what is remembered is read again after `max_age`"
            );
        }
        // Nothing that is older is remembered.
        watermark.advance(opened);
        let progress = Mutex::new(Some(progress));
        Ok(Self { store, clock, progress, watermark, kept_to: AtomicI64::new(0) })
    }

    /// Until when it has been read, for the caches.
    #[must_use]
    pub fn watermark(&self) -> Arc<Watermark> {
        Arc::clone(&self.watermark)
    }

    /// Reads what has been added, and tells `subscribers`. Until that succeeds again, what is remembered grows old and is read anew:
    /// nothing stale is served.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn follow(&self, subscribers: &[Arc<dyn Subscriber>]) -> Result<(), Error> {
        let mut kept = self.progress.lock().await;
        // Taken out, so that a reading that ends by a panic leaves none: what it had noted it may not have told.
        let mut progress = match kept.take() {
            Some(progress) => progress,
            None => self.begin_anew(subscribers).await?,
        };
        let read = self.read(&mut progress, subscribers).await;
        *kept = match read {
            Ok(FeedRead::Missed) => Some(self.begin_anew(subscribers).await?),
            Ok(FeedRead::Done) | Err(_) => Some(progress),
        };
        read.map(drop)
    }

    /// Has everything forgotten, and begins where the feed would if it were opened now: what is remembered from now on is read after that.
    async fn begin_anew(&self, subscribers: &[Arc<dyn Subscriber>]) -> Result<Progress, Error> {
        let progress = begin(&self.store, &self.clock).await?;
        forget_everything(subscribers);
        Ok(progress)
    }

    /// Deletes changes that are older than ten minutes at the time `now`; of ended sessions and clients, and of scopes that were taken
    /// away, those that are older than a day and a quarter of an hour.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_old(&self, now: Timestamp) -> Result<(), Error> {
        let kept_to = self.kept_to.load(Ordering::Relaxed);
        let kept_to = self.store.delete_changes_before(now.before(RETENTION), kept_to).await?;
        self.kept_to.store(kept_to, Ordering::Relaxed);
        self.store.delete_lasting_changes_before(now.before(LASTING_RETENTION), kept_to).await
    }

    /// Heeds the changes since the last reading.
    async fn read(
        &self,
        progress: &mut Progress,
        subscribers: &[Arc<dyn Subscriber>],
    ) -> Result<FeedRead, Error> {
        let begun = self.clock.monotonic();
        if begun.saturating_sub(self.watermark.until()) > GAP {
            forget_everything(subscribers);
        }
        let resumed = progress.begin();
        // With the change there, which has been read: should it be gone, others may be.
        let mut last_id = resumed.saturating_sub(1);
        loop {
            let FeedPage { changes, passed } = self.store.feed_page(last_id, PAGE).await?;
            for subscriber in subscribers {
                subscriber.read_on();
            }
            let is_first = last_id < resumed;
            let mut missed = if is_first {
                progress.has_missed(changes.first().map(|change| change.id), passed)
            } else {
                progress.has_been_passed(passed)
            };
            last_id = last_id.max(resumed);
            for change in &changes {
                last_id = change.id;
                match progress.note(change) {
                    Sight::New => tell(change, subscribers),
                    Sight::SeenBefore => {}
                    Sight::InAnothersPlace => missed = true,
                }
            }
            if missed {
                tracing::warn!(
                    "changes of other processes are gone that this one has yet to read, as when its machine sleeps, or the database is an \
                     older one than it was: what it remembers is read anew"
                );
                return Ok(FeedRead::Missed);
            }
            if (changes.len() as u64) < PAGE {
                break;
            }
        }
        progress.done(begun, self.clock.monotonic(), last_id, self.store.late_changes());
        for subscriber in subscribers {
            subscriber.settle().await?;
        }
        self.watermark.advance(begun);
        Ok(FeedRead::Done)
    }
}

/// Begins at the newest change that nobody can come before any more: of a database that is an older one than it was, ids may be lower than
/// those that were read.
async fn begin(store: &Store, clock: &Clock) -> Result<Progress, Error> {
    let begun = clock.monotonic();
    let passed = clock.now().before(CLOCKS_APART + store.late_changes());
    // First the mark: what is deleted after that is missed.
    let gone = store.passed_changes().await?;
    Ok(Progress::from((begun, store.newest_change_before(passed).await?), gone))
}

/// Tells everybody that changes were missed.
fn forget_everything(subscribers: &[Arc<dyn Subscriber>]) {
    for subscriber in subscribers {
        subscriber.forget_everything();
    }
}

/// Tells everybody of `change`.
fn tell(change: &Change, subscribers: &[Arc<dyn Subscriber>]) {
    for subscriber in subscribers {
        subscriber.hear(change);
    }
}

#[cfg(test)]
mod tests;
