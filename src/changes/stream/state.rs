//! Owns what the hub knows: what has ended, what is to be told next, and who watches.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem::size_of,
    sync::Arc,
    time::Duration,
};

use hyper::body::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    audiences::{Names, Shared},
    event::{Event, ToldEvent, When, committed},
    group::Group,
    hub::Seat,
    interest::Interest,
    log::Log,
    split::MOST_ITEMS,
    watcher::{End, Watcher},
};
use crate::{
    base::Timestamp,
    model::AdminScope,
    store::{Change, ChangeKind},
};

/// How much is told at a time, as many sessions and as many bytes: an eighth and a quarter of what a watcher may leave unread.
const MOST_ITEMS_TOLD: usize = 8 * MOST_ITEMS;
const MOST_BYTES_TOLD: usize = 256 * 1_024;

/// How many of those who were changed lately are known apart.
const MOST_CHANGED: usize = 10_000;

/// What the hub knows.
pub(super) struct State {
    shared: Shared,
    longest_transaction: Duration,
    /// Whether changes are noted: from when the first begins to watch.
    pub(super) is_noting: bool,
    /// Whether what has ended before that has been read.
    pub(super) is_loaded: bool,
    /// When that was, on the monotonic clock.
    pub(super) loaded_at: Duration,
    /// How often everything was forgotten.
    pub(super) generation: u64,
    /// The last batch that was told.
    pub(super) batch: u64,
    /// Until when the feed has been read.
    pub(super) read_until: Timestamp,
    /// How often it was looked since then.
    pub(super) looks_since: u32,
    /// When it was counted last that it was looked, by the machine: it is asked whether the feed had its time, whoever turns the clock.
    pub(super) looked: Instant,
    /// What the clock of the day is ahead of the monotonic one, in microseconds.
    pub(super) ahead_micros: i64,
    /// When changes were told last, on the monotonic clock.
    pub(super) told: Duration,
    /// When it was looked last what has grown old, on the monotonic clock.
    pub(super) forgot_at: Duration,
    /// What is to be told, and when it happened.
    pending: VecDeque<(Event, Timestamp)>,
    /// How many bytes that takes.
    pending_bytes: usize,
    /// What is to be told once more, and when on the monotonic clock.
    again: VecDeque<(Duration, Event)>,
    changed: Changed,
    pub(super) log: Log,
    pub(super) groups: HashMap<Interest, Group>,
    pub(super) watchers: usize,
    /// How many have watched.
    serial: u64,
}

/// About whom something has changed that decides on whether they may watch.
#[derive(Default)]
struct Changed {
    /// How often that was so.
    count: u64,
    /// At which count it was so last of whom.
    last: HashMap<Uuid, u64>,
    /// And of all.
    last_of_all: u64,
    /// Whose streams are to end.
    ending: HashSet<Uuid>,
    ends_all: bool,
}

impl State {
    /// Nothing: nobody watches yet. Of what has ended, `log` is kept; no change is committed `longest_transaction` after it was made.
    pub(super) fn new(log: Log, longest_transaction: Duration, now: Timestamp, monotonic: Duration) -> Self {
        Self {
            shared: Shared::default(),
            longest_transaction,
            is_noting: false,
            is_loaded: false,
            loaded_at: monotonic,
            generation: 0,
            batch: 0,
            read_until: now,
            looks_since: 0,
            looked: Instant::now(),
            ahead_micros: ahead_micros(now, monotonic),
            told: monotonic,
            forgot_at: monotonic,
            pending: VecDeque::new(),
            pending_bytes: 0,
            again: VecDeque::new(),
            changed: Changed::default(),
            log,
            groups: HashMap::new(),
            watchers: 0,
            serial: 0,
        }
    }

    /// Forgets all that has ended, and those who watch, who are told `resync`.
    pub(super) fn forget_everything(&mut self, resync: &Bytes) {
        for (_, (_, watcher)) in self.groups.values().flat_map(|group| &group.watchers) {
            watcher.resync(resync);
        }
        self.generation += 1;
        (self.is_noting, self.is_loaded) = (false, false);
        self.log.clear();
        (self.pending, self.pending_bytes) = (VecDeque::new(), 0);
        // Nor is it known what has changed about whoever is about to begin.
        self.changed.forget();
        self.groups.clear();
        self.watchers = 0;
    }

    /// Notes a change that was made before anybody watched, and is read at the time `now`.
    pub(super) fn note_earlier(&mut self, change: &Change, now: Timestamp, names: &Names) {
        if let Some(event) = Event::of(change, names, &mut self.shared) {
            let time = committed(change.create_time, now, self.longest_transaction);
            self.log.add(event, When { time, batch: self.batch });
        }
    }

    /// Notes a change that the feed tells of, at the time `now`. If it is of a document that is fetched anew, it is told once more at the
    /// time `told_again` on the monotonic clock.
    pub(super) fn note(
        &mut self,
        change: &Change,
        now: Timestamp,
        told_again: Duration,
        names: &Names,
    ) -> Noted {
        if change.kind == Some(ChangeKind::Client) {
            self.changed.note(Some(change.subject));
        }
        let Some(event) = Event::of(change, names, &mut self.shared) else { return Noted::Nothing };
        if let Event::Scopes(taken) = &event
            && taken.client.is_none()
            && taken.audience.is_signet()
            && taken.scopes.contains(AdminScope::EventsWatch.name())
        {
            self.changed.note(taken.subject);
        }
        if !self.is_noting {
            return Noted::Nothing;
        }
        if matches!(event, Event::Keys | Event::Policy { .. })
            && !self.again.iter().any(|(_, of)| *of == event)
        {
            self.again.push_back((told_again, event.clone()));
        }
        let time = committed(change.create_time, now, self.longest_transaction);
        self.pending_bytes += pending_bytes(&event);
        self.pending.push_back((event, time));
        // More could not be remembered either.
        if self.pending_bytes > self.log.most_bytes() { Noted::TooMuch } else { Noted::ToBeTold }
    }

