//! Owns what is counted of connections, and of their TLS handshakes.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{families, series};

/// Why connections are closed at once.
const REFUSED: [&str; 2] = ["peer", "listener"];

/// Why connections are ended before their time.
const ENDED_EARLY: [&str; 3] = ["idle", "frames", "unread"];

/// Connections of every listener.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    open: IntGaugeVec,
    accepted: IntCounterVec,
    refused: IntCounterVec,
    ended_early: IntCounterVec,
    handshakes: IntCounterVec,
}

/// Connections of one listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    name: &'static str,
    open: IntGauge,
    accepted: IntCounter,
    refused: IntCounterVec,
    ended_early: IntCounterVec,
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
        Self {
            open: series::int_gauges(registry, &families::CONNECTIONS_OPEN),
            accepted: series::counters(registry, &families::CONNECTIONS_ACCEPTED),
            refused: series::counters(registry, &families::CONNECTIONS_REFUSED),
            ended_early: series::counters(registry, &families::CONNECTIONS_ENDED_EARLY),
            handshakes: series::counters(registry, &families::TLS_HANDSHAKES),
        }
    }

    /// The handles of the listener `name`.
    #[must_use]
    pub fn listener(&self, name: &'static str) -> ListenerMetrics {
        for (series, reasons) in [(&self.refused, &REFUSED[..]), (&self.ended_early, &ENDED_EARLY[..])] {
            // A series that begins with its first count has no rate then.
            for reason in reasons {
                series.with_label_values(&[name, reason]);
            }
        }
        ListenerMetrics {
            name,
            open: self.open.with_label_values(&[name]),
            accepted: self.accepted.with_label_values(&[name]),
            refused: self.refused.clone(),
            ended_early: self.ended_early.clone(),
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

    /// A connection was closed at once, for `reason`.
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[self.name, reason]).inc();
    }

    /// A connection was ended before its time, for `reason`.
    pub fn ended_early(&self, reason: &'static str) {
        self.ended_early.with_label_values(&[self.name, reason]).inc();
    }

    /// The name of the listener.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
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
