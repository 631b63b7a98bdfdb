//! Owns the hub of the stream: it hears of changes from the feed, gathers them for a moment, and hands each watcher what it is to be told.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::body::Bytes;
use tokio::{sync::Notify, time::sleep};
use uuid::Uuid;

use super::{
    audiences::Heard,
    event::Event,
    group::{Group, Told},
    history::Since,
    parts::in_parts,
    position::Position,
    state::State,
    told::{ChangesTold, Encode, Kinds, Part},
    watcher::{End, Watch, Watcher},
};
use crate::{
    base::{Clock, Throttle, Timestamp},
    changes::{Subscriber, feed::CLOCKS_APART},
    metrics::StreamMetrics,
    model::{Error, NameSet},
    store::{Change, ChangeKind, Store},
};

/// For how long changes are gathered, so that many cost one message.
const GATHERING: Duration = Duration::from_millis(50);

/// The same for so many watchers that each message costs more than that.
const GATHERING_FOR_MANY: Duration = Duration::from_millis(300);
const MANY: usize = 1_000;

/// How long those wait at most who are told nothing else.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often it is looked whose token has expired, and who is to hear a heartbeat.
const TICK: Duration = Duration::from_secs(1);

/// How often what has grown old is forgotten.
const FORGETTING: Duration = Duration::from_mins(1);

/// How many changes are read at a time when the first begins to watch.
const PAGE: u64 = 500;

/// How often the log tells that a snapshot could not tell all.
const TELL_INTERVAL: Duration = Duration::from_mins(1);

/// What the stream needs to know of tokens.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// The names of the service's own audience.
    pub own: NameSet,
    /// How long an access token lives.
    pub token_life: Duration,
    /// How far the clocks of replicas may be apart.
    pub leeway: Duration,
    /// How long a replica may go by roles that were changed.
    pub cache_max_age: Duration,
}

/// Who begins to watch, and what.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// The client that watches.
    pub client: Uuid,
    /// Its audiences, as they stand in `aud`; none for the service's own.
    pub audiences: NameSet,
    /// When its token expires.
    pub expire_time: Timestamp,
    /// What it is to be told.
    pub kinds: Kinds,
    /// Where it goes on; empty for a snapshot.
    pub position: Vec<u8>,
}

/// Tells watchers of changes.
pub struct Hub {
    store: Store,
    clock: Clock,
    settings: StreamSettings,
    encode: Arc<dyn Encode>,
    metrics: StreamMetrics,
    process: u64,
    state: Mutex<State>,
    /// Of those who begin to watch, one reads what has ended.
    loading: tokio::sync::Mutex<()>,
    work: Notify,
    cut: Throttle,
}

/// Where a watcher is found.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    told: Told,
    slot: usize,
    /// Whose seat it is: once it is given up, another may have it.
    serial: u64,
}

