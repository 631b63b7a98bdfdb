//! Owns the pool of one listener: who has which place, until when, and telling the operator when there is none left.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use slab::Slab;
use tokio_util::sync::CancellationToken;

use super::{
    ArrivingCall, ConnectionHandle, Ending, PoolBounds, Recognise, ServedCall,
    lanes::{LANES, Lane},
    share::{Holders, Shares},
};
use crate::{
    base::{Clock, Deadline, Throttle},
    model::{Error, Network},
};

/// When to try again after all places were taken: a call takes milliseconds.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The same where all places of watchers were taken: a stream lasts for minutes. Whoever is refused next waits one step longer, up to so
/// many steps, so that they do not all come back at once.
const WATCHER_RETRY_AFTER: Duration = Duration::from_secs(5);
const WATCHER_RETRY_STEP: Duration = Duration::from_millis(500);
const WATCHER_RETRY_STEPS: u64 = 10;

/// How often a pool that is full is told of.
const TELL_INTERVAL: Duration = Duration::from_mins(1);

/// How long after its deadline an answer may still be on its way to its reader.
const GRACE: Duration = Duration::from_secs(1);

/// The places of one listener. Clones share them.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    name: &'static str,
    bounds: PoolBounds,
    clock: Clock,
    recognise: Arc<dyn Recognise>,
    full: Throttle,
    /// Cancelled when streams are to end, since the service does.
    ending: CancellationToken,
    state: Mutex<State>,
}

struct State {
    /// By the number of its [`Lane`].
    lanes: [Shares; LANES.len()],
    /// Places whose holders must be done by a certain time.
    held: Slab<Held>,
    /// Places of messages on their way, by the number of their lane and then in the order in which they were taken.
    arriving: BTreeMap<(usize, u64), Arriving>,
    /// How many of those there have been.
    arrivals: u64,
}

/// A place that another may be given, of a message on its way.
struct Arriving {
    slot: usize,
    holders: Holders,
    given_away: CancellationToken,
}

/// A place whose holder must be done by `deadline`.
struct Held {
    deadline: Deadline,
    is_stream: bool,
    /// None if it is not known: then it cannot be closed.
    connection: Option<ConnectionHandle>,
}

/// A part of a lane that is taken, until this is dropped.
pub(crate) struct Place {
    pool: Pool,
    lane: Lane,
    /// Locked after the pool's state.
    holders: Mutex<Holders>,
    amount: u64,
    /// Where the pool keeps its deadline, if it has one.
    slot: Option<usize>,
    /// Its number among the messages on their way, if it is of one, and what tells that it was given away.
    arrival: Option<(u64, CancellationToken)>,
    /// What its connection does meanwhile: it serves somebody, or waits for a message.
    _served: Option<ServedCall>,
    _arriving: Option<ArrivingCall>,
}

impl Pool {
    /// The pool of the listener `name`. Who a call is from `recognise` tells, when strangers have no more places.
    pub(crate) fn new(
        name: &'static str,
        bounds: PoolBounds,
        clock: Clock,
        recognise: Arc<dyn Recognise>,
    ) -> Self {
        let lanes = LANES.map(|lane| Shares::new(bounds.limits(lane)));
        Self(Arc::new(Inner {
            name,
            bounds,
            clock,
            recognise,
            full: Throttle::new(TELL_INTERVAL),
            ending: CancellationToken::new(),
            state: Mutex::new(State { lanes, held: Slab::new(), arriving: BTreeMap::new(), arrivals: 0 }),
        }))
    }

