//! Owns the allowance of failed passwords of an account, whether or not it exists, and what its user has left when it is used up.
//!
//! What has failed stands in a row that all replicas share. What is being tried at this moment is known to this process alone, so several
//! replicas may together let through more than is left at one moment; what went beyond is paid back, since a row takes any number.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    base::Timestamp,
    store::{FailureKey, FailureKeys, Failures, Payer},
};

/// How often an address may fail at an account within [`HOUR`] while the account has no failures left.
const SPARE: u32 = 3;

/// How often all such addresses together, within [`DAY`].
const SPARE_OF_ALL: u32 = 300;

/// How often an address from which an open session of the user came, apart from all that it has failed otherwise.
const FAMILIAR: u32 = 10;

/// How long an address must not have failed at the account.
pub(super) const HOUR: Duration = Duration::from_hours(1);

pub(super) const DAY: Duration = Duration::from_hours(24);

/// The settings of an account's allowance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// How many failures at once.
    pub(super) at_once: u32,
    /// After how long it has one more.
    pub(super) interval: Duration,
}

/// Whether a password is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is judged; a failure is charged to this.
    Judged(Payer),
    /// It is judged if an open session of the user came from the address, and a failure is charged to that alone; if not, there is one
    /// more after this time.
    IfFamiliar(Duration),
    /// It is not; there is one more after this time.
    Refused(Duration),
}

/// How many passwords are being tried that were begun before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    pub(super) account: u32,
    pub(super) from_here: u32,
}

/// The attempts of this moment: as many as there are calls.
#[derive(Debug, Default)]
pub(super) struct Trying(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    accounts: HashMap<FailureKey, u32>,
    from_here: HashMap<FailureKey, u32>,
    spare: HashMap<FailureKey, u32>,
    familiar: HashMap<FailureKey, u32>,
}

/// How many passwords are being tried that are charged to something else than the account.
#[derive(Clone, Copy, Debug, Default)]
struct Apart {
    /// To what is left to addresses that have not failed lately.
    spare: u32,
    /// To the address alone.
    familiar: u32,
}

impl Rule {
    /// How many failures must have been charged to an account for it to be told: half of what it has.
    pub(super) const fn telling(self) -> u32 {
        self.at_once.div_ceil(2)
    }

    /// The allowance that a failure is charged to.
    pub(super) fn payer(self) -> Payer {
        Payer::Account { micros: i64::try_from(self.interval.as_micros()).unwrap_or(i64::MAX) }
    }

    /// Whether the failure at `now` that made an account's allowance full at `full_time` is the one to be told.
    pub(super) fn is_telling(self, full_time: Timestamp, now: Timestamp) -> bool {
        let used = full_time.since(now);
        let telling = self.interval * self.telling();
        used >= telling && used < telling + self.interval
    }

    /// What becomes of a password for an account with these `failures` at `now`, if those `ahead` of it were all wrong, and those that are
    /// charged `apart`.
    fn judge(self, failures: &Failures, ahead: Ahead, apart: Apart, now: Timestamp) -> Admission {
        let full = failures.full_time.max(now).after(self.interval * ahead.account.saturating_add(1));
        if full.since(now.after(self.interval * self.at_once)).is_zero() {
            return Admission::Judged(self.payer());
        }
        // What is being tried may turn out to be right, and is not waited for.
        let account_wait = failures
            .full_time
            .max(now)
            .after(self.interval)
            .since(now.after(self.interval * self.at_once))
            .max(Duration::from_secs(1));
        let (here, here_wait) = lately(failures.from_here, HOUR, now);
        let (spared, spare_wait) = lately(failures.spare, DAY, now);
        let here = here.saturating_add(ahead.from_here);
        let is_spared = here < SPARE;
        let is_left = spared.saturating_add(apart.spare) < SPARE_OF_ALL;
        if is_spared && is_left {
            return Admission::Judged(Payer::Spare { forgotten: now.before(DAY) });
        }
        let wait = if is_spared { spare_wait } else { here_wait };
        let wait = account_wait.min(wait.max(Duration::from_secs(1)));
        let (familiar, familiar_wait) = lately(failures.familiar, HOUR, now);
        if familiar.saturating_add(apart.familiar) < FAMILIAR {
            Admission::IfFamiliar(wait)
        } else {
            Admission::Refused(wait.min(familiar_wait.max(Duration::from_secs(1))))
        }
    }
}

