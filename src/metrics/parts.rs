//! Owns what is counted of each part but the calls.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::series;

/// Seconds: one hash takes some 15 ms by default, and may be set to take a hundred times that.
const HASH_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0, 3.0];

/// Seconds: a read of the embedded database takes some 50 us, a write waits for the disk.
const STATEMENT_BUCKETS: [f64; 11] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 2.0];

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

/// Connections of every listener.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    open: IntGaugeVec,
    accepted: IntCounterVec,
    refused: IntCounterVec,
    handshakes: IntCounterVec,
}

/// Connections of one listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    open: IntGauge,
    accepted: IntCounter,
    refused: IntCounter,
    shaken: IntCounter,
    not_shaken: IntCounter,
}

/// A TLS handshake that has begun: dropped before it [`Self::succeeded`], it failed.
#[derive(Debug)]
pub struct Handshake<'a>(Option<&'a ListenerMetrics>);

/// A connection that is open until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl ConnectionMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let label = &["listener"];
        Self {
            open: series::int_gauges(
                registry,
                "signet_connections_open",
                "Connections that are open.",
                label,
            ),
            accepted: series::counters(
                registry,
                "signet_connections_accepted_total",
                "Connections that were accepted.",
                label,
            ),
            refused: series::counters(
                registry,
                "signet_connections_refused_total",
                "Connections that were closed at once, since there were as many as --max-connections.",
                label,
            ),
            handshakes: series::counters(
                registry,
                "signet_tls_handshakes_total",
                "TLS handshakes that were begun, by how they ended.",
                &["listener", "result"],
            ),
        }
    }

    /// The handles of the listener `name`.
    #[must_use]
    pub fn listener(&self, name: &'static str) -> ListenerMetrics {
        ListenerMetrics {
            open: self.open.with_label_values(&[name]),
            accepted: self.accepted.with_label_values(&[name]),
            refused: self.refused.with_label_values(&[name]),
            shaken: self.handshakes.with_label_values(&[name, "succeeded"]),
            not_shaken: self.handshakes.with_label_values(&[name, "failed"]),
        }
    }
}

impl ListenerMetrics {
    /// A connection was accepted; it is open until what this returns is dropped.
    #[must_use]
    pub fn accepted(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    /// A TLS handshake begins.
    #[must_use]
    pub fn handshake(&self) -> Handshake<'_> {
        Handshake(Some(self))
    }

    /// A connection was closed at once.
    pub fn refused(&self) {
        self.refused.inc();
    }
}

impl Handshake<'_> {
    /// It came to its end.
    pub fn succeeded(mut self) {
        if let Some(metrics) = self.0.take() {
            metrics.shaken.inc();
        }
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = self.0.take() {
            metrics.not_shaken.inc();
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The hash threads.
#[derive(Clone, Debug)]
pub struct HashMetrics {
    threads: IntGauge,
    busy: IntGauge,
    queued: IntGauge,
    refused: IntCounter,
    seconds: Histogram,
}

impl HashMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            threads: series::int_gauge(registry, "signet_hash_threads", "Threads that hash passwords."),
            busy: series::int_gauge(
                registry,
                "signet_hash_threads_busy",
                "Threads that hash at this moment.",
            ),
            queued: series::int_gauge(
                registry,
                "signet_hash_queue_length",
                "Passwords that wait for a thread.",
            ),
            refused: series::counter(
                registry,
                "signet_hash_refused_total",
                "Passwords that were refused at once, since the queue was full or the deadline too near.",
            ),
            seconds: series::histogram(
                registry,
                "signet_hash_seconds",
                "How long one hash took, without the waiting.",
                &HASH_BUCKETS,
            ),
        }
    }

    /// So many threads there are.
    pub fn threads(&self, count: usize) {
        self.threads.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// So many passwords wait.
    pub fn queued(&self, count: usize) {
        self.queued.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A thread begins to hash.
    pub fn begin(&self) {
        self.busy.inc();
    }

    /// A thread has hashed.
    pub fn end(&self, took: Duration) {
        self.busy.dec();
        self.seconds.observe(took.as_secs_f64());
    }

    /// A password was refused.
    pub fn refused(&self) {
        self.refused.inc();
    }
}

impl Default for HashMetrics {
    /// For threads that nobody watches.
    fn default() -> Self {
        Self::register(&Registry::new())
    }
}

/// What came of a login. Whether the name or the password was wrong is not said: whoever reads the metrics could find out
/// which names there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginResult {
    /// It gave tokens.
    Succeeded,
    /// The credentials are those of no active user, or the client is not accepted, or not what it asks for.
    Refused,
    /// It could not be judged: too much work, no time left, nobody who waits, or the database does not answer.
    Failed,
}

