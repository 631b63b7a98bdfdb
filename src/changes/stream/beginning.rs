//! Owns how somebody begins to watch: with what was made for others already, or what is made for them beside the hub.

use std::sync::Arc;

use hyper::body::Bytes;
use tokio::{sync::oneshot, task::spawn_blocking};
use uuid::Uuid;

use super::{
    answer::{Answer, AnswerRequest, NoAnswer},
    audiences::WatchedAudiences,
    group::Group,
    hub::{Hub, MARGIN},
    interest::Interest,
    log::Since,
    position::Position,
    state::State,
    told::{Kinds, Part},
    watcher::{Watch, Watcher},
};
use crate::{
    base::Timestamp,
    changes::feed::CLOCKS_APART,
    model::{Error, NameSet},
};

/// How many changes are read at a time when the first begins to watch.
const PAGE: u64 = 500;

/// Those who go on at another process begin at a time that is a multiple of this, in microseconds: so that most of them are told the same.
const SAME_START_MICROS: i64 = 10_000_000;

/// Who begins to watch, and what.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// The client that watches.
    pub client: Uuid,
    /// [`Hub::standings_changed`] before it was looked whether the client may watch.
    pub standings_changed: u64,
    /// Its audiences, as they stand in `aud`; none for the service's own.
    pub audiences: NameSet,
    /// When its token expires.
    pub expire_time: Timestamp,
    /// What it is to be told.
    pub kinds: Kinds,
    /// Where it goes on; empty for a snapshot.
    pub position: Vec<u8>,
}

/// From when on somebody is told.
#[derive(Clone, Copy)]
struct StartPoint {
    since: Since,
    /// Something may have been missed.
    resync: bool,
}

impl StartPoint {
    /// A snapshot for who cannot go on.
    const SNAPSHOT: Self = Self { since: Since::All, resync: true };
}

impl Hub {
    /// What `request` asks for, from now on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the feed is not read, something about the client has changed just now, or so much is unread of others that
    /// there is no room; this or [`Error::Internal`], with the cause, if what has ended cannot be read.
    pub async fn watch(self: &Arc<Self>, request: WatchRequest) -> Result<Watch, Error> {
        let audiences = WatchedAudiences::new(self.answers.names.of(&request.audiences));
        let interest = Interest { audiences, kinds: request.kinds };
        if let Some(watch) = self.begin(&request, &interest, false)? {
            return Ok(watch);
        }
        let turn_of_client = self.clients.wait(request.client).await;
        // Whoever was before may have been told the same.
        if let Some(watch) = self.begin(&request, &interest, false)? {
            return Ok(watch);
        }
        let hub = Arc::clone(self);
        let (_here, mut goes) = oneshot::channel::<()>();
        // A task of its own: whoever calls may go away while the answer is made, and it is for the next one, too.
        let beginning = tokio::spawn(async move {
            let _turns = tokio::select! {
                turn = hub.turn.lock() => (turn_of_client, turn),
                _ = &mut goes => return Err(unavailable("whoever called has gone")),
            };
            hub.begin_in_turn(&request, &interest).await
        });
        beginning.await.map_err(Error::internal)?
    }

    /// Has made what whoever asks is told first. Whoever calls has the turn.
    async fn begin_in_turn(
        self: &Arc<Self>,
        request: &WatchRequest,
        interest: &Interest,
    ) -> Result<Watch, Error> {
        self.load().await?;
        // What is told now must not outgrow it while others have the turn.
        if self.state().log.is_full() {
            self.compact().await?;
        }
        let (mut lacks_past, mut lacks_room) = (false, self.answers.is_half_full());
        loop {
            // Whoever had the turn before may have been told the same.
            if let Some(watch) = self.begin(request, interest, lacks_past)? {
                return Ok(watch);
            }
            if lacks_room {
                self.state().groups.values_mut().for_each(Group::forget_unread);
            }
            let (watch, start, asked) = self.seat(request, interest, lacks_past)?;
            let answers = Arc::clone(&self.answers);
            match spawn_blocking(move || answers.make(&asked)).await.map_err(Error::internal)? {
                Ok(answer) => {
                    self.count(start, answer.is_cut);
                    self.answered(interest, &watch, start, answer);
                    return Ok(watch);
                }
                Err(NoAnswer::Past) => lacks_past = true,
                Err(NoAnswer::Room) if !lacks_room => lacks_room = true,
                Err(NoAnswer::Room) => {
                    return Err(unavailable("what others have yet to read takes all the room"));
                }
            }
        }
    }

