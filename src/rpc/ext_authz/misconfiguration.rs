//! Owns telling the operator of routes whose rule cannot be understood, at a bounded rate.

use std::{fmt, sync::Mutex, time::Duration};

use crate::model::Clock;

/// How often it is told at most: such a route refuses every request, and whoever reaches the port can send any rule.
const INTERVAL: Duration = Duration::from_secs(10);

/// Tells of routes that refuse everybody.
#[derive(Debug)]
pub(super) struct Misconfiguration {
    clock: Clock,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// When it was told last, on the monotonic clock.
    last: Option<Duration>,
    /// How many refusals were not told since.
    silent: u64,
}

impl Misconfiguration {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, told: Mutex::default() }
    }

    /// Tells that requests are refused for `problem`, if nothing of the kind was told lately.
    pub(super) fn tell(&self, problem: &impl fmt::Display) {
        if let Some(silent) = self.due() {
            tracing::error!(
                refused_since_last_told = silent,
                "ext_authz: a route refuses every request: {problem}"
            );
        }
    }

    /// How many were not told, if it is time to tell again.
    fn due(&self) -> Option<u64> {
        let now = self.clock.monotonic();
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.last.is_some_and(|last| now.saturating_sub(last) < INTERVAL) {
            told.silent += 1;
            return None;
        }
        Some(std::mem::replace(&mut *told, Told { last: Some(now), silent: 0 }).silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn it_is_told_at_once_and_then_at_a_bounded_rate() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let misconfiguration = Misconfiguration::new(clock.clone());
        assert_eq!(misconfiguration.due(), Some(0));
        assert_eq!((misconfiguration.due(), misconfiguration.due()), (None, None));
        clock.advance(INTERVAL);
        assert_eq!(misconfiguration.due(), Some(2));
        assert_eq!(misconfiguration.due(), None);
    }
}
