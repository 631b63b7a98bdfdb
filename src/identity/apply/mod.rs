//! Owns manifests: what is to be there as files say it, the plan that leads to it, and making it so.

mod export;
mod format;
mod manifest;
mod plan;
#[cfg(test)]
mod schema;
mod text;

use std::collections::HashMap;

use zeroize::Zeroizing;

use super::{Administrator, KeyRotation};
use crate::{
    audit::{Actor, Audit, Event},
    base::Clock,
    model::{Error, NameSet},
    store::{Applying, FirstKey, Store},
};

#[cfg(any(fuzzing, test))]
pub(crate) use format::fuzz;
pub use manifest::{
    AttributeItem, AudienceItem, BindingItem, ClientItem, GroupItem, Manifest, RoleItem, SecretRef, UserItem,
    WhoItem,
};
pub use plan::{Action, Change, FieldDifference, Plan};

/// What makes manifests true.
#[derive(Debug)]
pub struct Manifests {
    store: Store,
    clock: Clock,
    audit: Audit,
    /// The service's own audience.
    own: NameSet,
}

impl Manifests {
    /// Those that change what `store` has; `audit` is told of each change, and `own` is the service's own audience.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, audit: Audit, own: NameSet) -> Self {
        Self { store, clock, audit, own }
    }

    /// What `manifest` changes of what is there. `secrets` are those that it refers to, by the names of their clients. With `prune` what an
    /// earlier apply of its set has made is deleted where the manifest names it no longer.
    ///
    /// # Errors
    /// [`Error::ManifestRefused`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn plan(
        &self,
        manifest: &Manifest,
        secrets: &HashMap<String, Zeroizing<String>>,
        prune: bool,
    ) -> Result<Plan, Error> {
        let named = plan::named(manifest, prune, &self.own);
        let present = self.store.present(&named).await?;
        let wanted = plan::Wanted { manifest, secrets, prune, own: &self.own, now: self.clock.now() };
        plan::plan(wanted, named, present, self.store.entropy())
    }

    /// The plan made anew of what it was made of, at which somebody has looked meanwhile.
    ///
    /// # Errors
    /// [`Error::PlanOutdated`] if it would do something else now; as [`Self::plan`].
    pub async fn renew(
        &self,
        seen: &Plan,
        manifest: &Manifest,
        secrets: &HashMap<String, Zeroizing<String>>,
        prune: bool,
    ) -> Result<Plan, Error> {
        let plan = self.plan(manifest, secrets, prune).await?;
        if plan.changes == seen.changes { Ok(plan) } else { Err(Error::PlanOutdated) }
    }

    /// Makes `plan` true, in one transaction; of an administrator who only wants to know whether it could be, it is tried and undone.
    ///
    /// # Errors
    /// [`Error::PlanOutdated`] if somebody has changed what it is about; what a change by itself is refused with; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn apply(&self, plan: &Plan, by: &Administrator) -> Result<(), Error> {
        self.make(plan, None, by).await.map(drop)
    }

    /// Makes `manifest` true in the transaction that makes the first key of `keys`, as the operator asks for it. False, and nothing is
    /// done, if the service has a key already: so it counts once, of several processes that start for one alone.
    ///
    /// # Errors
    /// [`Error::ManifestRefused`]; [`Error::ClocksApart`]; as [`Self::apply`].
    pub async fn bootstrap(
        &self,
        manifest: &Manifest,
        secrets: &HashMap<String, Zeroizing<String>>,
        keys: &KeyRotation,
    ) -> Result<bool, Error> {
        let Some(first) = keys.first().await? else { return Ok(false) };
        let plan = self.plan(manifest, secrets, false).await?;
        let published = Event::SigningKeyPublished.done().by(Actor::Service).key(first.key.kid.clone());
        let pending = self.audit.begin(published);
        let made = self.make(&plan, Some(&first), &Administrator::operator()).await;
        match &made {
            Ok(made) => pending.done_if(*made),
            Err(error) => pending.settle(Some(error)),
        }
        made
    }

    /// Makes `plan` true; with `first_key`, if there is none, or not at all. Returns whether it has.
    async fn make(
        &self,
        plan: &Plan,
        first_key: Option<&FirstKey>,
        by: &Administrator,
    ) -> Result<bool, Error> {
        let steps: Vec<_> =
            plan.steps.iter().map(|(step, entry)| (step.clone(), by.entry(entry.clone()))).collect();
        let entry = by.entry(Event::ManifestApplied.done());
        let pending = self.audit.begin(entry.clone());
        let Plan { named, basis, time, .. } = plan;
        let applying = Applying { named, basis, time: *time, steps: &steps, first_key };
        let applied = Box::pin(self.store.apply(applying, by.change(&entry, self.clock.now()))).await;
        match &applied {
            Ok(made) if by.only_validates() || !made => pending.dismiss(),
            Ok(_) => {
                pending.done();
                // The database has them already, with what the fields were and are.
                for ((_, entry), fields) in steps.into_iter().zip(&plan.fields) {
                    self.audit.record(entry.changed(fields.iter().copied()));
                }
            }
            Err(error) => pending.settle(Some(error)),
        }
        applied
    }
}

#[cfg(test)]
mod tests;