impl Hub {
    /// Tells of what `store` says, as `encode` writes it. `process` differs from that of every other process.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        settings: StreamSettings,
        encode: Arc<dyn Encode>,
        metrics: StreamMetrics,
        process: Uuid,
    ) -> Self {
        let state = State::new(settings.own.clone(), clock.now(), clock.monotonic());
        // The last bytes of an id are random.
        let process = process.as_u64_pair().1;
        let (state, cut) = (Mutex::new(state), Throttle::new(TELL_INTERVAL));
        Self {
            store,
            clock,
            settings,
            encode,
            metrics,
            process,
            state,
            loading: tokio::sync::Mutex::default(),
            work: Notify::new(),
            cut,
        }
    }

    /// How many watch.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.state().watchers
    }

    /// What `request` asks for, from now on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause, if what has ended cannot be read.
    pub async fn watch(self: &Arc<Self>, request: WatchRequest) -> Result<Watch, Error> {
        let generation = self.load().await?;
        let mut state = self.state();
        if state.generation != generation {
            // Changes were missed just now. Who calls again finds what is read anew.
            let source = "the feed of changes is read anew".into();
            return Err(Error::Unavailable { what: "feed of changes", source });
        }
        let audiences = Heard::new(state.names.of(&request.audiences));
        let told = Told { audiences, kinds: request.kinds };
        let first = self.first(&mut state, &told, &request.position);
        let watcher = Arc::new(Watcher::new(request.client, request.expire_time));
        state.serial += 1;
        state.watchers += 1;
        let serial = state.serial;
        let group = state.groups.entry(told.clone()).or_default();
        group.told_at = self.clock.monotonic();
        let slot = group.watchers.insert((serial, Arc::clone(&watcher)));
        Ok(Watch::new(first, watcher, Seat { told, slot, serial }, Arc::downgrade(self)))
    }

    /// Waits for changes, gathers them for a moment, and tells those who watch.
    pub async fn tell(&self) {
        tokio::select! {
            () = self.work.notified() => {
                let many = self.state().watchers > MANY;
                sleep(if many { GATHERING_FOR_MANY } else { GATHERING }).await;
            }
            () = sleep(TICK) => {}
        }
        self.flush();
        self.tick();
    }

    /// Gives up the seat of a watcher who has gone.
    pub(super) fn leave(&self, seat: &Seat) {
        let mut state = self.state();
        let Some(group) = state.groups.get_mut(&seat.told) else { return };
        if group.watchers.get(seat.slot).is_some_and(|(serial, _)| *serial == seat.serial) {
            group.watchers.remove(seat.slot);
            let is_empty = group.watchers.is_empty();
            state.watchers -= 1;
            if is_empty {
                state.groups.remove(&seat.told);
            }
        }
    }

    /// Reads what has ended within the life of a token, unless that is known. Returns which reading it is of.
    async fn load(&self) -> Result<u64, Error> {
        let _turn = self.loading.lock().await;
        loop {
            let generation = {
                let mut state = self.state();
                if state.is_loaded {
                    return Ok(state.generation);
                }
                // Before the reading: what is committed after it comes by the feed.
                state.is_noting = true;
                state.generation
            };
            let since = self.clock.now().before(self.keep_for());
            let mut after = self.store.newest_change_before(since.before(CLOCKS_APART)).await?;
            loop {
                let page = self.store.changes(after, PAGE).await?;
                let mut state = self.state();
                for change in page.iter().filter(|change| change.create_time >= since) {
                    state.note_earlier(change);
                }
                match page.last() {
                    Some(last) if page.len() as u64 == PAGE => after = last.id,
                    _ => break,
                }
            }
            let mut state = self.state();
            if state.generation == generation {
                state.is_loaded = true;
                return Ok(generation);
            }
        }
    }

    /// What those are told first who are `told` from now on, and say to have been told up to `position`.
    fn first(&self, state: &mut State, told: &Told, position: &[u8]) -> Arc<[Bytes]> {
        if position.is_empty() {
            self.metrics.count_snapshot();
            return self.snapshot(state, told);
        }
        let since = Position::decode(position).and_then(|position| self.since(state, position));
        let Some((since, is_known)) = since.filter(|_| !state.history.is_cut()) else {
            self.metrics.count_resync();
            let resync = self.encode.encode(None, &Part::Resync);
            return [resync].into_iter().chain(self.snapshot(state, told).iter().cloned()).collect();
        };
        self.metrics.count_resumed();
        let mut changes = state.history.select(told, since, |time| self.until(time), &state.names).changes;
        if !is_known {
            // How far another process had told of these is not known, and to read them anew costs little.
            changes.keys_changed |= told.has(&Event::Keys);
            for audience in told.audiences.iter() {
                let event = Event::Policy { key: audience.key() };
                if told.has(&event) {
                    told.add(&mut changes, &event, self.clock.now(), &state.names);
                }
            }
        }
        let position = self.position(state);
        if changes.is_empty() {
            return [self.encode.encode(Some(&position), &Part::Heartbeat)].into();
        }
        self.changes_in_parts(changes, &position).into()
    }

    /// `changes` as they are sent, the last part of which is told at `position`: whoever has only a part of them goes on before all.
    fn changes_in_parts(&self, changes: ChangesTold, position: &[u8]) -> Vec<Bytes> {
        let parts = in_parts(changes);
        let last = parts.len() - 1;
        let encoded = parts.into_iter().enumerate().map(|(at, changes)| {
            self.encode.encode(Some(position).filter(|_| at == last), &Part::Changes(changes))
        });
        encoded.collect()
    }

    /// From when on is told what was not told up to `position`, and whether this process told that; none if that is not known any more.
    fn since(&self, state: &State, position: Position) -> Option<(Since, bool)> {
        let now = self.clock.now();
        if position.process == self.process_of(state) && position.batch <= state.batch {
            return Some((Since::Batch(position.batch), true));
        }
        let is_late = position.time < now.before(self.keep_for());
        if is_late || position.time > now.after(CLOCKS_APART) {
            return None;
        }
        // As far as the clock of whoever made a change may have been behind, and as late as it may have come into the feed.
        let margin = CLOCKS_APART + self.store.late_changes();
        Some((Since::Time(position.time.before(margin)), false))
    }

    /// All that has ended, in parts, once for all who begin while nothing more does.
    fn snapshot(&self, state: &mut State, told: &Told) -> Arc<[Bytes]> {
        let version = state.history.version();
        let known = state.groups.get(told).and_then(|group| group.snapshot.as_ref());
        if let Some((_, parts)) = known.filter(|(of, _)| *of == version) {
            return Arc::clone(parts);
        }
        let selected = state.history.select(told, Since::All, |time| self.until(time), &state.names);
        // Times of tokens are whole seconds.
        let not_before = selected.not_before.map(|time| time.after(Duration::from_secs(1)));
        if not_before.is_some() {
            self.tell_cut();
        }
        let position = self.position(state);
        let parts = in_parts(selected.changes);
        let last = parts.len() - 1;
        let encoded = parts.into_iter().enumerate().map(|(at, changes)| {
            let part = Part::Snapshot {
                changes,
                tokens_not_before: not_before.filter(|_| at == 0),
                is_last: at == last,
                keep_for: (at == 0).then(|| self.keep_for()),
            };
            self.encode.encode(Some(&position[..]).filter(|_| at == last), &part)
        });
        let parts: Arc<[Bytes]> = encoded.collect();
        state.groups.entry(told.clone()).or_default().snapshot = Some((version, Arc::clone(&parts)));
        parts
    }

    /// A snapshot could not tell all that has ended.
    fn tell_cut(&self) {
        self.metrics.count_cut();
        if self.cut.pass(self.clock.monotonic()).is_some() {
            tracing::warn!(
                "more sessions and clients have ended within the life of an access token than a snapshot of the event stream can tell: \
                 services that begin to watch refuse all tokens that were issued before"
            );
        }
    }

    /// Tells those who watch what was gathered.
    fn flush(&self) {
        let mut state = self.state();
        let state = &mut *state;
        let pending = std::mem::take(&mut state.pending);
        if !pending.is_empty() {
            state.batch += 1;
            let position = self.position(state);
            let now = self.clock.monotonic();
            for (told, group) in &mut state.groups {
                let mut changes = ChangesTold::default();
                for (event, time) in pending.iter().filter(|(event, _)| told.has(event)) {
                    told.add(&mut changes, event, self.until(*time), &state.names);
                }
                if !changes.is_empty() {
                    group.told_at = now;
                    for message in self.changes_in_parts(changes, &position) {
                        state.watchers -= self.send(group, &message);
                    }
                }
            }
        }
        self.end_changed(state);
    }

    /// Sends `message` to all of `group`. Returns how many of them were dropped for that they read too slowly.
    fn send(&self, group: &mut Group, message: &Bytes) -> usize {
        let resync = self.encode.encode(None, &Part::Resync);
        let before = group.watchers.len();
        group.watchers.retain(|_, (_, watcher)| watcher.push(message, &resync));
        let dropped = before - group.watchers.len();
        self.metrics.count_messages(before, dropped);
        dropped
    }

    /// Ends the streams of clients about whom something has changed: whether they may still watch they find when they call again.
    fn end_changed(&self, state: &mut State) {
        let (ending, ends_all) = (std::mem::take(&mut state.ending), std::mem::take(&mut state.ends_all));
        if ends_all || !ending.is_empty() {
            state.end(End::Again, |watcher| ends_all || ending.contains(&watcher.client));
        }
    }

    /// Looks whose token has expired, who is to hear a heartbeat, and what is to be forgotten.
    fn tick(&self) {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let mut state = self.state();
        let state = &mut *state;
        state.end(End::Expired, |watcher| watcher.expire_time <= now);
        let position = self.position(state);
        let heartbeat = self.encode.encode(Some(&position), &Part::Heartbeat);
        for group in state.groups.values_mut() {
            if monotonic.saturating_sub(group.told_at) >= HEARTBEAT {
                group.told_at = monotonic;
                state.watchers -= self.send(group, &heartbeat);
            }
        }
        if monotonic.saturating_sub(state.forgot_at) >= FORGETTING {
            state.forgot_at = monotonic;
            state.history.forget_before(now.before(self.keep_for()));
        }
    }

    fn position(&self, state: &State) -> Vec<u8> {
        let (process, batch, time) = (self.process_of(state), state.batch, state.read_until);
        Position { process, batch, time }.encode().to_vec()
    }

    const fn process_of(&self, state: &State) -> u64 {
        self.process.wrapping_add(state.generation)
    }

    /// Up to when tokens may have been issued by what a change at `time` has ended.
    fn until(&self, time: Timestamp) -> Timestamp {
        time.after(self.settings.leeway + self.settings.cache_max_age)
    }

    /// For how long after a change a token may live that was issued before.
    fn keep_for(&self) -> Duration {
        self.settings.token_life + self.settings.cache_max_age + self.settings.leeway * 2
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Hub {
    /// It hears of every kind, by [`Self::hear`].
    fn kind(&self) -> ChangeKind {
        ChangeKind::Session
    }

    fn hear(&self, change: &Change) {
        let mut state = self.state();
        if state.is_noting {
            state.note(change);
            drop(state);
            self.work.notify_one();
        }
    }

    fn forget_changed(&self, _: Uuid) {}

    fn forget_everything(&self) {
        let mut state = self.state();
        let resync = self.encode.encode(None, &Part::Resync);
        for group in state.groups.values() {
            for (_, (_, watcher)) in &group.watchers {
                watcher.resync(&resync);
            }
        }
        state.forget_everything();
    }

    fn settle(&self) -> futures_util::future::BoxFuture<'_, Result<(), Error>> {
        let now = self.clock.now();
        self.state().read_until = now;
        Box::pin(std::future::ready(Ok(())))
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub of {} watchers", self.watchers())
    }
}
