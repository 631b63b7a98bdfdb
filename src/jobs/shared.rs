//! Owns running shared jobs: each process looks which are due, and the one that gets the lease runs the job.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    report::{Report, RunResult, TELL_INTERVAL, caught},
    table::{SHARED, SharedJob, Upkeep},
    under_lease::under_lease,
};
use crate::{
    base::Timestamp,
    identity::{ClockCheck, CommonTime},
    metrics::{JobMetrics, JobResult},
    model::{Error, error},
    store::{JobRow, Process, RENEW_INTERVAL, RunEnd, Store},
};

/// How often a process checks whether a job is due.
pub(crate) const DUE_CHECK_INTERVAL: Duration = Duration::from_secs(15);

/// How long giving a lease back may take at the end of the service.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the end of all jobs may take: what is left then is dropped where it waits.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(GIVE_BACK_TIMEOUT.as_secs() * 2);

/// When a job runs again whose run did not succeed, if it does not run as often anyway.
const RETRY_INTERVAL: Duration = Duration::from_mins(1);

/// How long a run may take whose job is due sooner. One that hangs would otherwise keep its lease as long as its process lives.
const LONGEST_RUN: Duration = Duration::from_hours(1);

/// How far in the future a run may seem to have begun, since nodes of one database differ. What is later was told by a clock that was
/// wrong.
const CLOCKS_APART: Duration = Duration::from_mins(1);

/// Runs a job, with the time that counts as now.
type Run = dyn Fn(&'static SharedJob, Timestamp) -> BoxFuture<'static, Result<(), Error>> + Send + Sync;

/// The shared jobs, as one process runs them.
pub(crate) struct SharedJobs {
    run: Box<Run>,
    store: Store,
    clocks: Arc<ClockCheck>,
    process: Process,
    jobs: Vec<Arc<State>>,
    tasks: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

/// The state of a shared job in this process.
struct State {
    job: &'static SharedJob,
    report: Report,
    is_running: AtomicBool,
    /// Whether it is yet to succeed in this process for having been started.
    is_owed: AtomicBool,
    /// When, on the monotonic clock, it was last looked at by a right clock, or counted as withheld.
    considered: Mutex<Duration>,
}

/// Says that a job runs, until it is dropped.
struct Running(Arc<State>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::SeqCst);
    }
}

/// Whether the newest run of `row` has ended.
pub(super) fn has_ended(row: &JobRow) -> bool {
    row.end_time.is_some_and(|end_time| row.begin_time.is_some_and(|begin_time| begin_time <= end_time))
}

/// Whether the newest run of `row` has ended with `result`.
fn has_ended_with(row: &JobRow, result: JobResult) -> bool {
    has_ended(row) && row.result.as_deref() == Some(result.name())
}

/// From when on the job of `row` is to run again, if its lease is free. One that never ran waits for its period like any other.
pub(super) fn due_time(row: &JobRow, period: Duration) -> Timestamp {
    match (row.begin_time, row.end_time) {
        (None, _) => row.expire_time.after(period),
        // Another process begins it at once.
        (Some(_), Some(end_time)) if has_ended_with(row, JobResult::Stopped) => end_time,
        (Some(begin_time), _) if has_ended_with(row, JobResult::Succeeded) => begin_time.after(period),
        (Some(begin_time), _) if has_ended(row) => begin_time.after(period.min(RETRY_INTERVAL)),
        // It goes on, or was cut off: then until the lease is over.
        (Some(_), _) => row.expire_time,
    }
}

/// The record of a run that `ended` at `time`.
pub(super) fn run_end(ended: &RunResult, time: Timestamp) -> RunEnd {
    RunEnd { time, result: ended.result().name(), problem: ended.problem() }
}

impl State {
    fn new(job: &'static SharedJob, clocks: &ClockCheck, metrics: &JobMetrics) -> Arc<Self> {
        let clock = clocks.clock();
        Arc::new(Self {
            job,
            report: Report::new(job.name, job.failing, TELL_INTERVAL, clock, metrics),
            is_running: AtomicBool::new(false),
            is_owed: AtomicBool::new(job.at_start),
            considered: Mutex::new(clock.monotonic()),
        })
    }

    /// Whether this process must leave the job to others, since its clock is wrong; at `now` on the monotonic one. That is counted once in
    /// each period.
    fn is_withheld(&self, time: CommonTime, now: Duration, clocks: &ClockCheck) -> bool {
        let Some(work) = self.job.by_age else { return false };
        let mut considered = self.considered.lock().unwrap_or_else(PoisonError::into_inner);
        if time.is_agreed {
            *considered = now;
        } else if now.saturating_sub(*considered) >= self.job.period {
            *considered = now;
            clocks.withhold(work);
        }
        !time.is_agreed
    }

