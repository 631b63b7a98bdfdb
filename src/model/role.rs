//! Owns what a role is: a named set of scopes of one audience.

use super::{
    AdminScope, AudienceName, BuiltInRole, Description, Error, Etag, FieldReason, NameSet, RoleId,
    RuleViolation, claims::ADMIN_SCOPE_PREFIX, client::check_name,
};
use crate::base::Timestamp;

/// How many roles an audience has at most.
pub const AUDIENCE_MAX_ROLES: u64 = 1_000;

/// A role's name, which no other role of its audience has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(String);

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Never changes, never used again.
    pub id: RoleId,
    /// What the operator calls it.
    pub name: RoleName,
    /// The audience whose scopes they are.
    pub audience: AudienceName,
    /// The scopes that it gives.
    pub scopes: NameSet,
    /// What it is for.
    pub description: Description,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

impl RoleName {
    /// The role that each audience has: what every user has there without a binding.
    pub const EVERYONE: &'static str = "everyone";

    /// Checks the form of `text`: that of a client's name.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        check_name(text)?;
        if text.starts_with(ADMIN_SCOPE_PREFIX) {
            let rule = "must not begin with `signet.`, which is what administers the service itself";
            return Err(RuleViolation::new(FieldReason::Malformed, rule));
        }
        Ok(Self(text.to_owned()))
    }

    /// What every user has.
    #[must_use]
    pub fn everyone() -> Self {
        Self(Self::EVERYONE.to_owned())
    }

    /// A name that was checked before it was stored.
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Whether it is that of the role that every user has.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.0 == Self::EVERYONE
    }

    /// Whether the program itself has the role of this name of `audience`: nobody else makes, changes or deletes it.
    #[must_use]
    pub fn is_built_in(&self, audience: &AudienceName) -> bool {
        audience.is_signet() && BuiltInRole::ALL.iter().any(|role| role.name() == self.0)
    }

    /// Whether the role of this name of `audience` may give what administers the service: one of the service's own audience, and not what
    /// every user has.
    #[must_use]
    pub fn may_administer(&self, audience: &AudienceName) -> bool {
        audience.is_signet() && !self.is_everyone()
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Role {
    /// Whether every user has it.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.name.is_everyone()
    }

    /// Whether it follows from the program.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        BuiltInRole::with_id(self.id).is_some()
    }

    /// What tells this state of it from the next.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let (id, updated) = (self.id.to_string(), self.update_time.as_micros().to_string());
        Etag::of([&*id, self.scopes.as_str(), self.description.as_str(), &updated])
    }

    /// Succeeds if the role may come to give `scopes`, whoever wants it: those that administer the service are given at its own audience,
    /// not to everyone, and as far as this release knows them.
    ///
    /// # Errors
    /// [`Error::Reserved`] with those that it may not.
    pub fn may_come_to_give(&self, scopes: &NameSet) -> Result<(), Error> {
        let may_administer = self.name.may_administer(&self.audience);
        let refused = scopes.keeping(|scope| {
            is_admin_scope(scope) && !(may_administer && AdminScope::named(scope).is_some())
        });
        if refused.is_empty() { Ok(()) } else { Err(Error::Reserved(refused)) }
    }
}

/// Whether `scope` administers the service itself, in whichever release.
#[must_use]
pub fn is_admin_scope(scope: &str) -> bool {
    scope.starts_with(ADMIN_SCOPE_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_form_of_a_clients_and_begins_like_no_scope_of_the_service() {
        assert_eq!(RoleName::parse("stock.picker-2").unwrap().as_str(), "stock.picker-2");
        for (bad, reason) in [
            ("", FieldReason::Required),
            ("Picker", FieldReason::ForbiddenCharacter),
            ("signet", FieldReason::Malformed),
            ("signet.admin", FieldReason::Malformed),
            ("01a20a05-adfd-7f0f-a948-424ae62fc105", FieldReason::Malformed),
        ] {
            assert_eq!(RoleName::parse(bad).unwrap_err().reason, reason, "{bad}");
        }
        assert!(RoleName::parse("everyone").unwrap().is_everyone());
    }

    #[test]
    fn built_in_names_are_reserved_at_the_service_itself_alone() {
        let stock = AudienceName::parse("stock").unwrap();
        for name in ["admin", "user-manager", "auditor"] {
            let name = RoleName::parse(name).unwrap();
            assert!(name.is_built_in(&AudienceName::signet()) && !name.is_built_in(&stock));
        }
        assert!(!RoleName::parse("admins").unwrap().is_built_in(&AudienceName::signet()));
    }

    #[test]
    fn only_roles_of_the_service_itself_come_to_administer_it_and_only_by_what_is_known() {
        let scopes = NameSet::parse("stock.pick signet.users.read signet.of-tomorrow").unwrap();
        let refused = |audience: &str, name: &str| {
            let now = Timestamp::from_micros(0);
            let role = Role {
                id: RoleId(uuid::Uuid::nil()),
                name: RoleName::parse(name).unwrap(),
                audience: AudienceName::parse(audience).unwrap(),
                scopes: NameSet::default(),
                description: Description::default(),
                create_time: now,
                update_time: now,
            };
            match role.may_come_to_give(&scopes) {
                Err(Error::Reserved(names)) => names.as_str().to_owned(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused("signet", "desk"), "signet.of-tomorrow");
        for (audience, name) in [("signet", "everyone"), ("stock", "desk"), ("stock", "everyone")] {
            assert_eq!(
                refused(audience, name),
                "signet.users.read signet.of-tomorrow",
                "{name} of {audience}"
            );
        }
    }
}
