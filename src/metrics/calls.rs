//! Owns what is counted of calls by gRPC, under the names that the field uses (`grpc_server_*`, those of go-grpc-middleware).

use std::{sync::OnceLock, time::Duration};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};

use super::series;

/// The status codes of gRPC by their numbers, as dashboards for these series know them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The code that stands for those that gRPC does not know.
const UNKNOWN: usize = 2;

/// Seconds. A call that is answered from memory takes microseconds, one that hashes tens of milliseconds; 10 s is the default
/// `--request-timeout`.
const BUCKETS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// The labels of a method.
const LABELS: [&str; 3] = ["grpc_type", "grpc_service", "grpc_method"];

/// The name of the status code of gRPC that has the number `code`.
#[must_use]
pub fn code_name(code: usize) -> &'static str {
    CODES.get(code).copied().unwrap_or(CODES[UNKNOWN])
}

/// Calls of all methods.
#[derive(Clone, Debug)]
pub struct CallMetrics {
    started: IntCounterVec,
    handled: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
}

/// Calls of one method.
#[derive(Debug)]
pub struct MethodMetrics {
    labels: [String; 3],
    all: CallMetrics,
    started: IntCounter,
    /// Most methods are never called on most installations, and a histogram is many series.
    seconds: OnceLock<Histogram>,
    /// By code. Most methods never answer most codes, and need no series of them.
    handled: [OnceLock<IntCounter>; CODES.len()],
}

impl CallMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let [kind, service, method] = LABELS;
        Self {
            started: series::counters(
                registry,
                "grpc_server_started_total",
                "Calls that have begun.",
                &LABELS,
            ),
            handled: series::counters(
                registry,
                "grpc_server_handled_total",
                "Calls that have ended, by the code that the client got.",
                &[kind, service, method, "grpc_code"],
            ),
            seconds: series::histograms(
                registry,
                "grpc_server_handling_seconds",
                "How long calls took, to the end of the answer.",
                &LABELS,
                &BUCKETS,
            ),
            in_flight: series::int_gauge(
                registry,
                "signet_grpc_calls_in_flight",
                "Calls that have begun and not ended.",
            ),
        }
    }

    /// The handles of one method. `kind` is `unary`, `client_stream`, `server_stream` or `bidi_stream`.
    #[must_use]
    pub fn method(&self, kind: &str, service: &str, method: &str) -> MethodMetrics {
        let labels = [kind, service, method];
        let metrics = MethodMetrics {
            labels: labels.map(str::to_owned),
            all: self.clone(),
            started: self.started.with_label_values(&labels),
            seconds: OnceLock::new(),
            handled: std::array::from_fn(|_| OnceLock::new()),
        };
        // A success is a series from the start, so that the first one shows as an increase.
        metrics.handled(0);
        metrics
    }
}

impl MethodMetrics {
    /// A call begins.
    pub fn begin(&self) {
        self.started.inc();
        self.all.in_flight.inc();
    }

    /// A call that began has ended with `code`, the number of a gRPC status code.
    pub fn end(&self, code: usize, took: Duration) {
        self.handled(code).inc();
        self.seconds().observe(took.as_secs_f64());
        self.all.in_flight.dec();
    }

    fn seconds(&self) -> &Histogram {
        self.seconds.get_or_init(|| {
            let [kind, service, method] = &self.labels;
            self.all.seconds.with_label_values(&[kind, service, method])
        })
    }

    fn handled(&self, code: usize) -> &IntCounter {
        let code = if code < CODES.len() { code } else { UNKNOWN };
        self.handled[code].get_or_init(|| {
            let [kind, service, method] = &self.labels;
            self.all.handled.with_label_values(&[kind, service, method, CODES[code]])
        })
    }
}
