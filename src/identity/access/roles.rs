//! Owns making, changing and deleting roles.

use super::{AccessError, AccessRegistry, RoleRef, registry::settled};
use crate::{
    audit::{Event, Field},
    identity::Administrator,
    model::{NameSet, Role, RoleDescription, RoleId, role::admin_scopes},
};

/// What is said of a new role.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// Its audience and its name.
    pub role: RoleRef,
    /// The scopes that it gives.
    pub scopes: NameSet,
    /// What it is for.
    pub description: RoleDescription,
}

/// What of a role is changed.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// Scopes that it gives from now on.
    pub add: NameSet,
    /// Scopes that it no longer gives.
    pub remove: NameSet,
    /// What it is for, if that is changed.
    pub description: Option<RoleDescription>,
}

impl AccessRegistry {
    /// Makes a role, and its audience if it is new.
    ///
    /// # Errors
    /// [`AccessError::Reserved`], [`AccessError::AdminScopes`], [`AccessError::RoleTaken`], [`AccessError::TooMany`],
    /// [`AccessError::Failed`].
    pub async fn create_role(&self, new: NewRole, by: &Administrator) -> Result<Role, AccessError> {
        let NewRole { role: which, scopes, description } = new;
        if which.name.is_built_in(&which.audience) {
            return Err(AccessError::Reserved(which.name));
        }
        refuse_admin_scopes(&scopes)?;
        let now = self.clock.now();
        let role = Role {
            id: RoleId::new(now, self.store.entropy()),
            name: which.name.clone(),
            audience: which.audience.clone(),
            scopes,
            description,
            create_time: now,
            update_time: now,
        };
        let entry = Event::RoleCreated.done().role(role.id).audience(role.audience.as_str());
        let pending = self.begin(entry, by);
        let added = self.store.add_role(&role).await.map_err(|error| {
            let whose = format!("the audience `{}`", which.audience.as_str());
            AccessError::not_written(
                error,
                || AccessError::RoleTaken(which.clone()),
                (&whose, "roles"),
                "the audience",
            )
        });
        settled(pending, added, |()| true)?;
        Ok(role)
    }

    /// Changes the scopes and the description of a role. What is its name it keeps: others know it by that.
    ///
    /// # Errors
    /// [`AccessError::NoSuchRole`], [`AccessError::AdminScopes`], [`AccessError::Scopes`], [`AccessError::Failed`].
    pub async fn update_role(
        &self,
        which: &RoleRef,
        change: &RoleChange,
        by: &Administrator,
    ) -> Result<Role, AccessError> {
        refuse_admin_scopes(&change.add)?;
        let id = self.directory.role(which).await?.id;
        let entry = Event::RoleUpdated.done().role(id).audience(which.audience.as_str());
        let pending = self.begin(entry, by);
        let now = self.clock.now();
        let updated = self.store.update_role(id, |old| {
            let kept = old.scopes.without(&change.remove);
            // What the migration gave to everyone may be more than a role is given: it can be taken away all the same.
            let scopes =
                if change.add.is_empty() { kept } else { NameSet::of(kept.iter().chain(change.add.iter()))? };
            let description = change.description.clone().unwrap_or_else(|| old.description.clone());
            Ok::<_, AccessError>(Role { scopes, description, update_time: now, ..old.clone() })
        });
        match updated.await.map_err(AccessError::from).flatten() {
            Ok(Some((old, new))) => {
                let changed = [
                    (Field::Scopes, old.scopes != new.scopes),
                    (Field::Description, old.description != new.description),
                ];
                let changed: Vec<_> =
                    changed.into_iter().filter(|(_, is)| *is).map(|(field, _)| field).collect();
                if changed.is_empty() {
                    pending.dismiss();
                } else {
                    pending.done_changing(changed);
                }
                Ok(new)
            }
            Ok(None) => settled(pending, Err(AccessError::NoSuchRole(which.clone())), |_| false),
            Err(error) => settled(pending, Err(error), |_| false),
        }
    }

    /// Deletes a role and its bindings. Returns it as it was.
    ///
    /// # Errors
    /// [`AccessError::Everyone`], [`AccessError::NoSuchRole`], [`AccessError::Failed`].
    pub async fn delete_role(&self, which: &RoleRef, by: &Administrator) -> Result<Role, AccessError> {
        if which.name.is_everyone() {
            return Err(AccessError::Everyone);
        }
        let role = self.directory.role(which).await?;
        let entry = Event::RoleDeleted.done().role(role.id).audience(role.audience.as_str());
        let pending = self.begin(entry, by);
        let deleted = self.store.delete_role(role.id, self.clock.now()).await.map_err(AccessError::from);
        if settled(pending, deleted, |deleted| *deleted)? {
            Ok(role)
        } else {
            Err(AccessError::NoSuchRole(which.clone()))
        }
    }
}

fn refuse_admin_scopes(scopes: &NameSet) -> Result<(), AccessError> {
    let refused = admin_scopes(scopes);
    if refused.is_empty() { Ok(()) } else { Err(AccessError::AdminScopes(refused.join(" "))) }
}
