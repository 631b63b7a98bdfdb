//! Owns the rules of another service, which that keeps by version: what a version is, and how many there may be.

mod called;
mod difference;
mod enforced;
mod widening;

use std::{collections::BTreeMap, fmt};

use super::{
    Access, AudienceName, Error, FieldReason, Missing, PolicyVersionId, Requirements, RuleViolation, Shows,
    etag::Etag,
    name_set::{NameSet, is_name},
    named::named,
};
use crate::base::Timestamp;

pub use called::Called;
pub use difference::{Difference, RenamedScope};
pub use enforced::{Enforced, ServicePolicy};
pub use widening::Widening;

/// The longest name of a version in bytes: that of a commit and a tag fits.
pub const POLICY_VERSION_MAX_BYTES: usize = 128;

/// How many methods a version has at most. A service has some hundreds.
pub const POLICY_MAX_METHODS: usize = 2_000;

/// How many versions are kept of a service: the newest, and those that are active or in SHADOW.
pub const POLICY_MAX_VERSIONS: u64 = 100;

/// How many names of versions are known of a service, those of deleted ones among them, which no other version gets.
pub const POLICY_MAX_NAMES: u64 = 10_000;

/// How many versions of a service are active or in SHADOW at most: each is asked for every call.
pub const POLICY_MAX_IN_FORCE: u64 = 8;

named! {
    /// What a version of a policy does.
    PolicyState {
        /// Nothing yet: it was pushed.
        Pushed = "PUSHED",
        /// It is judged, and the verdict is logged and counted; it refuses nobody, and lets nobody in.
        Shadow = "SHADOW",
        /// It is enforced.
        Active = "ACTIVE",
        /// Nothing any more. It can be activated again.
        Retired = "RETIRED",
    }
}

/// What a version of a policy is called, such as `v42`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyVersionName(String);

/// The rule of one method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodRule {
    /// Who may call it.
    pub access: Access,
    /// Whether it has no side effects, so that Connect may call it by GET.
    pub has_no_side_effects: bool,
}

/// The rules of a version, by the paths of the methods: `/stock.v1.Stock/Reserve`.
pub type MethodRules = BTreeMap<String, MethodRule>;

/// A version of a service's policy, without its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Its id.
    pub id: PolicyVersionId,
    /// The service: the audience of its tokens.
    pub service: AudienceName,
    /// What it is called.
    pub name: PolicyVersionName,
    /// What it does.
    pub state: PolicyState,
    /// The SHA-256 of the file that it was made of, in hexadecimal digits.
    pub sha256: String,
    /// How many methods it knows.
    pub methods: u64,
    /// When it was pushed.
    pub create_time: Timestamp,
    /// When its state last changed.
    pub update_time: Timestamp,
}

impl PolicyState {
    /// The state of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.name() == name)
    }

    /// Whether a version in it is judged for every call.
    #[must_use]
    pub const fn is_in_force(self) -> bool {
        matches!(self, Self::Shadow | Self::Active)
    }
}

impl PolicyVersionName {
    /// The name that `text` is.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        if text.is_empty() {
            return Err(RuleViolation::new(FieldReason::Required, "must not be empty"));
        }
        if text.len() > POLICY_VERSION_MAX_BYTES {
            return Err(RuleViolation::new(FieldReason::TooLong, "must have at most 128 bytes"));
        }
        if !is_name(text) {
            let rule = "must be of printable ASCII without spaces, quotation marks and backslashes";
            return Err(RuleViolation::new(FieldReason::ForbiddenCharacter, rule));
        }
        Ok(Self(text.to_owned()))
    }

    /// A name that was checked before it was stored.
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyVersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PolicyVersion {
    /// That `service` has no version `name`.
    #[must_use]
    pub fn not_found(service: &AudienceName, name: &PolicyVersionName) -> Error {
        let (service, version) = (service.as_str().to_owned(), name.as_str().to_owned());
        Error::PolicyVersionNotFound { service, version }
    }

    /// Of the version as it is.
    #[must_use]
    pub fn etag(&self) -> Etag {
        Etag::of([
            self.service.as_str(),
            self.name.as_str(),
            self.state.name(),
            &self.update_time.as_micros().to_string(),
        ])
    }
}

