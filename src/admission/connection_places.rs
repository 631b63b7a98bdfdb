//! Owns who may have how many connections of one listener, and which of them end for others when places run short.

#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Bounds, ConnectionHandle, Ending};
use crate::model::Network;

/// When only one place in [`ASKED_TO_END`] is left, an idle connection is asked to end for each that comes, with time to say so.
const ASKED_TO_END: usize = 8;

/// When only one place in [`CUT`] is left, an idle connection is cut for each that comes.
const CUT: usize = 16;

/// A peer that has more than one place in [`LARGE_PEER`] gives up connections before all others. Below that, who has most says little: a host
/// with ten connections that are used is no worse than two hundred with one each that are not.
const LARGE_PEER: usize = 16;

/// However few places there are, a peer with so many connections is no large one.
const FEW_CONNECTIONS: usize = 8;

/// How many connections are looked at before one that is good for nobody is taken without a search for a better one: a flood must not buy
/// too much work by each connection. As long as there is none, all are looked at.
const ENOUGH_LOOKED_AT: usize = 1_024;

/// How many connections a peer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerShare {
    /// Its share of them.
    Ordinary,
    /// All of them: it speaks for many others. If others need room, its connections end last.
    All,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// The peer, or the site that it belongs to, has its share.
    Peer,
    /// There are as many connections as allowed, and none of them may end.
    Listener,
    /// There are as many connections as allowed, and one of them ends at this moment: [`ConnectionPlaces::freed`].
    NotYet,
}

/// The places of one listener; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionPlaces {
    max: usize,
    max_per_peer: usize,
    max_per_site: usize,
    /// A connection that has calls in flight, and has answered none for so long, is as good as idle.
    stale_after: Duration,
    open: Arc<Mutex<Open>>,
    freed: Arc<Notify>,
}

/// The place of a connection, until this is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    open: Arc<Mutex<Open>>,
    freed: Arc<Notify>,
    network: Network,
    id: u64,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    /// All of them, those that are being cut too.
    count: usize,
    /// Those that are being cut.
    cut: usize,
    /// Those that were asked to end, and are not being cut.
    retired: usize,
    peers: HashMap<Network, PeerConnections>,
    /// How many each site has.
    sites: HashMap<Network, usize>,
    /// The peers in the order in which they give connections up: the last one first.
    order: BTreeSet<(bool, usize, Network)>,
}

#[derive(Debug)]
struct PeerConnections {
    share: PeerShare,
    connections: HashMap<u64, Held>,
}

/// What a connection does for its client at a moment. Those whose end harms nobody come last: of all that may end, the highest ends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// A token was verified on it, and nothing is in flight since a moment ago.
    JustVerified,
    /// It has just come, and none of its calls has been answered yet.
    JustCome,
    /// A token was verified on it, and for a moment nothing has moved.
    Verified,
    /// It has calls in flight whose answers have not begun.
    Working,
    /// It has calls in flight whose answers are being read.
    Busy,
    /// Nothing is in flight since a moment ago.
    JustServed,
    /// Nothing is in flight, or only answers that have not been read for a moment.
    Nothing,
}

/// Of connections that may end the highest ends first: of a peer that has no more than its share; one whose end harms nobody, before one
/// that has calls, before one that is kept if that can be; how many connections the peer has, if it is a large one; what the connection
/// is used for; whether it was asked to end already; what it has been good for; how long ago anything moved.
type Rank = (bool, u8, usize, Use, bool, Reverse<u32>, Duration);

#[derive(Debug)]
struct Held {
    connection: ConnectionHandle,
    is_retired: bool,
    is_cut: bool,
}

/// What a connection ends for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Places run short.
    Soon,
    /// There are next to none left.
    Now,
    /// There are none left.
    Last,
    /// The system has no more files. Who has just come may be about to ask.
    Files,
}

/// A moment: who has come since then has not had the time to make a call, and what has moved since then goes on.
const MOMENT: Duration = Duration::from_secs(1);

