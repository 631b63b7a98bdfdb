//! Owns what is told of versions in SHADOW: the verdict of each is counted, and what would be refused is logged, at a bounded rate.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::rule::beginning;
use crate::{
    base::Clock,
    metrics::{ShadowMetrics, ShadowVerdict},
    model::{
        Missing, PolicyState, Shows,
        policy::{Called, ServicePolicy},
    },
};

/// How often the same refusal is told: a roll-out wants to know of each once, and of that it goes on.
const INTERVAL: Duration = Duration::from_mins(1);

/// How many refusals are told of one service in that time: what floods one hides no other's.
const MAX_TOLD: usize = 60;

/// Tells of verdicts that are not enforced.
#[derive(Debug)]
pub(super) struct ShadowVerdicts {
    clock: Clock,
    metrics: ShadowMetrics,
    /// By the services whose policies have versions in SHADOW.
    told: Mutex<HashMap<String, Told>>,
    hasher: RandomState,
}

/// What was told of one service.
#[derive(Debug, Default)]
struct Told {
    /// Since when.
    since: Duration,
    refusals: HashSet<u64>,
}

impl ShadowVerdicts {
    pub(super) fn new(clock: Clock, metrics: ShadowMetrics) -> Self {
        Self { clock, metrics, told: Mutex::default(), hasher: RandomState::new() }
    }

    /// Tells what each SHADOW version of `policy` makes of a call that passes, and shows `shown`, or no token that counts.
    pub(super) fn judge(&self, policy: &ServicePolicy, called: Called<'_>, shown: Option<&impl Shows>) {
        let is_known = policy.judging(called.method).any(|(_, _, rule)| rule.is_some());
        if !is_known {
            return self.tell_unknown(policy, called.method);
        }
        for (version, state, rule) in policy.judging(called.method) {
            // Of a method that it does not know the others decide.
            let (PolicyState::Shadow, Some(rule)) = (state, rule) else { continue };
            let missing = rule.missing(called.by_get, policy.service(), shown);
            if missing.is_empty() {
                self.metrics.count(policy.service(), ShadowVerdict::WouldPass);
            } else {
                let lacking = missing.iter().map(Missing::to_string).collect::<Vec<_>>().join(", ");
                self.tell(policy, version.as_str(), called.method, &lacking);
            }
        }
    }

    /// Tells that a request passes that calls no method which `policy` knows: once enforced, it is refused.
    pub(super) fn tell_unknown(&self, policy: &ServicePolicy, path: &str) {
        self.tell(policy, "", path, "a method that a version knows, called as RPCs are");
    }

    /// Counts a request that `policy` has not let pass as it is: no version in SHADOW makes a difference to it.
    pub(super) fn refused_anyhow(&self, policy: &ServicePolicy) {
        self.metrics.count(policy.service(), ShadowVerdict::RefusedAnyhow);
    }

    fn tell(&self, policy: &ServicePolicy, version: &str, method: &str, lacking: &str) {
        let service = policy.service();
        self.metrics.count(service, ShadowVerdict::WouldRefuse);
        let method = beginning(method);
        if self.is_due(service, self.hasher.hash_one((version, method, lacking))) {
            tracing::warn!(
                service,
                version,
                ?method,
                missing = lacking,
                "SHADOW: a call passes that would be refused"
            );
        }
    }

    fn is_due(&self, service: &str, refusal: u64) -> bool {
        let now = self.clock.monotonic();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains_key(service) {
            told.insert(service.to_owned(), Told { since: now, ..Told::default() });
        }
        let Some(of_service) = told.get_mut(service) else { return false };
        if now.saturating_sub(of_service.since) >= INTERVAL {
            *of_service = Told { since: now, ..Told::default() };
        }
        of_service.refusals.len() < MAX_TOLD && of_service.refusals.insert(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::Timestamp, metrics::Metrics};

    #[test]
    fn each_refusal_is_told_once_a_minute_and_a_flood_of_one_service_hides_no_others() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let verdicts = ShadowVerdicts::new(clock.clone(), Metrics::new().shadow.clone());
        assert!(verdicts.is_due("stock", 0));
        assert!(!verdicts.is_due("stock", 0));
        assert_eq!((1..10_000).filter(|refusal| verdicts.is_due("stock", *refusal)).count(), MAX_TOLD - 1);
        assert!(verdicts.is_due("orders", 0));
        clock.advance(INTERVAL);
        assert!(verdicts.is_due("stock", 0));
    }
}
