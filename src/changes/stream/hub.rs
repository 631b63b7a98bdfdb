//! Owns the hub of the stream: it hears of changes from the feed, gathers them for a moment, and hands each watcher what it is to be told.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use hyper::body::Bytes;
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    answer::Answers,
    clients::Clients,
    event::ToldEvent,
    group::Group,
    interest::Interest,
    log::Log,
    position::Position,
    settings::StreamSettings,
    state::{Noted, State, ahead_micros},
    told::{ChangesTold, Encode, Part},
    watcher::End,
};
use crate::{
    base::{Clock, Throttle, Timestamp},
    changes::{Subscriber, Watermark},
    metrics::StreamMetrics,
    model::Error,
    store::{Change, Store},
};

/// For how long changes are gathered, so that many cost one message.
const GATHERING: Duration = Duration::from_millis(50);

/// How far apart messages are at least for so many watchers that each costs more than that.
const GATHERING_FOR_MANY: Duration = Duration::from_millis(300);
const MANY: usize = 1_000;

/// How long those wait at most who are told nothing else.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often it is looked whose token has expired, who is to hear a heartbeat, and whether the feed is read.
const TICK: Duration = Duration::from_secs(1);

/// After so many looks at which nothing came from the feed, and after this time, streams end.
const LOOKS_WITHOUT_FEED: u32 = 2;
const WITHOUT_FEED: Duration = Duration::from_secs(3);

/// How often what has grown old is forgotten.
const FORGETTING: Duration = Duration::from_mins(1);

/// For how much longer than tokens live what has ended is remembered: whoever goes on may be told a moment after it is looked for how long.
pub(super) const MARGIN: Duration = Duration::from_mins(1);

/// Longer than any transaction takes, unless it may rest for longer.
const LONGEST_TRANSACTION: Duration = Duration::from_mins(1);

/// How often the log tells that a snapshot could not tell all.
const TELL_INTERVAL: Duration = Duration::from_mins(1);

/// Tells watchers of changes.
pub struct Hub {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: StreamMetrics,
    pub(super) watermark: Arc<Watermark>,
    process: u64,
    pub(super) answers: Arc<Answers>,
    state: Mutex<State>,
    /// One at a time reads what has ended, has an answer made, or has what has ended take less.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    /// Of each client that begins to watch, one call at a time waits for that.
    pub(super) clients: Clients,
    is_compacting: AtomicBool,
    pub(super) resync: Bytes,
    work: Notify,
    pub(super) cut: Throttle,
}

/// Where a watcher is found.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) interest: Interest,
    pub(super) slot: usize,
    /// Whose seat it is: once it is given up, another may have it.
    pub(super) serial: u64,
}

impl Hub {
    /// Tells of what `store` says and the feed, of which `watermark` is, as `encode` writes it, and remembers at most `log_bytes` of that.
    /// `process` differs from that of every other process.
    #[must_use]
    pub fn new(
        (store, clock): (Store, Clock),
        watermark: Arc<Watermark>,
        settings: StreamSettings,
        encode: Arc<dyn Encode>,
        log_bytes: usize,
        metrics: StreamMetrics,
        process: Uuid,
    ) -> Self {
        let longest_transaction = LONGEST_TRANSACTION.max(store.late_changes());
        let state = State::new(Log::new(log_bytes), longest_transaction, clock.now(), clock.monotonic());
        let state = Mutex::new(state);
        // An answer takes less than what it is made of: one to whoever begins at two audiences, and two more.
        let answers = Arc::new(Answers::new(settings, encode, log_bytes.saturating_mul(2)));
        // The last bytes of an id are random.
        let process = process.as_u64_pair().1;
        let resync = answers.encode.encode(None, &Part::Resync);
        Self {
            store,
            clock,
            metrics,
            watermark,
            process,
            answers,
            state,
            turn: Arc::default(),
            clients: Clients::default(),
            is_compacting: AtomicBool::new(false),
            resync,
            work: Notify::new(),
            cut: Throttle::new(TELL_INTERVAL),
        }
    }

