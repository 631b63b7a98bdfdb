//! Owns what is counted of the places that calls take: how many are taken, how many there are, and who found none.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{Metrics, series};

/// The places of every listener.
#[derive(Clone, Debug)]
pub(super) struct PlaceMetrics {
    taken: IntGaugeVec,
    limit: IntGaugeVec,
    refused: IntCounterVec,
}

impl PlaceMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let labels = &["listener", "lane"];
        Self {
            taken: series::int_gauges(
                registry,
                "signet_places_taken",
                "Places (or bytes) that are taken, by listener and lane.",
                labels,
            ),
            limit: series::int_gauges(
                registry,
                "signet_places",
                "Places (or bytes) that there are, by listener and lane.",
                labels,
            ),
            refused: series::counters(
                registry,
                "signet_places_refused_total",
                "Calls that were refused since there was no place for them, by listener and lane.",
                labels,
            ),
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
