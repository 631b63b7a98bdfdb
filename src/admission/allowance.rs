//! Owns how often something may be done at once and in the long run, for each of many keys.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::base::Clock;

/// How often something may be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// How many times at once, by a key that has not done it for long.
    pub(crate) at_once: u32,
    /// After how long one comes back.
    pub(crate) interval: Duration,
}

/// An allowance for each key: a token bucket, kept as the moment at which it will be full again.
///
/// At most `capacity` keys are remembered. Beyond that, those are forgotten that have used the least of their allowance: whoever makes up
/// keys spends one charge on each, and pushes out nobody who has spent more.
#[derive(Debug)]
pub(crate) struct Allowances<K> {
    allowance: Allowance,
    capacity: usize,
    clock: Clock,
    /// By the monotonic clock. A key whose bucket is full need not be here.
    full_at: Mutex<HashMap<K, Duration>>,
}

/// One time that was charged to a key. It stays charged, unless it is given back.
#[derive(Debug)]
#[must_use = "it stays charged unless it is given back"]
pub(crate) struct Charge<'a, K: Eq + Hash> {
    allowances: &'a Allowances<K>,
    key: K,
}

impl<K: Clone + Eq + Hash> Allowances<K> {
    /// `allowance` for each of at most `capacity` keys.
    pub(crate) fn new(allowance: Allowance, capacity: usize, clock: Clock) -> Self {
        Self { allowance, capacity: capacity.max(1), clock, full_at: Mutex::default() }
    }

    /// Charges `key` for one time, before it is known whether that counts: so calls at one moment cannot go beyond what is left.
    ///
    /// # Errors
    /// If its allowance is used up: how long it takes until one comes back.
    pub(crate) fn take(&self, key: K) -> Result<Charge<'_, K>, Duration> {
        let (now, interval) = (self.clock.monotonic(), self.allowance.interval);
        let mut full_at = self.lock();
        let known = full_at.get(&key).copied();
        let charged = known.unwrap_or_default().max(now) + interval;
        let most = now + interval * self.allowance.at_once;
        let beyond = charged.saturating_sub(most);
        if !beyond.is_zero() {
            return Err(beyond);
        }
        if known.is_none() && full_at.len() >= self.capacity {
            make_room(&mut full_at, now);
        }
        full_at.insert(key.clone(), charged);
        drop(full_at);
        Ok(Charge { allowances: self, key })
    }
}

impl<K: Eq + Hash> Allowances<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Duration>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Charge<'_, K> {
    /// What was charged did not count.
    pub(crate) fn give_back(self) {
        if let Some(full_at) = self.allowances.lock().get_mut(&self.key) {
            *full_at = full_at.saturating_sub(self.allowances.allowance.interval);
        }
    }
}

