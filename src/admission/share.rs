//! Owns whom a call counts for, and what each of them may have of one bound.

use uuid::Uuid;

use super::CallSource;
use crate::{base, model::Network};

/// Somebody who has a share of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// One connection.
    Connection(usize),
    /// One host, as far as it can be told.
    Peer(Network),
    /// All hosts of one IPv6 site.
    Site(Network),
    /// One host that asks on behalf of peers whom it names.
    Asker(Network),
    /// One user or client, by a verified token.
    Subject(Uuid),
    /// All users whose accounts are new.
    NewAccounts,
}

/// Everybody one call is counted for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holders([Option<Holder>; 6]);

/// How much of a bound may be taken in all, and by each kind of holder; none where a kind is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(super) all: u64,
    pub(super) connection: Option<u64>,
    pub(super) peer: Option<u64>,
    pub(super) site: Option<u64>,
    pub(super) asker: Option<u64>,
    pub(super) subject: Option<u64>,
    pub(super) new_accounts: Option<u64>,
}

/// What has been taken of one bound.
#[derive(Debug)]
pub(super) struct Shares {
    limits: Limits,
    held: base::Shares<Holder>,
    refused: u64,
}

impl Holders {
    /// Those of a call that comes from `source`.
    pub(super) fn of(source: &CallSource) -> Self {
        let peer = source.peer();
        let site = peer.and_then(Network::wider);
        Self([
            source.connection().map(|connection| Holder::Connection(connection.id())),
            peer.map(Holder::Peer),
            site.map(Holder::Site),
            None,
            None,
            source.asker().map(Holder::Asker),
        ])
    }

    /// The same, for `peer` in place of their own, which has named it.
    pub(super) fn on_behalf_of(mut self, peer: Network) -> Self {
        self.0[5] = self.0[1].map(|asker| match asker {
            Holder::Peer(asker) => Holder::Asker(asker),
            other => other,
        });
        self.0[1] = Some(Holder::Peer(peer));
        self.0[2] = peer.wider().map(Holder::Site);
        self
    }

    /// The same, and the user or client `subject`; `is_new` if that is a user with a new account.
    pub(super) const fn with_subject(mut self, subject: Uuid, is_new: bool) -> Self {
        self.0[3] = Some(Holder::Subject(subject));
        self.0[4] = if is_new { Some(Holder::NewAccounts) } else { None };
        self
    }

    fn iter(&self) -> impl Iterator<Item = Holder> + Clone {
        self.0.iter().flatten().copied()
    }
}

impl Limits {
    const fn of(&self, holder: Holder) -> Option<u64> {
        match holder {
            Holder::Connection(_) => self.connection,
            Holder::Peer(_) => self.peer,
            Holder::Site(_) => self.site,
            Holder::Asker(_) => self.asker,
            Holder::Subject(_) => self.subject,
            Holder::NewAccounts => self.new_accounts,
        }
    }
}

