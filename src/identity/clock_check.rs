//! Owns whether this process's clock agrees with the database's: whoever deletes rows or keys by their age takes the time from here.
//!
//! A process whose clock is days ahead would take everybody's sessions for expired. The replicas share the database, so its clock is
//! the one that all can agree with.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    base::{Clock, Throttle, Timestamp},
    metrics::{ClockMetrics, TimedWork},
    model::Error,
    store::Store,
};

/// How far the clocks may be apart before this process serves no longer: the tokens that it issued would be refused elsewhere, and it
/// would refuse those of others.
const MAX_APART: Duration = Duration::from_mins(5);

/// How old a comparison may be for readiness. Clocks drift slowly; one that disagrees is compared at each look.
const COMPARE_INTERVAL: Duration = Duration::from_secs(10);

/// How often the log is told that the clocks disagree.
const WARN_INTERVAL: Duration = Duration::from_mins(10);

/// Compares this process's clock with the database's.
#[derive(Debug)]
pub struct ClockCheck {
    store: Store,
    clock: Clock,
    leeway: Duration,
    /// The last comparison, and when it was made on the monotonic clock.
    last: Mutex<Option<(Duration, ClockOffset)>>,
    warned: Throttle,
    metrics: ClockMetrics,
}

/// How far this process's clock is from the database's, beyond what the round trip explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOffset {
    /// This process's clock shows a later time.
    Ahead(Duration),
    /// It shows an earlier time, or the same.
    Behind(Duration),
}

/// The time by which work may be done that goes by the age of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgreedTime {
    /// This one: the clocks agree.
    Now(Timestamp),
    /// None: the clocks are too far apart.
    Apart(ClockOffset),
}

/// The time that counts for all processes that share the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommonTime {
    /// The database's time; this process's, if the database has none of its own.
    pub now: Timestamp,
    /// Whether this process's clock agrees with it.
    pub is_agreed: bool,
}

impl ClockOffset {
    /// None.
    const NONE: Self = Self::Behind(Duration::ZERO);

    /// Of a clock that showed `asked` when the database was asked for its time, and `answered` when it had answered `time`.
    fn of(asked: Timestamp, time: Timestamp, answered: Timestamp) -> Self {
        // Both clocks may be set in between.
        let (earliest, latest) = (asked.min(answered), asked.max(answered));
        if earliest > time { Self::Ahead(earliest.since(time)) } else { Self::Behind(time.since(latest)) }
    }

    /// How far, in either direction.
    #[must_use]
    pub const fn size(self) -> Duration {
        match self {
            Self::Ahead(by) | Self::Behind(by) => by,
        }
    }

    fn seconds(self) -> f64 {
        match self {
            Self::Ahead(by) => by.as_secs_f64(),
            Self::Behind(by) => 0.0 - by.as_secs_f64(),
        }
    }
}

impl fmt::Display for ClockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self {
            Self::Ahead(_) => "ahead of",
            Self::Behind(_) => "behind",
        };
        // Finer than anybody reads it.
        let millis = u64::try_from(self.size().as_millis()).unwrap_or(u64::MAX);
        let by = humantime::format_duration(Duration::from_millis(millis));
        write!(f, "{by} {direction} the database's")
    }
}

impl ClockCheck {
    /// Compares `clock` with that of the database of `store`; they agree if they are no further apart than `leeway`.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, leeway: Duration, metrics: ClockMetrics) -> Self {
        Self { store, clock, leeway, last: Mutex::new(None), warned: Throttle::new(WARN_INTERVAL), metrics }
    }

    /// This process's clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time by which `work` may be done. If there is none, that is counted.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`] if the database does not tell its time.
    pub async fn agreed_time(&self, work: TimedWork) -> Result<AgreedTime, Error> {
        let (_, offset) = self.compare().await?;
        if offset.size() <= self.leeway {
            return Ok(AgreedTime::Now(self.clock.now()));
        }
        self.metrics.withheld(work);
        Ok(AgreedTime::Apart(offset))
    }

    /// How far the clocks are apart, if that is too far for this process to serve.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`] if the database does not tell its time.
    pub async fn unfit(&self) -> Result<Option<ClockOffset>, Error> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        let offset = match last {
            Some((time, offset))
                if offset.size() <= self.leeway && now.saturating_sub(time) < COMPARE_INTERVAL =>
            {
                offset
            }
            _ => self.compare().await?.1,
        };
        Ok(Some(offset).filter(|offset| offset.size() > MAX_APART))
    }

    /// How far the clocks are apart; none if the database has no clock of its own.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`] if the database does not tell its time.
    pub async fn offset(&self) -> Result<Option<ClockOffset>, Error> {
        let (time, offset) = self.compare().await?;
        Ok(time.map(|_| offset))
    }

    /// The time by which all processes agree whose turn it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`] if the database does not tell its time.
    pub async fn common_time(&self) -> Result<CommonTime, Error> {
        let (time, offset) = self.compare().await?;
        Ok(CommonTime {
            now: time.unwrap_or_else(|| self.clock.now()),
            is_agreed: offset.size() <= self.leeway,
        })
    }

    /// Counts that `work` is not done, since the clocks disagree.
    pub fn withhold(&self, work: TimedWork) {
        self.metrics.withheld(work);
    }

    async fn compare(&self) -> Result<(Option<Timestamp>, ClockOffset), Error> {
        let asked = self.clock.now();
        let time = self.store.time().await?;
        let offset = time.map_or(ClockOffset::NONE, |time| ClockOffset::of(asked, time, self.clock.now()));
        self.metrics.offset(offset.seconds());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.clock.monotonic(), offset));
        if offset.size() > self.leeway && self.warned.pass(self.clock.monotonic()).is_some() {
            tracing::warn!(
                clock_leeway = ?self.leeway,
                "this machine's clock is {offset}: until they agree, this process deletes nothing that has expired and rotates no \
                 signing key"
            );
        }
        Ok((time, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_the_round_trip_does_not_explain() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let s = Duration::from_secs;
        for time in [10, 11, 12] {
            assert_eq!(ClockOffset::of(at(10), at(time), at(12)), ClockOffset::NONE, "{time}");
        }
        assert_eq!(ClockOffset::of(at(10), at(7), at(12)), ClockOffset::Ahead(s(3)));
        assert_eq!(ClockOffset::of(at(10), at(17), at(12)), ClockOffset::Behind(s(5)));
        // Set back by half a minute while the database answered.
        assert_eq!(ClockOffset::of(at(40), at(41), at(10)), ClockOffset::Behind(s(1)));
        assert_eq!(ClockOffset::Ahead(s(3)).to_string(), "3s ahead of the database's");
    }
}
