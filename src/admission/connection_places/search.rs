//! Owns which connection ends first when places run short, and that looking for it costs little, whoever asks for how many places.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::{ConnectionPlaces, Held, Open};
use crate::{admission::ConnectionHandle, model::Network};

/// A peer that has more than one place in [`LARGE_PEER`] gives up connections before all others. Below that, who has most says little: a
/// host with ten connections that are used is no worse than two hundred with one each that are not.
const LARGE_PEER: usize = 16;

/// However few places there are, a peer with so many connections is no large one.
const FEW_CONNECTIONS: usize = 8;

/// How many connections are looked at for each place. If there are more, and none of the first is good for nobody, all are looked at,
/// but no more often than each [`SEARCH_INTERVAL`]: a flood must not buy much work by each connection.
pub(super) const ENOUGH_LOOKED_AT: usize = 1_024;

/// How often all connections are looked at, if there are more than [`ENOUGH_LOOKED_AT`].
pub(super) const SEARCH_INTERVAL: Duration = Duration::from_millis(20);

/// How many of the connections that one search has found end before the next search.
const FOUND_AT_ONCE: usize = 128;

/// What a connection does for its client at a moment. Those whose end harms nobody come last: of all that may end, the highest ends first.
///
/// Whoever has just come ends before one that is kept and in use: newcomers are whoever wants to be, as many as come in a second, and would
/// otherwise push out all who are known. Those that are kept leave the others half of the places, or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// It is kept for whoever has shown a token, and nothing is in flight since a moment ago.
    JustVerified,
    /// It has just come, and none of its calls has been answered yet.
    JustCome,
    /// It is kept for whoever has shown a token, and for a moment nothing has moved.
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

/// What a connection ends for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Places run short.
    Soon,
    /// There are next to none left.
    Now,
    /// There are none left.
    Last,
    /// The system has no more files. Who has just come may be about to ask.
    Files,
}

/// How many needs there are.
pub(super) const SEARCHED: usize = 4;

/// What a search has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// When all connections were looked at.
    at: Option<Duration>,
    /// Those that end next, the first one last.
    next: Vec<(Rank, Network, u64)>,
}

/// A moment: who has come since then has not had the time to make a call, and what has moved since then goes on.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

impl Use {
    /// What `connection` is used for at `now`; none if it must not end. A call takes no longer than `stale_after`.
    fn of(connection: &ConnectionHandle, now: Duration, stale_after: Duration) -> Option<Self> {
        let since = connection.unanswered_for(now);
        let has_moved = since < MOMENT;
        let is_working = connection.is_working() && since <= stale_after;
        let is_busy = is_working || !connection.serves_nobody() && has_moved;
        if connection.is_protected() {
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

/// Whether `connection` may end at `now` for another of its peer: not while a call on it is worked on.
pub(super) fn may_be_given_up(
    connection: &ConnectionHandle,
    now: Duration,
    places: &ConnectionPlaces,
) -> bool {
    !connection.is_working() || connection.unanswered_for(now) > places.stale_after
}

/// The connection of `open` that ends first for `need`.
pub(super) fn find_one(
    open: &mut Open,
    need: Need,
    now: Duration,
    places: &ConnectionPlaces,
) -> Option<(Network, u64)> {
    let is_fresh = open.found[need as usize].at.is_some_and(|at| now.saturating_sub(at) < SEARCH_INTERVAL);
    if !is_fresh {
        let (found, looked_at) = search(open, need, now, places);
        // What costs little is done anew for each place.
        let at = (looked_at > ENOUGH_LOOKED_AT).then_some(now);
        open.found[need as usize] = Found { at, next: found };
    }
    while let Some((rank, network, id)) = open.found[need as usize].next.pop() {
        let peer = open.peers.get(&network);
        let held = peer.and_then(|peer| peer.connections.get(&id));
        // It may have gone meanwhile, or been used.
        if held.and_then(|held| held.used(need, now, places)).is_some_and(|used| used.tier() >= rank.1) {
            return Some((network, id));
        }
    }
    None
}

/// The connections of `open` that end first for `need`, the first one last, and how many were looked at.
fn search(
    open: &Open,
    need: Need,
    now: Duration,
    places: &ConnectionPlaces,
) -> (Vec<(Rank, Network, u64)>, usize) {
    let largest_small = (places.max / LARGE_PEER).max(FEW_CONNECTIONS);
    let mut looked_at = 0;
    let mut highest: Option<Rank> = None;
    let mut found = BinaryHeap::new();
    for (is_ordinary, count, network) in open.order.iter().rev() {
        let large = if *count > largest_small { *count } else { 0 };
        let is_enough = highest.is_some_and(|(of_ordinary, tier, size, used, ..)| {
            // No peer from here on has more connections, and those that speak for many come last.
            let none_is_before = tier == Use::Nothing.tier() && size > large;
            let will_do = used == Use::Nothing && looked_at >= ENOUGH_LOOKED_AT;
            of_ordinary && (!*is_ordinary || none_is_before || will_do)
        });
        if is_enough {
            break;
        }
        let Some(peer) = open.peers.get(network) else { continue };
        for (id, held) in &peer.connections {
            looked_at += 1;
            let Some(used) = held.used(need, now, places) else { continue };
            let worth = Reverse(held.connection.worth());
            let since = held.connection.unanswered_for(now);
            let rank = (*is_ordinary, used.tier(), large, used, held.is_retired, worth, since);
            highest = highest.max(Some(rank));
            found.push(Reverse((rank, *network, *id)));
            if found.len() > FOUND_AT_ONCE {
                found.pop();
            }
        }
    }
    let found = found.into_sorted_vec().into_iter().rev().map(|Reverse(found)| found).collect();
    (found, looked_at)
}

impl Held {
    /// What it is used for at `now`, if it may end for `need`.
    fn used(&self, need: Need, now: Duration, places: &ConnectionPlaces) -> Option<Use> {
        let used = Use::of(&self.connection, now, places.stale_after)?;
        (!self.is_cut && used.may_end(need, self.is_retired)).then_some(used)
    }
}
