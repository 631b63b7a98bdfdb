//! Owns how fast a peer's calls go on while password hashes are overdue: as fast as leaves the cores time for them.
//!
//! Hashes run when nothing else wants a core, so that they slow nobody. Whoever asks without a pause for what costs next to nothing would
//! leave them none. What it asks for does not matter, nor whether it is refused: so this stands before everything that looks at a call.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body::Body;
use tokio::time::sleep;

use super::{Allowance, Allowances, ConnectionHandle, Overdue, header_bytes};
use crate::model::{Deadline, Network, Throttle};

/// What each peer may spend meanwhile, in frames of HTTP/2: some 250 calls at once, and 1,000 a second. They take a core a few percent of
/// its time, and a peer may be the gateway of many.
const OF_PEER: Allowance = Allowance { at_once: 512, interval: Duration::from_micros(500) };

/// The same of an IPv6 site, which counts as four of its networks.
const OF_SITE: Allowance = Allowance { at_once: 2_048, interval: Duration::from_micros(125) };

/// The same of a proxy with all connections on which it brings the calls of many, which counts as sixteen.
const OF_PROXY: Allowance = Allowance { at_once: 8_192, interval: Duration::from_nanos(31_250) };

/// By how much a peer can spend more than it has.
const LONGEST_DEBT: Duration = Duration::from_millis(500);

/// How many peers are remembered.
const MAX_PEERS: usize = 4_096;

/// How long one of them waits at the most, before its connection goes on all the same.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// How often the log is told.
const TELL_INTERVAL: Duration = Duration::from_mins(1);

/// What a request over HTTP/1.1 costs: as much as the two frames of a call over HTTP/2.
const REQUEST_COST: u32 = 2;

/// What it costs to greet a new connection.
const GREETING_COST: u32 = 4;

/// What the handshake of TLS costs on top: it computes a signature.
const HANDSHAKE_COST: u32 = 32;

/// So many bytes cost as much as a frame.
const BYTES_PER_UNIT: u64 = 1_024;

/// Has the peers wait that ask for much while hashes are overdue. Clones share what each peer has spent.
#[derive(Clone, Debug)]
pub(crate) struct Pacing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    overdue: Overdue,
    peers: Allowances<Network>,
    sites: Allowances<Network>,
    proxies: Allowances<Network>,
    longest_wait: Duration,
    waits: AtomicU64,
    told: Throttle,
}

/// The pace of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    pacing: Pacing,
    connection: ConnectionHandle,
    peer: Network,
    /// Whether the peer is one that a proxy has named, which is at the other end.
    is_named: bool,
}

impl Pacing {
    /// Leaves time to what is `overdue`.
    pub(crate) fn new(overdue: Overdue) -> Self {
        Self::with_longest_wait(overdue, LONGEST_WAIT)
    }

    /// The same; `longest_wait` is how long one waits at the most.
    pub(crate) fn with_longest_wait(overdue: Overdue, longest_wait: Duration) -> Self {
        let each = |allowance| Allowances::new(allowance, MAX_PEERS, overdue.clock().clone());
        let (peers, sites, proxies) = (each(OF_PEER), each(OF_SITE), each(OF_PROXY));
        let (waits, told) = (AtomicU64::new(0), Throttle::new(TELL_INTERVAL));
        Self(Arc::new(Inner { overdue, peers, sites, proxies, longest_wait, waits, told }))
    }

    /// The pace of `connection`, whose other end is `peer`.
    pub(crate) fn of(&self, connection: ConnectionHandle, peer: Network) -> Pace {
        Pace { pacing: self.clone(), connection, peer, is_named: false }
    }

    /// How often somebody has had to wait.
    pub(crate) fn waits(&self) -> u64 {
        self.0.waits.load(Ordering::Relaxed)
    }
}

impl Pace {
    /// A connection begins, with a handshake of TLS or without.
    pub(crate) async fn greet(&self, by_tls: bool) {
        self.turn().await;
        self.spend(GREETING_COST + if by_tls { HANDSHAKE_COST } else { 0 });
    }

    /// What `request` costs, which came over HTTP/1.1; none as long as that is not counted.
    pub(crate) fn cost<B: Body>(&self, request: &Request<B>) -> Option<u32> {
        let bytes = || u64::try_from(header_bytes(request)).unwrap_or(u64::MAX);
        let all = || bytes().saturating_add(request.body().size_hint().lower());
        self.pacing.0.overdue.is().then(|| REQUEST_COST.saturating_add(units(all())))
    }

    /// A request over HTTP/1.1 begins that costs so much, from `sender`, whom a proxy may have named. They come one after the other,
    /// however many were sent: while one waits, its connection does.
    pub(crate) async fn request(&self, sender: Network, cost: u32) {
        let own = Self { peer: sender, is_named: sender != self.peer, ..self.clone() };
        own.turn().await;
        own.spend(cost);
    }

    /// Something was read that takes as much time as so many frames.
    pub(crate) fn spend(&self, frames: u32) {
        if frames > 0 && !self.is_exempt() && self.pacing.0.overdue.is() {
            for (spent, who) in self.shares() {
                spent.run_up(who, frames, LONGEST_DEBT);
            }
        }
    }

    /// Whether nothing more may be read yet: then [`Self::turn`] waits.
    pub(crate) fn must_wait(&self) -> bool {
        self.debt().is_some()
    }

    /// Waits until the peer may go on: it has paid for what it has asked for, or no hash is overdue any more.
    pub(crate) async fn turn(&self) {
        let Some(mut debt) = self.debt() else { return };
        let Inner { longest_wait, .. } = &*self.pacing.0;
        self.count();
        let until = Deadline::after(*longest_wait);
        loop {
            sleep(debt.min(until.remaining())).await;
            match self.debt() {
                Some(more) if !until.has_passed() => debt = more,
                _ => return,
            }
        }
    }

    /// How long the peer has to wait as it stands; none if it may go on.
    fn debt(&self) -> Option<Duration> {
        if self.is_exempt() || !self.pacing.0.overdue.is() {
            return None;
        }
        self.shares().filter_map(|(spent, who)| spent.debt(&who)).max()
    }

    /// Whose shares what the peer asks for comes from.
    fn shares(&self) -> impl Iterator<Item = (&Allowances<Network>, Network)> {
        let Inner { peers, sites, proxies, .. } = &*self.pacing.0;
        let is_proxy = self.connection.is_of_many() && !self.is_named;
        let own = if is_proxy { proxies } else { peers };
        let site = self.peer.wider().filter(|_| !is_proxy);
        [Some((own, self.peer)), site.map(|site| (sites, site))].into_iter().flatten()
    }

    /// Whoever has shown a token that holds does not wait: hashes do not slow those whom the service knows.
    fn is_exempt(&self) -> bool {
        self.connection.is_verified() && !self.is_named
    }

    fn count(&self) {
        let Inner { overdue, waits, told, .. } = &*self.pacing.0;
        waits.fetch_add(1, Ordering::Relaxed);
        if let Some(silent) = told.pass(overdue.clock().monotonic()) {
            tracing::warn!(
                peer = %self.peer,
                held_back = silent,
                "a peer waits that asks for much: password hashes get no core"
            );
        }
    }
}

/// What so many bytes cost.
pub(crate) fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / BYTES_PER_UNIT).unwrap_or(u32::MAX)
}
