//! Owns what is counted of the audit log.

use prometheus::{IntCounter, Registry};

use super::series;

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
