//! Owns what is counted of the places that calls take: how many are taken, how many there are, and who found none.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{Metrics, families, series};

/// The places of every listener.
#[derive(Clone, Debug)]
pub(super) struct PlaceMetrics {
    taken: IntGaugeVec,
    limit: IntGaugeVec,
    refused: IntCounterVec,
}

impl PlaceMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            taken: series::int_gauges(registry, &families::PLACES_TAKEN),
            limit: series::int_gauges(registry, &families::PLACES),
            refused: series::counters(registry, &families::PLACES_REFUSED),
        }
    }
}

impl Metrics {
    /// Shows a lane of a listener, of which `usage` tells what is taken, and how often there was no room.
    pub fn watch_places(
        &self,
        listener: &str,
        lane: &str,
        limit: u64,
        usage: impl Fn() -> (u64, u64) + Send + 'static,
    ) {
        let labels = &[listener, lane];
        let taken = self.places.taken.with_label_values(labels);
        let refused = self.places.refused.with_label_values(labels);
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.places.limit.with_label_values(labels).set(gauge(limit));
        self.on_read(move || {
            let (now_taken, now_refused) = usage();
            taken.set(gauge(now_taken));
            // Nobody else counts here, and one reads at a time.
            refused.inc_by(now_refused.saturating_sub(refused.get()));
        });
    }
}
