//! Owns limiting how often one thing is told.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Lets one through in each interval, and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    passed: Mutex<Passed>,
}

#[derive(Debug)]
struct Passed {
    /// When one was let through last.
    last: Option<Duration>,
    /// How many were held back since.
    held_back: u64,
}

impl Throttle {
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, passed: Mutex::new(Passed { last: None, held_back: 0 }) }
    }

    /// If one may pass at `now`, which a monotonic clock tells: how many were held back since the last that did.
    pub(crate) fn pass(&self, now: Duration) -> Option<u64> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.last.is_some_and(|last| now.saturating_sub(last) < self.interval) {
            passed.held_back += 1;
            return None;
        }
        Some(std::mem::replace(&mut *passed, Passed { last: Some(now), held_back: 0 }).held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_at_once_and_then_one_in_each_interval() {
        let throttle = Throttle::new(Duration::from_secs(10));
        let at = |seconds| throttle.pass(Duration::from_secs(seconds));
        assert_eq!(at(5), Some(0));
        assert_eq!((at(5), at(14)), (None, None));
        assert_eq!(at(15), Some(2));
        assert_eq!(at(16), None);
    }
}