    /// Whether the job of `row` is to run at `now`.
    fn is_due(&self, row: &JobRow, now: Timestamp) -> bool {
        // What another process did counts for nothing: it may be of an older release. But a failure is not repeated at once.
        let is_owed = self.is_owed.load(Ordering::SeqCst)
            && (!has_ended(row) || has_ended_with(row, JobResult::Succeeded));
        let latest = now.after(CLOCKS_APART + RENEW_INTERVAL * 3);
        let is_told_wrong = row.begin_time.is_some_and(|begin_time| begin_time > latest)
            || (row.expire_time > latest && !row.is_held(now));
        is_owed || is_told_wrong || due_time(row, self.job.period) <= now
    }
}

impl SharedJobs {
    /// The shared jobs that `process` runs on `upkeep`, which is in `store`. Their leases exist from now on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(crate) async fn open(
        upkeep: Upkeep,
        store: Store,
        clocks: Arc<ClockCheck>,
        process: Process,
        metrics: &JobMetrics,
    ) -> Result<Arc<Self>, Error> {
        let upkeep = Arc::new(upkeep);
        let run = move |job: &'static SharedJob, time| {
            let upkeep = Arc::clone(&upkeep);
            async move { (job.run)(&upkeep, time).await }.boxed()
        };
        Self::of(Box::new(run), store, clocks, process, metrics).await
    }

    /// The same, where `run` runs them.
    async fn of(
        run: Box<Run>,
        store: Store,
        clocks: Arc<ClockCheck>,
        process: Process,
        metrics: &JobMetrics,
    ) -> Result<Arc<Self>, Error> {
        store.add_jobs(&SHARED.each_ref().map(|job| job.name), clocks.common_time().await?.now).await?;
        let jobs = SHARED.iter().map(|job| State::new(job, &clocks, metrics)).collect();
        let (tasks, stop) = (Mutex::default(), CancellationToken::new());
        Ok(Arc::new(Self { run, store, clocks, process, jobs, tasks, stop }))
    }

    /// The process that runs them.
    pub(crate) const fn process(&self) -> &Process {
        &self.process
    }

    /// Begins each job that is due and that no other process runs. One that cannot be begun keeps no other from it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause: the first one.
    pub(crate) async fn look(self: &Arc<Self>) -> Result<(), Error> {
        while self.tasks.lock().unwrap_or_else(PoisonError::into_inner).try_join_next().is_some() {}
        // Before the time is asked for, in case the clock is set meanwhile.
        let begun = self.clocks.clock().monotonic();
        let time = self.clocks.common_time().await?;
        let rows = self.rows(time.now).await?;
        let mut looked = Ok(());
        for state in &self.jobs {
            let Some(row) = rows.iter().find(|row| row.name == state.job.name) else { continue };
            let is_anothers = row.is_held(time.now) && row.holder != Some(self.process.id);
            let is_running = state.is_running.load(Ordering::SeqCst);
            if state.is_withheld(time, begun, &self.clocks) || is_running || is_anothers {
                continue;
            }
            if state.is_due(row, time.now) {
                match self.store.begin_run(row, &self.process, time.now).await {
                    Ok(true) => self.begin(state, time.now),
                    Ok(false) => {}
                    Err(error) => looked = looked.and(Err(error)),
                }
            }
        }
        looked
    }

    /// Every lease, at `now`. Those that are gone, since the database is an older one than it was, exist again.
    async fn rows(&self, now: Timestamp) -> Result<Vec<JobRow>, Error> {
        let rows = self.store.jobs().await?;
        let names = SHARED.each_ref().map(|job| job.name);
        if names.iter().all(|name| rows.iter().any(|row| row.name == *name)) {
            return Ok(rows);
        }
        self.store.add_jobs(&names, now).await?;
        tracing::warn!(
            "leases of jobs were gone, as when the database is an older one than it was: they are added anew"
        );
        self.store.jobs().await
    }

    /// Ends what runs, and gives the leases back. If that is dropped, what runs is dropped, too.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
        let _ = timeout(GIVE_BACK_TIMEOUT, self.give_back()).await;
    }

    /// Gives the leases back that this process has without a run: those whose answer was lost when they were taken, or given back.
    async fn give_back(&self) {
        let Ok(rows) = self.store.jobs().await else { return };
        for row in rows.iter().filter(|row| row.holder == Some(self.process.id) && !has_ended(row)) {
            if let Some(begin_time) = row.begin_time.filter(|_| SHARED.iter().any(|job| job.name == row.name))
            {
                self.end(&row.name, begin_time, self.stopped(begin_time)).await;
            }
        }
    }

    /// Runs a job, whose lease was taken at `begin_time`, on a task of its own.
    fn begin(self: &Arc<Self>, state: &Arc<State>, begin_time: Timestamp) {
        state.is_running.store(true, Ordering::SeqCst);
        let (jobs, running) = (Arc::clone(self), Running(Arc::clone(state)));
        let run = async move { jobs.run(&running.0, begin_time).await };
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(run);
    }

    async fn run(&self, state: &State, begin_time: Timestamp) {
        let SharedJob { name, period, .. } = *state.job;
        let run = caught(async { Ok((self.run)(state.job, begin_time).await?) });
        let ended = under_lease(run, self.lost(name, begin_time), &self.stop, period.max(LONGEST_RUN)).await;
        state.report.tell(&ended);
        match ended {
            RunResult::Lost => return,
            RunResult::Stopped => {
                let end = self.end(name, begin_time, self.stopped(begin_time));
                let _ = timeout(GIVE_BACK_TIMEOUT, end).await;
                return;
            }
            RunResult::Succeeded => state.is_owed.store(false, Ordering::SeqCst),
            RunResult::Failed(_) | RunResult::Panicked => {}
        }
        self.end(name, begin_time, run_end(&ended, self.now().await.max(begin_time))).await;
    }

    /// Renews the lease of the run of `job` that began at `begin_time`, until another process has it.
    async fn lost(&self, job: &str, begin_time: Timestamp) {
        loop {
            sleep(RENEW_INTERVAL).await;
            let renewed = self.store.renew_run(job, &self.process, begin_time, self.now().await).await;
            if matches!(renewed, Ok(false)) {
                return;
            }
        }
    }

    /// How a run ends now that began at `begin_time`, since its process ends.
    fn stopped(&self, begin_time: Timestamp) -> RunEnd {
        run_end(&RunResult::Stopped, self.clocks.clock().now().max(begin_time))
    }

    async fn end(&self, job: &str, begin_time: Timestamp, end: RunEnd) {
        if let Err(error) = self.store.end_run(job, &self.process, begin_time, end).await {
            // Once the lease is over, some process begins anew.
            tracing::debug!(job, error = %error::chain(&error), "the end of a run is not noted");
        }
    }

    /// The common time; while the database does not tell it, this process's.
    async fn now(&self) -> Timestamp {
        let time = self.clocks.common_time().await;
        time.map_or_else(|_| self.clocks.clock().now(), |time| time.now)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::ready;

    use super::*;
    use crate::{
        base::{Clock, Entropy},
        metrics::Metrics,
    };

    /// Longer than all jobs may take by far.
    const PATIENCE: Duration = Duration::from_mins(1);

    /// The jobs of a process that `run` runs, in a database of their own, all due.
    async fn due(run: Box<Run>) -> (Arc<SharedJobs>, Metrics, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::system()).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let (metrics, clock) = (Metrics::new(), Clock::manual(Timestamp::from_micros(1_795_435_200_000_000)));
        let clocks =
            ClockCheck::new(store.clone(), clock.clone(), Duration::from_mins(1), metrics.clock.clone());
        let process = Process { id: uuid::Uuid::from_u128(1), name: "one:7".into() };
        let jobs = SharedJobs::of(run, store, Arc::new(clocks), process, &metrics.jobs).await.unwrap();
        clock.advance(Duration::from_hours(24));
        (jobs, metrics, dir)
    }

    /// Jobs of which each succeeds at once.
    pub(crate) async fn easy() -> (Arc<SharedJobs>, Metrics, tempfile::TempDir) {
        due(Box::new(|_, _| ready(Ok(())).boxed())).await
    }

    /// How each job has ended that has.
    async fn results(jobs: &SharedJobs) -> Vec<(String, String)> {
        let rows = jobs.store.jobs().await.unwrap();
        rows.into_iter().filter_map(|row| Some((row.name, row.result?))).collect()
    }

    #[tokio::test]
    async fn one_that_panics_or_fails_keeps_no_other_from_running() {
        let run = |job: &'static SharedJob, _| match job.name {
            "sessions" => async { panic!("of a test") }.boxed(),
            "assertions" => ready(Err(Error::internal("of a test"))).boxed(),
            _ => ready(Ok(())).boxed(),
        };
        let (jobs, metrics, _dir) = due(Box::new(run)).await;
        jobs.look().await.unwrap();
        let ending = async { while results(&jobs).await.len() < SHARED.len() {} };
        timeout(PATIENCE, ending).await.expect("each ends");
        for (name, result) in results(&jobs).await {
            let expected = match name.as_str() {
                "sessions" => "panicked",
                "assertions" => "failed",
                _ => "succeeded",
            };
            assert_eq!(result, expected, "{name}");
            let line = format!("signet_job_runs_total{{job=\"{name}\",result=\"{expected}\"}} 1");
            assert!(metrics.text().contains(&line), "{line}");
        }
    }
}