/// Forgets the keys whose buckets are full at `now`, and of the others those that have used the least: a quarter at the least in all,
/// so that many keys come before all are looked at again.
fn make_room<K: Eq + Hash>(full_at: &mut HashMap<K, Duration>, now: Duration) {
    let enough = full_at.len() - full_at.len().div_ceil(4);
    full_at.retain(|_, full_at| *full_at > now);
    let Some(too_many) = full_at.len().checked_sub(enough).filter(|count| *count > 0) else { return };
    let mut moments: Vec<Duration> = full_at.values().copied().collect();
    let (_, least, _) = moments.select_nth_unstable(too_many - 1);
    let (least, mut left) = (*least, too_many);
    full_at.retain(|_, full_at| {
        let stays = *full_at > least || left == 0;
        left -= usize::from(!stays);
        stays
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Timestamp;

    const ALLOWANCE: Allowance = Allowance { at_once: 5, interval: Duration::from_millis(100) };

    fn allowances(capacity: usize) -> (Allowances<u32>, Clock) {
        let clock = Clock::manual(Timestamp::from_micros(1_000_000_000));
        (Allowances::new(ALLOWANCE, capacity, clock.clone()), clock)
    }

    #[test]
    fn so_many_at_once_and_then_so_many_a_second_for_each_key_alone() {
        let (allowances, clock) = allowances(100);
        for _ in 0..5 {
            assert!(allowances.take(1).is_ok());
        }
        assert_eq!(allowances.take(1).unwrap_err(), Duration::from_millis(100));
        assert!(allowances.take(2).is_ok());
        clock.advance(Duration::from_millis(100));
        assert!(allowances.take(1).is_ok());
        assert!(allowances.take(1).is_err());
        clock.advance(Duration::from_hours(1));
        for _ in 0..5 {
            assert!(allowances.take(1).is_ok());
        }
        assert!(allowances.take(1).is_err(), "it does not pile up");
    }

    #[test]
    fn keys_that_are_made_up_push_out_nobody_who_has_spent_more() {
        let (allowances, clock) = allowances(100);
        for _ in 0..5 {
            let _charged = allowances.take(0).unwrap();
        }
        for key in 1..=10_000 {
            let _charged = allowances.take(key).unwrap();
            clock.advance(Duration::from_micros(10));
            assert!(allowances.lock().len() <= 100);
        }
        // A tenth of a second has passed: one has come back.
        assert!(allowances.take(0).is_ok_and(|_| allowances.take(0).is_err()));
    }

    #[test]
    fn room_is_made_for_many_keys_at_a_time() {
        let (allowances, clock) = allowances(1_000);
        let mut looks = 0;
        let mut before = 0;
        // Each moment one key has its whole allowance again, and another one comes.
        for key in 0..10_000 {
            let _charged = allowances.take(key).unwrap();
            let after = allowances.lock().len();
            looks += u32::from(after <= before);
            before = after;
            clock.advance(ALLOWANCE.interval / 1_000);
        }
        assert!(looks <= 40, "all keys were looked at {looks} times");
    }

    proptest! {
        #[test]
        fn never_more_than_what_has_come_back(steps in proptest::collection::vec((0_u64..300, 0_u8..3), 1..200)) {
            let (allowances, clock) = allowances(100);
            let (mut spent, mut passed) = (0_u64, 0);
            for (wait, what) in steps {
                clock.advance(Duration::from_millis(wait));
                passed += wait;
                match (allowances.take(1), what) {
                    (Ok(charge), 0) => charge.give_back(),
                    (Ok(_charged), _) => spent += 1,
                    (Err(retry_after), _) => {
                        prop_assert!(retry_after <= ALLOWANCE.interval);
                        clock.advance(retry_after);
                        passed += u64::try_from(retry_after.as_millis()).unwrap();
                        let again = allowances.take(1);
                        prop_assert!(again.is_ok(), "it was told when to come back");
                        let _ = again.map(Charge::give_back);
                    }
                }
                prop_assert!(spent <= 5 + passed / 100);
            }
        }

        #[test]
        fn what_is_given_back_costs_nothing(times in 0_usize..50, waits in proptest::collection::vec(0_u64..200, 0..10)) {
            let (allowances, clock) = allowances(100);
            for _ in 0..times {
                allowances.take(1).unwrap().give_back();
            }
            let held = allowances.take(1).unwrap();
            for wait in waits {
                clock.advance(Duration::from_millis(wait));
            }
            held.give_back();
            for _ in 0..5 {
                prop_assert!(allowances.take(1).is_ok());
            }
            prop_assert!(allowances.take(1).is_err(), "and gains nothing");
        }

        #[test]
        fn no_more_keys_than_fit(keys in proptest::collection::vec((0_u32..40, 0_u64..50), 0..300), capacity in 1_usize..12) {
            let (allowances, clock) = allowances(capacity);
            for (key, wait) in keys {
                clock.advance(Duration::from_millis(wait));
                let _ = allowances.take(key);
                prop_assert!(allowances.lock().len() <= capacity);
            }
        }
    }
}
