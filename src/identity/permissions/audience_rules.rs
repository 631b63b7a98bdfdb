//! Owns what is remembered of audiences: what everyone has there, and which scopes they know.

use std::{collections::HashMap, sync::Arc, time::Duration};

use quick_cache::sync::Cache;

use super::resolve::AudienceRule;
use crate::{
    model::{AudienceName, Error},
    store::Store,
};

/// How many audiences are remembered. An operator has some dozens.
const CAPACITY: usize = 4_096;

/// The rules of audiences.
#[derive(Debug)]
pub(super) struct AudienceRules(Cache<AudienceName, Remembered>);

/// The rules of the audiences of one token, in their order.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) rules: Vec<(AudienceName, Arc<AudienceRule>)>,
    /// When the oldest of them was read.
    pub(super) read: Reading,
}

/// When something was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// When that began, on the monotonic clock.
    pub(super) begun: Duration,
    /// How many changes of roles had been heard of by then.
    pub(super) roles: u64,
}

#[derive(Clone, Debug)]
struct Remembered {
    rule: Arc<AudienceRule>,
    read: Reading,
    /// Whether the scopes that it knows have been read.
    has_known: bool,
}

impl Default for AudienceRules {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl AudienceRules {
    /// The rules of `names`: as they are remembered where `is_good` says so, or else as `store` has them in the reading `now`.
    ///
    /// Which scopes an audience knows matters among several alone, and is read for them alone.
    pub(super) async fn find(
        &self,
        names: Vec<AudienceName>,
        now: Reading,
        is_good: impl Fn(&Reading) -> bool,
        store: &Store,
    ) -> Result<Rules, Error> {
        let needs_known = names.len() > 1;
        let good =
            |name| self.0.get(name).filter(|found| is_good(&found.read) && (found.has_known || !needs_known));
        let mut found: Vec<_> = names.iter().map(good).collect();
        let missing: Vec<_> = names.iter().zip(&found).filter(|(_, found)| found.is_none()).collect();
        let missing: Vec<_> = missing.into_iter().map(|(name, _)| name.clone()).collect();
        if !missing.is_empty() {
            let everyone = store.everyone(&missing).await?;
            let mut known = if needs_known { store.known_scopes(&missing).await? } else { HashMap::new() };
            for (name, slot) in names.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
                let of_everyone = everyone.iter().find(|role| role.audience == *name);
                let of_everyone = of_everyone.map(|role| role.scopes.iter().map(str::to_owned).collect());
                let rule = AudienceRule {
                    is_signet: name.is_signet(),
                    everyone: of_everyone.unwrap_or_default(),
                    known: known.remove(name).unwrap_or_default(),
                };
                let fresh = Remembered { rule: Arc::new(rule), read: now, has_known: needs_known };
                self.0.insert(name.clone(), fresh.clone());
                *slot = Some(fresh);
            }
        }
        let found: Vec<_> = found.into_iter().flatten().collect();
        let begun = found.iter().map(|found| found.read.begun).min().unwrap_or(now.begun);
        let roles = found.iter().map(|found| found.read.roles).min().unwrap_or(now.roles);
        let of_names = names.into_iter().zip(found.into_iter().map(|found| found.rule)).collect();
        Ok(Rules { rules: of_names, read: Reading { begun, roles } })
    }

    /// To be called when any of them may have changed unheard.
    pub(super) fn clear(&self) {
        self.0.clear();
    }
}
