//! Owns the places of calls that wait for keys: bounded in all, and shared by the addresses of the callers.

use std::net::IpAddr;

use crate::model::{Network, PeerPlace, PeerPlaces};

/// How many calls may wait at once: a flood of made-up key ids must not fill the memory.
pub(super) const MAX_WAITING: usize = 1_000;

/// How many of them the callers of one network may have, so that none takes the places of all others.
pub(super) const MAX_WAITING_OF_ONE: usize = MAX_WAITING / 4;

/// The places. Callers whose address is not known count as one network.
#[derive(Debug)]
pub(super) struct WaitingPlaces(PeerPlaces);

impl Default for WaitingPlaces {
    fn default() -> Self {
        Self(PeerPlaces::new(MAX_WAITING, MAX_WAITING_OF_ONE))
    }
}

impl WaitingPlaces {
    /// A place for a call of `caller`, if one is free: nobody waits for one.
    pub(super) fn take(&self, caller: Option<IpAddr>) -> Option<PeerPlace> {
        self.0.take(caller.map(Network::of))
    }
}
