//! Owns the failed passwords of an address, in memory: each replica sees its own share of an address's requests.

use std::time::Duration;

use crate::{
    admission::{Allowance, Allowances, Charge},
    base::{Clock, Throttle},
    identity::Turn,
    model::Network,
};

/// How many are told apart. The hash rate bounds how many have failed lately, so this is far more than are needed.
const CAPACITY: usize = 32_768;

/// How many times the allowance of a /64 its /48 has: as with connections, whoever was given one has more than one network.
const SITE: u32 = 2;

/// How often it is told that an address waits: each of its logins would be another line.
const WARN_INTERVAL: Duration = Duration::from_mins(1);

/// The failures of addresses: each IPv4 address, IPv6 /64, and IPv6 /48 has an allowance.
#[derive(Debug)]
pub(super) struct Addresses {
    networks: Allowances<Network>,
    sites: Allowances<Network>,
    clock: Clock,
    warned: Throttle,
}

/// A charge to an address.
#[derive(Debug)]
#[must_use = "it stays charged unless it is given back"]
pub(super) struct AddressCharge<'a> {
    network: Option<Charge<'a, Network>>,
    site: Option<Charge<'a, Network>>,
    is_deferred: bool,
}

impl Addresses {
    /// `allowance` for each.
    pub(super) fn new(allowance: Allowance, clock: Clock) -> Self {
        let of_site = Allowance {
            at_once: allowance.at_once.saturating_mul(SITE),
            interval: allowance.interval / SITE,
        };
        Self {
            networks: Allowances::new(allowance, CAPACITY, clock.clone()),
            sites: Allowances::new(of_site, CAPACITY, clock.clone()),
            clock,
            warned: Throttle::new(WARN_INTERVAL),
        }
    }

    /// Charges `address` for one. A private one may be a proxy's that nobody has named, and so everybody's: it is never refused, and
    /// waits behind the others.
    ///
    /// # Errors
    /// If its allowance is used up: how long it takes until one comes back.
    pub(super) fn charge(&self, address: Option<Network>) -> Result<AddressCharge<'_>, Duration> {
        let Some(network) = address else { return Ok(AddressCharge::of(false)) };
        match self.take(network) {
            Err(_) if network.is_private() => Ok(AddressCharge::of(true)),
            charged => charged,
        }
    }

    fn take(&self, network: Network) -> Result<AddressCharge<'_>, Duration> {
        let mut charge = AddressCharge::of(false);
        if let Some(site) = network.wider() {
            charge.site = Some(self.sites.take(site)?);
        }
        match self.networks.take(network) {
            Ok(charged) => charge.network = Some(charged),
            Err(retry_after) => {
                charge.give_back();
                return Err(retry_after);
            }
        }
        Ok(charge)
    }

    /// Tells the operator that passwords from `address`, which is a private one, wait behind all others.
    pub(super) fn warn(&self, address: Option<Network>) {
        let Some(network) = address else { return };
        if let Some(untold) = self.warned.pass(self.clock.monotonic()) {
            tracing::warn!(
                address = %network,
                untold,
                "so many passwords from one private address were wrong that its logins wait behind all others: if it is a proxy, name it \
                 in --trusted-proxy-addresses, and have it say for whom it asks, so that each client counts by itself"
            );
        }
    }
}

impl AddressCharge<'_> {
    const fn of(is_deferred: bool) -> Self {
        Self { network: None, site: None, is_deferred }
    }

    /// Whether the hashes of everybody else go first.
    pub(super) const fn is_deferred(&self) -> bool {
        self.is_deferred
    }

    /// When the hash goes that is computed for it, if nothing speaks for who asks.
    pub(super) const fn turn(&self) -> Turn {
        if self.is_deferred { Turn::Last } else { Turn::Fair }
    }

    /// Gives the charge back: the attempt does not count.
    pub(super) fn give_back(self) {
        for charge in self.network.into_iter().chain(self.site) {
            charge.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    fn addresses() -> (Addresses, Clock) {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let allowance = Allowance { at_once: 10, interval: Duration::from_secs(1) };
        (Addresses::new(allowance, clock.clone()), clock)
    }

    fn network(host: &str) -> Network {
        Network::of(host.parse().unwrap())
    }

    /// How many failures `hosts` may have at once, of which host each says.
    fn taken(addresses: &Addresses, hosts: impl IntoIterator<Item = String>) -> usize {
        hosts.into_iter().filter(|host| addresses.charge(Some(network(host))).is_ok()).count()
    }

    #[test]
    fn an_address_has_its_allowance_and_a_site_twice_that() {
        let (addresses, clock) = addresses();
        assert_eq!(taken(&addresses, (0..30).map(|_| "192.0.2.1".to_owned())), 10);
        assert_eq!(taken(&addresses, (0..30).map(|_| "192.0.2.2".to_owned())), 10, "another has its own");
        assert_eq!(taken(&addresses, (0..30).map(|host| format!("2001:db8::{host:x}"))), 10, "one /64");
        assert_eq!(taken(&addresses, (0..90).map(|net| format!("2001:db8:1:{net:x}::1"))), 20, "one /48");
        clock.advance(Duration::from_secs(1));
        assert_eq!(taken(&addresses, (0..30).map(|_| "192.0.2.1".to_owned())), 1);
        assert_eq!(taken(&addresses, (90..120).map(|net| format!("2001:db8:1:{net:x}::1"))), 2);
    }

    #[test]
    fn what_is_refused_costs_its_site_nothing() {
        let (addresses, _) = addresses();
        assert_eq!(taken(&addresses, (0..90).map(|_| "2001:db8::1".to_owned())), 10);
        assert_eq!(taken(&addresses, (0..90).map(|_| "2001:db8:0:1::1".to_owned())), 10);
        assert_eq!(taken(&addresses, ["2001:db8:0:2::1".to_owned()]), 0, "the site's is used up");
    }

    #[test]
    fn a_private_address_is_never_refused_but_waits_behind_the_others() {
        let (addresses, clock) = addresses();
        for address in ["127.0.0.1", "10.0.0.7", "fd00::1", "::1"] {
            let is_deferred = || addresses.charge(Some(network(address))).unwrap().is_deferred();
            let deferred: Vec<_> = (0..30).map(|_| is_deferred()).collect();
            assert_eq!(deferred, [vec![false; 10], vec![true; 20]].concat(), "{address}");
            clock.advance(Duration::from_secs(10));
            assert!(!is_deferred(), "{address}");
        }
    }
}
