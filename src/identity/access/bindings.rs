//! Owns giving roles and taking them away.

use super::{AccessError, AccessRegistry, ListedBinding, PrincipalRef, RoleRef, registry::settled};
use crate::{
    audit::{Actor, Event},
    base::Timestamp,
    model::{Binding, BindingId},
    store::Bound,
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
        by: &Actor,
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
        let pending = self.begin(entry.principal(subject.principal), by);
        let bound = self.store.bind(&binding).await.map_err(|error| {
            AccessError::not_written(
                error,
                || AccessError::RoleTaken(which.clone()),
                (&subject.to_string(), "bindings"),
                &format!("{subject} or the role `{}`", which.name.as_str()),
            )
        });
        let bound = settled(pending, bound, |bound| !matches!(bound, Bound::AsItWas(_)))?;
        let (Bound::Made(binding) | Bound::Changed(binding) | Bound::AsItWas(binding)) = bound;
        Ok(ListedBinding { binding, role, subject })
    }

    /// Takes the role `which` from `who`, who may have it by a group all the same. Returns the binding as it was.
    ///
    /// # Errors
    /// [`AccessError`]: no such role, user, group or client, [`AccessError::NotBound`], [`AccessError::Failed`].
    pub async fn unbind(
        &self,
        which: &RoleRef,
        who: &PrincipalRef,
        by: &Actor,
    ) -> Result<ListedBinding, AccessError> {
        let role = self.directory.role(which).await?;
        let subject = self.directory.principal(who).await?;
        let entry = Event::RoleUnbound.done().role(role.id).audience(role.audience.as_str());
        let pending = self.begin(entry.principal(subject.principal), by);
        let unbound = self.store.unbind(role.id, subject.principal, self.clock.now()).await;
        match settled(pending, unbound.map_err(AccessError::from), Option::is_some)? {
            Some(binding) => Ok(ListedBinding { binding, role, subject }),
            None => Err(AccessError::NotBound(subject, role.name)),
        }
    }
}
