//! Owns how many traces leave in a second, whichever second that is.

use std::{collections::VecDeque, time::Duration};

use crate::traces::MAX_TRACES_A_SECOND;

const SECOND: Duration = Duration::from_secs(1);

/// What was sent within the last second.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When requests had come to their end, and how many traces each had. A request counts until a second after its end: it may have left
    /// as late as that.
    sent: VecDeque<(Duration, usize)>,
}

impl Pace {
    /// How many traces may leave at `now`, which a monotonic clock tells.
    pub(super) fn room(&mut self, now: Duration) -> usize {
        while self.sent.front().is_some_and(|(ended, _)| now.saturating_sub(*ended) >= SECOND) {
            self.sent.pop_front();
        }
        let sent: usize = self.sent.iter().map(|(_, traces)| traces).sum();
        usize::try_from(MAX_TRACES_A_SECOND).unwrap_or(usize::MAX).saturating_sub(sent)
    }

    /// How long nothing may leave at `now`, if there is no room: until the oldest request counts no more.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        let until = self.sent.front().map_or(now, |(ended, _)| *ended + SECOND);
        until.saturating_sub(now)
    }

    /// A request with so many `traces` has ended at `now`, whether or not they were taken.
    pub(super) fn sent(&mut self, now: Duration, traces: usize) {
        self.sent.push_back((now, traces));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_second_has_so_many_whenever_it_begins() {
        let at = Duration::from_millis;
        let mut pace = Pace::default();
        assert_eq!((pace.room(at(700)), pace.wait(at(700))), (100, Duration::ZERO));
        pace.sent(at(700), 64);
        assert_eq!(pace.room(at(950)), 36);
        pace.sent(at(950), 36);
        assert_eq!(
            (pace.room(at(1_000)), pace.wait(at(1_000))),
            (0, at(700)),
            "the next second of the clock"
        );
        assert_eq!((pace.room(at(1_699)), pace.wait(at(1_699))), (0, at(1)));
        assert_eq!(pace.room(at(1_700)), 64);
        assert_eq!(pace.room(at(1_950)), 100);
    }
}
