//! Owns places that callers share by where they come from: bounded in all, for each network and for each site.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Network;
use crate::base::Shares;

/// The places. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct PeerPlaces {
    shares: Arc<Mutex<Shares<Holder>>>,
    of_one: u64,
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct PeerPlace {
    places: PeerPlaces,
    peer: Option<Network>,
}

/// Who has a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    /// One network; those who are not known count as one.
    Peer(Option<Network>),
    /// All networks of one IPv6 site.
    Site(Network),
}

impl PeerPlaces {
    /// `all` places, of which one network may have `of_one`, and one IPv6 site twice as many.
    pub(crate) fn new(all: usize, of_one: usize) -> Self {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Self { shares: Arc::new(Mutex::new(Shares::new(wide(all)))), of_one: wide(of_one) }
    }

    /// A place for `peer`, if one is free: nobody waits for one.
    pub(crate) fn take(&self, peer: Option<Network>) -> Option<PeerPlace> {
        let taken = self.shares().take(self.holders(peer), 1);
        taken.then(|| PeerPlace { places: self.clone(), peer })
    }

    /// Those for whom a place of `peer` counts, each with the most that it may have.
    fn holders(&self, peer: Option<Network>) -> impl Iterator<Item = (Holder, u64)> + Clone + use<> {
        let site = peer.and_then(Network::wider);
        let site = site.map(|site| (Holder::Site(site), self.of_one.saturating_mul(2)));
        std::iter::once((Holder::Peer(peer), self.of_one)).chain(site)
    }

    fn shares(&self) -> MutexGuard<'_, Shares<Holder>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let holders = self.places.holders(self.peer).map(|(holder, _)| holder);
        self.places.shares().give_back(holders, 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: usize = 20;
    const OF_ONE: usize = 5;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn one_network_leaves_places_to_others_and_all_together_are_bounded() {
        let places = PeerPlaces::new(ALL, OF_ONE);
        let all_of = |peer| -> Vec<_> { std::iter::from_fn(|| places.take(peer)).collect() };
        let of_one = all_of(Some(network("192.0.2.1")));
        assert_eq!(of_one.len(), OF_ONE);
        let unknown = all_of(None);
        assert_eq!(unknown.len(), OF_ONE, "the unknown are one");
        let site: Vec<_> = ["2001:db8::1", "2001:db8:0:2::1", "2001:db8:0:3::1"]
            .into_iter()
            .flat_map(|address| all_of(Some(network(address))))
            .collect();
        assert_eq!(site.len(), 2 * OF_ONE, "a site has twice as many");
        assert!(places.take(Some(network("192.0.2.2"))).is_none(), "there are no more");
        drop(of_one);
        assert!(places.take(Some(network("192.0.2.2"))).is_some(), "there is room again");
    }

    proptest! {
        #[test]
        fn every_place_comes_back(takes in proptest::collection::vec((0_u8..4, any::<bool>()), 0..200)) {
            let places = PeerPlaces::new(ALL, OF_ONE);
            let mut held = Vec::new();
            for (number, gives_back) in takes {
                if gives_back {
                    held.pop();
                } else {
                    let peer = (number > 0).then(|| format!("2001:db8:{}:{number}::1", number % 2));
                    held.extend(places.take(peer.map(|peer| network(&peer))));
                }
                prop_assert_eq!(places.shares().taken(), held.len() as u64);
            }
            held.clear();
            let shares = places.shares();
            prop_assert_eq!((shares.taken(), shares.held().count()), (0, 0));
        }
    }
}
