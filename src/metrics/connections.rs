//! Owns what is counted of connections, and of their TLS handshakes.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::series;

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
