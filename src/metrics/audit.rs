//! Owns what is counted of the audit log.

use prometheus::{IntCounter, Registry};

use super::{families, series};

/// The audit log. Events are counted, and not lines: whether an event is told in a line of its own or in that of an equal one depends on
/// what was told before, and on whom it concerns. Whoever reads the metrics could find out from that which names there are.
#[derive(Clone, Debug)]
pub struct AuditMetrics {
    recorded: IntCounter,
    lost: IntCounter,
    kept: IntCounter,
    not_kept: IntCounter,
}

impl AuditMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let events = series::counters(registry, &families::AUDIT_EVENTS);
        let [recorded, lost] = ["recorded", "lost"].map(|result| events.with_label_values(&[result]));
        let of_database = series::counters(registry, &families::AUDIT_DATABASE_EVENTS);
        let [kept, not_kept] = ["kept", "lost"].map(|result| of_database.with_label_values(&[result]));
        Self { recorded, lost, kept, not_kept }
    }

    /// An event was taken, to be written.
    pub fn recorded(&self) {
        self.recorded.inc();
    }

    /// So many events were lost: the queue was full, or they could not be written.
    pub fn lost(&self, count: u64) {
        self.lost.inc_by(count);
    }
}

impl AuditMetrics {
    /// So many events are in the database, each by itself or with its equals.
    pub fn kept(&self, count: u64) {
        self.kept.inc_by(count);
    }

    /// So many never will be.
    pub fn not_kept(&self, count: u64) {
        self.not_kept.inc_by(count);
    }
}

impl Default for AuditMetrics {
    /// For an audit log that nobody watches.
    fn default() -> Self {
        Self::register(&Registry::new())
    }
}