/// What came of exchanging a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshResult {
    /// It was exchanged for the next.
    Done,
    /// It was exchanged once more: an answer was lost, or two asked at once.
    Repeated,
    /// A copy was used: the session has been ended.
    Replayed,
    /// It stands for no session, its user is disabled, or the client is not accepted, or not what it asks for.
    Refused,
    /// It could not be judged: no time left, nobody who waits, or the database does not answer.
    Failed,
}

/// What was exchanged for tokens (the names of RFC 6749).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// A username and its password.
    Password,
    /// A refresh token.
    RefreshToken,
    /// A client's own credentials.
    ClientCredentials,
}

/// Logins, refreshes and the tokens that they gave.
#[derive(Clone, Debug)]
pub struct GrantMetrics {
    logins: [IntCounter; 3],
    refreshes: [IntCounter; 5],
    issued: [IntCounter; 3],
}

impl GrantMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let logins = series::counters(
            registry,
            "signet_logins_total",
            "Logins by password, by what came of them.",
            &["result"],
        );
        let refreshes = series::counters(
            registry,
            "signet_refreshes_total",
            "Refresh tokens that were shown, by what came of it.",
            &["result"],
        );
        let issued = series::counters(
            registry,
            "signet_tokens_issued_total",
            "Access tokens that were issued, by the grant that was exchanged for them.",
            &["grant"],
        );
        Self {
            logins: ["succeeded", "refused", "failed"].map(|result| logins.with_label_values(&[result])),
            refreshes: ["done", "repeated", "replayed", "refused", "failed"]
                .map(|result| refreshes.with_label_values(&[result])),
            issued: ["password", "refresh_token", "client_credentials"]
                .map(|grant| issued.with_label_values(&[grant])),
        }
    }

    /// Counts a login.
    pub fn login(&self, result: LoginResult) {
        self.logins[result as usize].inc();
    }

    /// Counts a refresh.
    pub fn refresh(&self, result: RefreshResult) {
        self.refreshes[result as usize].inc();
    }

    /// Counts an access token.
    pub fn issued(&self, grant: GrantType) {
        self.issued[grant as usize].inc();
    }
}

/// The audit log.
#[derive(Clone, Debug)]
pub struct AuditMetrics {
    written: IntCounter,
    merged: IntCounter,
    lost: IntCounter,
}

impl AuditMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let events = series::counters(
            registry,
            "signet_audit_events_total",
            "Events for the audit log: written, merged into the line of an equal one, or lost.",
            &["result"],
        );
        let [written, merged, lost] =
            ["written", "merged", "lost"].map(|result| events.with_label_values(&[result]));
        Self { written, merged, lost }
    }

    /// So many lines were written.
    pub fn written(&self, count: u64) {
        self.written.inc_by(count);
    }

    /// An event was merged into the line of an equal one.
    pub fn merged(&self) {
        self.merged.inc();
    }

    /// So many events were lost: the queue was full, or they could not be written.
    pub fn lost(&self, count: u64) {
        self.lost.inc_by(count);
    }
}

impl Default for AuditMetrics {
    /// For an audit log that nobody watches.
    fn default() -> Self {
        Self::register(&Registry::new())
    }
}

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
