//! Owns listing the shared jobs, as the rows of their leases tell of them.

use std::time::Duration;

use super::{
    shared::{due_time, has_ended},
    table::SHARED,
};
use crate::{
    base::{Clock, Timestamp},
    model::Error,
    store::{JobRow, MANIFESTS_LEASE, SIGNING_KEYS_LEASE, Store},
};

/// A shared job, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedJob {
    /// Its name.
    pub name: String,
    /// The time between two runs; none if it runs when there is something to do, or if only a newer release knows it.
    pub period: Option<Duration>,
    /// Which process has the lease at present.
    pub holder: Option<String>,
    /// When the newest run began.
    pub begin_time: Option<Timestamp>,
    /// When it ended, if it did.
    pub end_time: Option<Timestamp>,
    /// Which process ran it.
    pub process: Option<String>,
    /// How it ended: `succeeded`, `failed`, `panicked`, `stopped` or `cut off`; `running`, `never`, or `unknown`, since the release before
    /// tells nothing of its runs.
    pub result: String,
    /// Why it failed, in a sentence.
    pub problem: Option<String>,
    /// When it is to run next. If that has passed, any process may begin it at any moment.
    pub due_time: Option<Timestamp>,
}

/// The result of a run that is not known.
const UNKNOWN: &str = "unknown";

/// The shared jobs of this release, in the order of its table, and then those that only newer releases know.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn list(store: &Store, clock: &Clock) -> Result<Vec<ListedJob>, Error> {
    let rows = store.jobs().await?;
    let now = store.time().await?.unwrap_or_else(|| clock.now());
    let own = SHARED.iter().map(|job| (job.name, Some(job.period))).chain([(SIGNING_KEYS_LEASE, None)]);
    let mut listed: Vec<_> = own
        .map(|(name, period)| {
            let row = rows.iter().find(|row| row.name == name);
            row.map_or_else(|| unseen(name, period), |row| seen(row, period, now))
        })
        .collect();
    let known: Vec<_> = listed.iter().map(|job| job.name.clone()).collect();
    // That one is no job: a call takes it.
    let newer = rows.iter().filter(|row| !known.contains(&row.name) && row.name != MANIFESTS_LEASE);
    listed.extend(newer.map(|row| seen(row, None, now)));
    Ok(listed)
}

/// A job that no process of this release has looked at yet.
fn unseen(name: &str, period: Option<Duration>) -> ListedJob {
    ListedJob {
        name: name.to_owned(),
        period,
        holder: None,
        begin_time: None,
        end_time: None,
        process: None,
        result: "never".to_owned(),
        problem: None,
        due_time: None,
    }
}

/// A job as `row` tells of it at `now`.
fn seen(row: &JobRow, period: Option<Duration>, now: Timestamp) -> ListedJob {
    let process = row.process.as_ref();
    let named = process.filter(|process| Some(process.id) == row.holder);
    let holder = || named.map_or(UNKNOWN, |process| &process.name).to_owned();
    let has_ended = has_ended(row);
    let is_held = row.is_held(now);
    let result = match row.begin_time {
        // It was taken by a release that tells nothing else.
        None if row.holder.is_some() => UNKNOWN,
        None => "never",
        Some(_) if has_ended => row.result.as_deref().unwrap_or(UNKNOWN),
        Some(_) if is_held && named.is_some() => "running",
        Some(_) => "cut off",
    };
    let due_time = period.map(|period| match row.begin_time {
        Some(begin_time) if result == "running" => begin_time.after(period),
        _ => due_time(row, period),
    });
    ListedJob {
        name: row.name.clone(),
        period,
        holder: is_held.then(holder),
        begin_time: row.begin_time,
        end_time: row.end_time.filter(|_| has_ended),
        process: process.map(|process| process.name.to_string()),
        result: result.to_owned(),
        problem: row.problem.clone().filter(|_| has_ended),
        due_time,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::Process;

    const PERIOD: Duration = Duration::from_mins(10);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(0).after(Duration::from_secs(seconds))
    }

    fn row() -> JobRow {
        JobRow {
            name: "sessions".to_owned(),
            holder: None,
            expire_time: at(100),
            begin_time: None,
            end_time: None,
            result: None,
            problem: None,
            process: None,
        }
    }

    /// Of a run that began at 200, under a lease until 260.
    fn begun() -> JobRow {
        let process = Process { id: Uuid::from_u128(1), name: "one:7".into() };
        JobRow {
            holder: Some(process.id),
            expire_time: at(260),
            begin_time: Some(at(200)),
            process: Some(process),
            ..row()
        }
    }

    fn ended(result: &str) -> JobRow {
        JobRow { end_time: Some(at(230)), expire_time: at(230), result: Some(result.to_owned()), ..begun() }
    }

    fn result(row: &JobRow, seconds: u64) -> (String, Option<Timestamp>) {
        let listed = seen(row, Some(PERIOD), at(seconds));
        (listed.result, listed.due_time)
    }

    #[test]
    fn a_row_tells_how_the_last_run_ended_and_when_the_next_is_due() {
        let is = |row: &JobRow, seconds: u64, expected: &str, due: u64| {
            assert_eq!(result(row, seconds), (expected.to_owned(), Some(at(due))));
        };
        is(&row(), 150, "never", 700);
        is(&begun(), 250, "running", 800);
        is(&begun(), 260, "cut off", 260);
        is(&ended("succeeded"), 240, "succeeded", 800);
        is(&ended("failed"), 240, "failed", 260);
        is(&ended("stopped"), 240, "stopped", 230);
        let long_ago = JobRow { begin_time: Some(at(0)), ..ended("panicked") };
        is(&long_ago, 240, "panicked", 60);
        let again = JobRow { begin_time: Some(at(800)), expire_time: at(860), ..ended("failed") };
        is(&again, 850, "running", 1_400);
        is(&again, 860, "cut off", 860);
        assert_eq!(seen(&again, None, at(850)).problem, None, "that was of the run before");
    }

    #[test]
    fn what_the_release_before_did_is_unknown() {
        let before = JobRow { holder: Some(Uuid::from_u128(2)), ..row() };
        let listed = seen(&before, None, at(50));
        assert_eq!((listed.result.as_str(), listed.holder.as_deref()), (UNKNOWN, Some(UNKNOWN)));
        // It has taken a lease that this release had before, and tells nothing of that.
        let after = JobRow { holder: Some(Uuid::from_u128(2)), expire_time: at(300), ..ended("succeeded") };
        let listed = seen(&after, None, at(250));
        assert_eq!((listed.result.as_str(), listed.holder.as_deref()), ("succeeded", Some(UNKNOWN)));
        assert_eq!(listed.process.as_deref(), Some("one:7"));
    }

    #[test]
    fn a_lease_that_lasts_longer_than_any_keeps_nobody_out() {
        let wrong = JobRow { expire_time: at(100_000), ..begun() };
        assert_eq!(seen(&wrong, Some(PERIOD), at(250)).holder, None);
    }
}