    /// How many watch.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.state().watchers
    }

    /// How often something has changed that decides on whether somebody may watch.
    #[must_use]
    pub fn standings_changed(&self) -> u64 {
        self.state().standings_changed()
    }

    /// Has what has ended take as little as it can, beside those who read it. Whoever calls has the turn.
    pub(super) async fn compact(&self) -> Result<(), Error> {
        let keep = self.clock.now().before(self.answers.settings.keep_for() + MARGIN);
        let (view, most_bytes) = {
            let mut state = self.state();
            (state.log.sealed(), state.log.most_bytes())
        };
        let of = view.clone();
        let compacted =
            spawn_blocking(move || view.compact(keep, most_bytes)).await.map_err(Error::internal)?;
        self.state().log.replace(&of, compacted);
        Ok(())
    }

    /// Has that done where nobody waits for it, unless it is being done.
    fn compact_beside(self: &Arc<Self>) {
        if self.is_compacting.swap(true, Ordering::Relaxed) {
            return;
        }
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            let _turn = hub.turn.lock().await;
            let compacted = hub.compact().await;
            hub.is_compacting.store(false, Ordering::Relaxed);
            if let Err(error) = compacted {
                tracing::error!(error = %error, "what has ended long ago is not forgotten");
            }
        });
    }

    /// Waits for changes, gathers them for a moment, and tells those who watch.
    pub async fn tell(self: &Arc<Self>) {
        tokio::select! {
            () = self.work.notified() => sleep(self.gathering()).await,
            () = sleep(TICK) => {}
        }
        self.flush();
        self.tick();
        if self.has_grown_old() {
            self.compact_beside();
        }
    }

    /// Whether it is time to forget what has grown old, or there is too much of it.
    fn has_grown_old(&self) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let is_due = now.saturating_sub(state.forgot_at) >= FORGETTING;
        if is_due {
            state.forgot_at = now;
        }
        is_due || state.log.is_full()
    }

    /// How long changes are gathered now.
    fn gathering(&self) -> Duration {
        let state = self.state();
        let apart = if state.watchers > MANY { GATHERING_FOR_MANY } else { GATHERING };
        let since = self.clock.monotonic().saturating_sub(state.told);
        apart.saturating_sub(since).max(GATHERING)
    }

    /// Tells those who watch what was gathered.
    fn flush(&self) {
        let mut state = self.state();
        let state = &mut *state;
        if state.has_news() {
            let (told, is_more) = state.next_told();
            state.told = self.clock.monotonic();
            let (batch, read_until, process) = (state.batch, state.read_until, self.process_of(state));
            for (interest, group) in &mut state.groups {
                let position =
                    Position { process, batch, time: read_until, mark: self.mark(interest) }.encode();
                state.watchers -= self.tell_group(interest, group, &told, (batch, &position));
            }
            for ToldEvent { event, when } in told {
                state.log.add(event, when);
            }
            if is_more {
                self.work.notify_one();
            }
        }
        state.end_changed();
    }

    /// Tells `group` what of `told` is of its `interest`. Returns how many of them were dropped.
    fn tell_group(
        &self,
        interest: &Interest,
        group: &mut Group,
        told: &[ToldEvent],
        (batch, position): (u64, &[u8]),
    ) -> usize {
        let until = |time| self.answers.settings.until(time);
        let mut changes = ChangesTold::default();
        for entry in told.iter().filter(|entry| interest.has(&entry.event)) {
            interest.add(&mut changes, entry, until, &self.answers.names);
        }
        if changes.is_empty() {
            return 0;
        }
        group.told_at = self.clock.monotonic();
        let mut dropped = 0;
        for message in self.answers.in_messages(changes, position) {
            dropped += self.send(group, &message);
            group.keep(batch, group.told_at, message);
        }
        dropped
    }

    /// Sends `message` to all of `group`. Returns how many of them were dropped for that they read too slowly.
    fn send(&self, group: &mut Group, message: &Bytes) -> usize {
        let before = group.watchers.len();
        group.watchers.retain(|_, (_, watcher)| watcher.push(message, &self.resync));
        let dropped = before - group.watchers.len();
        self.metrics.count_messages(before, dropped);
        dropped
    }

    /// Looks whose token has expired, who is to hear a heartbeat, and whether the feed is read.
    fn tick(&self) {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let mut state = self.state();
        let state = &mut *state;
        if state.looked.elapsed() >= TICK {
            (state.looked, state.looks_since) = (Instant::now(), state.looks_since.saturating_add(1));
        }
        // A token is good for as long as clocks may be apart, too.
        let expired = now.before(self.answers.settings.leeway);
        state.end(End::Expired, |watcher| watcher.expire_time <= expired);
        if self.lacks_feed(state) {
            // Another replica may know more.
            state.end(End::Again, |_| true);
            return;
        }
        if self.is_in_doubt(state, now, monotonic) {
            state.forget_everything(&self.resync);
            return;
        }
        if state.tell_again(monotonic, now) {
            self.work.notify_one();
        }
        let is_read = self.is_read(monotonic);
        let (process, batch, time) = (self.process_of(state), state.batch, state.read_until);
        for (interest, group) in &mut state.groups {
            group.forget_old(monotonic);
            let before = group.watchers.len();
            group.watchers.retain(|_, (_, watcher)| {
                let is_stuck = watcher.is_stuck(monotonic);
                if is_stuck {
                    watcher.resync(&self.resync);
                }
                !is_stuck
            });
            let stuck = before - group.watchers.len();
            self.metrics.count_messages(0, stuck);
            state.watchers -= stuck;
            if is_read && monotonic.saturating_sub(group.told_at) >= HEARTBEAT {
                group.told_at = monotonic;
                let position = Position { process, batch, time, mark: self.mark(interest) }.encode();
                let heartbeat = self.answers.encode.encode(Some(&position), &Part::Heartbeat);
                state.watchers -= self.send(group, &heartbeat);
            }
        }
    }

    /// Whether what is remembered is to be read anew: where the feed may miss a change, each time that all else is that is remembered; and
    /// after the clock of the day was set, by which what has ended is forgotten.
    fn is_in_doubt(&self, state: &mut State, now: Timestamp, monotonic: Duration) -> bool {
        let may_miss = state.is_loaded
            && self.watermark.may_miss()
            && monotonic.saturating_sub(state.loaded_at) >= self.watermark.max_age();
        let ahead = ahead_micros(now, monotonic);
        // By more than what is kept for longer than it counts.
        let was_set = ahead.abs_diff(state.ahead_micros) > MARGIN.as_micros().try_into().unwrap_or(u64::MAX);
        state.ahead_micros = ahead;
        may_miss || was_set
    }

    /// Whether the feed was read lately, so that nothing has changed of which nothing came.
    fn is_read(&self, monotonic: Duration) -> bool {
        let patience = WITHOUT_FEED.max(self.answers.settings.cache_max_age * 2);
        monotonic.saturating_sub(self.watermark.until()) <= patience
    }

    /// Whether nothing has come from the feed for so long that it is not known whether something has changed.
    pub(super) fn lacks_feed(&self, state: &State) -> bool {
        state.looks_since >= LOOKS_WITHOUT_FEED && !self.is_read(self.clock.monotonic())
    }

    /// What a place in the stream is good for, in another process too: whoever is told something else, or is to keep it for another time,
    /// begins anew.
    pub(super) fn mark(&self, interest: &Interest) -> u64 {
        interest.mark() ^ self.answers.settings.keep_for().as_secs().rotate_left(8)
    }

    pub(super) const fn process_of(&self, state: &State) -> u64 {
        self.process.wrapping_add(state.generation)
    }

    /// Gives up the seat of a watcher who has gone.
    pub(super) fn leave(&self, seat: &Seat) {
        self.state().leave(seat);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Hub {
    fn hear(&self, change: &Change) {
        let now = self.clock.now();
        // Whoever fetches a document anew may be answered by a replica that has yet to hear of it.
        let told_again = self.clock.monotonic() + self.answers.settings.cache_max_age + TICK;
        let mut state = self.state();
        match state.note(change, now, told_again, &self.answers.names) {
            Noted::Nothing if !state.has_ending() => {}
            Noted::Nothing | Noted::ToBeTold => self.work.notify_one(),
            Noted::TooMuch => state.forget_everything(&self.resync),
        }
    }

    fn read_on(&self) {
        // A long reading is no lack of one.
        self.state().looks_since = 0;
    }

    fn forget_everything(&self) {
        self.state().forget_everything(&self.resync);
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), Error>> {
        let now = self.clock.now();
        let mut state = self.state();
        (state.read_until, state.looks_since) = (now, 0);
        drop(state);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub of {} watchers", self.watchers())
    }
}
