//! Owns the request log: a line for each request, if the operator asks for it, within a bound for each second.

use std::{
    fmt::Write,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use super::stderr;
use crate::{
    base::{Clock, PerSecond},
    model::RequestId,
};

/// What such lines are said to come from.
const TARGET: &str = "signet::request";

/// How many requests have a line in one second. The others are counted.
const MAX_LINES_A_SECOND: u32 = 1_000;

/// Which requests have a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedRequests {
    /// Those that are refused or fail.
    Errors,
    /// All.
    All,
}

/// The lines of one listener. Clones, and those of other listeners, have one bound.
#[derive(Clone, Debug)]
pub(crate) struct RequestLog {
    shared: Arc<Shared>,
    listener: &'static str,
}

#[derive(Debug)]
struct Shared {
    requests: LoggedRequests,
    is_json: bool,
    clock: Clock,
    lines: PerSecond,
    told: AtomicU64,
    left_out: AtomicU64,
}

/// A request that is over.
#[derive(Debug)]
pub(crate) struct RequestLine<'a> {
    /// A method or a route that is served, or `unknown`: never what a client has made up.
    pub(crate) method: &'a str,
    /// The name of a status code of gRPC, or the status over HTTP.
    pub(crate) code: &'a str,
    pub(crate) is_error: bool,
    pub(crate) reason: Option<&'a str>,
    pub(crate) took: Duration,
    /// None if its message was not read to the end, or was a stream.
    pub(crate) received_bytes: Option<u64>,
    pub(crate) sent_bytes: u64,
    pub(crate) request_id: Option<RequestId>,
    /// In hexadecimal; none if it is not traced.
    pub(crate) trace_id: Option<&'a str>,
    pub(crate) peer: Option<IpAddr>,
    /// The client that was named, and has proven itself where it has a secret; or that of the token that was shown.
    pub(crate) client: Option<&'a str>,
}

/// The size of a request's message: an extension of the request, by which whoever measures it learns it from whoever reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceivedBytes(Arc<OnceLock<u64>>);

impl ReceivedBytes {
    pub(crate) fn note(&self, bytes: usize) {
        let _ = self.0.set(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(crate) fn get(&self) -> Option<u64> {
        self.0.get().copied()
    }
}

impl RequestLog {
    /// Tells of `requests`, as JSON if `is_json`.
    pub(crate) fn new(requests: LoggedRequests, is_json: bool, clock: Clock) -> Self {
        let shared = Shared {
            requests,
            is_json,
            clock,
            lines: PerSecond::new(MAX_LINES_A_SECOND),
            told: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), listener: "none" }
    }

    /// The same, for what comes by `listener`.
    pub(crate) fn at(&self, listener: &'static str) -> Self {
        Self { shared: Arc::clone(&self.shared), listener }
    }

    /// How many requests have a line.
    pub(crate) fn told(&self) -> u64 {
        self.shared.told.load(Ordering::Relaxed)
    }

    /// How many have none, since there were too many.
    pub(crate) fn left_out(&self) -> u64 {
        self.shared.left_out.load(Ordering::Relaxed)
    }

    /// Tells of `request`, if such requests have a line, and there is room for it in this second.
    pub(crate) fn tell(&self, request: &RequestLine<'_>) {
        let Some(left_out) = self.admit(request) else { return };
        if left_out > 0 {
            tell_left_out(left_out);
        }
        stderr().leave(self.line(request).as_bytes());
    }

    /// If `request` may have a line: how many others had none since that was last told.
    fn admit(&self, request: &RequestLine<'_>) -> Option<u64> {
        let is_told = request.is_error || self.shared.requests == LoggedRequests::All;
        if is_told { self.shared.pass() } else { None }
    }

    /// Tells how many requests had no line since that was last told.
    pub(crate) fn tell_rest(&self) {
        let left_out = self.shared.lines.take_held_back();
        if left_out > 0 {
            tell_left_out(left_out);
        }
    }

    fn line(&self, request: &RequestLine<'_>) -> String {
        let now = self.shared.clock.now().to_fixed_text();
        let took_ms = request.took.as_secs_f64() * 1_000.0;
        let RequestLine { method, code, reason, received_bytes, sent_bytes, request_id, trace_id, .. } =
            request;
        let RequestLine { peer, client, .. } = request;
        if self.shared.is_json {
            let mut line = json!({
                "timestamp": now,
                "level": "INFO",
                "target": TARGET,
                "message": "request",
                "listener": self.listener,
                "method": method,
                "code": code,
                "took_ms": (took_ms * 1_000.0).round() / 1_000.0,
                "sent_bytes": sent_bytes,
            });
            let known: [(&str, Option<serde_json::Value>); 6] = [
                ("reason", reason.map(Into::into)),
                ("received_bytes", received_bytes.map(Into::into)),
                ("request_id", request_id.map(|id| id.as_str().into())),
                ("trace_id", trace_id.map(Into::into)),
                ("peer", peer.map(|peer| peer.to_string().into())),
                ("client", client.map(Into::into)),
            ];
            for (name, value) in known {
                if let Some(value) = value {
                    line[name] = value;
                }
            }
            return format!("{line}\n");
        }
        let listener = self.listener;
        let mut line =
            format!("{now}  INFO {TARGET}: {method} {code} listener={listener} took_ms={took_ms:.3}");
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                // Nothing else can fail in a string.
                let _ = write!(line, " {name}={value}");
            }
        };
        add("received_bytes", received_bytes.map(|bytes| bytes.to_string()));
        add("sent_bytes", Some(sent_bytes.to_string()));
        add("reason", reason.map(str::to_owned));
        add("peer", peer.map(|peer| peer.to_string()));
        add("client", client.map(str::to_owned));
        add("trace_id", trace_id.map(str::to_owned));
        add("request_id", request_id.map(|id| id.to_string()));
        line.push('\n');
        line
    }
}

