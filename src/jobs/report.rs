//! Owns how a run ended: a panic is caught, and what came of the run is logged and counted.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use crate::{
    base::{Clock, Throttle},
    metrics::{JobMeter, JobMetrics, JobResult},
    model::error,
};

/// The shortest time between two lines of the log that say that a job fails.
pub(super) const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Why a run failed.
#[derive(Debug)]
pub(crate) struct RunFailure {
    /// For whoever reads the database: without a cause, and so without what a cause may quote.
    pub(super) sentence: String,
    /// The error with its causes, for the log.
    chain: String,
}

impl<E: std::error::Error + 'static> From<E> for RunFailure {
    fn from(error: E) -> Self {
        Self { sentence: error.to_string(), chain: error::chain(&error) }
    }
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum RunResult {
    Succeeded,
    Failed(RunFailure),
    Panicked,
    /// Another process has taken the lease.
    Lost,
    /// The service ends.
    Stopped,
}

impl RunResult {
    pub(super) fn failed(error: &(impl std::error::Error + 'static)) -> Self {
        Self::Failed(RunFailure { sentence: error.to_string(), chain: error::chain(error) })
    }

    /// The run was stopped after the `longest` time.
    pub(super) fn took_too_long(longest: Duration) -> Self {
        let sentence = format!("it took too long: more than {}", humantime::format_duration(longest));
        Self::Failed(RunFailure { chain: sentence.clone(), sentence })
    }

    pub(super) const fn result(&self) -> JobResult {
        match self {
            Self::Succeeded => JobResult::Succeeded,
            Self::Failed(_) => JobResult::Failed,
            Self::Panicked => JobResult::Panicked,
            Self::Lost => JobResult::Lost,
            Self::Stopped => JobResult::Stopped,
        }
    }

    /// Why it did not succeed, in a sentence.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Succeeded | Self::Lost | Self::Stopped => None,
            Self::Failed(failure) => Some(failure.sentence.clone()),
            Self::Panicked => Some("a defect of the service: the log of the process has it".to_owned()),
        }
    }
}

/// The result of `run`. A panic ends the run alone, and is in the log by then.
pub(super) async fn caught(run: impl Future<Output = Result<(), RunFailure>>) -> RunResult {
    // What a run shares with others stays whole when it is dropped at any point, as at the end of the service.
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(Ok(())) => RunResult::Succeeded,
        Ok(Err(failure)) => RunResult::Failed(failure),
        Err(_) => RunResult::Panicked,
    }
}

/// Tells how the runs of one job end.
#[derive(Debug)]
pub(super) struct Report {
    job: &'static str,
    /// What does not work while the job fails, for the log.
    failing: &'static str,
    clock: Clock,
    meter: JobMeter,
    told: Throttle,
}

impl Report {
    pub(super) fn new(
        job: &'static str,
        failing: &'static str,
        tell_interval: Duration,
        clock: &Clock,
        metrics: &JobMetrics,
    ) -> Self {
        let (clock, meter) = (clock.clone(), metrics.of(job));
        Self { job, failing, clock, meter, told: Throttle::new(tell_interval) }
    }

    /// Logs and counts that a run has ended.
    #[expect(clippy::cast_precision_loss, reason = "whole seconds stay exact for millions of years")]
    pub(super) fn tell(&self, ended: &RunResult) {
        self.meter.ended(ended.result(), self.clock.now().as_secs() as f64);
        let chain = match ended {
            RunResult::Succeeded | RunResult::Stopped => return,
            RunResult::Lost => "another process has taken the lease, and goes on",
            RunResult::Failed(failure) => &failure.chain,
            RunResult::Panicked => "a panic, which the log tells beside this line",
        };
        if let Some(untold) = self.told.pass(self.clock.monotonic()) {
            tracing::warn!(job = self.job, error = chain, untold, "{}", self.failing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Error;

    #[tokio::test]
    async fn a_failure_is_kept_as_its_sentence_without_the_cause() {
        let refused = caught(async { Err(Error::internal("the password is hunter2").into()) }).await;
        assert_eq!(refused.result(), JobResult::Failed);
        assert!(!refused.problem().unwrap().contains("hunter2"), "{refused:?}");
    }

    #[tokio::test]
    async fn a_panic_ends_its_run_alone() {
        let panicked = caught(async { panic!("of a test") }).await;
        assert_eq!(panicked.result(), JobResult::Panicked);
        assert_eq!(caught(async { Ok(()) }).await.result(), JobResult::Succeeded);
    }
}
