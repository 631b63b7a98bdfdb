//! Owns the rules that no administrator gets around: by whose authority something is changed, and what each may change.

use super::{
    AdminScope, AudienceName, Error, NameSet, Subject,
    claims::{ACCOUNT_SCOPE, ADMIN_SCOPE_PREFIX},
    role::is_admin_scope,
};

/// By whose authority something is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The operator's, who has the database and the master key: nothing is refused.
    Operator,
    /// A caller's.
    Caller {
        /// Who calls: a user in a session, or a client.
        subject: Subject,
        /// The scopes of the token that was shown.
        scopes: NameSet,
        /// Whether that token is meant for this service and for no other.
        is_for_service_alone: bool,
    },
}

/// What somebody may change at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The `signet.` scopes; none if it is the operator, who needs none.
    held: Option<NameSet>,
}

impl Authority {
    /// Succeeds if an owner of `audience` may decide about it by the token shown: one that no other service sees, and a user's with the
    /// scope that changes the account, or one that administers the service. To own something is no scope that is asked for by name.
    ///
    /// # Errors
    /// [`Error::NotOwner`], [`Error::InsufficientScope`].
    pub fn may_decide_as_owner_of(&self, audience: &AudienceName) -> Result<(), Error> {
        let Self::Caller { subject, scopes, is_for_service_alone } = self else { return Ok(()) };
        if !is_for_service_alone {
            return Err(Error::not_owner(audience.as_str()));
        }
        match subject {
            Subject::User(..)
                if !scopes.iter().any(|scope| scope == ACCOUNT_SCOPE || is_admin_scope(scope)) =>
            {
                Err(Error::InsufficientScope(ACCOUNT_SCOPE.to_owned()))
            }
            Subject::User(..) | Subject::Client(_) => Ok(()),
        }
    }
}

impl Rights {
    /// The operator's.
    pub const OPERATOR: Self = Self { held: None };

    /// Those of a caller who has shown a token with `shown`, and has `held` now: what is in both, and known to this release.
    #[must_use]
    pub fn of_caller(shown: &NameSet, held: &NameSet) -> Self {
        Self { held: Some(shown.within(held).keeping(|scope| AdminScope::named(scope).is_some())) }
    }

    /// Whether it is `scope` that they have.
    #[must_use]
    pub fn have(&self, scope: AdminScope) -> bool {
        self.held.as_ref().is_none_or(|held| held.contains(scope.name()))
    }

    /// The `signet.` scopes, if somebody may have more of them than these.
    #[must_use]
    pub fn less_than_all(&self) -> Option<&NameSet> {
        let has_all = |held: &&NameSet| AdminScope::ALL.iter().all(|scope| held.contains(scope.name()));
        self.held.as_ref().filter(|held| !has_all(held))
    }

    /// Succeeds if they have `scope`.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`].
    pub fn must_have(&self, scope: AdminScope) -> Result<(), Error> {
        if self.have(scope) { Ok(()) } else { Err(Error::InsufficientScope(scope.name().to_owned())) }
    }

    /// Succeeds if somebody may be given `scopes`: those that administer the service give only who have them.
    ///
    /// # Errors
    /// [`Error::GrantNotHeld`] with those that they lack.
    pub fn must_have_to_grant(&self, scopes: &NameSet) -> Result<(), Error> {
        let lacking = self.lacking(scopes);
        if lacking.is_empty() { Ok(()) } else { Err(Error::GrantNotHeld(lacking)) }
    }

    /// Succeeds if whoever has `scopes` may be changed, disabled or deleted, and become another by a new password, secret or key: only by
    /// those who have as much.
    ///
    /// # Errors
    /// [`Error::HoldsMore`] with the scopes that they lack.
    pub fn must_equal(&self, scopes: &NameSet) -> Result<(), Error> {
        let lacking = self.lacking(scopes);
        if lacking.is_empty() { Ok(()) } else { Err(Error::HoldsMore(lacking)) }
    }

    /// Of `scopes` those that administer the service and that they lack. One that this release does not know nobody has.
    fn lacking(&self, scopes: &NameSet) -> NameSet {
        match &self.held {
            None => NameSet::default(),
            Some(held) => {
                scopes.keeping(|scope| scope.starts_with(ADMIN_SCOPE_PREFIX) && !held.contains(scope))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> NameSet {
        NameSet::parse(text).unwrap()
    }

    fn lacking(judged: Result<(), Error>) -> Option<String> {
        match judged {
            Ok(()) => None,
            Err(Error::GrantNotHeld(names) | Error::HoldsMore(names)) => Some(names.as_str().to_owned()),
            Err(Error::InsufficientScope(name)) => Some(name),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_counts_is_what_the_token_shows_and_its_holder_still_has() {
        let shown = set("profile signet.users.read signet.users.write");
        let rights = Rights::of_caller(&shown, &set("signet.users.read signet.keys.write"));
        assert!(rights.have(AdminScope::UsersRead));
        assert_eq!(
            lacking(rights.must_have(AdminScope::UsersWrite)).as_deref(),
            Some("signet.users.write"),
            "taken away"
        );
        assert_eq!(
            lacking(rights.must_have(AdminScope::KeysWrite)).as_deref(),
            Some("signet.keys.write"),
            "not shown"
        );
    }

    #[test]
    fn nobody_gives_what_they_lack_nor_changes_who_has_it() {
        let held = set("signet.users.read");
        let rights = Rights::of_caller(&held, &held);
        assert_eq!(lacking(rights.must_have_to_grant(&set("stock.pick signet.users.read"))), None);
        let more = set("signet.users.read signet.users.write signet.of-tomorrow stock.pick");
        let expected = Some("signet.users.write signet.of-tomorrow".to_owned());
        assert_eq!(lacking(rights.must_have_to_grant(&more)), expected);
        assert_eq!(lacking(rights.must_equal(&more)), expected);
    }

    #[test]
    fn what_this_release_does_not_know_nobody_has() {
        let tomorrow = set("signet.of-tomorrow");
        let rights = Rights::of_caller(&tomorrow, &tomorrow);
        assert_eq!(lacking(rights.must_equal(&tomorrow)).as_deref(), Some("signet.of-tomorrow"));
    }

    #[test]
    fn the_operator_is_refused_nothing() {
        let rights = Rights::OPERATOR;
        assert!(AdminScope::ALL.iter().all(|scope| rights.have(*scope)));
        assert_eq!(lacking(rights.must_equal(&set("signet.of-tomorrow"))), None);
    }
}
