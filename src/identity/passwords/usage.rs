//! Owns how much hashing each account, address and site has had of late.

use std::{cmp::Ordering, collections::HashMap, time::Duration};

use super::{Turn, queue::Lane};
use crate::model::Network;

/// In this time half of a use is forgotten.
const HALF_LIFE: Duration = Duration::from_mins(1);

/// How many times the share of one /64 a whole IPv6 site has: several hosts may be in it, and one host may have all of it.
const SITE_SHARES: f64 = 4.0;

/// How many accounts, addresses and sites are told apart, in some 2 MB.
const MAX_SHARERS: usize = 16_384;

/// A use that is as good as none, in seconds.
const FORGOTTEN: f64 = 1e-6;

/// Somebody by whom the threads are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sharer {
    /// One account, by a keyed hash of its name.
    Account(u64),
    /// One host, as far as it can be told.
    Address(Network),
    /// All hosts of one IPv6 site.
    Site(Network),
}

/// The sharers of the threads for one password.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sharers {
    /// A keyed hash of the account's name.
    pub(super) account: Option<u64>,
    /// The network of the user.
    pub(super) address: Option<Network>,
    /// When it goes.
    pub(super) turn: Turn,
}

/// Who goes first: the smaller one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Precedence {
    turn: Turn,
    /// The use of the sharer with the largest that counts.
    most: f64,
    /// That of all that count: among guesses at one account, its owner's address has had the least.
    sum: f64,
    /// That of the address or its site, whichever is larger.
    address: f64,
}

/// The hashing time that each sharer has had.
#[derive(Debug, Default)]
pub(super) struct Usage(HashMap<Sharer, Used>);

#[derive(Clone, Copy, Debug)]
struct Used {
    /// Seconds of a thread, as they were left at `at`.
    seconds: f64,
    at: Duration,
    lane: Lane,
}

/// The work that each sharer waits for, in seconds of a thread.
#[derive(Debug, Default)]
pub(super) struct Backlog(HashMap<Sharer, f64>);

impl Sharers {
    pub(super) fn iter(&self) -> impl Iterator<Item = Sharer> {
        let site = self.address.and_then(Network::wider);
        let (account, address) = (self.account.map(Sharer::Account), self.address.map(Sharer::Address));
        [account, address, site.map(Sharer::Site)].into_iter().flatten()
    }
}

impl Sharer {
    /// Whether its use has a say in who is next within `turn`: that of an address which may be everybody's has none.
    const fn counts(self, turn: Turn) -> bool {
        match (turn, self) {
            (Turn::Fair, _) | (Turn::Familiar, Self::Account(_)) => true,
            (Turn::Familiar, Self::Address(_) | Self::Site(_)) | (Turn::Last, _) => false,
        }
    }

    /// The part of `cost` that counts, in seconds.
    fn counted(self, cost: Duration) -> f64 {
        match self {
            Self::Account(_) | Self::Address(_) => cost.as_secs_f64(),
            Self::Site(_) => cost.as_secs_f64() / SITE_SHARES,
        }
    }
}

impl Precedence {
    /// Who keeps a place in a full queue: the smaller one, by its address first. Others can use up what an account may have, and its
    /// owner shall not be refused for that.
    pub(super) fn by_address(&self, other: &Self) -> Ordering {
        self.turn.cmp(&other.turn).then(self.address.total_cmp(&other.address)).then_with(|| self.cmp(other))
    }
}

impl Eq for Precedence {}

impl Ord for Precedence {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_use = || self.most.total_cmp(&other.most).then(self.sum.total_cmp(&other.sum));
        self.turn.cmp(&other.turn).then_with(by_use)
    }
}

impl PartialOrd for Precedence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Used {
    fn left(&self, now: Duration) -> f64 {
        let half_lives = now.saturating_sub(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.seconds * (-half_lives).exp2()
    }
}

impl Backlog {
    /// Adds what a job of `sharers` takes.
    pub(super) fn add(&mut self, sharers: &Sharers, cost: Duration) {
        for sharer in sharers.iter() {
            *self.0.entry(sharer).or_default() += sharer.counted(cost);
        }
    }

    fn of(&self, sharer: Sharer) -> f64 {
        self.0.get(&sharer).copied().unwrap_or_default()
    }
}

impl Usage {
    /// How `sharers` stand, if each had already been given what `backlog` has of it.
    pub(super) fn standing(&self, now: Duration, sharers: &Sharers, backlog: &Backlog) -> Precedence {
        let (mut most, mut sum, mut address) = (0_f64, 0.0, 0_f64);
        for sharer in sharers.iter().filter(|sharer| sharer.counts(sharers.turn)) {
            let used = self.0.get(&sharer).map_or(0.0, |used| used.left(now)) + backlog.of(sharer);
            most = most.max(used);
            sum += used;
            if !matches!(sharer, Sharer::Account(_)) {
                address = address.max(used);
            }
        }
        Precedence { turn: sharers.turn, most, sum, address }
    }