impl Use {
    /// What `connection` is used for at `now`; none if it must not end. A call takes no longer than `stale_after`.
    fn of(connection: &ConnectionHandle, now: Duration, stale_after: Duration) -> Option<Self> {
        let since = connection.unanswered_for(now);
        let has_moved = since < MOMENT;
        let is_working = connection.is_working() && since <= stale_after;
        let is_busy = is_working || !connection.serves_nobody() && has_moved;
        if connection.is_verified() {
            return match (is_busy, has_moved) {
                (true, _) => None,
                (false, true) => Some(Self::JustVerified),
                (false, false) => Some(Self::Verified),
            };
        }
        let has_just_come = connection.worth() == 0 && connection.age(now) < MOMENT;
        match (has_just_come, is_working, is_busy) {
            (true, true, _) => None,
            (true, false, _) => Some(Self::JustCome),
            (false, true, _) => Some(Self::Working),
            (false, false, true) => Some(Self::Busy),
            (false, false, false) if has_moved => Some(Self::JustServed),
            (false, false, false) => Some(Self::Nothing),
        }
    }

    /// Whether a connection of this use may end for `need`, if it was asked to end already or not.
    fn may_end(self, need: Need, is_retired: bool) -> bool {
        match need {
            // It is asked, and what is in flight finishes. Whoever has just come would have come in vain.
            Need::Soon => !is_retired && self >= Self::Verified,
            // Who is answered has been asked before.
            Need::Now => {
                matches!(self, Self::Verified | Self::JustServed | Self::Nothing)
                    || self == Self::Busy && is_retired
            }
            Need::Last => !matches!(self, Self::Working | Self::Busy),
            Need::Files => matches!(self, Self::Verified | Self::Nothing),
        }
    }

    /// Which of the uses end before which, before anything else counts.
    const fn tier(self) -> u8 {
        match self {
            Self::JustVerified | Self::JustCome | Self::Verified => 0,
            Self::Working | Self::Busy => 1,
            Self::JustServed | Self::Nothing => 2,
        }
    }
}

impl NoPlace {
    /// Its name in the metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Listener | Self::NotYet => "listener",
        }
    }
}

impl ConnectionPlaces {
    /// The places by `bounds`. A call takes no longer than `request_timeout`.
    pub(crate) fn new(bounds: &Bounds, request_timeout: Duration) -> Self {
        Self {
            max: bounds.max_connections,
            max_per_peer: bounds.max_connections_per_peer,
            max_per_site: bounds.max_connections_per_site,
            stale_after: request_timeout,
            open: Arc::default(),
            freed: Arc::default(),
        }
    }

    /// A place for `connection`, of the peer `network`. If places run short, another connection ends for it.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn take(
        &self,
        network: Network,
        share: PeerShare,
        connection: &ConnectionHandle,
    ) -> Result<ConnectionPlace, NoPlace> {
        let now = connection.clock().monotonic();
        let mut open = lock(&self.open);
        let of_peer = open.peers.get(&network).map_or(0, |peer| peer.connections.len());
        let of_site = open.sites.get(&network.site()).copied().unwrap_or(0);
        if share == PeerShare::Ordinary && (of_peer >= self.max_per_peer || of_site >= self.max_per_site) {
            return Err(NoPlace::Peer);
        }
        if open.count - open.cut >= self.max - self.max / CUT {
            if !open.end_one(Need::Now, now, self) {
                // Whoever is asked now may be cut for the next that comes.
                open.end_one(Need::Soon, now, self);
            }
        } else if open.count - open.cut - open.retired >= self.max - self.max / ASKED_TO_END {
            open.end_one(Need::Soon, now, self);
        }
        if open.count >= self.max && open.cut == 0 {
            open.end_one(Need::Last, now, self);
        }
        // One that was cut keeps its place until it has gone.
        if open.count >= self.max {
            return Err(if open.cut > 0 { NoPlace::NotYet } else { NoPlace::Listener });
        }
        let id = open.add(network, share, connection.clone());
        Ok(ConnectionPlace { open: Arc::clone(&self.open), freed: Arc::clone(&self.freed), network, id })
    }

    /// Waits until a place has been freed. One waits at a time.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Ends a connection that is idle at `now`, if there is one: the system has no more room for another.
    pub(crate) fn make_room(&self, now: Duration) {
        lock(&self.open).end_one(Need::Files, now, self);
    }

    /// The peer that has most connections, and how many.
    pub(crate) fn busiest(&self) -> Option<(Network, usize)> {
        lock(&self.open)
            .order
            .iter()
            .map(|(_, count, network)| (*network, *count))
            .max_by_key(|(_, count)| *count)
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        lock(&self.open).remove(self.network, self.id);
        self.freed.notify_one();
    }
}

