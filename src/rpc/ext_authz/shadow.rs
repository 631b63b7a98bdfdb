//! Owns what is told of versions in SHADOW: the verdict of each is counted, and a refusal logged, at a bounded rate.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::called::Called;
use crate::{
    base::Clock,
    metrics::ShadowMetrics,
    model::{Missing, PolicyState, Shows, policy::ServicePolicy},
};

/// How often the same refusal is told: a roll-out wants to know of each once, and of that it goes on.
const INTERVAL: Duration = Duration::from_mins(1);

/// How many refusals are told apart at once. More are told as new ones.
const MAX_TOLD: usize = 4_096;

/// Tells of verdicts that are not enforced.
#[derive(Debug)]
pub(super) struct ShadowVerdicts {
    clock: Clock,
    metrics: ShadowMetrics,
    /// When each refusal was last told.
    told: Mutex<HashMap<u64, Duration>>,
    hasher: RandomState,
}

impl ShadowVerdicts {
    pub(super) fn new(clock: Clock, metrics: ShadowMetrics) -> Self {
        Self { clock, metrics, told: Mutex::default(), hasher: RandomState::new() }
    }

    /// Tells what each SHADOW version of `policy` makes of a call that shows `shown`, or no token that counts.
    pub(super) fn judge(&self, policy: &ServicePolicy, called: Called<'_>, shown: Option<&impl Shows>) {
        let is_known = policy.judging(called.method).any(|(_, _, rule)| rule.is_some());
        if !is_known {
            return self.tell_unknown(policy);
        }
        for (version, state, rule) in policy.judging(called.method) {
            // Of a method that it does not know the others decide.
            let (PolicyState::Shadow, Some(rule)) = (state, rule) else { continue };
            let lacking = if called.by_get && !rule.has_no_side_effects {
                Some("it is called by GET, and may have side effects".to_owned())
            } else {
                let missing = rule.access.missing(policy.service(), shown);
                (!missing.is_empty())
                    .then(|| missing.iter().map(Missing::to_string).collect::<Vec<_>>().join(", "))
            };
            self.metrics.count(lacking.is_none());
            if let Some(lacking) = lacking {
                let version = version.as_str();
                self.tell(policy.service(), version, called.method, &lacking);
            }
        }
    }

    /// Tells that a request calls no method that `policy` knows.
    pub(super) fn tell_unknown(&self, policy: &ServicePolicy) {
        self.metrics.count(false);
        // The path is whatever a stranger has sent: it is not told.
        self.tell(policy.service(), "", "", "a method that a version knows, called as RPCs are");
    }

    fn tell(&self, service: &str, version: &str, method: &str, lacking: &str) {
        if self.is_due(self.hasher.hash_one((service, version, method, lacking))) {
            tracing::warn!(
                service,
                version,
                method,
                missing = lacking,
                "SHADOW: a call would be refused, and is judged without this version"
            );
        }
    }

    fn is_due(&self, key: u64) -> bool {
        let now = self.clock.monotonic();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&key).is_some_and(|last| now.saturating_sub(*last) < INTERVAL) {
            return false;
        }
        if told.len() >= MAX_TOLD {
            told.clear();
        }
        told.insert(key, now);
        true
    }
}
