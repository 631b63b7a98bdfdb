//! Owns applying and exporting manifests for callers of the admin API: one at a time, by what they may read, and within bounds.

use std::time::Duration;

use tokio::runtime::Handle;

use super::{Asked, Manifest, Manifests, Plan, export::Room};
use crate::{
    base::{Clock, Timestamp},
    model::{AdminScope, Binding, Error, GroupName, Principal, RefusedChange, error, id::uuid_v7},
    store::{Hanging, Lease, MANIFESTS_LEASE, Made, Present, Store},
};

/// When it is worth trying again while another manifest is applied: most take less.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What makes manifests true for callers of the admin API, of one of them at a time.
#[derive(Debug)]
pub struct SharedManifests(Manifests);

/// A call that has the lease, or may have it: however it ends, the lease is given back.
#[derive(Debug)]
struct Turn(Option<Taken>);

/// The lease, as it was taken.
#[derive(Clone, Debug)]
struct Taken {
    store: Store,
    clock: Clock,
    lease: Lease,
}

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
        let Manifests { store, clock, .. } = &self.0;
        let now = now(store, clock).await?;
        let lease = Lease::of_leader(uuid_v7(now, store.entropy()));
        // Whoever goes away while it is being taken may have it.
        let mut turn = Turn(Some(Taken { store: store.clone(), clock: clock.clone(), lease }));
        if !store.take_lease(MANIFESTS_LEASE, lease, now).await? {
            turn.0 = None;
            return Err(Error::ApplyUnderWay(RETRY_AFTER).into());
        }
        let applied = self.under_lease(asked, seen).await;
        turn.end().await;
        applied
    }

    async fn under_lease(&self, asked: Asked<'_>, seen: Option<&str>) -> Result<Plan, RefusedChange> {
        let plan = self.0.plan(asked).await?;
        for scope in of_made(&plan.basis).into_iter().chain(of_hanging(&plan.basis.hanging)) {
            asked.by.must_show(scope)?;
        }
        // Also of what changes nothing: who is told so would be refused by the next change.
        if !asked.take_over {
            asked.by.as_owner().must_have(&plan.named.set, plan.basis.owner)?;
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
}

impl Turn {
    /// Gives the lease back, and waits for that: whoever called may call again at once.
    async fn end(mut self) {
        if let Some(taken) = self.0.clone() {
            taken.give_back().await;
            self.0 = None;
        }
    }
}

impl Drop for Turn {
    /// Of a caller who has gone away: somebody else waits.
    fn drop(&mut self) {
        if let Some(taken) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn(taken.give_back()));
        }
    }
}

impl Taken {
    /// What was applied is applied, whatever becomes of the lease: the caller is not told.
    async fn give_back(self) {
        if let Err(error) = self.try_give_back().await {
            tracing::warn!(
                error = %error::chain(&error),
                "the lease of whoever applies a manifest is not given back: it ends by itself in a minute"
            );
        }
    }

    async fn try_give_back(&self) -> Result<(), Error> {
        let now = now(&self.store, &self.clock).await?;
        self.store.give_back_lease(MANIFESTS_LEASE, self.lease, now).await
    }
}

/// The time that all replicas have.
async fn now(store: &Store, clock: &Clock) -> Result<Timestamp, Error> {
    Ok(store.time().await?.unwrap_or_else(|| clock.now()))
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

/// What reads what a set has made and is still there: of that, what the manifest names no longer is told too. What it names takes nothing
/// more than was asked for already.
fn of_made(basis: &Present) -> Vec<AdminScope> {
    let bound = basis.bindings.iter().filter(|binding| basis.made.contains_key(&Made::Binding(binding.id)));
    let made = basis.made.keys().copied();
    let others = made.filter(|made| match made {
        Made::Binding(_) => false,
        // Who has left the group meanwhile is still read with it, and may be told as the owner of an audience that was.
        Made::Membership(..) => true,
        _ => basis.has(*made),
    });
    others.flat_map(of_other).copied().chain(bound.flat_map(of_binding)).collect()
}

/// What reads `made`, which is no binding.
const fn of_other(made: Made) -> &'static [AdminScope] {
    match made {
        Made::Attribute(_) => &[AdminScope::AttributesRead],
        Made::Client(_) => &[AdminScope::ClientsRead],
        Made::Role(_) => &[AdminScope::RolesRead],
        Made::Group(_) => &[AdminScope::GroupsRead],
        Made::Membership(..) => &[AdminScope::GroupsRead, AdminScope::UsersRead],
        Made::Binding(_) => &[AdminScope::BindingsRead],
    }
}

/// What reads `binding`: whoever it is of is told by name.
const fn of_binding(binding: &Binding) -> [AdminScope; 3] {
    let of_subject = match binding.subject {
        Principal::User(_) => AdminScope::UsersRead,
        Principal::Group(_) => AdminScope::GroupsRead,
        Principal::Client(_) => AdminScope::ClientsRead,
    };
    [AdminScope::BindingsRead, AdminScope::RolesRead, of_subject]
}

/// What reads what others have hung on what is pruned: the plan names it.
fn of_hanging(hanging: &Hanging) -> Vec<AdminScope> {
    let mut scopes: Vec<_> = hanging.bindings.iter().flat_map(of_binding).collect();
    if !hanging.members.is_empty() {
        scopes.extend([AdminScope::GroupsRead, AdminScope::UsersRead]);
    }
    if !hanging.owned.is_empty() {
        scopes.push(AdminScope::AudiencesRead);
    }
    scopes
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::base::Entropy;

    const NOW: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

    #[tokio::test]
    async fn who_goes_away_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::seeded(7)).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let (lease, other) = (Lease::of_leader(Uuid::from_u128(1)), Lease::of_leader(Uuid::from_u128(2)));
        assert!(store.take_lease(MANIFESTS_LEASE, lease, NOW).await.unwrap());
        assert!(!store.take_lease(MANIFESTS_LEASE, other, NOW).await.unwrap());
        drop(Turn(Some(Taken { store: store.clone(), clock: Clock::manual(NOW), lease })));
        let taken = async { while !store.take_lease(MANIFESTS_LEASE, other, NOW).await.unwrap() {} };
        tokio::time::timeout(Duration::from_secs(30), taken).await.unwrap();
    }
}
