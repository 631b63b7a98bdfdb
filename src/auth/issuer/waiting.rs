//! Owns the places of calls that wait for keys: bounded in all, and shared by the addresses of the callers.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::model::Network;

/// How many calls may wait at once: a flood of made-up key ids must not fill the memory.
pub(super) const MAX_WAITING: usize = 1_000;

/// How many of them the callers of one network may have, so that none takes the places of all others.
pub(super) const MAX_WAITING_OF_ONE: usize = MAX_WAITING / 4;

/// The places. Callers whose address is not known count as one network.
#[derive(Debug, Default)]
pub(super) struct WaitingPlaces {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_network: HashMap<Option<Network>, usize>,
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct WaitingPlace {
    taken: Arc<Mutex<Taken>>,
    network: Option<Network>,
}

impl WaitingPlaces {
    /// A place for a call of `caller`, if one is free: nobody waits for one.
    pub(super) fn take(&self, caller: Option<IpAddr>) -> Option<WaitingPlace> {
        let network = caller.map(Network::of);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_network = taken.by_network.get(&network).copied().unwrap_or_default();
        if taken.total >= MAX_WAITING || of_network >= MAX_WAITING_OF_ONE {
            return None;
        }
        taken.total += 1;
        taken.by_network.insert(network, of_network + 1);
        drop(taken);
        Some(WaitingPlace { taken: Arc::clone(&self.taken), network })
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        let left = taken.by_network.get(&self.network).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            taken.by_network.remove(&self.network);
        } else {
            taken.by_network.insert(self.network, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(number: u8) -> Option<IpAddr> {
        (number > 0).then(|| IpAddr::from([192, 0, 2, number]))
    }

    #[test]
    fn one_network_leaves_places_to_others_and_all_together_are_bounded() {
        let places = WaitingPlaces::default();
        let of_one: Vec<_> = std::iter::from_fn(|| places.take(address(1))).collect();
        assert_eq!(of_one.len(), MAX_WAITING_OF_ONE);
        assert!(places.take(address(2)).is_some());
        let unknown: Vec<_> = std::iter::from_fn(|| places.take(None)).collect();
        assert_eq!(unknown.len(), MAX_WAITING_OF_ONE, "the unknown are one");
        let others: Vec<_> = (2..=255).map_while(|number| places.take(address(number))).collect();
        assert_eq!(others.len(), 254);
        let mut rest = Vec::new();
        rest.extend(std::iter::from_fn(|| places.take(address(2))));
        rest.extend(std::iter::from_fn(|| places.take(address(3))));
        assert_eq!(of_one.len() + unknown.len() + others.len() + rest.len(), MAX_WAITING);
        drop(of_one);
        assert!(places.take(address(4)).is_some(), "there is room again");
    }

    proptest! {
        #[test]
        fn every_place_comes_back(takes in proptest::collection::vec((0_u8..4, any::<bool>()), 0..600)) {
            let places = WaitingPlaces::default();
            let mut held = Vec::new();
            for (number, gives_back) in takes {
                if gives_back {
                    held.pop();
                } else {
                    held.extend(places.take(address(number)));
                }
                prop_assert_eq!(places.taken.lock().unwrap().total, held.len());
            }
            held.clear();
            let taken = places.taken.lock().unwrap();
            prop_assert_eq!((taken.total, taken.by_network.len()), (0, 0));
        }
    }
}
