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

/// How many connections are looked at for one that may end: beyond it, a flood would buy too much work by each connection.
const MOST_LOOKED_AT: usize = 1_024;

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

/// Of idle connections the highest ends first: of a peer that has no more than its share; how many connections that has, if it is a
/// large one; whether it was asked to end already; what the connection has been good for; how long it is idle.
type Rank = (bool, usize, bool, bool, Reverse<u32>, Duration);

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
    /// The system has no more files. Who has just come may be about to ask.
    Files,
}

/// Who has come so lately is not cut for want of files, and otherwise ends after those who have had the time to make a call.
const JUST_COME: Duration = Duration::from_secs(1);

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

    /// A place for `connection`, of the peer `network`. If places run short, another connection that is idle ends for it.
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
            open.end_one(Need::Now, now, self);
        } else if open.count - open.cut - open.retired >= self.max - self.max / ASKED_TO_END {
            open.end_one(Need::Soon, now, self);
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

    /// Ends a connection that is idle: of the large peer that has most of them, or else of all peers; of these one that has not just
    /// come; of these the one that has answered fewest calls; of these the one that is idle for longest. If none is idle, and one must end
    /// now, ends the one that has answered nothing for longest.
    fn end_one(&mut self, need: Need, now: Duration, places: &ConnectionPlaces) {
        let largest_small = (places.max / LARGE_PEER).max(FEW_CONNECTIONS);
        let mut looked_at = 0;
        let mut idle: Option<(Rank, Network, u64)> = None;
        let mut stale: Option<(Duration, Network, u64)> = None;
        for (is_ordinary, count, network) in self.order.iter().rev() {
            let large = if *count > largest_small { *count } else { 0 };
            let found_larger =
                idle.is_some_and(|((found, size, ..), ..)| (found, size) > (*is_ordinary, large));
            if looked_at >= MOST_LOOKED_AT || found_larger {
                break;
            }
            let Some(peer) = self.peers.get(network) else { continue };
            for (id, held) in peer.connections.iter().take(MOST_LOOKED_AT - looked_at) {
                looked_at += 1;
                let (connection, since) = (&held.connection, held.connection.unanswered_for(now));
                if held.is_cut
                    || need == Need::Soon && held.is_retired
                    || need == Need::Files && since < JUST_COME
                {
                    continue;
                }
                if connection.serves_nobody() {
                    let has_settled = since >= JUST_COME;
                    let worth = Reverse(connection.worth());
                    let rank = (*is_ordinary, large, has_settled, held.is_retired, worth, since);
                    if idle.is_none_or(|(highest, ..)| rank > highest) {
                        idle = Some((rank, *network, *id));
                    }
                } else if since > places.stale_after && stale.is_none_or(|(longest, ..)| since > longest) {
                    stale = Some((since, *network, *id));
                }
            }
        }
        let idle = idle.map(|(_, network, id)| (network, id));
        let stale = stale.map(|(_, network, id)| (network, id)).filter(|_| need != Need::Soon);
        let Some((network, id)) = idle.or(stale) else { return };
        let Some(held) = self.peers.get_mut(&network).and_then(|peer| peer.connections.get_mut(&id)) else {
            return;
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
