//! Owns giving roles and taking them away.

use super::{AccessError, AccessRegistry, ListedBinding, PrincipalRef, RoleRef, registry::settled};
use crate::{
    audit::Event,
    base::Timestamp,
    identity::Administrator,
    model::{Binding, BindingId},
    store::{Applied, Bound},
};

impl AccessRegistry {
    /// Gives `who` the role `which`, until `expire_time` if that is said. If it has the role already, the end is changed to that. Returns
    /// the binding.
    ///
    /// # Errors
    /// [`AccessError`]: no such role, user, group or client, [`AccessError::Everyone`], [`AccessError::TooMany`], [`AccessError::Gone`],
    /// [`AccessError::Failed`].
    pub async fn bind(
        &self,
        which: &RoleRef,
        who: &PrincipalRef,
        expire_time: Option<Timestamp>,
        by: &Administrator,
    ) -> Result<ListedBinding, AccessError> {
        if which.name.is_everyone() {
            return Err(AccessError::Everyone);
        }
        let role = self.directory.role(which).await?;
        let subject = self.directory.principal(who).await?;
        let now = self.clock.now();
        let id = BindingId::new(now, self.store.entropy());
        let binding =
            Binding { id, role: role.id, subject: subject.principal, expire_time, create_time: now };
        let entry = Event::RoleBound.done().role(role.id).audience(role.audience.as_str());
        let entry = by.entry(entry.principal(subject.principal));
        let pending = self.audit.begin(entry.clone());
        let bound = self.store.bind(&binding, by.change(&entry, now)).await.map_err(|error| {
            AccessError::not_written(
                error,
                || AccessError::RoleTaken(which.clone()),
                (&subject.to_string(), "bindings"),
                &format!("{subject} or the role `{}`", which.name.as_str()),
            )
        });
        let is_changed = |bound: &Applied<Bound>| {
            !by.only_validates() && matches!(bound, Applied::Now(Bound::Made(_) | Bound::Changed(_)))
        };
        match settled(pending, bound, is_changed)? {
            Applied::Now(Bound::Made(binding) | Bound::Changed(binding) | Bound::AsItWas(binding)) => {
                Ok(ListedBinding { binding, role, subject })
            }
            Applied::Before(id) => self.directory.binding(BindingId(id)).await,
        }
    }

    /// Takes the role `which` from `who`, who may have it by a group all the same. Returns the binding as it was.
    ///
    /// # Errors
    /// [`AccessError`]: no such role, user, group or client, [`AccessError::NotBound`], [`AccessError::Failed`].
    pub async fn unbind(
        &self,
        which: &RoleRef,
        who: &PrincipalRef,
        by: &Administrator,
    ) -> Result<ListedBinding, AccessError> {
        let role = self.directory.role(which).await?;
        let subject = self.directory.principal(who).await?;
        let entry = Event::RoleUnbound.done().role(role.id).audience(role.audience.as_str());
        let entry = by.entry(entry.principal(subject.principal));
        let pending = self.audit.begin(entry.clone());
        let change = by.change(&entry, self.clock.now());
        let unbound = self.store.unbind(&role, subject.principal, change).await;
        let is_changed =
            |unbound: &Applied<_>| !by.only_validates() && matches!(unbound, Applied::Now(Some(_)));
        match settled(pending, unbound.map_err(AccessError::from), is_changed)? {
            Applied::Now(Some(binding)) => Ok(ListedBinding { binding, role, subject }),
            Applied::Now(None) | Applied::Before(_) => Err(AccessError::NotBound(subject, role.name)),
        }
    }
}
