//! Owns creating, changing and deleting roles.

use super::{AccessRegistry, RoleRef};
use crate::{
    audit::{Entry, Event, Field},
    identity::{Administrator, administrator::NO_FIELDS},
    model::{AudienceName, Description, Error, FieldReason, NameSet, Role, RoleId, RoleName, RuleViolation},
    store::Applied,
};

/// The fields of a new role.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// Its audience.
    pub audience: AudienceName,
    /// Its name.
    pub name: RoleName,
    /// The scopes that it gives.
    pub scopes: NameSet,
    /// The purpose of the role, for people.
    pub description: Description,
}

/// The changes of a role.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// How its scopes change, if they do.
    pub scopes: Option<ScopeChange>,
    /// The new description, if it changes.
    pub description: Option<Description>,
    /// The etag that it must still have, if one is said.
    pub etag: Option<String>,
}

/// How the scopes of a role are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeChange {
    /// It gives these from now on, and no others.
    All(NameSet),
    /// It gives some more, and some no longer.
    Some {
        /// The scopes to add.
        add: NameSet,
        /// The scopes to remove.
        remove: NameSet,
    },
}

impl AccessRegistry {
    /// Makes a role, and its audience if it is new.
    ///
    /// # Errors
    /// [`Error::BuiltInRole`], [`Error::Reserved`], [`Error::RoleExists`], [`Error::LimitReached`]; why whoever makes it may not;
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn create_role(&self, new: NewRole, by: &Administrator) -> Result<Role, Error> {
        let NewRole { audience, name, scopes, description } = new;
        let now = self.clock.now();
        let id = RoleId::new(now, self.store.entropy());
        let role = Role { id, name, audience, scopes, description, create_time: now, update_time: now };
        if role.name.is_built_in(&role.audience) {
            return Err(Error::BuiltInRole(role.name.as_str().to_owned()));
        }
        role.may_come_to_give(&role.scopes)?;
        let entry = by.entry(told(Event::RoleCreated, id, Some(&role.audience)));
        let pending = self.audit.begin(entry.clone());
        let added = self.store.add_role(&role, by.change(&entry, now)).await;
        match by.settled(pending, added, |()| Some(NO_FIELDS))? {
            Applied::Now(()) => Ok(role),
            Applied::Before(id) => self.directory.role(&RoleRef::Id(RoleId(id))).await,
        }
    }

    /// Changes the scopes and the description of a role. What is its name it keeps: others know it by that.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`], [`Error::BuiltInRole`], [`Error::Reserved`], [`Error::EtagMismatch`]; [`Error::InvalidFields`] for
    /// `role.scopes` that are too many; why whoever changes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn update_role(
        &self,
        which: &RoleRef,
        change: &RoleChange,
        by: &Administrator,
    ) -> Result<Role, Error> {
        let (id, audience) = self.directory.place(which).await?;
        let entry = by.entry(told(Event::RoleUpdated, id, audience.as_ref()));
        let pending = self.audit.begin(entry.clone());
        let now = self.clock.now();
        let make = |old: &Role| {
            let scopes =
                change.scopes.as_ref().map_or_else(|| Ok(old.scopes.clone()), |to| to.of(&old.scopes))?;
            old.may_come_to_give(&scopes.without(&old.scopes))?;
            let description = change.description.clone().unwrap_or_else(|| old.description.clone());
            Ok(Role { scopes, description, update_time: now, ..old.clone() })
        };
        let etag = change.etag.as_deref();
        let updated = self.store.update_role(id, etag, make, by.change(&entry, now)).await;
        let changed = |(old, new): &(Role, Role)| {
            let fields = [
                (Field::Scopes, old.scopes != new.scopes),
                (Field::Description, old.description != new.description),
            ];
            let fields: Vec<_> = fields.into_iter().filter(|(_, is)| *is).map(|(field, _)| field).collect();
            (!fields.is_empty()).then_some(fields)
        };
        match by.settled(pending, updated, changed)? {
            Applied::Now((_, role)) => Ok(role),
            Applied::Before(id) => self.directory.role(&RoleRef::Id(RoleId(id))).await,
        }
    }

    /// Deletes a role, whose etag must be `etag` if one is said, and its bindings. Returns it as it was; none if the same request has
    /// deleted it before.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`], [`Error::BuiltInRole`], [`Error::EtagMismatch`]; why whoever deletes it may not; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn delete_role(
        &self,
        which: &RoleRef,
        etag: Option<&str>,
        by: &Administrator,
    ) -> Result<Option<Role>, Error> {
        let (id, audience) = self.directory.place(which).await?;
        let entry = by.entry(told(Event::RoleDeleted, id, audience.as_ref()));
        let pending = self.audit.begin(entry.clone());
        let deleted = self.store.delete_role(id, etag, by.change(&entry, self.clock.now())).await;
        match by.settled(pending, deleted, |_| Some(NO_FIELDS))? {
            Applied::Now(role) => Ok(Some(role)),
            Applied::Before(_) => Ok(None),
        }
    }
}

impl ScopeChange {
    /// The scopes after the change of `old`.
    fn of(&self, old: &NameSet) -> Result<NameSet, Error> {
        match self {
            Self::All(scopes) => Ok(scopes.clone()),
            // What the migration gave to everyone may be more than a role is given: it can be taken away all the same.
            Self::Some { add, remove } if add.is_empty() => Ok(old.without(remove)),
            Self::Some { add, remove } => {
                let kept = old.without(remove);
                NameSet::of(kept.iter().chain(add.iter())).map_err(|malformed| {
                    let rule = RuleViolation::new(FieldReason::TooLong, malformed.to_string());
                    Error::InvalidFields(vec![rule.at("role.scopes")])
                })
            }
        }
    }
}

/// The entry for `event` of the role `id` of `audience`.
fn told(event: Event, id: RoleId, audience: Option<&AudienceName>) -> Entry {
    let entry = event.done().role(id);
    match audience {
        Some(audience) => entry.audience(audience.as_str()),
        None => entry,
    }
}
