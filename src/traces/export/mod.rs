//! Owns sending traces to a collector: several at once, each request within its time, and what is not taken is lost and counted.

mod encode;
mod over_grpc;
mod over_http;
mod pace;

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustls::RootCertStore;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Counts, Protocol, Resource, TraceSettings};
use crate::{
    base::{Clock, FinishedTrace, Throttle},
    proto::opentelemetry::proto::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
};
use over_grpc::GrpcCollector;
use over_http::HttpCollector;
use pace::Pace;

/// How many traces one request has at most: with all spans that each may have, some 1 MB.
const MAX_TRACES: usize = 64;

/// How long the first trace waits for others.
const PAUSE: Duration = Duration::from_millis(200);

/// How often the log is told of a collector that takes nothing.
const WARN_INTERVAL: Duration = Duration::from_mins(1);

/// What a collector's answer may have in bytes.
const ANSWER_MAX_BYTES: usize = 64 * 1_024;

/// Sends traces.
pub(super) struct Exporter {
    collector: Collector,
    timeout: Duration,
    resource: Resource,
    clock: Clock,
    warning: Throttle,
    counts: Arc<Counts>,
}

enum Collector {
    Grpc(GrpcCollector),
    Http(HttpCollector),
}

impl Exporter {
    /// Within the runtime that is to drive its connections.
    ///
    /// # Errors
    /// If TLS cannot be had.
    pub(super) fn new(
        settings: TraceSettings,
        resource: Resource,
        clock: Clock,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let TraceSettings { endpoint, protocol, headers, timeout, roots, sampler: _ } = settings;
        let collector = match protocol {
            Protocol::Grpc => Collector::Grpc(GrpcCollector::new(&endpoint, headers, roots)?),
            Protocol::Http => Collector::Http(HttpCollector::new(endpoint, headers, roots)?),
        };
        Ok(Self { collector, timeout, resource, clock, warning: Throttle::new(WARN_INTERVAL), counts })
    }

    /// Sends what comes by `waiting`, and ends once `stop` is cancelled and nothing waits any more.
    ///
    /// At no time more leave than may in a second, also when a collector comes back for which many wait.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<FinishedTrace>, stop: CancellationToken) {
        let (began, mut pace) = (Instant::now(), Pace::default());
        loop {
            let first = tokio::select! {
                first = waiting.recv() => first,
                () = stop.cancelled() => {
                    waiting.close();
                    waiting.recv().await
                }
            };
            let Some(first) = first else { return };
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = stop.cancelled() => {}
            }
            while pace.room(began.elapsed()) == 0 {
                sleep(pace.wait(began.elapsed())).await;
            }
            let max = pace.room(began.elapsed()).min(MAX_TRACES);
            let mut traces = vec![first];
            while traces.len() < max
                && let Ok(trace) = waiting.try_recv()
            {
                traces.push(trace);
            }
            let count = traces.len();
            self.send(traces).await;
            pace.sent(began.elapsed(), count);
        }
    }

    async fn send(&mut self, traces: Vec<FinishedTrace>) {
        let count = u64::try_from(traces.len()).unwrap_or(u64::MAX);
        let request = encode::request(&self.resource, traces);
        let sent = timeout(self.timeout, self.collector.send(request)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)));
        let Err(problem) = sent else {
            self.counts.sent.fetch_add(count, Ordering::Relaxed);
            return;
        };
        self.counts.lost.fetch_add(count, Ordering::Relaxed);
        if let Some(held_back) = self.warning.pass(self.clock.monotonic()) {
            tracing::warn!(problem, held_back, "traces could not be sent to the collector, and are lost");
        }
    }
}

impl Collector {
    /// Sends `request`, and waits until it is taken.
    async fn send(&mut self, request: ExportTraceServiceRequest) -> Result<(), String> {
        match self {
            Self::Grpc(collector) => collector.send(request).await,
            Self::Http(collector) => collector.send(request).await,
        }
    }
}

/// What a collector has `answered`. If it has rejected spans, nobody can say of which traces: the whole request counts as not taken.
fn taken(answered: &ExportTraceServiceResponse) -> Result<(), String> {
    match &answered.partial_success {
        Some(partial) if partial.rejected_spans > 0 => {
            Err(format!("{} spans were rejected", partial.rejected_spans))
        }
        _ => Ok(()),
    }
}

/// The authorities that this machine knows: those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, where they are set.
fn own_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
