//! Owns at which priority hashes run: values alone, without threads and without a clock.
//!
//! On a core that has time for them hashes yield to calls, and slow none. Where others keep every core busy (calls, or other programs),
//! hashes that yield would get next to nothing: there they compete for the cores like any thread.

use std::time::Duration;

/// How a hash thread stands to the others that want its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// It runs when no other thread wants the core.
    Yielding,
    /// It has its share, like the threads that serve calls.
    Competing,
}

/// Hashes compete once they take so many times as long as they have a core.
const CROWDED: f64 = 2.0;

/// They yield again once they take no more than so many times as long.
const ROOMY: f64 = 1.25;

/// For how long they compete at the least once a hash that yielded got no core, so that one in so long is late at the most.
const COMPETE_FOR: Duration = Duration::from_secs(2);

/// The stretch that is assumed then.
const STARVED: f64 = 4.0;

/// How many times as long as it needs a core a hash that yields may take before it counts as one that gets none.
const PATIENCE: u32 = 2;

/// How much longer: other work on the machine keeps it waiting now and then.
const SLACK: Duration = Duration::from_millis(50);

/// Whether hashes get the cores that they need.
#[derive(Debug)]
pub(super) struct Contention {
    priority: Priority,
    /// Until when they compete in any case.
    compete_until: Duration,
    /// How many times as long as it had a core a hash took, averaged over the recent ones.
    stretch: f64,
    /// The CPU time of a hash divided by its cost by the table, averaged over the recent ones.
    pace: f64,
}

impl Contention {
    /// Nothing is known yet: hashes compete.
    pub(super) const fn new() -> Self {
        Self { priority: Priority::Competing, compete_until: Duration::ZERO, stretch: CROWDED, pace: 1.0 }
    }

    /// The priority of those that begin now.
    pub(super) const fn priority(&self) -> Priority {
        self.priority
    }

    /// When a hash should be done that begins at `now`, yields, and costs `cost` by the table.
    pub(super) fn due(&self, now: Duration, cost: Duration) -> Duration {
        let core = Duration::try_from_secs_f64(cost.as_secs_f64() * self.pace).unwrap_or(Duration::MAX);
        now.saturating_add(core.saturating_mul(PATIENCE)).saturating_add(SLACK)
    }

    /// At `now` a thread has ended a hash that costs `cost` by the table, after `took`, of which it had a core for `core`.
    pub(super) fn ended(&mut self, now: Duration, cost: Duration, took: Duration, core: Duration) {
        let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64().max(1e-6);
        self.pace = averaged(self.pace, ratio(core, cost));
        self.stretch = averaged(self.stretch, ratio(took, core));
        if self.stretch > CROWDED {
            self.priority = Priority::Competing;
        } else if self.stretch < ROOMY && now >= self.compete_until {
            self.priority = Priority::Yielding;
        }
    }

    /// At `now` a hash that yields is not done though it should be.
    pub(super) fn starved(&mut self, now: Duration) {
        self.priority = Priority::Competing;
        self.compete_until = now.saturating_add(COMPETE_FOR);
        self.stretch = STARVED;
    }
}

/// A moving average over some eight values: follows a change of load, not a single slow hash.
pub(super) fn averaged(average: f64, value: f64) -> f64 {
    (average * 7.0 + value) / 8.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Duration = Duration::from_millis(20);
    const START: Duration = Duration::from_secs(100);

    /// Hashes that take `stretch` times as long as they have a core, from `from` on. Returns how many there were before the priority
    /// changed, if it did within fifty.
    fn hashes(contention: &mut Contention, from: Duration, stretch: u32) -> Option<u32> {
        let before = contention.priority();
        (1..=50).find(|count| {
            contention.ended(from + COST * *count, COST, COST * stretch, COST);
            contention.priority() != before
        })
    }

    #[test]
    fn hashes_yield_on_cores_that_have_time_for_them_and_compete_on_others() {
        let mut contention = Contention::new();
        assert_eq!(contention.priority(), Priority::Competing);
        assert_eq!(hashes(&mut contention, START, 2), None, "each has half a core");
        assert!(hashes(&mut contention, START, 1).is_some_and(|count| count > 8));
        assert_eq!(contention.priority(), Priority::Yielding);
        assert_eq!(hashes(&mut contention, START, 2), None, "half a core is enough");
        assert!(hashes(&mut contention, START, 10).is_some());
        assert_eq!(contention.priority(), Priority::Competing);
    }

    #[test]
    fn after_one_that_got_no_core_they_compete_for_a_while() {
        let mut contention = Contention::new();
        hashes(&mut contention, START, 1);
        contention.starved(START);
        assert_eq!(contention.priority(), Priority::Competing);
        assert_eq!(hashes(&mut contention, START, 1), None, "a second later");
        assert_eq!(hashes(&mut contention, START + COMPETE_FOR, 1), Some(1));
    }

    #[test]
    fn a_hash_has_twice_the_time_that_hashes_need_here_and_a_moment() {
        let mut contention = Contention::new();
        assert_eq!(contention.due(START, COST), START + COST * 2 + SLACK);
        for _ in 0..100 {
            contention.ended(START, COST, COST * 3, COST * 3);
        }
        let short = (START + COST * 6 + SLACK).saturating_sub(contention.due(START, COST));
        assert!(short < Duration::from_millis(1), "{short:?}");
    }
}
