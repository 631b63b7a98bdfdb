//! Owns applying and exporting manifests for callers of the admin API: one at a time, by what they may read, and within bounds.

use std::time::Duration;

use super::{Asked, Manifest, Manifests, Plan, export::Room};
use crate::{
    base::Timestamp,
    model::{AdminScope, Error, GroupName, RefusedChange, id::uuid_v7},
    store::{Hanging, Lease, MANIFESTS_LEASE, Made},
};

/// When it is worth trying again while another manifest is applied: most take less.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What makes manifests true for callers of the admin API, of one of them at a time.
#[derive(Debug)]
pub struct SharedManifests(Manifests);

impl SharedManifests {
    /// Those callers who share `manifests`.
    #[must_use]
    pub const fn new(manifests: Manifests) -> Self {
        Self(manifests)
    }

    /// Applies what is `asked`, and returns what it has changed; of who only wants to know, it is tried and undone. If a plan with the
    /// etag `seen` was looked at before, it is that one.
    ///
    /// # Errors
    /// [`Error::ApplyUnderWay`]; [`Error::InsufficientScope`] of who may not read what the plan tells of; as [`Manifests::renew`] and
    /// [`Manifests::apply`].
    pub async fn apply(&self, asked: Asked<'_>, seen: Option<&str>) -> Result<Plan, RefusedChange> {
        for scope in of_manifest(asked.manifest) {
            asked.by.must_show(scope)?;
        }
        let now = self.now().await?;
        let lease = Lease::of_leader(uuid_v7(now, self.0.store.entropy()));
        if !self.0.store.take_lease(MANIFESTS_LEASE, lease, now).await? {
            return Err(Error::ApplyUnderWay(RETRY_AFTER).into());
        }
        let applied = self.under_lease(asked, seen).await;
        // Whoever is cut short before this keeps others waiting for a minute at most.
        let given_back = self.0.store.give_back_lease(MANIFESTS_LEASE, lease, self.now().await?).await;
        let plan = applied?;
        given_back?;
        Ok(plan)
    }

    async fn under_lease(&self, asked: Asked<'_>, seen: Option<&str>) -> Result<Plan, RefusedChange> {
        let plan = self.0.plan(asked).await?;
        let made = plan.basis.made.keys().flat_map(|made| of_made(*made));
        for scope in made.chain(of_hanging(&plan.basis.hanging)) {
            asked.by.must_show(*scope)?;
        }
        if seen.is_some_and(|seen| plan.etag().as_str() != seen) {
            return Err(Error::PlanOutdated.into());
        }
        if !plan.changes.is_empty() {
            self.0.apply(&plan, asked.by).await?;
        }
        Ok(plan)
    }

    /// What there is as a manifest of the set `set`: for whoever may read all of that.
    ///
    /// # Errors
    /// [`Error::LimitReached`] if it has more than `max_bytes`; as [`Manifests::export`].
    pub async fn export(&self, set: GroupName, max_bytes: usize) -> Result<Manifest, Error> {
        self.0.export_within(set, &Room::of(max_bytes)).await
    }

    /// The time that all replicas have.
    async fn now(&self) -> Result<Timestamp, Error> {
        Ok(self.0.store.time().await?.unwrap_or_else(|| self.0.clock.now()))
    }
}

/// What reads each kind that `manifest` names: whoever applies it is told what there is of that.
fn of_manifest(manifest: &Manifest) -> Vec<AdminScope> {
    let members = || manifest.groups.iter().flat_map(|group| &group.members);
    let bound = manifest.bindings.iter().map(super::BindingItem::who);
    let owners = manifest.audiences.iter().flat_map(|audience| audience.owners.iter().cloned());
    let who: Vec<_> = bound.chain(owners).collect();
    let is_said = [
        (AdminScope::AttributesRead, !manifest.attributes.is_empty()),
        (AdminScope::AudiencesRead, !manifest.audiences.is_empty()),
        (AdminScope::ClientsRead, !manifest.clients.is_empty() || who.iter().any(|who| who.client.is_some())),
        (AdminScope::RolesRead, !manifest.roles.is_empty() || !manifest.bindings.is_empty()),
        (AdminScope::GroupsRead, !manifest.groups.is_empty() || who.iter().any(|who| who.group.is_some())),
        (AdminScope::BindingsRead, !manifest.bindings.is_empty()),
        (AdminScope::UsersRead, members().next().is_some() || who.iter().any(|who| who.user.is_some())),
    ];
    is_said.into_iter().filter(|(_, is_said)| *is_said).map(|(scope, _)| scope).collect()
}

/// What reads what a set has made: what the manifest does not name of it, it is told too.
const fn of_made(made: Made) -> &'static [AdminScope] {
    match made {
        Made::Attribute(_) => &[AdminScope::AttributesRead],
        Made::Client(_) => &[AdminScope::ClientsRead],
        Made::Role(_) => &[AdminScope::RolesRead],
        Made::Group(_) => &[AdminScope::GroupsRead],
        Made::Membership(..) => &[AdminScope::GroupsRead, AdminScope::UsersRead],
        // Whoever it is of is told by name.
        Made::Binding(_) => {
            &[AdminScope::BindingsRead, AdminScope::RolesRead, AdminScope::UsersRead, AdminScope::ClientsRead]
        }
    }
}

/// What reads what others have hung on what is pruned: the plan names it.
fn of_hanging(hanging: &Hanging) -> Vec<&'static AdminScope> {
    let is_told: [(&[AdminScope], bool); 3] = [
        (&[AdminScope::GroupsRead, AdminScope::UsersRead], !hanging.members.is_empty()),
        (
            &[
                AdminScope::BindingsRead,
                AdminScope::RolesRead,
                AdminScope::GroupsRead,
                AdminScope::UsersRead,
                AdminScope::ClientsRead,
            ],
            !hanging.bindings.is_empty(),
        ),
        (&[AdminScope::AudiencesRead], !hanging.owned.is_empty()),
    ];
    is_told.into_iter().filter(|(_, is_told)| *is_told).flat_map(|(scopes, _)| scopes).collect()
}