    /// Notes that a job of `sharers` has a thread.
    pub(super) fn charge(&mut self, now: Duration, sharers: &Sharers, lane: Lane, cost: Duration) {
        if self.0.len() + 3 > MAX_SHARERS {
            self.forget(now);
        }
        for sharer in sharers.iter() {
            let used = self.0.entry(sharer).or_insert(Used { seconds: 0.0, at: now, lane });
            *used = Used { seconds: used.left(now) + sharer.counted(cost), at: now, lane };
        }
    }

    /// The lane of the last job of the account of `sharers`, if that is remembered.
    pub(super) fn lane(&self, sharers: &Sharers) -> Option<Lane> {
        let account = Sharer::Account(sharers.account?);
        self.0.get(&account).map(|used| used.lane)
    }

    /// Forgets those who have had the least, until half of the room is free: whoever makes up accounts pushes out nobody who has had
    /// more than each of them.
    fn forget(&mut self, now: Duration) {
        let mut least = FORGOTTEN;
        while self.0.len() > MAX_SHARERS / 2 {
            self.0.retain(|_, used| used.left(now) > least);
            least *= 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn from(account: u64, address: &str) -> Sharers {
        let address = Some(Network::of(address.parse().unwrap()));
        Sharers { account: Some(account), address, turn: Turn::Fair }
    }

    fn charged(of: &[(u64, &str)]) -> Usage {
        let mut usage = Usage::default();
        for (account, address) in of {
            usage.charge(Duration::ZERO, &from(*account, address), Lane::Own, SECOND);
        }
        usage
    }

    fn standing(usage: &Usage, account: u64, address: &str) -> Precedence {
        usage.standing(Duration::ZERO, &from(account, address), &Backlog::default())
    }

    fn most(standing: Precedence) -> Duration {
        Duration::from_secs_f64(standing.most)
    }

    #[test]
    fn whoever_has_had_less_stands_before_by_account_and_by_address() {
        let usage = charged(&[(1, "192.0.2.1"), (2, "192.0.2.1")]);
        let stranger = standing(&usage, 9, "192.0.2.9");
        assert!(stranger < standing(&usage, 1, "192.0.2.9"), "the account");
        assert!(stranger < standing(&usage, 9, "192.0.2.1"), "the address");
        assert!(
            standing(&usage, 1, "192.0.2.9") < standing(&usage, 1, "192.0.2.1"),
            "the owner of an account that others guess at"
        );
        let deferred = Sharers { turn: Turn::Familiar, ..from(9, "192.0.2.9") };
        assert!(
            standing(&usage, 1, "192.0.2.1") < usage.standing(Duration::ZERO, &deferred, &Backlog::default())
        );
    }

    #[test]
    fn a_slash_64_is_one_address_and_a_slash_48_has_four_shares() {
        let usage = charged(&[(1, "2001:db8::1")]);
        let fresh = standing(&usage, 9, "2001:db8:1::1");
        assert_eq!(most(standing(&usage, 9, "2001:db8:0:0:ffff::2")), SECOND);
        let sibling = standing(&usage, 9, "2001:db8:0:2::1");
        assert!(fresh < sibling && most(sibling) == SECOND / 4);
    }

    #[test]
    fn a_use_is_halved_each_minute_and_what_waits_counts_too() {
        let usage = charged(&[(1, "192.0.2.1")]);
        let at = |now| most(usage.standing(now, &from(1, "192.0.2.9"), &Backlog::default()));
        assert_eq!((at(HALF_LIFE), at(HALF_LIFE * 3)), (SECOND / 2, SECOND / 8));
        let mut backlog = Backlog::default();
        backlog.add(&from(1, "192.0.2.9"), SECOND);
        assert_eq!(most(usage.standing(Duration::ZERO, &from(1, "192.0.2.8"), &backlog)), SECOND * 2);
    }

    #[test]
    fn made_up_accounts_push_out_nobody_who_has_had_more() {
        let mut usage = Usage::default();
        for _ in 0..2 {
            usage.charge(Duration::ZERO, &from(0, "192.0.2.1"), Lane::Imported, SECOND);
        }
        for made_up in 1..40_000 {
            usage.charge(Duration::ZERO, &from(made_up, "192.0.2.1"), Lane::Own, SECOND);
            assert!(usage.0.len() <= MAX_SHARERS);
        }
        assert_eq!(most(standing(&usage, 0, "192.0.2.9")), SECOND * 2);
        assert_eq!(usage.lane(&from(0, "192.0.2.9")), Some(Lane::Imported));
        assert!(most(standing(&usage, 0, "192.0.2.1")) > SECOND * 30_000);
    }
}
