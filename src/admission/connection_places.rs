//! Owns who may have how many connections of one listener, and which of them end for others when places run short.

mod search;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use search::{Found, Need, SEARCHED};

use super::{Bounds, ConnectionHandle, Ending, protection::Protections};
use crate::model::Network;

/// When only one place in [`ASKED_TO_END`] is left, an idle connection is asked to end for each that comes, with time to say so.
const ASKED_TO_END: usize = 8;

/// When only one place in [`CUT`] is left, an idle connection is cut for each that comes.
const CUT: usize = 16;

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
    /// Whether a peer that has its share gives up one of its own connections for the next.
    renews: bool,
    /// A connection that has calls in flight, and has answered none for so long, is as good as idle.
    stale_after: Duration,
    protections: Protections,
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
    /// What the last search for each [`Need`] has found, by its number.
    found: [Found; SEARCHED],
}

#[derive(Debug)]
struct PeerConnections {
    share: PeerShare,
    connections: HashMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    connection: ConnectionHandle,
    is_retired: bool,
    is_cut: bool,
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
            renews: false,
            stale_after: request_timeout,
            protections: Protections::new(bounds.max_connections),
            open: Arc::default(),
            freed: Arc::default(),
        }
    }

    /// The same, where a peer, or a site, that has its share gives up for the next connection that of its own on which no token was
    /// verified for longest: of who share an address, those who show none keep nobody out.
    pub(crate) fn renewing(self) -> Self {
        Self { renews: true, ..self }
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
            let is_one = |other: &Network| {
                *other == network || of_peer < self.max_per_peer && other.site() == network.site()
            };
            return Err(if self.renews { open.give_up_one(is_one, now, self) } else { NoPlace::Peer });
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
        connection.set_protections(&self.protections);
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

    /// Ends the connection that ends first for `need`, if one may. Returns whether there was one.
    fn end_one(&mut self, need: Need, now: Duration, places: &ConnectionPlaces) -> bool {
        let Some((network, id)) = search::find_one(self, need, now, places) else { return false };
        let Some(held) = self.peers.get_mut(&network).and_then(|peer| peer.connections.get_mut(&id)) else {
            return false;
        };
        if need == Need::Soon {
            held.is_retired = true;
            held.connection.retire();
            self.retired += 1;
        } else {
            held.cut();
            self.cut += 1;
            self.retired -= usize::from(held.is_retired);
        }
        true
    }

    /// Cuts a connection of those peers for whom `is_one` holds, unless one of theirs ends already, or none may. Returns why there is no
    /// place at this moment.
    fn give_up_one(
        &mut self,
        is_one: impl Fn(&Network) -> bool,
        now: Duration,
        places: &ConnectionPlaces,
    ) -> NoPlace {
        let of_ones = self.peers.iter_mut().filter(|(network, _)| is_one(network));
        let mut held: Vec<_> = of_ones.flat_map(|(_, peer)| peer.connections.iter_mut()).collect();
        if held.iter().any(|(_, held)| held.is_cut) {
            return NoPlace::NotYet;
        }
        held.retain(|(_, held)| search::may_be_given_up(&held.connection, now, places));
        let longest =
            held.into_iter().max_by_key(|(id, held)| (held.connection.unverified_for(now), Reverse(**id)));
        let Some((_, given_up)) = longest else { return NoPlace::Peer };
        given_up.cut();
        self.cut += 1;
        self.retired -= usize::from(given_up.is_retired);
        NoPlace::NotYet
    }
}

impl Held {
    fn cut(&mut self) {
        self.is_cut = true;
        self.connection.end(Ending::Idle);
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