impl MethodRule {
    /// How many bytes it takes beside the path of its method, about.
    #[must_use]
    pub fn size(&self) -> usize {
        /// What each name takes beside its text.
        const NAME: usize = 24;
        let Access::Authenticated(rule) = &self.access else { return NAME };
        let names = [&rule.required_scopes, &rule.any_scopes, &rule.any_roles].into_iter().flatten();
        names.chain(&rule.audience).map(|name| NAME + name.len()).sum::<usize>() + size_of::<Self>()
    }

    /// All that a call lacks of the method, which is one of `service`, and which shows `shown`, or no token; nothing if it may pass.
    #[must_use]
    pub fn missing<'a>(
        &'a self,
        by_get: bool,
        service: &'a str,
        shown: Option<&impl Shows>,
    ) -> Vec<Missing<'a>> {
        let by_post = (by_get && !self.has_no_side_effects).then_some(Missing::Post);
        by_post.into_iter().chain(self.access.missing(service, shown)).collect()
    }

    /// What is wrong with the names in it; none if they can all be had.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let Access::Authenticated(rule) = &self.access else { return None };
        let Requirements { required_scopes, any_scopes, any_roles, audience, .. } = rule;
        let lists =
            [("required_scopes", required_scopes), ("any_scopes", any_scopes), ("any_roles", any_roles)];
        for (field, names) in lists {
            if let Err(problem) = NameSet::of(names.iter().map(String::as_str)) {
                return Some(format!("`{field}` {problem}"));
            }
        }
        let audience = audience.as_deref().map(AudienceName::parse)?;
        audience.err().map(|rule| format!("`audience` {rule}"))
    }
}

impl fmt::Display for MethodRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", InWords(&self.access))?;
        if self.has_no_side_effects { f.write_str(", also by GET") } else { Ok(()) }
    }
}

/// A rule as people read it, in one line.
struct InWords<'a>(&'a Access);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.0 {
            Access::Public => return f.write_str("everybody"),
            Access::Undeclared => return f.write_str("nobody (it declares nothing)"),
            Access::NotUnderstood => return f.write_str("nobody (its rule is not understood)"),
            Access::Authenticated(rule) => rule,
        };
        f.write_str(match rule.callers {
            None => "a token",
            Some(kind) => kind.in_words(),
        })?;
        if let Some(audience) = &rule.audience {
            write!(f, " for {audience}")?;
        }
        if !rule.required_scopes.is_empty() {
            write!(f, " with {}", rule.required_scopes.join(" and "))?;
        }
        if !rule.any_scopes.is_empty() {
            write!(f, " with one of {}", rule.any_scopes.join(", "))?;
        }
        if !rule.any_roles.is_empty() {
            write!(f, " with one of the roles {}", rule.any_roles.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CallerKind;

    #[test]
    fn a_rule_reads_in_one_line() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let rule = |access, has_no_side_effects| MethodRule { access, has_no_side_effects }.to_string();
        assert_eq!(rule(Access::Public, false), "everybody");
        assert_eq!(rule(Access::Authenticated(Requirements::default()), true), "a token, also by GET");
        let all = Requirements {
            required_scopes: names(&["a", "b"]),
            any_scopes: names(&["c", "d"]),
            any_roles: names(&["picker"]),
            callers: Some(CallerKind::User),
            audience: Some("orders".to_owned()),
        };
        assert_eq!(
            rule(Access::Authenticated(all), false),
            "a user for orders with a and b with one of c, d with one of the roles picker"
        );
    }

    #[test]
    fn a_name_that_nobody_can_have_is_a_problem() {
        let rule = |scope: &str, audience: Option<&str>| {
            let requirements = Requirements {
                any_scopes: vec![scope.to_owned()],
                audience: audience.map(str::to_owned),
                ..Requirements::default()
            };
            MethodRule { access: Access::Authenticated(requirements), has_no_side_effects: false }.problem()
        };
        assert_eq!(rule("stock.read", Some("orders")), None);
        assert!(rule("a b", None).unwrap().starts_with("`any_scopes` must"));
        assert!(rule("a", Some("two names")).unwrap().starts_with("`audience` must"));
    }
}
