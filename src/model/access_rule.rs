//! Owns who may call a method: the rule that its proto declares, and what a call lacks that does not keep it.

use std::fmt;

use super::{Error, NameSet, UNDECLARED, UNKNOWN_METHOD};

/// The longest path of a method in bytes: an index of each database has room for it.
pub const METHOD_MAX_BYTES: usize = 512;

/// How many of several names, of which one will do, a refusal tells.
const TOLD: usize = 8;

/// Who may call a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Callers with a token that meets all of these.
    Authenticated(Requirements),
    /// Nobody: the method declares nothing.
    Undeclared,
    /// Nobody: the rule has a field or a value that this release does not know, and which asks for something.
    NotUnderstood,
}

/// What a token, and whoever it stands for, must have. What is unset asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Scopes of which all are needed.
    pub required_scopes: Vec<String>,
    /// Scopes of which one is needed, if there are any.
    pub any_scopes: Vec<String>,
    /// Roles of which one is needed, if there are any: at the audience.
    pub any_roles: Vec<String>,
    /// Whom the token must stand for.
    pub callers: Option<CallerKind>,
    /// Whom the token must be meant for; none if that is the service itself.
    pub audience: Option<String>,
}

/// Whom a token stands for, in the words of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// A user.
    User,
    /// A client by itself.
    Client,
}

/// What is known of whoever calls with a valid token.
pub trait Shows {
    /// Whom the token stands for.
    fn kind(&self) -> CallerKind;
    /// Whether it is meant for `audience`.
    fn is_meant_for(&self, audience: &str) -> bool;
    /// Whether it carries `scope`, and that still counts.
    fn has_scope(&self, scope: &str) -> bool;
    /// Whether its user or client has `role` at `audience`.
    fn has_role(&self, role: &str, audience: &str) -> bool;
}

/// What a call lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing<'a> {
    /// A rule that lets anybody in: there is none, or one that is not understood.
    Rule,
    /// That it is made by POST.
    Post,
    /// A token.
    Token,
    /// That the token is meant for this audience.
    Audience(&'a str),
    /// That it stands for one of this kind.
    Caller(CallerKind),
    /// The scope.
    Scope(&'a str),
    /// One of these scopes.
    AnyScope(&'a [String]),
    /// One of these roles at the audience.
    AnyRole(&'a [String], &'a str),
}

impl Access {
    /// All that a call lacks of a method of `service`, which shows `shown`, or no token: nothing if it may pass.
    #[must_use]
    pub fn missing<'a>(&'a self, service: &'a str, shown: Option<&impl Shows>) -> Vec<Missing<'a>> {
        match (self, shown) {
            (Self::Public, _) => Vec::new(),
            (Self::Undeclared | Self::NotUnderstood, _) => vec![Missing::Rule],
            (Self::Authenticated(_), None) => vec![Missing::Token],
            (Self::Authenticated(rule), Some(shown)) => rule.missing(service, shown),
        }
    }
}

impl Requirements {
    /// The audience that the token must be meant for, where `service` is the service itself.
    #[must_use]
    pub fn audience<'a>(&'a self, service: &'a str) -> &'a str {
        self.audience.as_deref().unwrap_or(service)
    }

    /// All that a call to `service` lacks that shows `shown`.
    pub fn missing<'a>(&'a self, service: &'a str, shown: &impl Shows) -> Vec<Missing<'a>> {
        let audience = self.audience(service);
        let mut missing = Vec::new();
        if !shown.is_meant_for(audience) {
            missing.push(Missing::Audience(audience));
        }
        missing.extend(self.callers.filter(|kind| *kind != shown.kind()).map(Missing::Caller));
        let lacking = self.required_scopes.iter().filter(|scope| !shown.has_scope(scope));
        missing.extend(lacking.map(|scope| Missing::Scope(scope)));
        let is_met = |names: &[String], has: &dyn Fn(&str) -> bool| {
            names.is_empty() || names.iter().any(|name| has(name))
        };
        if !is_met(&self.any_scopes, &|scope| shown.has_scope(scope)) {
            missing.push(Missing::AnyScope(&self.any_scopes));
        }
        if !is_met(&self.any_roles, &|role| shown.has_role(role, audience)) {
            missing.push(Missing::AnyRole(&self.any_roles, audience));
        }
        missing
    }
}

impl CallerKind {
    /// The name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Client => "client",
        }
    }

    /// As people read it.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::User => "a user",
            Self::Client => "a client by itself",
        }
    }
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule => f.write_str("a rule that lets somebody in"),
            Self::Post => f.write_str("a call by POST: the method does not declare NO_SIDE_EFFECTS"),
            Self::Token => f.write_str("an access token"),
            Self::Audience(audience) => write!(f, "a token for the audience {audience}"),
            Self::Caller(kind) => write!(f, "a token of {}", kind.in_words()),
            Self::Scope(scope) => write!(f, "the scope {scope}"),
            Self::AnyScope(scopes) => write!(f, "one of the scopes {}", scopes.join(", ")),
            Self::AnyRole(roles, audience) => {
                write!(f, "one of the roles {} at {audience}", roles.join(", "))
            }
        }
    }
}

