//! Owns what is counted of requests by HTTP.

use std::time::Duration;

use http::StatusCode;
use prometheus::{HistogramVec, IntCounterVec, Registry};

use super::{ErrorMetrics, families, series};

/// Seconds.
const REQUEST_BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 1.0, 10.0];

/// Requests by HTTP.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    errors: ErrorMetrics,
}

impl HttpMetrics {
    pub(super) fn register(registry: &Registry, errors: ErrorMetrics) -> Self {
        Self {
            requests: series::counters(registry, &families::HTTP_REQUESTS),
            seconds: series::histograms(registry, &families::HTTP_SECONDS, &REQUEST_BUCKETS),
            errors,
        }
    }

    /// A request to `route` was answered with `status`, and, if that is an error, for the `reason` that the client was told. `route` must
    /// be one that is served, never what a client sent.
    pub fn answered(&self, route: &str, status: StatusCode, reason: Option<&'static str>, took: Duration) {
        if status.is_client_error() || status.is_server_error() {
            self.errors.count(reason);
        }
        self.requests.with_label_values(&[route, status.as_str()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}