    /// Has that be told, at the time `now`, which was to be told once more by the time `monotonic` on the monotonic clock. Returns whether
    /// that is anything.
    pub(super) fn tell_again(&mut self, monotonic: Duration, now: Timestamp) -> bool {
        let mut is_some = false;
        while let Some((_, event)) = self.again.pop_front_if(|(time, _)| *time <= monotonic) {
            self.pending_bytes += pending_bytes(&event);
            self.pending.push_back((event, now));
            is_some = true;
        }
        is_some
    }

    /// What is told next, as the next batch, as much as is told at a time; and whether more is left.
    pub(super) fn next_told(&mut self) -> (Vec<ToldEvent>, bool) {
        self.batch += 1;
        let (mut items, mut bytes) = (0, 0);
        let fitting = self.pending.iter().take_while(|(event, _)| {
            items += event.items();
            bytes += event.message_bytes();
            items <= MOST_ITEMS_TOLD && bytes <= MOST_BYTES_TOLD
        });
        let some = fitting.count().max(1).min(self.pending.len());
        let batch = self.batch;
        let told: Vec<_> = self
            .pending
            .drain(..some)
            .map(|(event, time)| ToldEvent { event, when: When { time, batch } })
            .collect();
        self.pending_bytes -= told.iter().map(|entry| pending_bytes(&entry.event)).sum::<usize>();
        (told, !self.pending.is_empty())
    }

    /// Whether something is to be told.
    pub(super) fn has_news(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How often something has changed that decides on whether somebody may watch.
    pub(super) const fn standings_changed(&self) -> u64 {
        self.changed.count
    }

    /// Whether that was so of `client` after it had been so often.
    pub(super) fn has_changed(&self, client: Uuid, after: u64) -> bool {
        let last = self.changed.last.get(&client).copied().unwrap_or_default();
        last.max(self.changed.last_of_all) > after
    }

    /// Whether the streams of somebody are to end.
    pub(super) fn has_ending(&self) -> bool {
        self.changed.ends_all || !self.changed.ending.is_empty()
    }

    /// Seats a watcher among those of `interest`.
    pub(super) fn seat(&mut self, interest: &Interest, watcher: &Arc<Watcher>, now: Duration) -> Seat {
        self.serial += 1;
        self.watchers += 1;
        let (serial, batch) = (self.serial, self.batch);
        let group = self.groups.entry(interest.clone()).or_insert_with(|| Group::new(batch, now));
        let slot = group.watchers.insert((serial, Arc::clone(watcher)));
        Seat { interest: interest.clone(), slot, serial }
    }

    /// Gives up `seat`.
    pub(super) fn leave(&mut self, seat: &Seat) {
        let Some(group) = self.groups.get_mut(&seat.interest) else { return };
        if group.watchers.get(seat.slot).is_some_and(|(serial, _)| *serial == seat.serial) {
            group.watchers.remove(seat.slot);
            self.watchers -= 1;
            if group.is_of_no_use() {
                self.groups.remove(&seat.interest);
            }
        }
    }

    /// Ends the streams of those about whom something has changed: whether they may still watch they find when they call again.
    pub(super) fn end_changed(&mut self) {
        let (ending, ends_all) = self.changed.take();
        if ends_all || !ending.is_empty() {
            self.end(End::Again, |watcher| ends_all || ending.contains(&watcher.client));
        }
    }

    /// Ends the streams of the watchers of whom `is_meant` says so.
    pub(super) fn end(&mut self, end: End, is_meant: impl Fn(&Watcher) -> bool) {
        for group in self.groups.values_mut() {
            let before = group.watchers.len();
            group.watchers.retain(|_, (_, watcher)| {
                let ends = is_meant(watcher);
                if ends {
                    watcher.end(end);
                }
                !ends
            });
            self.watchers -= before - group.watchers.len();
        }
        self.groups.retain(|_, group| !group.is_of_no_use());
    }
}

/// What the clock of the day is ahead of the monotonic one, in microseconds.
pub(super) fn ahead_micros(now: Timestamp, monotonic: Duration) -> i64 {
    now.as_micros().saturating_sub(i64::try_from(monotonic.as_micros()).unwrap_or(i64::MAX))
}

/// What became of a change that was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// Nobody is told of it.
    Nothing,
    /// It is to be told.
    ToBeTold,
    /// It is, and that is more than may wait.
    TooMuch,
}

/// What `event` takes while it waits.
fn pending_bytes(event: &Event) -> usize {
    event.bytes() + size_of::<(Event, Timestamp)>()
}

impl Changed {
    /// Notes that it is not known what has changed.
    const fn forget(&mut self) {
        self.count += 1;
        self.last_of_all = self.count;
    }

    /// Notes that something about `client` has changed, or about any.
    fn note(&mut self, client: Option<Uuid>) {
        self.count += 1;
        let Some(client) = client else {
            (self.last_of_all, self.ends_all) = (self.count, true);
            return;
        };
        if self.last.len() >= MOST_CHANGED {
            self.last.clear();
            self.last_of_all = self.count;
        }
        self.last.insert(client, self.count);
        self.ending.insert(client);
    }

    /// Whose streams are to end, and whether all are.
    fn take(&mut self) -> (HashSet<Uuid>, bool) {
        (std::mem::take(&mut self.ending), std::mem::take(&mut self.ends_all))
    }
}
