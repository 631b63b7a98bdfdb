//! Owns what is counted of calls by gRPC, under the names that the field uses (`grpc_server_*`, those of go-grpc-middleware).

use std::{sync::OnceLock, time::Duration};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};

use super::{ErrorMetrics, families, series};

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

/// The code of a success.
const OK: usize = 0;

/// The code that stands for those that gRPC does not know.
const UNKNOWN: usize = 2;

/// Seconds. A call that is answered from memory takes microseconds, one that hashes tens of milliseconds; 10 s is the default
/// `--request-timeout`.
const BUCKETS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

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
    errors: ErrorMetrics,
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
    pub(super) fn register(registry: &Registry, errors: ErrorMetrics) -> Self {
        Self {
            started: series::counters(registry, &families::CALLS_STARTED),
            handled: series::counters(registry, &families::CALLS_HANDLED),
            seconds: series::histograms(registry, &families::CALL_SECONDS, &BUCKETS),
            in_flight: series::int_gauge(registry, &families::CALLS_IN_FLIGHT),
            errors,
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
        metrics.handled(OK);
        metrics
    }
}

impl MethodMetrics {
    /// A call begins.
    pub fn begin(&self) {
        self.started.inc();
        self.all.in_flight.inc();
    }

    /// A call that began has ended with `code`, the number of a gRPC status code, and, if that is an error, for the `reason` that the
    /// client was told.
    pub fn end(&self, code: usize, reason: Option<&'static str>, took: Duration) {
        self.handled(code).inc();
        if code != OK {
            self.all.errors.count(reason);
        }
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