impl Shared {
    /// If a request may have a line now: how many had none since that was last told, if it is time to tell.
    fn pass(&self) -> Option<u64> {
        let passed = self.lines.pass(self.clock.monotonic());
        let count = if passed.is_some() { &self.told } else { &self.left_out };
        count.fetch_add(1, Ordering::Relaxed);
        passed
    }
}

fn tell_left_out(requests: u64) {
    tracing::warn!(requests, "requests were left out of the request log: there were too many");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    fn log(requests: LoggedRequests, is_json: bool) -> (RequestLog, Clock) {
        let clock = Clock::manual(Timestamp::from_micros(1_795_435_200_000_000));
        (RequestLog::new(requests, is_json, clock.clone()).at("grpc"), clock)
    }

    fn request(is_error: bool) -> RequestLine<'static> {
        RequestLine {
            method: "/identity.v1.IdentityService/GetMe",
            code: if is_error { "Unauthenticated" } else { "OK" },
            is_error,
            reason: is_error.then_some("TOKEN_MISSING"),
            took: Duration::from_micros(1_234),
            received_bytes: Some(5),
            sent_bytes: 0,
            request_id: RequestId::parse(b"a-1"),
            trace_id: None,
            peer: Some([192, 0, 2, 1].into()),
            client: None,
        }
    }

    #[test]
    fn a_line_has_what_is_known_and_nothing_else() {
        let (text, _) = log(LoggedRequests::All, false);
        assert_eq!(
            text.line(&request(true)),
            "2026-11-23T12:00:00.000000Z  INFO signet::request: /identity.v1.IdentityService/GetMe Unauthenticated \
             listener=grpc took_ms=1.234 received_bytes=5 sent_bytes=0 reason=TOKEN_MISSING peer=192.0.2.1 \
             request_id=a-1\n"
        );
        let (json, _) = log(LoggedRequests::All, true);
        let line: serde_json::Value = serde_json::from_str(&json.line(&request(false))).unwrap();
        let expected = json!({
            "timestamp": "2026-11-23T12:00:00.000000Z",
            "level": "INFO",
            "target": "signet::request",
            "message": "request",
            "listener": "grpc",
            "method": "/identity.v1.IdentityService/GetMe",
            "code": "OK",
            "took_ms": 1.234,
            "received_bytes": 5,
            "sent_bytes": 0,
            "request_id": "a-1",
            "peer": "192.0.2.1",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn times_have_the_same_digits_whatever_they_are() {
        for (moment, took, text, told_ms) in [
            (1, Duration::from_nanos(100), "12:00:00.000001Z", "took_ms=0.000 "),
            (120_000, Duration::from_nanos(123_456_789), "12:00:00.120000Z", "took_ms=123.457 "),
            (999_999, Duration::from_millis(2), "12:00:00.999999Z", "took_ms=2.000 "),
        ] {
            let request = RequestLine { took, ..request(false) };
            let (log, clock) = log(LoggedRequests::All, false);
            clock.advance(Duration::from_micros(moment));
            let line = log.line(&request);
            assert!(
                line.starts_with(&format!("2026-11-23T{text}  INFO ")) && line.contains(told_ms),
                "{line}"
            );
        }
        // Of a number in JSON, a thousandth is the last digit.
        let (log, _) = log(LoggedRequests::All, true);
        let request = RequestLine { took: Duration::from_nanos(1_234_567_891), ..request(false) };
        let line = log.line(&request);
        let took = line.split("\"took_ms\":").nth(1).unwrap();
        assert_eq!(took.split([',', '}']).next(), Some("1234.568"));
    }

    #[test]
    fn a_second_has_so_many_lines_and_the_next_tells_of_the_others() {
        let (log, clock) = log(LoggedRequests::Errors, true);
        let other = log.at("http");
        for _ in 0..600 {
            log.admit(&request(true));
            other.admit(&request(true));
            assert_eq!(log.admit(&request(false)), None);
        }
        assert_eq!((log.told(), other.left_out()), (1_000, 200), "listeners share the bound");
        clock.advance(Duration::from_secs(1));
        assert_eq!(log.admit(&request(true)), Some(200));
        assert_eq!(log.admit(&request(true)), Some(0), "told once");
    }
}
