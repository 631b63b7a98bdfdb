//! Owns the policies of other services: taking in versions of their rules, changing what these do, and what is in force.

mod explain;
mod in_force;
mod lint;
mod pushed;
mod registry;

pub use explain::{Explained, Explanation, Verdict};
pub use in_force::PoliciesInForce;
pub use lint::{KnownScopes, LintFinding, lint};
pub use pushed::PushedRules;
pub use registry::{NewPolicyVersion, PolicyRegistry};

use crate::model::{Access, CallerKind, Shows};
use crate::{auth::Caller, identity::RolesAt};

/// Whoever shows a token, with the roles of this moment.
pub(crate) struct ShownNow<'a, Roles> {
    pub(crate) caller: &'a Caller,
    /// What it has at an audience.
    pub(crate) roles_at: Roles,
}

impl<Roles: Fn(&str) -> std::sync::Arc<RolesAt>> Shows for ShownNow<'_, Roles> {
    fn kind(&self) -> CallerKind {
        self.caller.kind()
    }

    fn is_meant_for(&self, audience: &str) -> bool {
        self.caller.is_meant_for(audience)
    }

    fn has_scope(&self, scope: &str) -> bool {
        self.caller.has_scope(scope)
    }

    fn has_role(&self, role: &str, audience: &str) -> bool {
        (self.roles_at)(audience).names.has_role(role)
    }
}

/// What a method's own rule says, where it is the named service that is public.
const fn declares_nothing(access: &Access) -> bool {
    matches!(access, Access::Undeclared)
}
