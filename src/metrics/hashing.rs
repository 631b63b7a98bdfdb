//! Owns what is counted of the hash threads.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge, Registry};

use super::series;

/// Seconds: one hash takes some 15 ms by default, and may be set to take a hundred times that.
const HASH_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0, 3.0];

/// The hash threads.
#[derive(Clone, Debug)]
pub struct HashMetrics {
    threads: IntGauge,
    busy: IntGauge,
    queued: IntGauge,
    refused: IntCounter,
    seconds: Histogram,
}

impl HashMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            threads: series::int_gauge(registry, "signet_hash_threads", "Threads that hash passwords."),
            busy: series::int_gauge(
                registry,
                "signet_hash_threads_busy",
                "Threads that hash at this moment.",
            ),
            queued: series::int_gauge(
                registry,
                "signet_hash_queue_length",
                "Passwords that wait for a thread.",
            ),
            refused: series::counter(
                registry,
                "signet_hash_refused_total",
                "Passwords that were refused at once, since the queue was full or the deadline too near.",
            ),
            seconds: series::histogram(
                registry,
                "signet_hash_seconds",
                "How long one hash took, without the waiting.",
                &HASH_BUCKETS,
            ),
        }
    }

    /// So many threads there are.
    pub fn threads(&self, count: usize) {
        self.threads.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// So many passwords wait.
    pub fn queued(&self, count: usize) {
        self.queued.set(i64::try_from(count).unwrap_or(i64::MAX));
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
    pub fn refused(&self) {
        self.refused.inc();
    }
}

impl Default for HashMetrics {
    /// For threads that nobody watches.
    fn default() -> Self {
        Self::register(&Registry::new())
    }
}
