//! Owns time: the wall clock, the monotonic clock, and deadlines.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment of the wall clock: microseconds since 1970-01-01T00:00:00Z.
///
/// Microseconds are the finest precision that SQLite, PostgreSQL and MariaDB all keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: a `NumericDate` of RFC 7519 section 2.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The nanoseconds beyond [`Self::as_secs`].
    #[must_use]
    pub fn subsec_nanos(self) -> i32 {
        // The remainder is below 1,000,000, so the product fits an i32.
        i32::try_from(self.0.rem_euclid(1_000_000) * 1_000).unwrap_or_default()
    }

    /// The moment `by` later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment `by` earlier.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How much later this is than `earlier`; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }

    /// RFC 3339 with six digits behind the second, always: times in lines of a log stand below each other.
    #[must_use]
    pub fn to_fixed_text(self) -> String {
        let micros = self.0.rem_euclid(1_000_000);
        let whole = Self(self.0 - micros).to_string();
        whole.strip_suffix('Z').map_or(whole.clone(), |second| format!("{second}.{micros:06}Z"))
    }

    /// Whole milliseconds since the epoch; zero before it.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok());
        // Years beyond 9999 have no RFC 3339 form.
        f.write_str(&text.unwrap_or_else(|| format!("{} us", self.0)))
    }
}

impl FromStr for Timestamp {
    type Err = &'static str;

    /// Reads RFC 3339, and what databases make of it: a space for the `T`, and UTC where no offset is said. Finer than microseconds is
    /// cut off.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PROBLEM: &str = "must be a time such as 2026-11-24T01:02:03.456Z (RFC 3339)";
        let text = text.trim_end_matches(" UTC").replacen(' ', "T", 1);
        let time_of_day = text.split_once('T').ok_or(PROBLEM)?.1;
        let text = match time_of_day.find(['Z', 'z', '+', '-']) {
            None => format!("{text}Z"),
            // PostgreSQL leaves out the minutes of an offset when they are none.
            Some(at) if time_of_day.len() == at + 3 => format!("{text}:00"),
            Some(_) => text,
        };
        let moment = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| PROBLEM)?;
        i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000)).map(Self).map_err(|_| PROBLEM)
    }
}

/// Where the time comes from: the machine, or a hand that turns it in tests.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Duration,
    /// Microseconds since the epoch, if a hand turns this clock.
    hand: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { started: machine_monotonic(), hand: None }
    }

    /// A clock that stands at `start` until [`Self::advance`] turns it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self { hand: Some(Arc::new(AtomicI64::new(start.0))), ..Self::system() }
    }

    /// Turns a manual clock (and all its clones); does nothing to the machine's.
    pub fn advance(&self, by: Duration) {
        if let Some(hand) = &self.hand {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            hand.fetch_add(micros, Ordering::SeqCst);
        }
    }

    /// The wall clock: may be set back by whoever keeps the machine's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the others are told to take")]
    pub fn now(&self) -> Timestamp {
        if let Some(hand) = &self.hand {
            return Timestamp(hand.load(Ordering::SeqCst));
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    /// The monotonic clock, for ages: never goes back, and on Linux goes on while the machine sleeps. Its zero means nothing.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.hand.as_ref().map_or_else(
            || machine_monotonic().saturating_sub(self.started),
            |hand| Duration::from_micros(hand.load(Ordering::SeqCst).unsigned_abs()),
        )
    }
}

/// The machine's monotonic clock, sleep included: what was remembered before is as old as it is.
#[cfg(all(target_os = "linux", feature = "auth"))]
fn machine_monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The machine's monotonic clock.
#[cfg(not(all(target_os = "linux", feature = "auth")))]
#[expect(clippy::disallowed_methods, reason = "this is the clock that the others are told to take")]
fn machine_monotonic() -> Duration {
    static STARTED: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    STARTED.elapsed()
}

/// The moment by which a call must be answered, on the machine's monotonic clock.
///
/// Deadlines bound real work, so no hand turns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that lies `timeout` ahead.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a deadline bounds real work on the machine's clock")]
    pub fn after(timeout: Duration) -> Self {
        // A timeout too large to represent is as good as a day: no call lives so long.
        let now = Instant::now();
        Self(now.checked_add(timeout).unwrap_or(now + Duration::from_hours(24)))
    }

    /// The time that is left; zero once it has passed.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a deadline bounds real work on the machine's clock")]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// Whether it has passed for longer than `grace`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a deadline bounds real work on the machine's clock")]
    pub fn passed_by(self, grace: Duration) -> bool {
        Instant::now().saturating_duration_since(self.0) > grace
    }

    /// The moment itself.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_split_into_seconds_and_nanoseconds_on_both_sides_of_the_epoch() {
        let after = Timestamp::from_micros(1_500_000);
        assert_eq!((after.as_secs(), after.subsec_nanos()), (1, 500_000_000));
        let before = Timestamp::from_micros(-500_000);
        assert_eq!((before.as_secs(), before.subsec_nanos()), (-1, 500_000_000));
        assert_eq!(after.to_string(), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn times_are_read_as_they_are_written_and_as_databases_write_them() {
        let micros = |text: &str| text.parse::<Timestamp>().map(Timestamp::as_micros);
        for micros in [0, 1, -1, 1_500_000, 1_795_472_368_123_456, 253_402_300_799_999_999] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for text in [
            "1970-01-01T00:00:01.500000999Z",
            "1970-01-01 00:00:01.5",
            "1970-01-01 02:00:01.5+02",
            "1970-01-01 02:00:01.5+02:00",
            "1969-12-31T23:00:01.5-01:00",
            "1970-01-01 00:00:01.5 UTC",
        ] {
            assert_eq!(micros(text), Ok(1_500_000), "{text}");
        }
        for text in [
            "",
            "now",
            "1970-01-01",
            "1970-13-01T00:00:00Z",
            "1970-01-01T00:00:00+",
            "1.5",
            "T",
            "\u{1F980}T",
        ] {
            assert!(micros(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_machines_monotonic_clock_goes_on() {
        let clock = Clock::system();
        let mut last = clock.monotonic();
        let begun = last;
        while last == begun {
            let now = clock.monotonic();
            assert!(now >= last);
            last = now;
        }
        assert!(last < Duration::from_mins(1), "it counts from when it was made");
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_with_its_clones() {
        let clock = Clock::manual(Timestamp::from_micros(7));
        let clone = clock.clone();
        clone.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_micros(1_000_007));
        assert_eq!(clock.monotonic(), Duration::from_micros(1_000_007));
    }
}
