//! Owns who may have how many connections of one listener, and which of them end for others when places run short.

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Clock, Timestamp};

    const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

    fn places(max: usize, max_per_peer: usize) -> (ConnectionPlaces, Clock) {
        let places = ConnectionPlaces {
            max,
            max_per_peer,
            max_per_site: 2 * max_per_peer,
            stale_after: REQUEST_TIMEOUT,
            open: Arc::default(),
            freed: Arc::default(),
        };
        (places, Clock::manual(Timestamp::from_micros(0)))
    }

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    /// A connection of `address`, and its place.
    fn connect(
        places: &ConnectionPlaces,
        clock: &Clock,
        address: &str,
    ) -> Result<(ConnectionHandle, ConnectionPlace), NoPlace> {
        let connection = ConnectionHandle::new(clock.clone());
        let place = places.take(network(address), PeerShare::Ordinary, &connection)?;
        Ok((connection, place))
    }

    #[test]
    fn a_peer_has_its_share_and_a_site_twice_as_many() {
        let (places, clock) = places(100, 3);
        let mut held = Vec::new();
        for (address, count) in [
            ("192.0.2.1", 3),
            ("192.0.2.2", 3),
            ("2001:db8:0:1::1", 3),
            ("2001:db8:0:2::1", 3),
            ("2001:db8:0:3::1", 0),
        ] {
            let taken: Vec<_> =
                std::iter::from_fn(|| connect(&places, &clock, address).ok()).take(50).collect();
            assert_eq!(taken.len(), count, "{address}");
            held.push(taken);
        }
        let last = held.remove(0).pop();
        assert_eq!(connect(&places, &clock, "::ffff:192.0.2.1").map(|_| ()), Ok(()), "one has gone");
        drop(last);
        let proxy = ConnectionHandle::new(clock);
        let taken: Vec<_> =
            (0..10).map(|_| places.take(network("192.0.2.2"), PeerShare::All, &proxy)).collect();
        assert!(taken.iter().all(Result::is_ok), "who speaks for many has all");
    }

    #[test]
    fn when_places_run_short_the_idlest_of_the_peer_with_most_ends() {
        let (places, clock) = places(32, 32);
        let mut held = Vec::new();
        for address in [&["192.0.2.1", "192.0.2.2", "192.0.2.2"][..], &["192.0.2.3"; 9]].concat() {
            clock.advance(Duration::from_secs(1));
            held.push(connect(&places, &clock, address).unwrap());
        }
        // The oldest of the peer with most has just answered, and the next has a call in flight.
        drop(held[3].0.serve());
        let call = held[4].0.serve();
        let rest: Vec<_> =
            (0..16).map(|host| connect(&places, &clock, &format!("198.51.100.{host}")).unwrap()).collect();
        assert!(held.iter().chain(&rest).all(|(connection, _)| !connection.is_retired()), "there was room");

        let which = |is: fn(&ConnectionHandle) -> bool| -> Vec<usize> {
            (0..held.len()).filter(|index| is(&held[*index].0)).collect()
        };
        let next = connect(&places, &clock, "203.0.113.1").unwrap();
        assert_eq!(which(ConnectionHandle::is_retired), [5]);
        let after = connect(&places, &clock, "203.0.113.2").unwrap();
        assert_eq!(which(ConnectionHandle::is_retired), [5, 6]);
        assert!(which(ConnectionHandle::is_closed).is_empty());
        // Next to none are left: of those that were asked one is cut.
        let last = connect(&places, &clock, "203.0.113.3").unwrap();
        assert_eq!(which(ConnectionHandle::is_closed), [5]);
        assert!(rest.iter().chain([&next, &after, &last]).all(|(connection, _)| !connection.is_retired()));
        drop(call);
    }

    #[test]
    fn no_more_are_asked_to_end_than_there_must_be_places() {
        let (places, clock) = places(64, 64);
        let mut held: Vec<_> =
            (0..56).map(|host| connect(&places, &clock, &format!("198.51.100.{host}")).unwrap()).collect();
        let retired = |held: &Vec<(ConnectionHandle, _)>| {
            held.iter().filter(|(connection, _)| connection.is_retired()).count()
        };
        held.push(connect(&places, &clock, "203.0.113.1").unwrap());
        assert_eq!(retired(&held), 1);
        // Strangers who come and go while it takes its time.
        for _ in 0..100 {
            drop(connect(&places, &clock, "203.0.113.2").unwrap());
        }
        assert!(retired(&held) <= 2, "{}", retired(&held));
    }

    #[test]
    fn of_peers_with_few_connections_those_end_that_were_good_for_nothing() {
        let (places, clock) = places(64, 64);
        let used: Vec<_> = (0..4).map(|_| connect(&places, &clock, "192.0.2.1").unwrap()).collect();
        for (connection, _) in &used {
            drop(connection.serve());
        }
        clock.advance(Duration::from_secs(1));
        let strangers: Vec<_> =
            (0..52).map(|host| connect(&places, &clock, &format!("198.51.100.{host}")).unwrap()).collect();
        clock.advance(Duration::from_secs(1));
        let next = connect(&places, &clock, "203.0.113.1").unwrap();
        assert_eq!(strangers.iter().filter(|(connection, _)| connection.is_retired()).count(), 1);
        assert!(used.iter().chain([&next]).all(|(connection, _)| !connection.is_retired()));
    }

    #[test]
    fn calls_that_have_only_begun_or_are_refused_keep_no_connection() {
        let (places, clock) = places(64, 64);
        let used: Vec<_> = (0..4).map(|_| connect(&places, &clock, "192.0.2.1").unwrap()).collect();
        for (connection, _) in &used {
            drop(connection.serve());
        }
        clock.advance(Duration::from_secs(1));
        let begun: Vec<_> = (0..52)
            .map(|host| {
                let (connection, place) = connect(&places, &clock, &format!("198.51.100.{host}")).unwrap();
                (0..20).for_each(|_| connection.call().answered());
                (connection.call(), connection, place)
            })
            .collect();
        clock.advance(JUST_COME);
        connect(&places, &clock, "203.0.113.1").unwrap();
        assert_eq!(begun.iter().filter(|(_, connection, _)| connection.is_retired()).count(), 1);
        assert!(used.iter().all(|(connection, _)| !connection.is_retired()));
    }

    #[test]
    fn who_has_just_come_has_the_time_to_make_a_call() {
        let (places, clock) = places(64, 64);
        let begun: Vec<_> =
            (0..60).map(|host| connect(&places, &clock, &format!("198.51.100.{host}")).unwrap()).collect();
        clock.advance(Duration::from_secs(1));
        let newcomers: Vec<_> =
            (0..8).filter_map(|host| connect(&places, &clock, &format!("203.0.113.{host}")).ok()).collect();
        let ended = |(connection, _): &&(ConnectionHandle, ConnectionPlace)| {
            connection.is_retired() || connection.is_closed()
        };
        assert!(begun.iter().filter(ended).count() > 0);
        assert_eq!(newcomers.iter().filter(ended).count(), 0);
    }

    #[test]
    fn a_connection_with_calls_ends_only_if_it_has_answered_none_for_the_time_of_a_call() {
        let (places, clock) = places(16, 16);
        let mut held = Vec::new();
        for _ in 0..16 {
            let (connection, place) = connect(&places, &clock, "192.0.2.1").unwrap();
            held.push((connection.call(), connection.serve(), connection, place));
        }
        assert_eq!(connect(&places, &clock, "192.0.2.2").map(|_| ()), Err(NoPlace::Listener));
        clock.advance(REQUEST_TIMEOUT);
        assert_eq!(connect(&places, &clock, "192.0.2.2").map(|_| ()), Err(NoPlace::Listener));
        clock.advance(Duration::from_millis(1));
        held[1..].iter_mut().for_each(|(call, ..)| call.answered());
        assert_eq!(connect(&places, &clock, "192.0.2.2").map(|_| ()), Err(NoPlace::NotYet));
        assert!(held[0].2.is_closed(), "it holds calls that nobody answers");
        held.remove(0);
        connect(&places, &clock, "192.0.2.2").unwrap();
        assert_eq!(places.busiest(), Some((network("192.0.2.1"), 15)));
    }

    proptest! {
        #[test]
        fn places_are_counted_right_whoever_comes_and_goes(
            max in 1_usize..40,
            steps in proptest::collection::vec((0_u8..4, any::<bool>(), any::<proptest::sample::Index>()), 0..200),
        ) {
            let (places, clock) = places(max, 7);
            let mut held = Vec::new();
            for (peer, goes, which) in steps {
                if goes && !held.is_empty() {
                    held.swap_remove(which.index(held.len()));
                } else {
                    held.extend(connect(&places, &clock, &format!("2001:db8:0:{peer}::1")));
                    held.retain(|(connection, _)| !connection.is_closed());
                }
                let open = lock(&places.open);
                prop_assert_eq!(open.count, held.len());
                prop_assert!(open.count <= max);
                prop_assert_eq!(open.sites.values().sum::<usize>(), open.count);
                prop_assert_eq!(open.order.iter().map(|(_, count, _)| count).sum::<usize>(), open.count);
                prop_assert!(open.order.iter().all(|(_, count, _)| (1..=7).contains(count)));
            }
        }
    }
}