/// How often something was counted within `window`, and how long that still counts.
fn lately(count: crate::store::Count, window: Duration, now: Timestamp) -> (u32, Duration) {
    let left = count.time.after(window).since(now);
    if left.is_zero() { (0, left) } else { (count.number, left) }
}

impl Trying {
    /// Begins one, and returns how many were begun before and go on.
    pub(super) fn begin(&self, keys: FailureKeys) -> Ahead {
        let mut counts = self.lock();
        let account = counts.accounts.entry(keys.account).or_default();
        let ahead = *account;
        *account += 1;
        let from_here = counts.from_here.entry(keys.from_here).or_default();
        let ahead = Ahead { account: ahead, from_here: *from_here };
        *from_here += 1;
        ahead
    }

    /// What becomes of one that was begun.
    pub(super) fn admit(
        &self,
        rule: Rule,
        keys: FailureKeys,
        failures: &Failures,
        ahead: Ahead,
        now: Timestamp,
    ) -> Admission {
        let mut counts = self.lock();
        let apart = Apart {
            spare: counts.spare.get(&keys.account).copied().unwrap_or_default(),
            familiar: counts.familiar.get(&keys.from_here).copied().unwrap_or_default(),
        };
        let admission = rule.judge(failures, ahead, apart, now);
        match admission {
            Admission::Judged(Payer::Spare { .. }) => *counts.spare.entry(keys.account).or_default() += 1,
            Admission::IfFamiliar(_) => *counts.familiar.entry(keys.from_here).or_default() += 1,
            Admission::Judged(_) | Admission::Refused(_) => {}
        }
        admission
    }