impl From<Missing<'_>> for Error {
    /// The refusal of a call that lacks this. Of several names that would do it tells the first few.
    fn from(missing: Missing<'_>) -> Self {
        match missing {
            Missing::Rule => Self::AccessUndeclared(UNDECLARED),
            Missing::Post => Self::AccessUndeclared(UNKNOWN_METHOD),
            Missing::Token => Self::TokenMissing,
            Missing::Audience(_) => Self::TokenInvalid("it is meant for another audience"),
            Missing::Caller(kind) => Self::CallerNotAllowed(kind),
            Missing::Scope(scope) => Self::InsufficientScope(scope.to_owned()),
            Missing::AnyScope(scopes) => Self::InsufficientScope(first_names(scopes).as_str().to_owned()),
            Missing::AnyRole(roles, _) => Self::InsufficientRole(first_names(roles).as_str().to_owned()),
        }
    }
}

/// The first of `names`, as many as a refusal tells: it comes in headers, which have little room.
#[must_use]
pub fn first_names(names: &[String]) -> NameSet {
    NameSet::of(names.iter().map(String::as_str).take(TOLD)).unwrap_or_default()
}

/// That one of `names`, which are separated by spaces, is what is needed.
pub(super) fn one_of(what: &str, names: &str) -> String {
    if names.contains(' ') {
        format!("one of the {what}s `{}` is", names.replace(' ', "`, `"))
    } else {
        format!("the {what} `{names}` is")
    }
}

/// Callers and rules of few names, for tests by properties.
#[cfg(test)]
pub(crate) mod arbitrary {
    use std::collections::BTreeSet;

    use proptest::{collection::btree_set, option, prelude::*, sample::select};

    use super::{Access, CallerKind, Missing, Requirements, Shows};

    const NAMES: [&str; 3] = ["a", "b", "c"];
    const AUDIENCES: [&str; 2] = ["stock", "orders"];

    /// What somebody shows.
    #[derive(Clone, Debug)]
    pub(crate) struct Shown {
        pub(crate) kind: CallerKind,
        pub(crate) audiences: BTreeSet<String>,
        pub(crate) scopes: BTreeSet<String>,
        pub(crate) roles: BTreeSet<(String, String)>,
    }

    impl Shows for Shown {
        fn kind(&self) -> CallerKind {
            self.kind
        }

        fn is_meant_for(&self, audience: &str) -> bool {
            self.audiences.contains(audience)
        }

        fn has_scope(&self, scope: &str) -> bool {
            self.scopes.contains(scope)
        }

        fn has_role(&self, role: &str, audience: &str) -> bool {
            self.roles.contains(&(role.to_owned(), audience.to_owned()))
        }
    }

    impl Shown {
        /// The same, with what was `missing`, as far as it can be had.
        pub(crate) fn with(mut self, missing: &[Missing<'_>]) -> Self {
            for missing in missing {
                match missing {
                    Missing::Rule | Missing::Post | Missing::Token => {}
                    Missing::Audience(name) => {
                        self.audiences.insert((*name).to_owned());
                    }
                    Missing::Caller(kind) => self.kind = *kind,
                    Missing::Scope(scope) => {
                        self.scopes.insert((*scope).to_owned());
                    }
                    Missing::AnyScope(scopes) => {
                        self.scopes.insert(scopes[0].clone());
                    }
                    Missing::AnyRole(roles, audience) => {
                        self.roles.insert((roles[0].clone(), (*audience).to_owned()));
                    }
                }
            }
            self
        }
    }

    fn kind() -> impl Strategy<Value = CallerKind> {
        select(vec![CallerKind::User, CallerKind::Client])
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        btree_set(select(NAMES.map(str::to_owned).to_vec()), 0..3).prop_map(Vec::from_iter)
    }

