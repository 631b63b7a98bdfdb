//! Owns the scopes that administer the service and the built-in roles that give them: they follow from the program, and from no row.

use uuid::Uuid;

use super::{NameSet, RoleId, named::named};

named! {
    /// What may be done to the service itself. Only roles of its own audience give such a scope, and a token carries it only if its login
    /// has asked for it by name.
    AdminScope {
        /// Reads users.
        UsersRead = "signet.users.read",
        /// Creates, changes, disables and deletes users.
        UsersWrite = "signet.users.write",
        /// Gives users one-time passwords: whoever has it can become any user who has no `signet.` scope.
        UsersReset = "signet.users.reset",
        /// Reads sessions.
        SessionsRead = "signet.sessions.read",
        /// Ends sessions.
        SessionsWrite = "signet.sessions.write",
        /// Reads groups and their members.
        GroupsRead = "signet.groups.read",
        /// Creates and deletes groups, adds and removes their members.
        GroupsWrite = "signet.groups.write",
        /// Reads roles.
        RolesRead = "signet.roles.read",
        /// Reads who has which role, and what follows.
        BindingsRead = "signet.bindings.read",
        /// Creates roles and gives them, at every audience.
        BindingsWrite = "signet.bindings.write",
        /// Reads audiences and their owners.
        AudiencesRead = "signet.audiences.read",
        /// Sets the owners of an audience.
        AudiencesAdmin = "signet.audiences.admin",
        /// Reads which attributes users may have.
        AttributesRead = "signet.attributes.read",
        /// Declares which attributes users may have.
        AttributesWrite = "signet.attributes.write",
        /// Reads clients.
        ClientsRead = "signet.clients.read",
        /// Creates, changes and deletes clients, their secrets and keys.
        ClientsWrite = "signet.clients.write",
        /// Applies manifests, each change of which takes its own scope besides.
        ManifestsApply = "signet.manifests.apply",
        /// Reads the signing keys.
        KeysRead = "signet.keys.read",
        /// Rotates and revokes signing keys.
        KeysWrite = "signet.keys.write",
        /// Reads what has been done, by whom.
        AuditRead = "signet.audit.read",
        /// Reads the policies of services: who may call which of their methods.
        PoliciesRead = "signet.policies.read",
        /// Pushes versions of the policy of a service that one owns, activates and retires them.
        PoliciesWrite = "signet.policies.write",
        /// The same where calls pass then that were refused before.
        PoliciesWiden = "signet.policies.widen",
        /// Shows what a token lacks that a service refuses.
        PoliciesExplain = "signet.policies.explain",
        /// Follows the stream of what has changed, for clients alone: each is told of its own audiences.
        EventsWatch = "signet.events.watch",
    }
}

named! {
    /// A role of the service's own audience that follows from the program: an upgrade adds to it what the release adds.
    BuiltInRole {
        /// Everything.
        Admin = "admin",
        /// Users and their sessions.
        UserManager = "user-manager",
        /// Reads all, changes nothing.
        Auditor = "auditor",
    }
}

impl AdminScope {
    /// The scope of this name; none for a scope of a later release.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.name() == name)
    }

    /// All their names.
    #[must_use]
    pub fn names() -> NameSet {
        NameSet::default().with(Self::ALL.iter().map(|scope| scope.name()))
    }
}

impl BuiltInRole {
    /// The id, the same in every installation.
    #[must_use]
    pub const fn id(self) -> RoleId {
        // UUIDv7 of the year 1970: before every role that somebody has made.
        RoleId(Uuid::from_u128(match self {
            Self::Admin => 0x0000_0000_0000_7000_8000_0000_0000_0001,
            Self::UserManager => 0x0000_0000_0000_7000_8000_0000_0000_0002,
            Self::Auditor => 0x0000_0000_0000_7000_8000_0000_0000_0003,
        }))
    }

    /// The one with this id, if it is one's.
    #[must_use]
    pub fn with_id(id: RoleId) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.id() == id)
    }

    /// Whether it gives `scope`.
    #[must_use]
    pub fn gives(self, scope: AdminScope) -> bool {
        use AdminScope as S;
        match self {
            Self::Admin => true,
            Self::UserManager => matches!(
                scope,
                S::UsersRead | S::UsersWrite | S::UsersReset | S::SessionsRead | S::SessionsWrite
            ),
            Self::Auditor => scope.name().rsplit('.').next() == Some("read"),
        }
    }

    /// What it gives.
    #[must_use]
    pub fn scopes(self) -> NameSet {
        let given = AdminScope::ALL.iter().filter(|scope| self.gives(**scope));
        NameSet::default().with(given.map(|scope| scope.name()))
    }

    /// What it is for.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Admin => "Administers everything.",
            Self::UserManager => "Manages users and their sessions.",
            Self::Auditor => "Reads everything, and changes nothing.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::claims::ADMIN_SCOPE_PREFIX;

    #[test]
    fn every_scope_of_the_program_is_one_that_administers() {
        assert!(AdminScope::ALL.iter().all(|scope| scope.name().starts_with(ADMIN_SCOPE_PREFIX)));
    }

    #[test]
    fn a_scope_is_found_by_its_name_and_one_of_another_release_is_not() {
        assert!(AdminScope::ALL.iter().all(|scope| AdminScope::named(scope.name()) == Some(*scope)));
        assert_eq!(AdminScope::named("signet.of-tomorrow"), None);
        assert_eq!(
            NameSet::parse(AdminScope::names().as_str()),
            Ok(AdminScope::names()),
            "one set holds them"
        );
    }

    #[test]
    fn an_admin_has_all_an_auditor_reads_all_and_a_user_manager_has_what_concerns_users() {
        let all = AdminScope::ALL.len();
        assert_eq!(BuiltInRole::Admin.scopes().iter().count(), all);
        assert_eq!(
            BuiltInRole::UserManager.scopes().as_str(),
            "signet.users.read signet.users.write signet.users.reset signet.sessions.read signet.sessions.write"
        );
        assert!(
            AdminScope::ALL
                .iter()
                .filter(|scope| BuiltInRole::Auditor.gives(**scope))
                .all(|scope| !scope.name().contains("write"))
        );
        assert!(BuiltInRole::Auditor.gives(AdminScope::AuditRead));
    }

    #[test]
    fn a_built_in_role_is_found_by_its_id() {
        for role in BuiltInRole::ALL {
            assert_eq!(BuiltInRole::with_id(role.id()), Some(*role));
        }
        assert_eq!(BuiltInRole::with_id(RoleId(Uuid::nil())), None);
    }
}
