//! Owns what each process does for itself, again and again, until it is stopped.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::report::{Report, RunFailure, RunResult, TELL_INTERVAL, caught};
use crate::{
    base::{Clock, Entropy},
    metrics::JobMetrics,
};

/// How often a waiting job reads the clock at most, so that the time for which a machine slept counts.
const CLOCK_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a job that runs as work comes waits after a failure: twice as long each time, so that a database that comes back is left
/// in peace.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// When a job runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// After so long, whatever the clock says: for times of about a second.
    Slept(Duration),
    /// After so long on the clock, since the last run began.
    Clock(Duration),
    /// At once: each run waits for its work.
    AsWorkComes,
}

/// A job that each process runs for itself.
pub(crate) struct OwnJob {
    name: &'static str,
    pace: Pace,
    /// What does not work while the job fails, for the log.
    failing: &'static str,
    /// How long it waits at least after a failure.
    retry_after: Duration,
    /// The shortest time between two lines of the log that say so.
    tell_interval: Duration,
    run: Box<dyn Fn() -> BoxFuture<'static, Result<(), RunFailure>> + Send + Sync>,
}

/// Own jobs that go on. They end when this is dropped.
pub(crate) struct OwnJobs {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl OwnJob {
    /// The job `name`, which `run` does once.
    pub(crate) fn new<F, E>(
        name: &'static str,
        pace: Pace,
        failing: &'static str,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + 'static,
    {
        let run = move || run().map(|done| done.map_err(RunFailure::from)).boxed();
        Self {
            name,
            pace,
            failing,
            retry_after: Duration::ZERO,
            tell_interval: TELL_INTERVAL,
            run: Box::new(run),
        }
    }

    /// Waits at least for `pause` after a failure.
    pub(crate) fn retried_after(self, pause: Duration) -> Self {
        Self { retry_after: pause, ..self }
    }

    /// Has the log told of each failure, since none is like the last.
    pub(crate) fn told_each_time(self) -> Self {
        Self { tell_interval: Duration::ZERO, ..self }
    }

    async fn go_on(self, clock: Clock, entropy: Entropy, report: Report) {
        let mut failures = 0;
        loop {
            let begun = clock.monotonic();
            let ended = caught(async { (self.run)().await }).await;
            report.tell(&ended);
            failures = if matches!(ended, RunResult::Succeeded) { 0 } else { failures + 1 };
            let retry_after = if failures > 0 { self.retry_after } else { Duration::ZERO };
            match self.pace {
                Pace::Slept(period) => sleep(period.max(retry_after)).await,
                Pace::Clock(period) => wait(&clock, &entropy, begun, period.max(retry_after)).await,
                Pace::AsWorkComes if failures > 0 => sleep(pause(failures).max(retry_after)).await,
                Pace::AsWorkComes => {}
            }
        }
    }
}

/// How long to wait after so many failures, one after the other.
fn pause(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

/// Waits until `period` has passed on `clock` since `begun`, and then for up to a second, so that processes that began at one moment do
/// not all ask the database at one moment.
async fn wait(clock: &Clock, entropy: &Entropy, begun: Duration, period: Duration) {
    loop {
        sleep(entropy.part_of(CLOCK_POLL_INTERVAL, 0.5..1.0)).await;
        if clock.monotonic().saturating_sub(begun) >= period {
            return;
        }
    }
}

impl OwnJobs {
    /// Starts `jobs`, each on a task of its own, so that none holds up another.
    pub(crate) fn start(jobs: Vec<OwnJob>, clock: &Clock, entropy: &Entropy, metrics: &JobMetrics) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        for job in jobs {
            let report = Report::new(job.name, job.failing, job.tell_interval, clock, metrics);
            let (clock, entropy, stop) = (clock.clone(), entropy.clone(), stop.clone());
            tasks.spawn(async move {
                let _ = stop.run_until_cancelled(job.go_on(clock, entropy, report)).await;
            });
        }
        Self { tasks, stop }
    }

    /// Ends them: a run that waits for something is dropped there.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use tokio::{sync::Semaphore, time::Instant};

    use super::*;
    use crate::{base::Timestamp, metrics::Metrics};

    /// A job whose first run panics, whose second fails, and whose others succeed. Each adds a permit to `runs`.
    fn clumsy(pace: Pace, runs: &Arc<Semaphore>) -> OwnJob {
        let (runs, count) = (Arc::clone(runs), AtomicUsize::new(0));
        OwnJob::new("test", pace, "nothing happens", move || {
            runs.add_permits(1);
            match count.fetch_add(1, Ordering::SeqCst) {
                0 => panic!("of a test"),
                1 => std::future::ready(Err(io::Error::other("of a test"))),
                _ => std::future::ready(Ok(())),
            }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_panics_or_fails_is_counted_and_goes_on() {
        let clock = Clock::manual(Timestamp::from_micros(7_000_000));
        let (metrics, runs) = (Metrics::new(), Arc::new(Semaphore::new(0)));
        let jobs = vec![clumsy(Pace::Slept(CLOCK_POLL_INTERVAL), &runs)];
        let jobs = OwnJobs::start(jobs, &clock, &Entropy::system(), &metrics.jobs);
        runs.acquire_many(4).await.unwrap().forget();
        jobs.stop().await;
        let text = metrics.text();
        for line in [
            r#"signet_job_runs_total{job="test",result="panicked"} 1"#,
            r#"signet_job_runs_total{job="test",result="failed"} 1"#,
            r#"signet_job_last_success_timestamp_seconds{job="test"} 7"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_by_the_clock_runs_again_once_it_is_turned() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let (metrics, runs) = (Metrics::new(), Arc::new(Semaphore::new(0)));
        let jobs = vec![clumsy(Pace::Clock(Duration::from_mins(10)), &runs)];
        let jobs = OwnJobs::start(jobs, &clock, &Entropy::system(), &metrics.jobs);
        runs.acquire().await.unwrap().forget();
        clock.advance(Duration::from_mins(9));
        sleep(LONGEST_PAUSE).await;
        assert_eq!(runs.available_permits(), 0, "too early");
        clock.advance(Duration::from_mins(1));
        runs.acquire().await.unwrap().forget();
        jobs.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_panics_or_fails_pauses_before_it_is_tried_again() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let (metrics, runs) = (Metrics::new(), Arc::new(Semaphore::new(0)));
        let (often, pause) = (Duration::from_millis(50), Duration::from_secs(1));
        let jobs = vec![clumsy(Pace::Slept(often), &runs).retried_after(pause)];
        let jobs = OwnJobs::start(jobs, &clock, &Entropy::system(), &metrics.jobs);
        let start = Instant::now();
        // After the panic, after the failure, and after it has succeeded.
        for expected in [Duration::ZERO, pause, pause * 2, pause * 2 + often] {
            runs.acquire().await.unwrap().forget();
            assert_eq!(start.elapsed().as_millis(), expected.as_millis());
        }
        jobs.stop().await;
    }

    #[test]
    fn each_pause_after_a_failure_is_twice_as_long_up_to_a_bound() {
        assert_eq!([1, 2, 3].map(pause), [1, 2, 4].map(Duration::from_secs));
        assert_eq!([6, 100, u32::MAX].map(pause), [LONGEST_PAUSE; 3]);
    }
}
