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
    store::{Change, ChangeOrder, Store},
};

/// How many changes are read at a time.
const PAGE: u64 = 500;

/// How long changes stay in the feed.
const RETENTION: Duration = Duration::from_mins(10);

/// How long those stay that the stream tells to services that begin to follow it: as long as any access token may live.
const LASTING_RETENTION: Duration = Duration::from_hours(24);

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
}

/// Tells two changes of one id apart: the row that changed, and when.
type Stamp = (Uuid, Timestamp);

/// Whether a change was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    New,
    SeenBefore,
    /// Another change had this id: the database is an older one than it was.
    InAnothersPlace,
}

impl Progress {
    /// Begins at the id `passed`, before which no change can come any more.
    fn from(passed: (Duration, i64)) -> Self {
        Self { ends: VecDeque::from([passed]), heeded: BTreeMap::new() }
    }

    /// The id at which the next reading begins.
    fn begin(&self) -> i64 {
        self.ends.front().map_or(0, |(_, id)| *id)
    }

    /// Whether changes may have been deleted before they were read, if `first` is the first that there is from [`Self::begin`] on.
    ///
    /// The change where a reading begins has been read before, and stays in the feed as long as whoever reads it is in time
    /// ([`Store::delete_changes_before`]). Once it is gone, others after it may be, too. No clock tells that as surely: while a machine
    /// sleeps, or is moved to another, its clocks may stand still.
    fn has_missed(&self, first: Option<i64>) -> bool {
        // At zero nothing had been told before.
        let begin = self.begin();
        begin != 0 && first != Some(begin)
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
        let passed = clock.now().before(CLOCKS_APART + store.late_changes());
        let passed = store.newest_change_before(passed).await?;
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
        let progress = Mutex::new(Some(Progress::from((opened, passed))));
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
        let mut progress = kept.take().unwrap_or_else(|| {
            forget_everything(subscribers);
            Progress::from((self.clock.monotonic(), 0))
        });
        let read = self.read(&mut progress, subscribers).await;
        *kept = Some(progress);
        read
    }

    /// Deletes changes that are older than ten minutes at the time `now`; of ended sessions and clients, and of scopes that were taken
    /// away, those that are older than a day.
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
    async fn read(&self, progress: &mut Progress, subscribers: &[Arc<dyn Subscriber>]) -> Result<(), Error> {
        let begun = self.clock.monotonic();
        if begun.saturating_sub(self.watermark.until()) > GAP {
            forget_everything(subscribers);
        }
        let resumed = progress.begin();
        // With the change there, which has been read: should it be gone, others may be.
        let mut last_id = resumed.saturating_sub(1);
        loop {
            let changes = self.store.changes(last_id, PAGE).await?;
            let mut missed =
                last_id < resumed && progress.has_missed(changes.first().map(|change| change.id));
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
                forget_everything(subscribers);
                // From the first change that there is: ids may be lower now than those that were read.
                *progress = Progress::from((begun, 0));
                return Ok(());
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
        Ok(())
    }
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
mod tests {
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::store::ChangeKind;

    /// Keeps what it is told.
    struct Recorder(ChangeKind, Mutex<Vec<u128>>);

    impl Subscriber for Recorder {
        fn kind(&self) -> ChangeKind {
            self.0
        }

        fn forget_changed(&self, id: Uuid) {
            self.1.lock().unwrap().push(id.as_u128());
        }

        fn forget_everything(&self) {}
    }

    fn change(id: i64, subject: u128) -> Change {
        let subject = Uuid::from_u128(subject);
        Change {
            id,
            subject,
            kind: None,
            is_unnamed: true,
            effect: None,
            holder: None,
            audience: None,
            scopes: None,
            create_time: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn a_change_is_told_to_those_of_its_kind_and_one_of_no_known_kind_to_everybody() {
        let [users, sessions] =
            [ChangeKind::User, ChangeKind::Session].map(|kind| Arc::new(Recorder(kind, Mutex::default())));
        let subscribers: [Arc<dyn Subscriber>; 2] = [users.clone(), sessions.clone()];
        let kinds = [Some(ChangeKind::User), Some(ChangeKind::Session), Some(ChangeKind::Client), None];
        for (id, kind) in (1..).zip(kinds) {
            let change = Change { kind, ..change(id, id.unsigned_abs().into()) };
            tell(&change, &subscribers);
        }
        assert_eq!(*users.1.lock().unwrap(), [1, 4]);
        assert_eq!(*sessions.1.lock().unwrap(), [2, 4]);
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_reading_begins_before_what_may_yet_come_and_what_may_have_come_since_the_last_one() {
        let late = s(5);
        let mut progress = Progress::from((s(0), 7));
        assert_eq!(progress.begin(), 7);
        for id in [8, 10] {
            assert_eq!(progress.note(&change(id, 1)), Sight::New);
        }
        progress.done(s(1), s(2), 10, late);
        assert_eq!(progress.begin(), 7, "9 may yet come");
        // However long nothing is read: it may have come meanwhile.
        progress.done(s(6), s(60), 10, late);
        assert_eq!(progress.begin(), 7, "9 may have come after this reading had passed it");
        progress.done(s(61), s(61), 10, late);
        assert_eq!(progress.begin(), 10, "had 9 come, this reading would have seen it");
        assert!(progress.heeded.keys().eq([&10]), "nothing is remembered of what is not read again");
        progress.done(s(65), s(65), 12, late);
        progress.done(s(66), s(66), 12, late);
        assert_eq!((progress.begin(), progress.ends.len()), (10, 3), "11 may yet come");
    }

    #[test]
    fn a_change_that_was_read_and_is_gone_tells_that_others_may_have_been_missed() {
        let mut progress = Progress::from((s(0), 0));
        assert!(!progress.has_missed(None) && !progress.has_missed(Some(9)), "nothing had been told before");
        progress.done(s(1), s(1), 9, Duration::ZERO);
        assert!(!progress.has_missed(Some(9)));
        assert!(progress.has_missed(Some(12)));
        assert!(progress.has_missed(None), "the feed is another one");
    }

    #[test]
    fn an_id_that_is_given_once_more_tells_that_the_database_is_an_older_one() {
        let mut progress = Progress::from((s(0), 7));
        assert_eq!(progress.note(&change(7, 1)), Sight::SeenBefore, "it was passed before");
        assert_eq!(progress.note(&change(8, 1)), Sight::New);
        assert_eq!(progress.note(&change(8, 1)), Sight::SeenBefore);
        progress.done(s(0), s(0), 8, Duration::ZERO);
        assert_eq!(progress.note(&change(8, 2)), Sight::InAnothersPlace, "also where a reading begins");
        let later = Change { create_time: Timestamp::from_micros(1), ..change(8, 2) };
        assert_eq!(progress.note(&later), Sight::InAnothersPlace, "of the same subject");
    }

    #[test]
    fn where_changes_come_in_order_none_is_read_twice() {
        let mut progress = Progress::from((s(0), 7));
        progress.done(s(0), s(0), 9, Duration::ZERO);
        assert_eq!((progress.begin(), progress.ends.len()), (9, 1));
    }
}