impl Open {
    fn add(&mut self, network: Network, share: PeerShare, connection: ConnectionHandle) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.count += 1;
        *self.sites.entry(network.site()).or_default() += 1;
        let peer = self
            .peers
            .entry(network)
            .or_insert_with(|| PeerConnections { share, connections: HashMap::new() });
        self.order.remove(&peer.rank(network));
        peer.connections.insert(id, Held { connection, is_retired: false, is_cut: false });
        self.order.insert(peer.rank(network));
        id
    }

    fn remove(&mut self, network: Network, id: u64) {
        let Some(peer) = self.peers.get_mut(&network) else { return };
        self.order.remove(&peer.rank(network));
        if let Some(held) = peer.connections.remove(&id) {
            self.cut -= usize::from(held.is_cut);
            self.retired -= usize::from(held.is_retired && !held.is_cut);
        }
        if peer.connections.is_empty() {
            self.peers.remove(&network);
        } else {
            self.order.insert(peer.rank(network));
        }
        self.count -= 1;
        if let Some(of_site) = self.sites.get_mut(&network.site()) {
            *of_site -= 1;
            if *of_site == 0 {
                self.sites.remove(&network.site());
            }
        }
    }

    /// Ends the connection of the highest [`Rank`], if one may end. Returns whether there was one.
    fn end_one(&mut self, need: Need, now: Duration, places: &ConnectionPlaces) -> bool {
        let Some((network, id)) = self.find_one(need, now, places) else { return false };
        let Some(held) = self.peers.get_mut(&network).and_then(|peer| peer.connections.get_mut(&id)) else {
            return false;
        };
        if need == Need::Soon {
            held.is_retired = true;
            held.connection.retire();
            self.retired += 1;
        } else {
            held.is_cut = true;
            held.connection.end(Ending::Idle);
            self.cut += 1;
            self.retired -= usize::from(held.is_retired);
        }
        true
    }

    /// The connection that ends first for `need`.
    fn find_one(&self, need: Need, now: Duration, places: &ConnectionPlaces) -> Option<(Network, u64)> {
        let largest_small = (places.max / LARGE_PEER).max(FEW_CONNECTIONS);
        let mut looked_at = 0;
        let mut found: Option<(Rank, Network, u64)> = None;
        for (is_ordinary, count, network) in self.order.iter().rev() {
            let large = if *count > largest_small { *count } else { 0 };
            let is_enough = found.is_some_and(|((of_ordinary, tier, size, used, ..), ..)| {
                // No peer from here on has more connections, and those that speak for many come last.
                let none_is_before = tier == Use::Nothing.tier() && size > large;
                let will_do = used == Use::Nothing && looked_at >= ENOUGH_LOOKED_AT;
                of_ordinary && (!*is_ordinary || none_is_before || will_do)
            });
            if is_enough {
                break;
            }
            let Some(peer) = self.peers.get(network) else { continue };
            for (id, held) in &peer.connections {
                looked_at += 1;
                let Some(used) = Use::of(&held.connection, now, places.stale_after) else { continue };
                if held.is_cut || !used.may_end(need, held.is_retired) {
                    continue;
                }
                let worth = Reverse(held.connection.worth());
                let since = held.connection.unanswered_for(now);
                let rank = (*is_ordinary, used.tier(), large, used, held.is_retired, worth, since);
                if found.is_none_or(|(highest, ..)| rank > highest) {
                    found = Some((rank, *network, *id));
                }
            }
        }
        found.map(|(_, network, id)| (network, id))
    }
}

impl PeerConnections {
    fn rank(&self, network: Network) -> (bool, usize, Network) {
        (self.share == PeerShare::Ordinary, self.connections.len(), network)
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