    /// A watcher for whoever asks.
    fn watcher(&self, request: &WatchRequest) -> Arc<Watcher> {
        Arc::new(Watcher::new(request.client, request.expire_time, self.clock.monotonic()))
    }

    /// Seats whoever asks if what is told first is there already: a snapshot, if one since then would lack something.
    fn begin(
        self: &Arc<Self>,
        request: &WatchRequest,
        interest: &Interest,
        lacks_past: bool,
    ) -> Result<Option<Watch>, Error> {
        let watcher = self.watcher(request);
        let mut state = self.state();
        self.check(&state, request)?;
        if !state.is_loaded {
            return Ok(None);
        }
        let start =
            if lacks_past { StartPoint::SNAPSHOT } else { self.start(&state, interest, &request.position) };
        let Some(group) = state.groups.get(interest) else { return Ok(None) };
        // Where nothing was told since, too, whoever goes on hears that it does.
        let here = self.answers.encode.encode(Some(&self.position(&state, interest)), &Part::Heartbeat);
        let own_batch = match start.since {
            Since::Batch(batch) => Some(batch),
            Since::All | Since::Time(_) => None,
        };
        let mut is_cut = false;
        if let Some(recent) = own_batch.and_then(|batch| group.after(batch)) {
            watcher.begin(None, None, recent.chain([&here]));
        } else if let Some(answer) = group.answer(start.since, state.batch) {
            let recent = group.after(answer.batch).into_iter().flatten();
            is_cut = answer.is_cut;
            watcher.begin(self.resync(start), Some(Arc::clone(answer)), recent);
        } else {
            return Ok(None);
        }
        self.count(start, is_cut);
        let seat = state.seat(interest, &watcher, self.clock.monotonic());
        Ok(Some(Watch::new(watcher, seat, Arc::downgrade(self))))
    }

    /// Seats whoever asks, and says from when on that is told, and of what the answer is to be made by which it begins: a snapshot, if one
    /// since then would lack something.
    fn seat(
        self: &Arc<Self>,
        request: &WatchRequest,
        interest: &Interest,
        lacks_past: bool,
    ) -> Result<(Watch, StartPoint, AnswerRequest), Error> {
        let watcher = self.watcher(request);
        let mut state = self.state();
        if !state.is_loaded {
            // Changes were missed just now. Who calls again finds what is read anew.
            return Err(unavailable("the feed of changes is read anew"));
        }
        self.check(&state, request)?;
        let start =
            if lacks_past { StartPoint::SNAPSHOT } else { self.start(&state, interest, &request.position) };
        watcher.begin(self.resync(start), None, [].into_iter());
        let seat = state.seat(interest, &watcher, self.clock.monotonic());
        let asked = AnswerRequest {
            client: request.client,
            interest: interest.clone(),
            since: start.since,
            view: state.log.view(),
            batch: state.batch,
            position: self.position(&state, interest),
        };
        Ok((Watch::new(watcher, seat, Arc::downgrade(self)), start, asked))
    }

    /// Has `watch` begin with `answer`, and whoever begins likewise in a moment.
    fn answered(&self, interest: &Interest, watch: &Watch, start: StartPoint, answer: Answer) {
        let answer = Arc::new(answer);
        watch.answer(Arc::clone(&answer));
        if let Some(group) = self.state().groups.get_mut(interest) {
            group.keep_answer(start.since, self.clock.monotonic(), answer);
        }
    }

