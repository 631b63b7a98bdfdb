//! Owns what is measured of the database, and whether the service is ready.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec, Registry};

use super::{Metrics, families, series};

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
            up: series::int_gauge(registry, &families::DATABASE_UP),
            ready: series::int_gauge(registry, &families::READY),
            seconds: series::histogram(registry, &families::STATEMENT_SECONDS, &STATEMENT_BUCKETS),
            failed: series::counter(registry, &families::STATEMENTS_FAILED),
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

/// The connections to the database.
#[derive(Clone, Debug)]
pub(super) struct ConnectionsToDatabase {
    open: IntGaugeVec,
    most: IntGaugeVec,
}

impl ConnectionsToDatabase {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            open: series::int_gauges(registry, &families::DATABASE_CONNECTIONS),
            most: series::int_gauges(registry, &families::DATABASE_CONNECTIONS_MAX),
        }
    }
}

impl Metrics {
    /// Shows the connections of `pool`, of which `usage` tells how many are busy and how many idle; `most` may be open.
    pub fn watch_database_connections(
        &self,
        pool: &str,
        most: u32,
        usage: impl Fn() -> (u32, u32) + Send + 'static,
    ) {
        self.connections_to_database.most.with_label_values(&[pool]).set(most.into());
        let open = |state| self.connections_to_database.open.with_label_values(&[pool, state]);
        let (busy, idle) = (open("busy"), open("idle"));
        self.on_read(move || {
            let (now_busy, now_idle) = usage();
            busy.set(now_busy.into());
            idle.set(now_idle.into());
        });
    }
}
