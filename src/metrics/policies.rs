//! Owns what is counted of policies in SHADOW.

use prometheus::{IntCounterVec, Registry};

use super::{families, series};

/// What versions in SHADOW would have made of calls.
#[derive(Clone, Debug)]
pub struct ShadowMetrics(IntCounterVec);

/// What a version in SHADOW means to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadowVerdict {
    /// It passes, and would go on to.
    WouldPass,
    /// It passes, and would be refused.
    WouldRefuse,
    /// It is refused as it is.
    RefusedAnyhow,
}

impl ShadowMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self(series::counters(registry, &families::SHADOW_VERDICTS))
    }

    /// A call of `service` was judged, which has versions in SHADOW: nobody else can bring a series into being.
    pub fn count(&self, service: &str, verdict: ShadowVerdict) {
        let verdict = match verdict {
            ShadowVerdict::WouldPass => "would_pass",
            ShadowVerdict::WouldRefuse => "would_refuse",
            ShadowVerdict::RefusedAnyhow => "refused_anyhow",
        };
        self.0.with_label_values(&[service, verdict]).inc();
    }
}
