//! Owns what is counted of the hash threads.

use std::time::Duration;

use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{families, series};

/// Seconds: none where a thread is free, and no more than a caller's deadline.
const WAIT_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Seconds: one hash takes some 15 ms by default, and may be set to take a hundred times that.
const HASH_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0, 3.0];

/// Where passwords wait.
#[derive(Clone, Copy, Debug)]
pub enum HashLane {
    /// Hashes of this service.
    Own,
    /// Hashes that other systems made.
    Imported,
}

/// The hash threads.
#[derive(Clone, Debug)]
pub struct HashMetrics {
    threads: IntGauge,
    busy: IntGauge,
    competing: IntGauge,
    queued: IntGaugeVec,
    refused: IntCounterVec,
    wait: Histogram,
    seconds: Histogram,
}

impl HashLane {
    const ALL: [Self; 2] = [Self::Own, Self::Imported];

    const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Imported => "imported",
        }
    }
}

impl HashMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let made = Self {
            threads: series::int_gauge(registry, &families::HASH_THREADS),
            busy: series::int_gauge(registry, &families::HASH_THREADS_BUSY),
            competing: series::int_gauge(registry, &families::HASH_THREADS_COMPETING),
            queued: series::int_gauges(registry, &families::HASH_QUEUE),
            refused: series::counters(registry, &families::HASH_REFUSED),
            wait: series::histogram(registry, &families::HASH_WAIT_SECONDS, &WAIT_BUCKETS),
            seconds: series::histogram(registry, &families::HASH_SECONDS, &HASH_BUCKETS),
        };
        // What has not happened yet is told as 0.
        for lane in HashLane::ALL {
            made.refused.with_label_values(&[lane.name()]);
        }
        made.queued([0, 0]);
        made
    }

    /// So many threads there are.
    pub fn threads(&self, count: usize) {
        self.threads.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether they compete for the cores.
    pub fn competing(&self, is_so: bool) {
        self.competing.set(is_so.into());
    }

    /// So many passwords wait, in the order of the lanes: for hashes of this service, and for imported ones.
    pub fn queued(&self, counts: [usize; 2]) {
        for (lane, count) in HashLane::ALL.into_iter().zip(counts) {
            self.queued.with_label_values(&[lane.name()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// A thread begins to hash a password that has `waited` for it.
    pub fn begin(&self, waited: Duration) {
        self.wait.observe(waited.as_secs_f64());
        self.busy.inc();
    }

    /// A thread has hashed.
    pub fn end(&self, took: Duration) {
        self.busy.dec();
        self.seconds.observe(took.as_secs_f64());
    }

    /// A password was refused.
    pub fn refused(&self, lane: HashLane) {
        self.refused.with_label_values(&[lane.name()]).inc();
    }
}

impl Default for HashMetrics {
    /// For threads that nobody watches.
    fn default() -> Self {
        Self::register(&Registry::new())
    }
}