impl Shares {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, held: base::Shares::new(limits.all), refused: 0 }
    }

    /// Whether each of `holders` may have `amount` more, if there is as much.
    pub(super) fn allow(&self, holders: &Holders, amount: u64) -> bool {
        let counted = holders.iter().filter_map(|holder| Some((holder, self.limits.of(holder)?)));
        self.held.allow(counted, amount)
    }

    /// Takes `amount` for all of `holders`, or nothing at all. Returns whether it fitted.
    pub(super) fn take(&mut self, holders: &Holders, amount: u64) -> bool {
        let limits = self.limits;
        let counted = holders.iter().filter_map(|holder| Some((holder, limits.of(holder)?)));
        self.held.take(counted, amount)
    }

    /// Gives back what was taken for the same `holders`.
    pub(super) fn give_back(&mut self, holders: &Holders, amount: u64) {
        self.held.give_back(holders.iter(), amount);
    }

    /// Counts for `new` what was taken for `old`, if there is room. Returns whether there was.
    pub(super) fn hand_over(&mut self, old: &Holders, new: &Holders, amount: u64) -> bool {
        self.give_back(old, amount);
        let fits = self.take(new, amount);
        if !fits {
            self.take(old, amount);
        }
        fits
    }

    pub(super) const fn count_refusal(&mut self) {
        self.refused += 1;
    }

    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) const fn taken(&self) -> u64 {
        self.held.taken()
    }

    pub(super) const fn limit(&self) -> u64 {
        self.limits.all
    }

    /// The peer that holds most, and how much.
    pub(super) fn busiest_peer(&self) -> Option<(Network, u64)> {
        let peers = self.held.held().filter_map(|(holder, held)| match holder {
            Holder::Peer(peer) => Some((peer, held)),
            _ => None,
        });
        peers.max_by_key(|(_, held)| *held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        all: 16,
        connection: Some(3),
        peer: Some(4),
        site: Some(6),
        asker: Some(5),
        subject: Some(1),
        new_accounts: Some(8),
    };

    fn peer(address: &str) -> Holders {
        let peer = Network::of(address.parse().unwrap());
        Holders([None, Some(Holder::Peer(peer)), peer.wider().map(Holder::Site), None, None, None])
    }

    /// How many single places `holders` get one after the other.
    fn fitting(shares: &mut Shares, holders: impl Iterator<Item = Holders>) -> u64 {
        holders.map(|holders| u64::from(shares.take(&holders, 1))).sum()
    }

    #[test]
    fn each_kind_of_holder_has_its_share() {
        let hosts = |prefix: &'static str| (1..100).map(move |host| format!("{prefix}{host}"));
        let users = |is_new| {
            (1..100_u128)
                .map(move |user| Holders::default().with_subject(Uuid::from_u128(user + 1_000), is_new))
        };
        let connection = Holders([Some(Holder::Connection(1)), None, None, None, None, None]);
        let sidecar = Some(Holder::Asker(Network::of("198.51.100.1".parse().unwrap())));
        let named = hosts("192.0.2.").map(|host| {
            let mut holders = peer(&host);
            holders.0[5] = sidecar;
            holders
        });
        let user = Holders::default().with_subject(Uuid::from_u128(1), false);
        let mut table: Vec<(&str, Box<dyn Iterator<Item = Holders>>, u64)> = vec![
            ("all", Box::new(hosts("192.0.2.").map(|host| peer(&host))), 16),
            ("one IPv4 address", Box::new((0..99).map(|_| peer("192.0.2.1"))), 4),
            ("the same, written as IPv6", Box::new((0..99).map(|_| peer("::ffff:192.0.2.1"))), 4),
            ("one /64", Box::new(hosts("2001:db8:0:1::").map(|host| peer(&host))), 4),
            ("the /64s of one /48", Box::new((0..99).map(|net| peer(&format!("2001:db8:0:{net:x}::1")))), 6),
            ("whoever one host names", Box::new(named), 5),
            ("one connection", Box::new((0..99).map(|_| connection)), 3),
            ("one user", Box::new((0..99).map(|_| user)), 1),
            ("old accounts", Box::new(users(false)), 16),
            ("new accounts", Box::new(users(true)), 8),
        ];
        for (what, holders, expected) in &mut table {
            let mut shares = Shares::new(LIMITS);
            assert_eq!(fitting(&mut shares, holders), *expected, "{what}");
        }
    }

    #[test]
    fn what_is_handed_over_counts_for_the_new_holders_or_stays_with_the_old() {
        let mut shares = Shares::new(LIMITS);
        let (client, user) = (peer("192.0.2.1"), Network::of("2001:db8::1".parse().unwrap()));
        for number in 1..=6 {
            assert!(shares.take(&client, 1));
            let handed = shares.hand_over(&client, &client.on_behalf_of(user), 1);
            assert_eq!(handed, number <= 4, "a share of the user's own");
        }
        assert_eq!(shares.held.taken(), 6);
        let held = |wanted| shares.held.held().find(|(holder, _)| *holder == wanted).map(|(_, held)| held);
        let of_client = Network::of("192.0.2.1".parse().unwrap());
        assert_eq!((held(Holder::Peer(user)), held(Holder::Site(user.site()))), (Some(4), Some(4)));
        assert_eq!((held(Holder::Peer(of_client)), held(Holder::Asker(of_client))), (Some(2), Some(4)));
    }

    #[test]
    fn what_is_not_limited_is_not_counted() {
        let mut shares = Shares::new(Limits { all: 50, ..Limits::default() });
        assert_eq!(fitting(&mut shares, (0..99).map(|_| peer("192.0.2.1"))), 50);
        assert_eq!(shares.busiest_peer(), None);
        assert_eq!(shares.held.held().count(), 0);
    }

    #[test]
    fn the_busiest_peer_is_named() {
        let mut shares = Shares::new(LIMITS);
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.2"] {
            assert!(shares.take(&peer(address), 1));
        }
        assert_eq!(shares.busiest_peer(), Some((Network::of("192.0.2.2".parse().unwrap()), 2)));
    }

    proptest! {
        #[test]
        fn nobody_has_more_than_the_bound_and_all_is_given_back(
            steps in prop::collection::vec((0..4_u8, 0..3_usize, 0..5_u128, any::<bool>(), 1..4_u64), 1..200),
        ) {
            let mut shares = Shares::new(LIMITS);
            let mut taken: Vec<(Holders, u64)> = Vec::new();
            for (address, connection, subject, gives_back, amount) in steps {
                if gives_back && !taken.is_empty() {
                    let (holders, amount) = taken.swap_remove(usize::from(address) % taken.len());
                    shares.give_back(&holders, amount);
                } else {
                    let mut holders = peer(&format!("2001:db8:{}:{address}::1", address % 2));
                    holders.0[0] = Some(Holder::Connection(connection));
                    let holders = holders.with_subject(Uuid::from_u128(subject), subject > 2);
                    if shares.take(&holders, amount) {
                        taken.push((holders, amount));
                    }
                }
                prop_assert_eq!(shares.taken(), taken.iter().map(|(_, amount)| amount).sum::<u64>());
                prop_assert!(shares.taken() <= LIMITS.all);
                for (holder, held) in shares.held.held() {
                    prop_assert!(held <= LIMITS.of(holder).unwrap());
                }
            }
            for (holders, amount) in taken {
                shares.give_back(&holders, amount);
            }
            prop_assert_eq!(shares.taken(), 0);
            prop_assert_eq!(shares.held.held().count(), 0);
        }
    }
}