    /// Whether anybody may begin now, and who asks.
    fn check(&self, state: &State, request: &WatchRequest) -> Result<(), Error> {
        if self.lacks_feed(state) {
            return Err(unavailable("the feed of changes cannot be read"));
        }
        if state.has_changed(request.client, request.standings_changed) {
            return Err(unavailable("the client has just been changed"));
        }
        Ok(())
    }

    /// From when on those of `interest` are told who say to have been told up to `position`.
    fn start(&self, state: &State, interest: &Interest, position: &[u8]) -> StartPoint {
        if position.is_empty() {
            return StartPoint { resync: false, ..StartPoint::SNAPSHOT };
        }
        let position = Position::decode(position).filter(|position| position.mark == self.mark(interest));
        let Some(position) = position else { return StartPoint::SNAPSHOT };
        let now = self.clock.now();
        // Keys and policies are forgotten by then, too, of which no snapshot tells.
        let is_late = position.time < now.before(self.answers.settings.keep_for());
        if is_late || position.time > now.after(CLOCKS_APART) {
            return StartPoint::SNAPSHOT;
        }
        let is_elsewhere = position.process != self.process_of(state) || position.batch > state.batch;
        let since = if is_elsewhere {
            // As far as the clock of whoever made a change may have been behind, and as late as it may have come into the feed.
            let micros = position.time.before(CLOCKS_APART + self.store.late_changes()).as_micros();
            Since::Time(Timestamp::from_micros(micros - micros.rem_euclid(SAME_START_MICROS)))
        } else {
            Since::Batch(position.batch)
        };
        if !state.log.knows(since) {
            return StartPoint::SNAPSHOT;
        }
        StartPoint { since, resync: false }
    }

    fn resync(&self, start: StartPoint) -> Option<Bytes> {
        start.resync.then(|| self.resync.clone())
    }

    fn count(&self, start: StartPoint, is_cut: bool) {
        match start {
            StartPoint { resync: true, .. } => self.metrics.count_resync(),
            StartPoint { since: Since::All, .. } => self.metrics.count_snapshot(),
            StartPoint { .. } => self.metrics.count_resumed(),
        }
        if is_cut {
            self.metrics.count_cut();
            if self.cut.pass(self.clock.monotonic()).is_some() {
                tracing::warn!(
                    "more sessions and clients have ended within the life of an access token than a snapshot of the event stream can tell: \
                     services that begin to watch refuse all tokens that were issued before"
                );
            }
        }
    }

    /// Reads what has ended within the life of a token, unless that is known. Whoever calls has the turn.
    async fn load(&self) -> Result<(), Error> {
        loop {
            let generation = {
                let mut state = self.state();
                if state.is_loaded {
                    return Ok(());
                }
                // Before the reading: what is committed after it comes by the feed.
                state.is_noting = true;
                state.generation
            };
            let since = self.clock.now().before(self.answers.settings.keep_for() + MARGIN);
            // Where ids need not ascend, a later one may be lower.
            let mut after = if self.watermark.may_miss() {
                0
            } else {
                self.store.newest_change_before(since.before(CLOCKS_APART)).await?
            };
            loop {
                let page = self.store.changes(after, PAGE).await?;
                let now = self.clock.now();
                {
                    let mut state = self.state();
                    if state.generation != generation {
                        break;
                    }
                    for change in page.iter().filter(|change| change.create_time >= since) {
                        state.note_earlier(change, now, &self.answers.names);
                    }
                }
                if self.state().log.is_full() {
                    self.compact().await?;
                }
                match page.last() {
                    Some(last) if page.len() as u64 == PAGE => after = last.id,
                    _ => break,
                }
            }
            let mut state = self.state();
            if state.generation == generation {
                (state.is_loaded, state.loaded_at) = (true, self.clock.monotonic());
                return Ok(());
            }
        }
    }

    fn position(&self, state: &State, interest: &Interest) -> Vec<u8> {
        let (process, batch, time) = (self.process_of(state), state.batch, state.read_until);
        Position { process, batch, time, mark: self.mark(interest) }.encode().to_vec()
    }
}

fn unavailable(why: &'static str) -> Error {
    Error::Unavailable { what: "stream of changes", source: why.into() }
}
