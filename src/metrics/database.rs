//! Owns what is measured of the database, and whether the service is ready.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge, Registry};

use super::series;

/// Seconds: a read of the embedded database takes some 50 us, a write waits for the disk.
const STATEMENT_BUCKETS: [f64; 11] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 2.0];

/// The database.
#[derive(Clone, Debug)]
pub struct DatabaseMetrics {
    up: IntGauge,
    ready: IntGauge,
    seconds: Histogram,
    failed: IntCounter,
}

impl DatabaseMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            up: series::int_gauge(
                registry,
                "signet_database_up",
                "Whether the database answered when it was last asked, which is every second: 1 or 0.",
            ),
            ready: series::int_gauge(
                registry,
                "signet_ready",
                "Whether the service can serve, as health and /readyz say: 1 or 0.",
            ),
            seconds: series::histogram(
                registry,
                "signet_database_statement_seconds",
                "How long statements took in the database.",
                &STATEMENT_BUCKETS,
            ),
            failed: series::counter(
                registry,
                "signet_database_statements_failed_total",
                "Statements that the database refused or did not answer; a name that is taken is among them.",
            ),
        }
    }

    /// Whether the database answered.
    pub fn answered(&self, up: bool) {
        self.up.set(up.into());
    }

    /// Whether the service can serve.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// A statement took so long.
    pub fn statement(&self, took: Duration, failed: bool) {
        self.seconds.observe(took.as_secs_f64());
        if failed {
            self.failed.inc();
        }
    }
}
