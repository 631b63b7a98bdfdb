//! Owns what is counted of jobs: what this process does by itself, again and again.

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, Registry};

use super::{families, series};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobResult {
    /// It did all that it had to do.
    Succeeded,
    /// It met an error.
    Failed,
    /// It met a defect.
    Panicked,
    /// Another process took its lease, and goes on.
    Lost,
    /// The end of the process cut it short.
    Stopped,
}

/// The jobs of this process.
#[derive(Clone, Debug)]
pub struct JobMetrics {
    runs: IntCounterVec,
    last_success: GaugeVec,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct JobMeter {
    succeeded: IntCounter,
    failed: IntCounter,
    panicked: IntCounter,
    lost: IntCounter,
    stopped: IntCounter,
    last_success: Gauge,
}

impl JobResult {
    /// Its word, in metrics and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}

impl JobMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            runs: series::counters(registry, &families::JOB_RUNS),
            last_success: series::gauges(registry, &families::JOB_LAST_SUCCESS),
        }
    }

    /// Those of `job`: at zero until it has run.
    #[must_use]
    pub fn of(&self, job: &str) -> JobMeter {
        let runs = |result: JobResult| self.runs.with_label_values(&[job, result.name()]);
        JobMeter {
            succeeded: runs(JobResult::Succeeded),
            failed: runs(JobResult::Failed),
            panicked: runs(JobResult::Panicked),
            lost: runs(JobResult::Lost),
            stopped: runs(JobResult::Stopped),
            last_success: self.last_success.with_label_values(&[job]),
        }
    }
}

impl JobMeter {
    /// A run ended with `result`, `seconds` after 1970.
    pub fn ended(&self, result: JobResult, seconds: f64) {
        match result {
            JobResult::Succeeded => {
                self.succeeded.inc();
                self.last_success.set(seconds);
            }
            JobResult::Failed => self.failed.inc(),
            JobResult::Panicked => self.panicked.inc(),
            JobResult::Lost => self.lost.inc(),
            JobResult::Stopped => self.stopped.inc(),
        }
    }
}
