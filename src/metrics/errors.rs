//! Owns what is counted of calls and requests that were refused or failed: why.

use prometheus::{IntCounterVec, Registry};

use super::{families, series};

/// What stands for a client that was told no reason.
const NONE: &str = "none";

/// What was refused or failed, by the reason that the client was told.
#[derive(Clone, Debug)]
pub struct ErrorMetrics(IntCounterVec);

impl ErrorMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let counters = series::counters(registry, &families::ERRORS);
        counters.with_label_values(&[NONE]);
        Self(counters)
    }

    /// Shows `reasons` at zero, so that the first error of each shows as an increase.
    pub fn expect(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            self.0.with_label_values(&[reason]);
        }
    }

    /// A call or a request was refused, or has failed. The reasons are those of the API: no client can make one up.
    pub fn count(&self, reason: Option<&'static str>) {
        self.0.with_label_values(&[reason.unwrap_or(NONE)]).inc();
    }
}
