//! Owns what is counted of the files of TLS.

use prometheus::{IntCounter, Registry};

use super::{families, series};

/// How often changed files were taken, and how often not.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    taken: IntCounter,
    refused: IntCounter,
}

impl TlsMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let reloads = series::counters(registry, &families::TLS_RELOADS);
        Self {
            taken: reloads.with_label_values(&["succeeded"]),
            refused: reloads.with_label_values(&["failed"]),
        }
    }

    /// The files have changed; `is_used` tells whether what they hold now is in use.
    pub fn changed(&self, is_used: bool) {
        if is_used { &self.taken } else { &self.refused }.inc();
    }
}