    /// Ends one: its failure stands in the row, or it was none.
    pub(super) fn end(&self, keys: FailureKeys, payer: Option<Payer>) {
        let mut counts = self.lock();
        decrease(&mut counts.accounts, keys.account);
        decrease(&mut counts.from_here, keys.from_here);
        match payer {
            Some(Payer::Spare { .. }) => decrease(&mut counts.spare, keys.account),
            Some(Payer::Address) => decrease(&mut counts.familiar, keys.from_here),
            Some(Payer::Account { .. }) | None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decrease(counts: &mut HashMap<FailureKey, u32>, key: FailureKey) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Count;

    const RULE: Rule = Rule { at_once: 100, interval: Duration::from_secs(30) };
    const KEYS: FailureKeys = FailureKeys { account: [1; 32], from_here: [2; 32] };

    fn now() -> Timestamp {
        Timestamp::from_micros(1_795_435_200_000_000)
    }

    fn none() -> Failures {
        let never = Count { number: 0, time: Timestamp::from_micros(0) };
        Failures { full_time: Timestamp::from_micros(0), spare: never, from_here: never, familiar: never }
    }

    fn used_up() -> Failures {
        Failures { full_time: now().after(RULE.interval * RULE.at_once), ..none() }
    }

    fn judge(failures: &Failures, account: u32, from_here: u32, spare: u32) -> Admission {
        RULE.judge(failures, Ahead { account, from_here }, Apart { spare, familiar: 0 }, now())
    }

    #[test]
    fn those_that_are_being_tried_count_as_failures() {
        assert_eq!(judge(&none(), 99, 0, 0), Admission::Judged(RULE.payer()));
        assert!(matches!(judge(&none(), 100, 0, 0), Admission::Judged(Payer::Spare { .. })));
        assert!(matches!(judge(&none(), 100, 2, 0), Admission::Judged(Payer::Spare { .. })));
        assert_eq!(judge(&none(), 100, 3, 0), Admission::IfFamiliar(Duration::from_secs(1)));
        let familiar = Apart { spare: 300, familiar: 10 };
        let ahead = Ahead { account: 100, from_here: 0 };
        assert_eq!(RULE.judge(&none(), ahead, familiar, now()), Admission::Refused(Duration::from_secs(1)));
        assert_eq!(judge(&none(), 100, 0, 300), Admission::IfFamiliar(Duration::from_secs(1)));
    }

    #[test]
    fn an_address_is_spared_until_it_has_failed_thrice_within_an_hour_of_the_last() {
        let failed = |number, ago| {
            let from_here = Count { number, time: now().before(ago) };
            judge(&Failures { from_here, ..used_up() }, 0, 0, 0)
        };
        let minute = Duration::from_mins(1);
        assert!(matches!(failed(2, minute), Admission::Judged(Payer::Spare { .. })));
        assert_eq!(failed(3, minute), Admission::IfFamiliar(RULE.interval));
        assert_eq!(failed(1_000, minute), Admission::IfFamiliar(RULE.interval));
        assert!(matches!(failed(10, HOUR), Admission::Judged(Payer::Spare { .. })));
        assert_eq!(
            failed(10, Duration::from_secs(3_595)),
            Admission::IfFamiliar(Duration::from_secs(5)),
            "the sooner of the two"
        );
    }

    #[test]
    fn an_address_of_an_open_session_has_tries_apart_from_what_it_has_failed_otherwise() {
        let failed = |number, ago| {
            let from_here = Count { number: 1_000, time: now() };
            let familiar = Count { number, time: now().before(ago) };
            judge(&Failures { from_here, familiar, ..used_up() }, 0, 0, 0)
        };
        assert_eq!(failed(9, Duration::ZERO), Admission::IfFamiliar(RULE.interval));
        assert_eq!(failed(10, Duration::ZERO), Admission::Refused(RULE.interval));
        assert_eq!(failed(10, Duration::from_secs(3_590)), Admission::Refused(Duration::from_secs(10)));
        assert_eq!(failed(10, HOUR), Admission::IfFamiliar(RULE.interval));
    }

    #[test]
    fn all_of_them_together_are_spared_so_often_a_day() {
        let spared = |number, ago| {
            let spare = Count { number, time: now().before(ago) };
            judge(&Failures { spare, ..used_up() }, 0, 0, 0)
        };
        assert!(matches!(spared(299, HOUR), Admission::Judged(Payer::Spare { .. })));
        assert_eq!(spared(300, HOUR), Admission::IfFamiliar(RULE.interval));
        assert!(matches!(spared(300, DAY), Admission::Judged(Payer::Spare { .. })));
    }

    #[test]
    fn what_went_beyond_is_paid_back() {
        let beyond = Failures { full_time: used_up().full_time.after(RULE.interval * 5), ..none() };
        let from_here = Count { number: 10, time: now() };
        let admission = judge(&Failures { from_here, ..beyond }, 0, 0, 0);
        assert_eq!(admission, Admission::IfFamiliar(RULE.interval * 6));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let trying = Trying::default();
        for expected in 0..3 {
            let ahead = trying.begin(KEYS);
            assert_eq!((ahead.account, ahead.from_here), (expected, expected));
        }
        let admitted = trying.admit(RULE, KEYS, &used_up(), Ahead::default(), now());
        let Admission::Judged(payer) = admitted else { panic!("{admitted:?}") };
        let ahead = Ahead { account: 0, from_here: SPARE };
        let if_familiar = trying.admit(RULE, KEYS, &used_up(), ahead, now());
        assert!(matches!(if_familiar, Admission::IfFamiliar(_)), "{if_familiar:?}");
        trying.end(KEYS, Some(payer));
        trying.end(KEYS, Some(Payer::Address));
        trying.end(KEYS, None);
        let counts = trying.lock();
        assert!(counts.accounts.is_empty() && counts.from_here.is_empty());
        assert!(counts.spare.is_empty() && counts.familiar.is_empty());
    }

    #[test]
    fn one_failure_is_told_when_half_of_the_allowance_is_used() {
        let told =
            (1..=100).filter(|failures| RULE.is_telling(now().after(RULE.interval * *failures), now()));
        assert_eq!(told.collect::<Vec<_>>(), [50]);
    }
}
