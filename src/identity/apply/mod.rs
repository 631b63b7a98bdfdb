//! Owns manifests: what is to be there as files say it, the plan that leads to it, and making it so.

mod dev;
mod export;
mod format;
mod manifest;
mod message;
mod one_at_a_time;
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
    model::{Error, NameSet, RefusedChange},
    store::{Applying, FirstKey, PlannedStep, Store},
};

pub use dev::{DevClient, DevData, DevFile, DevUser};
#[cfg(any(fuzzing, test))]
pub(crate) use format::fuzz;
pub use manifest::{
    AttributeItem, AudienceItem, BindingItem, ClientItem, GroupItem, Manifest, RoleItem, SecretRef, UserItem,
    WhoItem,
};
pub use message::{read_message, to_message};
pub use one_at_a_time::SharedManifests;
pub use plan::{Action, Change, FieldDifference, Plan};

/// How many bytes a caller of the admin API is told of a plan, or of a manifest: those of the largest that can be applied there.
pub const TOLD_MAX_BYTES: usize = 4 * 1_024 * 1_024;

/// What makes manifests true.
#[derive(Debug)]
pub struct Manifests {
    store: Store,
    clock: Clock,
    audit: Audit,
    /// The service's own audience.
    own: NameSet,
}

/// A manifest, and how it is to be applied.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is to be there.
    pub manifest: &'a Manifest,
    /// The secrets that it refers to, by the names of their clients.
    pub secrets: &'a HashMap<String, Zeroizing<String>>,
    /// Whether to delete what an earlier apply of its set has made and the manifest names no longer.
    pub prune: bool,
    /// Whether its set is to be that of whoever applies it from now on.
    pub take_over: bool,
    /// Who applies it.
    pub by: &'a Administrator,
}

impl Manifests {
    /// Those that change what `store` has; `audit` is told of each change, and `own` is the service's own audience.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, audit: Audit, own: NameSet) -> Self {
        Self { store, clock, audit, own }
    }

    /// What the manifest that is `asked` to be applied changes of what is there.
    ///
    /// # Errors
    /// [`Error::ManifestRefused`]; [`Error::LimitReached`] if it is more than a caller of the admin API is told; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn plan(&self, asked: Asked<'_>) -> Result<Plan, Error> {
        let Asked { manifest, secrets, prune, take_over, by } = asked;
        let named = plan::named(manifest, prune, &self.own);
        let present = self.store.present(&named).await?;
        let taken_by = take_over.then(|| by.as_owner());
        let wanted =
            plan::Wanted { manifest, secrets, prune, taken_by, own: &self.own, now: self.clock.now() };
        let plan = plan::plan(wanted, named, present, self.store.entropy())?;
        if by.principal().is_some() && plan.told_bytes() > TOLD_MAX_BYTES {
            let (whose, most) = ("a plan over the admin API".to_owned(), TOLD_MAX_BYTES as u64);
            return Err(Error::LimitReached { whose, what: "bytes", most });
        }
        Ok(plan)
    }

    /// The same plan as one at which somebody has looked before, whose [`Plan::etag`] was `seen`.
    ///
    /// # Errors
    /// [`Error::PlanOutdated`] if it would do something else now; as [`Self::plan`].
    pub async fn renew(&self, seen: &str, asked: Asked<'_>) -> Result<Plan, Error> {
        let plan = self.plan(asked).await?;
        if plan.etag().as_str() == seen { Ok(plan) } else { Err(Error::PlanOutdated) }
    }

    /// Makes `plan` true, in one transaction; of an administrator who only wants to know whether it could be, it is tried and undone.
    ///
    /// # Errors
    /// [`Error::PlanOutdated`] if somebody has changed what it is about; [`Error::SetOfAnother`]; what a change by itself is refused with,
    /// which is named then; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn apply(&self, plan: &Plan, by: &Administrator) -> Result<(), RefusedChange> {
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
    ) -> Result<bool, RefusedChange> {
        let Some(first) = keys.first().await? else { return Ok(false) };
        let by = Administrator::operator();
        let asked = Asked { manifest, secrets, prune: false, take_over: false, by: &by };
        let plan = self.plan(asked).await?;
        let published = Event::SigningKeyPublished.done().by(Actor::Service).key(first.key.kid.clone());
        let pending = self.audit.begin(published);
        let made = self.make(&plan, Some(&first), &by).await;
        match &made {
            Ok(made) => pending.done_if(*made),
            Err(refused) => pending.settle(Some(&refused.error)),
        }
        made
    }

    /// Makes `plan` true; with `first_key`, if there is none, or not at all. Returns whether it has.
    async fn make(
        &self,
        plan: &Plan,
        first_key: Option<&FirstKey>,
        by: &Administrator,
    ) -> Result<bool, RefusedChange> {
        let by_whom =
            |step: &PlannedStep| PlannedStep { entry: by.entry(step.entry.clone()), ..step.clone() };
        let steps: Vec<_> = plan.steps.iter().map(by_whom).collect();
        let entry = by.entry(Event::ManifestApplied.done());
        let pending = self.audit.begin(entry.clone());
        let Plan { named, basis, time, .. } = plan;
        let applying = Applying { named, basis, time: *time, steps: &steps, first_key };
        let applied = Box::pin(self.store.apply(applying, by.change(&entry, self.clock.now()))).await;
        match &applied {
            Ok(made) if by.only_validates() || !made => pending.dismiss(),
            Ok(_) => {
                // The database has them already, with what the fields were and are.
                let told = steps.into_iter().zip(&plan.fields);
                pending.done_with(told.map(|(step, fields)| step.entry.changed(fields.iter().copied())));
            }
            Err(refused) => pending.settle(Some(&refused.error)),
        }
        applied
    }
}

#[cfg(test)]
mod tests;
