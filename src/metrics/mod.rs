//! Owns what is counted and measured, and how Prometheus reads it.
//!
//! There is nothing global: each [`Metrics`] has a registry of its own, so that several servers can live in one process. Each part
//! gets the few handles that it needs, resolved once: counting is an atomic addition. No label ever holds what a caller sent.

mod audit;
mod calls;
mod clock;
mod connections;
mod database;
mod errors;
pub mod families;
mod grants;
mod guesses;
mod hashing;
mod http;
mod jobs;
mod places;
mod policies;
#[cfg(target_os = "linux")]
mod process;
mod series;
mod stream;
mod tls;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use prometheus::{Registry, TextEncoder};

use crate::base::Tally;
use families::Family;

pub use audit::AuditMetrics;
pub use calls::{CallMetrics, MethodMetrics, code_name};
pub use clock::{ClockMetrics, TimedWork};
pub use connections::{ConnectionMetrics, Handshake, ListenerMetrics, OpenConnection};
pub use database::DatabaseMetrics;
pub use errors::ErrorMetrics;
pub use grants::{GrantMetrics, GrantResult, GrantType};
pub use guesses::{GuessMetrics, GuessResult};
pub use hashing::{HashLane, HashMetrics};
pub use http::HttpMetrics;
pub use jobs::{JobMeter, JobMetrics, JobResult};
pub use policies::{ShadowMetrics, ShadowVerdict};
pub use stream::StreamMetrics;
pub use tls::TlsMetrics;

/// The media type of the Prometheus text format, version 0.0.4.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// What is counted elsewhere, and looked up when somebody reads.
pub type Total = Box<dyn Fn() -> u64 + Send>;

/// Every series of one server.
pub struct Metrics {
    /// Calls by gRPC.
    pub calls: CallMetrics,
    /// What was refused or failed, over whatever protocol.
    pub errors: ErrorMetrics,
    /// Requests by HTTP.
    pub http: HttpMetrics,
    /// Connections of both listeners.
    pub connections: ConnectionMetrics,
    /// The hash threads.
    pub hashing: HashMetrics,
    /// Logins, refreshes and the tokens that they gave.
    pub grants: GrantMetrics,
    /// Passwords that were wrong.
    pub guesses: GuessMetrics,
    /// The files of TLS.
    pub tls: TlsMetrics,
    /// The audit log.
    pub audit: AuditMetrics,
    /// The database.
    pub database: DatabaseMetrics,
    /// This process's clock, beside the database's.
    pub clock: ClockMetrics,
    /// What this process does by itself.
    pub jobs: JobMetrics,
    /// Policies in SHADOW.
    pub shadow: ShadowMetrics,
    /// The stream of changes that other services follow.
    pub stream: StreamMetrics,
    places: places::PlaceMetrics,
    connections_to_database: database::ConnectionsToDatabase,
    registry: Registry,
    /// What is looked up when somebody reads, and not before.
    on_read: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl Metrics {
    /// Every series at zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        series::process(&registry);
        let build = series::gauges(&registry, &families::BUILD_INFO);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let errors = ErrorMetrics::register(&registry);
        Self {
            calls: CallMetrics::register(&registry, errors.clone()),
            http: HttpMetrics::register(&registry, errors.clone()),
            errors,
            connections: ConnectionMetrics::register(&registry),
            hashing: HashMetrics::register(&registry),
            grants: GrantMetrics::register(&registry),
            guesses: GuessMetrics::register(&registry),
            tls: TlsMetrics::register(&registry),
            audit: AuditMetrics::register(&registry),
            database: DatabaseMetrics::register(&registry),
            clock: ClockMetrics::register(&registry),
            jobs: JobMetrics::register(&registry),
            shadow: ShadowMetrics::register(&registry),
            stream: StreamMetrics::register(&registry),
            places: places::PlaceMetrics::register(&registry),
            connections_to_database: database::ConnectionsToDatabase::register(&registry),
            registry,
            on_read: Mutex::default(),
        }
    }

    /// Shows what `value` returns at the moment of reading. To be called once for each `family`.
    pub fn watch(&self, family: &Family, value: impl Fn() -> f64 + Send + 'static) {
        let gauge = series::gauge(&self.registry, family);
        self.on_read(move || gauge.set(value()));
    }

    /// Shows how often what is remembered was of use: each cache by its name, with its tally.
    pub fn watch_caches(&self, caches: Vec<(&'static str, Tally)>) {
        let lookups = series::counters(&self.registry, &families::CACHE_LOOKUPS);
        for (cache, tally) in caches {
            let hits = lookups.with_label_values(&[cache, "hit"]);
            let misses = lookups.with_label_values(&[cache, "miss"]);
            self.on_read(move || {
                // Nobody else counts here, and one reads at a time.
                hits.inc_by(tally.hits().saturating_sub(hits.get()));
                misses.inc_by(tally.misses().saturating_sub(misses.get()));
            });
        }
    }

    /// Shows `totals`, which grow elsewhere, each with the value of the only label of `family` that it stands for.
    pub fn watch_totals(&self, family: &Family, totals: Vec<(&'static str, Total)>) {
        let counters = series::counters(&self.registry, family);
        for (value, total) in totals {
            let counter = counters.with_label_values(&[value]);
            self.on_read(move || counter.inc_by(total().saturating_sub(counter.get())));
        }
    }

    /// Every series, in the text format.
    #[must_use]
    pub fn text(&self) -> String {
        let on_read = self.on_read.lock().unwrap_or_else(PoisonError::into_inner);
        for look in on_read.iter() {
            look();
        }
        // Every family has a name and a value: nothing else can fail.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    fn on_read(&self, look: impl Fn() + Send + 'static) {
        self.on_read.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(look));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}