    pub(crate) fn shown() -> impl Strategy<Value = Shown> {
        let audience = || select(AUDIENCES.map(str::to_owned).to_vec());
        let name = || select(NAMES.map(str::to_owned).to_vec());
        let roles = btree_set((name(), audience()), 0..4);
        (kind(), btree_set(audience(), 0..3), btree_set(name(), 0..4), roles)
            .prop_map(|(kind, audiences, scopes, roles)| Shown { kind, audiences, scopes, roles })
    }

    fn requirements() -> impl Strategy<Value = Requirements> {
        let audience = option::of(select(AUDIENCES.map(str::to_owned).to_vec()));
        (names(), names(), names(), option::of(kind()), audience).prop_map(
            |(required_scopes, any_scopes, any_roles, callers, audience)| Requirements {
                required_scopes,
                any_scopes,
                any_roles,
                callers,
                audience,
            },
        )
    }

    pub(crate) fn access() -> impl Strategy<Value = Access> {
        prop_oneof![
            1 => Just(Access::Public),
            1 => Just(Access::Undeclared),
            1 => Just(Access::NotUnderstood),
            8 => requirements().prop_map(Access::Authenticated),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{
        arbitrary::{Shown, access, shown},
        *,
    };

    const SERVICE: &str = "stock";

    #[test]
    fn a_rule_that_says_nothing_more_asks_for_a_token_that_is_meant_for_the_service() {
        let rule = Access::Authenticated(Requirements::default());
        let caller = Shown {
            kind: CallerKind::Client,
            audiences: ["stock".to_owned()].into(),
            scopes: BTreeSet::new(),
            roles: BTreeSet::new(),
        };
        assert_eq!(rule.missing("stock", Some(&caller)), []);
        assert_eq!(rule.missing("orders", Some(&caller)), [Missing::Audience("orders")]);
        assert_eq!(rule.missing("stock", None::<&Shown>), [Missing::Token]);
        assert_eq!(Access::Public.missing("stock", None::<&Shown>), []);
        for closed in [Access::Undeclared, Access::NotUnderstood] {
            assert_eq!(closed.missing("stock", Some(&caller)), [Missing::Rule]);
        }
    }

    proptest! {
        #[test]
        fn all_that_is_set_must_hold(rule in access(), shown in shown()) {
            let passes = rule.missing(SERVICE, Some(&shown)).is_empty();
            let expected = match &rule {
                Access::Public => true,
                Access::Undeclared | Access::NotUnderstood => false,
                Access::Authenticated(rule) => {
                    let audience = rule.audience.clone().unwrap_or_else(|| SERVICE.to_owned());
                    let roles: Vec<_> =
                        shown.roles.iter().filter(|(_, at)| *at == audience).map(|(role, _)| role).collect();
                    shown.audiences.contains(&audience)
                        && rule.required_scopes.iter().all(|scope| shown.scopes.contains(scope))
                        && (rule.any_scopes.is_empty() || rule.any_scopes.iter().any(|one| shown.scopes.contains(one)))
                        && (rule.any_roles.is_empty() || rule.any_roles.iter().any(|one| roles.contains(&one)))
                        && rule.callers.is_none_or(|kind| kind == shown.kind)
                }
            };
            prop_assert_eq!(passes, expected);
        }

        #[test]
        fn what_is_said_to_be_missing_suffices(rule in access(), shown in shown()) {
            let missing = rule.missing(SERVICE, Some(&shown));
            let enough = shown.clone().with(&missing);
            let is_closed = missing.contains(&Missing::Rule);
            prop_assert_eq!(rule.missing(SERVICE, Some(&enough)).is_empty(), !is_closed);
        }

        #[test]
        fn who_shows_no_token_calls_what_is_public_alone(rule in access()) {
            prop_assert_eq!(rule.missing(SERVICE, None::<&Shown>).is_empty(), rule == Access::Public);
        }

        #[test]
        fn to_have_more_is_never_to_be_refused(rule in access(), shown in shown(), more in shown()) {
            let mut both = shown.clone();
            both.audiences.extend(more.audiences);
            both.scopes.extend(more.scopes);
            both.roles.extend(more.roles);
            if rule.missing(SERVICE, Some(&shown)).is_empty() {
                prop_assert_eq!(rule.missing(SERVICE, Some(&both)), []);
            }
        }
    }
}
