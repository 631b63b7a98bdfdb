//! Owns how many lines of one cause the log takes in a minute, so that nobody makes it grow as fast as they like.

use std::{
    collections::HashMap,
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// For how long the lines of a cause are counted together.
const WINDOW: Duration = Duration::from_mins(1);

/// How many lines of one cause another crate may write in this time. What they warn of is mostly what peers do, as often as those
/// like.
const MAX_OF_OTHER_CRATES: u64 = 10;

/// How many lines of one cause this crate may write. Where strangers cause them, each place has a bound of its own, far below this:
/// here is the net for what was overlooked.
const MAX_OF_THIS_CRATE: u64 = 600;

/// How many causes are told apart. A cause is a place in the program, so there are no more in practice.
const MAX_CAUSES: usize = 1_024;

/// Counts the lines of each cause, and leaves out those beyond its bound.
#[derive(Debug)]
pub(super) struct LineLimits {
    causes: LazyLock<Mutex<HashMap<Cause, Window>>>,
    left_out: AtomicU64,
}

/// What lines are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    /// A place that writes by `tracing`.
    Callsite(Identifier),
    /// A place that writes by `log`, or that panics.
    Place(String),
    /// All others, if there are too many.
    Others,
}

#[derive(Debug)]
struct Window {
    began: Duration,
    lines: u64,
    max: u64,
    target: String,
    place: String,
}

/// Lines of one cause that were left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) target: String,
    pub(super) place: String,
    pub(super) lines: u64,
}

impl LineLimits {
    pub(super) const fn new() -> Self {
        Self { causes: LazyLock::new(Mutex::default), left_out: AtomicU64::new(0) }
    }

    /// How many lines were left out in all.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Whether a line of `cause` may be written at `now`. `target` and `place` name it.
    pub(super) fn admit(&self, cause: Cause, target: &str, place: &str, now: Duration) -> bool {
        let mut causes = self.causes();
        let is_known = causes.len() < MAX_CAUSES || causes.contains_key(&cause);
        let cause = if is_known { cause } else { Cause::Others };
        let window = causes.entry(cause).or_insert_with(|| {
            let max = if is_of_this_crate(target) { MAX_OF_THIS_CRATE } else { MAX_OF_OTHER_CRATES };
            Window { began: now, lines: 0, max, target: target.to_owned(), place: place.to_owned() }
        });
        window.lines += 1;
        let is_admitted = window.lines <= window.max;
        if !is_admitted {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        is_admitted
    }

    /// What was left out in the windows that have ended by `now`. They begin anew.
    pub(super) fn take_due(&self, now: Duration) -> Vec<LeftOut> {
        self.take(|window| now.saturating_sub(window.began) >= WINDOW)
    }

    /// What was left out in all windows. They begin anew.
    pub(super) fn take_all(&self) -> Vec<LeftOut> {
        self.take(|_| true)
    }

    fn take(&self, is_due: impl Fn(&Window) -> bool) -> Vec<LeftOut> {
        let ended: Vec<_> = self.causes().extract_if(|_, window| is_due(window)).collect();
        ended
            .into_iter()
            .filter(|(_, window)| window.lines > window.max)
            .map(|(_, Window { lines, max, target, place, .. })| LeftOut {
                target,
                place,
                lines: lines - max,
            })
            .collect()
    }

    fn causes(&self) -> MutexGuard<'_, HashMap<Cause, Window>> {
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for &'static LineLimits {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // Whoever asks for debug lines wants all of them. And what tells of what is missing must not be missing.
        if *metadata.level() > Level::INFO || metadata.target().starts_with(module_path_of_the_log()) {
            return true;
        }
        let now = super::CLOCK.monotonic();
        if metadata.target() == "log" {
            let Record { target, line } = Record::of(event);
            let place = format!("{target}:{line}");
            return self.admit(Cause::Place(place.clone()), &target, &place, now);
        }
        let file = metadata.file().unwrap_or_default();
        let place = format!("{}:{}", file_name(file), metadata.line().unwrap_or_default());
        self.admit(Cause::Callsite(metadata.callsite()), metadata.target(), &place, now)
    }
}

/// What a line by the crate `log` says of where it comes from.
#[derive(Debug, Default)]
struct Record {
    target: String,
    line: u64,
}

impl Record {
    fn of(event: &Event<'_>) -> Self {
        let mut record = Self::default();
        event.record(&mut record);
        record
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            value.clone_into(&mut self.target);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "log.line" {
            self.line = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

fn module_path_of_the_log() -> &'static str {
    module_path!().rsplit_once("::").map_or(module_path!(), |(parent, _)| parent)
}

fn is_of_this_crate(target: &str) -> bool {
    target.starts_with("signet")
}

/// The last two parts of a path: the rest tells where the machine that compiled it keeps its crates.
fn file_name(path: &str) -> &str {
    let mut slashes = path.rmatch_indices('/').map(|(at, _)| at + 1);
    slashes.nth(1).map_or(path, |at| &path[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_bound_are_left_out_until_the_minute_is_over_and_counted() {
        let limits = LineLimits::new();
        let at = |cause: &str, seconds| {
            let (target, now) = (cause.split(':').next().unwrap(), Duration::from_secs(seconds));
            limits.admit(Cause::Place(cause.to_owned()), target, cause, now)
        };
        let admitted = |cause, lines, seconds| (0..lines).filter(|_| at(cause, seconds)).count();
        assert_eq!(admitted("h2:1", 1_000, 5), 10);
        assert_eq!(admitted("h2:2", 10, 5), 10, "each cause has a bound of its own");
        assert_eq!(admitted("signet:1", 1_000, 6), 600);
        assert_eq!(limits.left_out(), 990 + 400);
        assert_eq!(limits.take_due(Duration::from_secs(64)), []);
        let left_out = |target: &str, place: &str, lines| LeftOut {
            target: target.to_owned(),
            place: place.to_owned(),
            lines,
        };
        assert_eq!(limits.take_due(Duration::from_secs(65)), [left_out("h2", "h2:1", 990)]);
        assert_eq!(admitted("h2:1", 1_000, 65), 10);
        assert_eq!(limits.take_all().len(), 2);
        assert_eq!(limits.take_all(), []);
    }

    #[test]
    fn causes_without_number_are_counted_together() {
        let limits = LineLimits::new();
        let admitted = |at: usize| {
            let cause = at.to_string();
            limits.admit(Cause::Place(cause.clone()), "other", &cause, Duration::ZERO)
        };
        assert_eq!((0..5_000).filter(|at| admitted(*at)).count(), MAX_CAUSES + 10);
        assert_eq!(limits.causes().len(), MAX_CAUSES + 1);
    }

    #[test]
    fn a_place_names_no_directory_of_whoever_compiled_it() {
        assert_eq!(file_name("/home/builder/h2-0.4.20/src/proto/streams.rs"), "proto/streams.rs");
        assert_eq!(file_name("lib.rs"), "lib.rs");
    }
}