    pub(crate) fn bounds(&self) -> &PoolBounds {
        &self.0.bounds
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(super) fn recognise(&self) -> &dyn Recognise {
        self.0.recognise.as_ref()
    }

    /// Cancelled when streams are to end.
    pub(super) fn ending(&self) -> &CancellationToken {
        &self.0.ending
    }

    /// Takes `amount` of `lane` for `holders`, if there is room.
    pub(super) fn take(&self, lane: Lane, holders: Holders, amount: u64) -> Option<Place> {
        let fits = self.state().lanes[lane as usize].take(&holders, amount);
        fits.then(|| Place {
            pool: self.clone(),
            lane,
            holders: Mutex::new(holders),
            amount,
            slot: None,
            arrival: None,
            _served: None,
            _arriving: None,
        })
    }

    /// Takes a place in `lane` whose holder must be done by `deadline`: if its answer has not been read a moment after that, its
    /// connection is closed.
    ///
    /// Of the messages on their way, the oldest gives its place away if there is none left: most come within a moment of their headers,
    /// and whoever keeps many waiting, from however many addresses, waits longest.
    pub(super) fn take_until(
        &self,
        lane: Lane,
        holders: Holders,
        deadline: Deadline,
        connection: Option<&ConnectionHandle>,
    ) -> Option<Place> {
        let mut state = self.state();
        let fits = state.lanes[lane as usize].take(&holders, 1)
            || lane.is_arriving() && state.take_from_oldest(lane, &holders);
        if !fits {
            return None;
        }
        let is_stream = matches!(lane, Lane::Streams | Lane::Watches | Lane::Watchers);
        let slot = state.held.insert(Held { deadline, is_stream, connection: connection.cloned() });
        let arrival = lane.is_arriving().then(|| state.arrive(lane, holders, slot));
        drop(state);
        let served = connection.filter(|_| !lane.is_arriving()).map(ConnectionHandle::serve);
        let arriving = connection.filter(|_| lane.is_arriving()).map(ConnectionHandle::arrive);
        Some(Place {
            pool: self.clone(),
            lane,
            holders: Mutex::new(holders),
            amount: 1,
            slot: Some(slot),
            arrival,
            _served: served,
            _arriving: arriving,
        })
    }

    /// The refusal of whoever found no room in `lane`. It is counted, and told at a bounded rate.
    pub(super) fn refuse(&self, lane: Lane) -> Error {
        let mut state = self.state();
        let shares = &mut state.lanes[lane as usize];
        shares.count_refusal();
        let refused = shares.refused();
        if let Some(silent) = self.0.full.pass(self.0.clock.monotonic()) {
            let (taken, limit, busiest) = (shares.taken(), shares.limit(), shares.busiest_peer());
            drop(state);
            let (peer, peer_holds) = busiest.unzip();
            tracing::warn!(
                listener = self.0.name,
                lane = lane.name(),
                taken,
                limit,
                busiest_peer = peer.map(tracing::field::display),
                busiest_peer_holds = peer_holds,
                refused_since_last_told = silent,
                "calls are refused: all places of a listener, or of a caller, are taken"
            );
        }
        overloaded(lane, refused)
    }

    /// How much there is of `lane`.
    pub(crate) fn limit(&self, lane: Lane) -> u64 {
        self.state().lanes[lane as usize].limit()
    }

    /// How much of `lane` is taken, and how often there was no room in it.
    pub(crate) fn usage(&self, lane: Lane) -> (u64, u64) {
        let state = self.state();
        let shares = &state.lanes[lane as usize];
        (shares.taken(), shares.refused())
    }

    /// Ends every stream: at once, or as soon as its reader is found to read no more.
    pub(crate) fn end_streams(&self) {
        self.0.ending.cancel();
        let by = Deadline::after(Duration::ZERO);
        for (_, held) in self.state().held.iter_mut().filter(|(_, held)| held.is_stream) {
            held.deadline = held.deadline.min(by);
        }
    }

    /// Closes the connections of those who do not read their answers.
    pub(crate) fn close_unread(&self) {
        for connection in self.overdue() {
            tracing::debug!(listener = self.0.name, "a connection was closed: it did not read an answer");
            connection.end(Ending::Unread);
        }
    }

    /// The connections of those who should have been done a moment ago.
    fn overdue(&self) -> Vec<ConnectionHandle> {
        let state = self.state();
        let overdue = state.held.iter().filter(|(_, held)| held.deadline.passed_by(GRACE));
        let connections = overdue.filter_map(|(_, held)| Some((held.connection.as_ref()?.id(), held)));
        // Once each, however many answers it does not read.
        let connections: HashMap<usize, &Held> = connections.collect();
        connections.into_values().filter_map(|held| held.connection.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal of whoever found no room in `lane`, the `refused`th to whom that happened.
fn overloaded(lane: Lane, refused: u64) -> Error {
    if lane != Lane::Watchers {
        return Error::Overloaded { what: "calls in flight", retry_after: RETRY_AFTER };
    }
    let steps = u32::try_from(refused % WATCHER_RETRY_STEPS).unwrap_or_default();
    let what = "streams of changes in all (--max-watchers), or from one address,";
    Error::Overloaded { what, retry_after: WATCHER_RETRY_AFTER + steps * WATCHER_RETRY_STEP }
}

impl State {
    /// Remembers that the place `slot` in `lane` is of a message on its way.
    fn arrive(&mut self, lane: Lane, holders: Holders, slot: usize) -> (u64, CancellationToken) {
        self.arrivals += 1;
        let given_away = CancellationToken::new();
        let arriving = Arriving { slot, holders, given_away: given_away.clone() };
        self.arriving.insert((lane as usize, self.arrivals), arriving);
        (self.arrivals, given_away)
    }

    /// Takes the oldest place in `lane` for `holders`, if they have room in their shares.
    fn take_from_oldest(&mut self, lane: Lane, holders: &Holders) -> bool {
        let lane = lane as usize;
        if !self.lanes[lane].allow(holders, 1) {
            return false;
        }
        let Some(oldest) = self.arriving.range((lane, 0)..=(lane, u64::MAX)).next().map(|(key, _)| *key)
        else {
            return false;
        };
        if let Some(Arriving { slot, holders, given_away }) = self.arriving.remove(&oldest) {
            self.held.try_remove(slot);
            self.lanes[lane].give_back(&holders, 1);
            given_away.cancel();
        }
        self.lanes[lane].take(holders, 1)
    }
}

impl Place {
    /// Waits until it is given away, which may never be.
    pub(super) async fn given_away(&self) {
        match &self.arrival {
            Some((_, given_away)) => given_away.cancelled().await,
            None => pending().await,
        }
    }

    /// Takes as much more as makes it `amount`, if there is room.
    pub(super) fn grow_to(&mut self, amount: u64) -> bool {
        let more = amount.saturating_sub(self.amount);
        let fits = self.pool.state().lanes[self.lane as usize].take(&self.holders(), more);
        if fits {
            self.amount += more;
        }
        fits
    }

    /// By when its holder must be done from now on.
    pub(super) fn set_deadline(&self, deadline: Deadline) {
        let mut state = self.pool.state();
        if let Some(held) = self.slot.and_then(|slot| state.held.get_mut(slot))
            // What is to end does not live longer for what it does in the meantime.
            && !(held.is_stream && self.pool.0.ending.is_cancelled())
        {
            held.deadline = deadline;
        }
    }

    pub(super) const fn lane(&self) -> Lane {
        self.lane
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn holders(&self) -> Holders {
        *self.locked_holders()
    }

    /// Counts it for `peer`, whom the peer that has taken it has named.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if `peer` has no room: then it stays counted as it was.
    pub(super) fn count_for(&self, peer: Network) -> Result<(), Error> {
        let mut state = self.pool.state();
        let mut holders = self.locked_holders();
        let named = holders.on_behalf_of(peer);
        let fits = state.lanes[self.lane as usize].hand_over(&holders, &named, self.amount);
        if fits {
            *holders = named;
        }
        drop((state, holders));
        if fits { Ok(()) } else { Err(self.pool.refuse(self.lane)) }
    }

    fn locked_holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        if let Some((number, _)) = &self.arrival
            && state.arriving.remove(&(self.lane as usize, *number)).is_none()
        {
            return; // It is another's.
        }
        state.lanes[self.lane as usize].give_back(&self.holders(), self.amount);
        if let Some(slot) = self.slot {
            state.held.try_remove(slot);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.0.name)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({} of {})", self.amount, self.lane.name())
    }
}
