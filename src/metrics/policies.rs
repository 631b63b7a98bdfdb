//! Owns what is counted of policies in SHADOW.

use prometheus::{IntCounter, Registry};

use super::{families, series};

/// What versions in SHADOW would have made of calls.
#[derive(Clone, Debug)]
pub struct ShadowMetrics {
    passed: IntCounter,
    refused: IntCounter,
}

impl ShadowMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let verdicts = series::counters(registry, &families::SHADOW_VERDICTS);
        Self {
            passed: verdicts.with_label_values(&["would_pass"]),
            refused: verdicts.with_label_values(&["would_refuse"]),
        }
    }

    /// A version has judged a call; `passes` tells whether that would have passed.
    pub fn count(&self, passes: bool) {
        if passes { &self.passed } else { &self.refused }.inc();
    }
}
