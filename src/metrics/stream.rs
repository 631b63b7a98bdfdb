//! Owns what is counted of the stream of changes that other services follow.

use prometheus::{IntCounter, Registry};

use super::{families, series};

/// What watchers were told.
#[derive(Clone, Debug)]
pub struct StreamMetrics {
    snapshots: IntCounter,
    resumed: IntCounter,
    resyncs: IntCounter,
    messages: IntCounter,
    dropped: IntCounter,
    cut: IntCounter,
}

impl StreamMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let streams = series::counters(registry, &families::EVENT_STREAMS);
        Self {
            snapshots: streams.with_label_values(&["snapshot"]),
            resumed: streams.with_label_values(&["resumed"]),
            resyncs: streams.with_label_values(&["resync"]),
            messages: series::counter(registry, &families::EVENT_MESSAGES),
            dropped: series::counter(registry, &families::EVENT_WATCHERS_DROPPED),
            cut: series::counter(registry, &families::EVENT_SNAPSHOTS_CUT),
        }
    }

    /// A stream has begun with a snapshot.
    pub fn count_snapshot(&self) {
        self.snapshots.inc();
    }

    /// A stream goes on where another ended.
    pub fn count_resumed(&self) {
        self.resumed.inc();
    }

    /// A stream was to go on where that is not known any more.
    pub fn count_resync(&self) {
        self.resyncs.inc();
    }

    /// A message was queued for so many watchers, of whom so many were dropped.
    pub fn count_messages(&self, watchers: usize, dropped: usize) {
        self.messages.inc_by(watchers as u64);
        self.dropped.inc_by(dropped as u64);
    }

    /// A snapshot could not tell all that has ended.
    pub fn count_cut(&self) {
        self.cut.inc();
    }
}

impl Default for StreamMetrics {
    /// For a stream that nobody watches.
    fn default() -> Self {
        Self::register(&Registry::new())
    }
}
