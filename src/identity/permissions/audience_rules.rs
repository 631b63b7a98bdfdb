//! Owns the cache of audiences: the scopes that everyone has there, and those that exist there.

use std::{collections::HashMap, sync::Arc, time::Duration};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::resolve::AudienceRule;
use crate::{
    changes::Turns,
    model::{AudienceName, Error},
    store::Store,
};

/// How many audiences are expected at most. An operator has some dozens.
const CAPACITY: usize = 4_096;

/// How many bytes those take at most that are remembered. One that is larger is read for each token that is new.
const MAX_BYTES: u64 = 4 * 1_024 * 1_024;

/// The memory that each name takes beside its text.
const NAME_BYTES: usize = 48;

/// The rules of audiences.
#[derive(Debug)]
pub(super) struct AudienceRules {
    remembered: Cache<AudienceName, Remembered, ByBytes>,
    readings: Turns,
}

/// Rules weigh what their names take.
#[derive(Clone, Debug)]
struct ByBytes;

/// The rules of the audiences of one token, in their order.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) rules: Vec<(AudienceName, Arc<AudienceRule>)>,
    /// When the oldest of them was read.
    pub(super) read: RulesReading,
}

/// When something was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct RulesReading {
    /// When that began, on the monotonic clock.
    pub(super) begun: Duration,
    /// How many changes of roles had been heard of by then.
    pub(super) roles: u64,
}

#[derive(Clone, Debug)]
struct Remembered {
    rule: Arc<AudienceRule>,
    read: RulesReading,
    /// Whether the scopes that it knows have been read.
    has_known: bool,
}

impl Weighter<AudienceName, Remembered> for ByBytes {
    fn weight(&self, name: &AudienceName, remembered: &Remembered) -> u64 {
        let AudienceRule { everyone, known, .. } = &*remembered.rule;
        let names: usize = everyone.iter().chain(known).map(|name| NAME_BYTES + name.len()).sum();
        (size_of::<Remembered>() + size_of::<AudienceRule>() + name.as_str().len() + names) as u64
    }
}

impl Default for AudienceRules {
    fn default() -> Self {
        // In one piece, so that a large one has room: it is asked for new tokens alone.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(CAPACITY)
            .weight_capacity(MAX_BYTES)
            .build()
            .expect("all that has no default is set");
        let (hashing, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let remembered = Cache::with_options(options, ByBytes, hashing, lifecycle);
        Self { remembered, readings: Turns::default() }
    }
}

impl AudienceRules {
    /// The rules of `names`: as they are remembered where `is_good` says so, or else as `store` has them in a reading that begins `now`.
    ///
    /// Which scopes an audience knows matters among several alone, and is read for them alone.
    pub(super) async fn find(
        &self,
        names: Vec<AudienceName>,
        now: impl Fn() -> RulesReading,
        is_good: impl Fn(&RulesReading) -> bool,
        store: &Store,
    ) -> Result<Rules, Error> {
        let needs_known = names.len() > 1;
        let good = |name| {
            let found = self.remembered.get(name);
            found.filter(|found| is_good(&found.read) && (found.has_known || !needs_known))
        };
        let look = || -> Vec<_> { names.iter().map(good).collect() };
        let mut found = look();
        let turn = match found.iter().position(Option::is_none) {
            Some(missing) => self.readings.take(&names[missing]).await,
            None => None,
        };
        if turn.is_none() && found.iter().any(Option::is_none) {
            found = look();
        }
        let now = now();
        let missing: Vec<_> = names
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        if !missing.is_empty() {
            let everyone = store.everyone(&missing).await?;
            let typs = store.token_typs(&missing).await?;
            let mut known = if needs_known { store.known_scopes(&missing).await? } else { HashMap::new() };
            for (name, slot) in names.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
                let of_everyone = everyone.iter().find(|role| role.audience == *name);
                let of_everyone = of_everyone.map(|role| role.scopes.iter().map(str::to_owned).collect());
                let rule = AudienceRule {
                    is_signet: name.is_signet(),
                    everyone: of_everyone.unwrap_or_default(),
                    known: known.remove(name).unwrap_or_default(),
                    typ: typs.get(name).copied().unwrap_or_default(),
                };
                let fresh = Remembered { rule: Arc::new(rule), read: now, has_known: needs_known };
                self.remembered.insert(name.clone(), fresh.clone());
                *slot = Some(fresh);
            }
        }
        let found: Vec<_> = found.into_iter().flatten().collect();
        let begun = found.iter().map(|found| found.read.begun).min().unwrap_or(now.begun);
        let roles = found.iter().map(|found| found.read.roles).min().unwrap_or(now.roles);
        let of_names = names.into_iter().zip(found.into_iter().map(|found| found.rule)).collect();
        Ok(Rules { rules: of_names, read: RulesReading { begun, roles } })
    }

    /// Has the rules of `name` read anew when they are asked for next.
    pub(super) fn forget(&self, name: &AudienceName) {
        self.remembered.remove(name);
    }

    /// To be called when any of them may have changed unheard.
    pub(super) fn clear(&self) {
        self.remembered.clear();
    }
}
