//! Owns what is counted of requests by HTTP.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, Registry};

use super::series;

/// Seconds.
const REQUEST_BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 1.0, 10.0];

/// Requests by HTTP.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl HttpMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            requests: series::counters(
                registry,
                "signet_http_requests_total",
                "Requests by HTTP that were answered, by route and status.",
                &["route", "status"],
            ),
            seconds: series::histograms(
                registry,
                "signet_http_request_seconds",
                "How long requests by HTTP took, until their answer began.",
                &["route"],
                &REQUEST_BUCKETS,
            ),
        }
    }

    /// A request to `route` was answered with `status`. `route` must be one that is served, never what a client sent.
    pub fn answered(&self, route: &str, status: &str, took: Duration) {
        self.requests.with_label_values(&[route, status]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}
