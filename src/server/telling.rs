//! Owns whom requests are told: the log of those that fail, the request log, and the collector of traces.

use std::time::Duration;

use super::parts::Parts;
use crate::{
    base::{Clock, Entropy},
    config::{Config, LogFormat, TracePlan},
    errors::FailureLog,
    http::RequestMeter,
    identity::Keyring,
    install::StartError,
    metrics::{Metrics, Total, families},
    model::Error,
    observe::RequestLog,
    rpc::meter::Told,
    traces::{Counts, Sending, Traces},
};

/// Whom requests are told, besides the log.
pub(super) struct Telling {
    /// None if it is off.
    requests: Option<RequestLog>,
    /// None if no traces leave.
    traces: Option<Traces>,
    /// What sends them.
    sending: Option<Sending>,
}

impl Telling {
    /// As `config` says.
    ///
    /// # Errors
    /// If what sends traces cannot start, or the setting of their collector cannot be used.
    pub(super) async fn start(
        config: &Config,
        keyring: &Keyring,
        clock: &Clock,
        entropy: &Entropy,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let is_json = config.log.log_format == LogFormat::Json;
        let requests = config.log.request_log.requests();
        let requests = requests.map(|requests| RequestLog::new(requests, is_json, clock.clone()));
        let (traces, sending) = traces(config, keyring, clock, entropy).await?.unzip();
        watch(metrics, requests.as_ref(), traces.as_ref());
        Ok(Self { requests, traces, sending })
    }

    /// Tells what was not told yet, but takes no longer than `within`.
    pub(super) async fn close(self, within: Duration) {
        if let Some(requests) = self.requests {
            requests.tell_rest();
        }
        if let Some(sending) = self.sending {
            sending.close(within).await;
        }
    }
}

impl Parts {
    /// Whom the calls at `listener` are told.
    pub(super) fn told(&self, listener: &'static str) -> Told {
        let Telling { requests, traces, .. } = &self.telling;
        let failures = FailureLog::new(listener, self.clock.clone());
        Told { failures, requests: requests.as_ref().map(|log| log.at(listener)), traces: traces.clone() }
    }

    /// What measures the requests by HTTP at `listener`.
    pub(super) fn http_meter(&self, listener: &'static str) -> RequestMeter {
        let Told { failures, requests, traces } = self.told(listener);
        let (metrics, clock) = (self.metrics.http.clone(), self.clock.clone());
        RequestMeter { metrics, clock, failures, requests, traces }
    }
}

/// What traces requests, and what sends the traces, if they are to leave.
async fn traces(
    config: &Config,
    keyring: &Keyring,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Option<(Traces, Sending)>, StartError> {
    let TracePlan { settings, resource, not_read, problems } = config.traces.plan()?;
    for (variable, problem) in problems {
        tracing::warn!(variable, "a variable of OpenTelemetry cannot be used: it {problem}");
    }
    if !not_read.is_empty() {
        tracing::warn!(variables = not_read.join(", "), "these variables of OpenTelemetry are not read");
    }
    let Some(settings) = settings else { return Ok(None) };
    // Its path may be a secret.
    let collector = settings.endpoint.authority().map(ToString::to_string);
    tracing::info!(collector, protocol = ?settings.protocol, "traces are sent");
    let resource = resource
        .or("service.version", env!("CARGO_PKG_VERSION"))
        .or("service.instance.id", keyring.process_id().to_string());
    let started = Traces::start(settings, resource, clock.clone(), entropy.clone()).await;
    Ok(Some(started.map_err(Error::internal)?))
}

/// Shows what has become of requests that the log, or a trace, was to tell of.
fn watch(metrics: &Metrics, requests: Option<&RequestLog>, traces: Option<&Traces>) {
    let of_log = |count: fn(&RequestLog) -> u64| -> Total {
        let log = requests.cloned();
        Box::new(move || log.as_ref().map_or(0, count))
    };
    metrics.watch_totals(
        &families::REQUEST_LOG_LINES,
        vec![("told", of_log(RequestLog::told)), ("left_out", of_log(RequestLog::left_out))],
    );
    let of_traces = |count: fn(&Counts) -> u64| -> Total {
        let counts = traces.map(Traces::counts);
        Box::new(move || counts.as_ref().map_or(0, |counts| count(counts)))
    };
    metrics.watch_totals(
        &families::TRACES,
        vec![
            ("sent", of_traces(Counts::sent)),
            ("lost", of_traces(Counts::lost)),
            ("left_out", of_traces(Counts::left_out)),
        ],
    );
}
