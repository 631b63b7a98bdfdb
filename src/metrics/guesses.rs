//! Owns what is counted of passwords that were wrong, and of those that were not judged since too many had been.

use std::sync::Arc;

use prometheus::{IntCounter, Registry};

use super::{families, series};
use crate::model::named::named;

named! {
    /// What came of a password, if it was not right. Names that exist and names that do not are counted alike.
    GuessResult {
        /// It was wrong, and is charged.
        Failed = "failed",
        /// Too many failures came from its address.
        AddressThrottled = "address_throttled",
        /// Too many users failed for whom its client asked.
        ClientThrottled = "client_throttled",
        /// Too many failures were made at its account, which may or may not exist.
        AccountThrottled = "account_throttled",
        /// It waits behind the others, since too many failures came from its address, which is a private one.
        Deferred = "deferred",
    }
}

/// Passwords that were not right.
#[derive(Clone, Debug)]
pub struct GuessMetrics(
    // In the order of `ALL`, which is that of the numbers of the values.
    Arc<[IntCounter]>,
);

impl GuessMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let counters = series::counters(registry, &families::PASSWORD_GUESSES);
        Self(GuessResult::ALL.iter().map(|result| counters.with_label_values(&[result.name()])).collect())
    }

    /// Counts one.
    pub fn count(&self, result: GuessResult) {
        self.0[result as usize].inc();
    }
}

impl Default for GuessMetrics {
    /// For passwords that nobody watches.
    fn default() -> Self {
        Self::register(&Registry::new())
    }
}
