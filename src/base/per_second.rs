//! Owns bounding how many of one kind there are in a second.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Lets so many through in each second of the clock, and counts the others.
#[derive(Debug)]
pub(crate) struct PerSecond {
    max: u32,
    present: Mutex<Present>,
}

/// The present second.
#[derive(Debug, Default)]
struct Present {
    number: u64,
    passed: u32,
    /// How many were held back since that was last told.
    held_back: u64,
}

impl PerSecond {
    pub(crate) const fn new(max: u32) -> Self {
        Self { max, present: Mutex::new(Present { number: 0, passed: 0, held_back: 0 }) }
    }

    /// If one may pass at `now`, which a monotonic clock tells: how many were held back since that was last told.
    pub(crate) fn pass(&self, now: Duration) -> Option<u64> {
        let number = now.as_secs();
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.number != number {
            (present.number, present.passed) = (number, 0);
        }
        if present.passed >= self.max {
            present.held_back += 1;
            return None;
        }
        present.passed += 1;
        Some(std::mem::take(&mut present.held_back))
    }

    /// How many were held back since that was last told, which is told now.
    pub(crate) fn take_held_back(&self) -> u64 {
        std::mem::take(&mut self.present.lock().unwrap_or_else(PoisonError::into_inner).held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pass_in_a_second_and_the_next_tells_of_the_others() {
        let limit = PerSecond::new(2);
        let at = |millis| limit.pass(Duration::from_millis(millis));
        assert_eq!([at(5_000), at(5_400), at(5_999)], [Some(0), Some(0), None]);
        assert_eq!([at(6_000), at(6_001), at(6_002), at(6_003)], [Some(1), Some(0), None, None]);
        assert_eq!([limit.take_held_back(), limit.take_held_back()], [2, 0], "told once");
        assert_eq!(at(7_000), Some(0));
    }
}
