//! Owns what is counted of the hash threads.

use std::time::Duration;

use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::series;

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
            threads: series::int_gauge(
                registry,
                "signet_hash_threads",
                "How many passwords are hashed at once at the most.",
            ),
            busy: series::int_gauge(
                registry,
                "signet_hash_threads_busy",
                "How many are hashed at this moment.",
            ),
            competing: series::int_gauge(
                registry,
                "signet_hash_threads_competing",
                "1 while hash threads compete for the cores, since they would get too little otherwise; 0 while they yield to calls.",
            ),
            queued: series::int_gauges(
                registry,
                "signet_hash_queue_length",
                "Passwords that wait for a thread: for a hash of this service, or for an imported one.",
                &["lane"],
            ),
            refused: series::counters(
                registry,
                "signet_hash_refused_total",
                "Passwords that were refused, since the queue was full or the deadline too near.",
                &["lane"],
            ),
            seconds: series::histogram(
                registry,
                "signet_hash_seconds",
                "How long one hash took, without the waiting.",
                &HASH_BUCKETS,
            ),
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

    /// A thread begins to hash.
    pub fn begin(&self) {
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
