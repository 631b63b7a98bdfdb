//! Owns whether calls would pass that are refused now: rules are compared as conditions, and no call is tried.

use std::{collections::BTreeSet, fmt};

use super::{
    MethodRule,
    enforced::{Enforced, ServicePolicy},
};
use crate::model::{Access, CallerKind, Requirements};

/// Who may call where SHADOW versions stand alone.
const BY_ROUTES: &str = "whom the other keys of each route let in";

/// Calls that would pass, and are refused now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widening {
    /// The method; none if it is every method, known or not.
    pub method: Option<String>,
    /// Who may call it now.
    pub before: String,
    /// Who could.
    pub after: String,
}

/// What a call must show, of which any value of a clause will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fact<'a> {
    Token,
    /// That it is not made by GET.
    Post,
    Audience(&'a str),
    Scope(&'a str),
    Role(&'a str, &'a str),
}

/// When a call passes: if nothing stands against it, it is of one of the kinds, and has a fact of each clause.
#[derive(Debug, Default)]
struct Condition<'a> {
    is_never: bool,
    needs_user: bool,
    needs_client: bool,
    clauses: Vec<BTreeSet<Fact<'a>>>,
}

impl<'a> Condition<'a> {
    /// That all of `rules` of a method of `service` let a call pass; if there are none, nobody passes.
    fn of(service: &'a str, rules: impl IntoIterator<Item = &'a MethodRule>) -> Self {
        let mut condition = Self { is_never: true, ..Self::default() };
        for (number, rule) in rules.into_iter().enumerate() {
            condition.is_never &= number > 0;
            condition.add(service, rule);
        }
        // Whoever would have to be both is nobody.
        condition.is_never |= condition.needs_user && condition.needs_client;
        condition
    }

    fn add(&mut self, service: &'a str, rule: &'a MethodRule) {
        if !rule.has_no_side_effects {
            self.clauses.push([Fact::Post].into());
        }
        match &rule.access {
            Access::Public => {}
            Access::Undeclared | Access::NotUnderstood => self.is_never = true,
            Access::Authenticated(rule) => self.add_requirements(service, rule),
        }
    }

    fn add_requirements(&mut self, service: &'a str, rule: &'a Requirements) {
        let audience = rule.audience(service);
        self.clauses.push([Fact::Token].into());
        self.clauses.push([Fact::Audience(audience)].into());
        self.needs_user |= rule.callers == Some(CallerKind::User);
        self.needs_client |= rule.callers == Some(CallerKind::Client);
        self.clauses.extend(rule.required_scopes.iter().map(|scope| [Fact::Scope(scope)].into()));
        let any_scope = rule.any_scopes.iter().map(|scope| Fact::Scope(scope));
        let any_role = rule.any_roles.iter().map(|role| Fact::Role(role, audience));
        let sets = [any_scope.collect::<BTreeSet<_>>(), any_role.collect()];
        self.clauses.extend(sets.into_iter().filter(|clause| !clause.is_empty()));
    }

    /// Whether every call that passes by this one passes by `other`, too.
    ///
    /// A clause of `other` holds for all such calls only if one of this condition's own is within it: else a call that lacks just what
    /// that clause names, and has everything else, passes here and not there.
    fn implies(&self, other: &Self) -> bool {
        if self.is_never {
            return true;
        }
        let is_of_their_kind =
            (self.needs_user || !other.needs_user) && (self.needs_client || !other.needs_client);
        !other.is_never
            && is_of_their_kind
            && other.clauses.iter().all(|clause| self.clauses.iter().any(|own| own.is_subset(clause)))
    }
}

impl Widening {
    /// The calls of `after` that `before` refuses, both policies of one service: a line for each method.
    ///
    /// Where SHADOW versions stand alone, the other keys of each route decide, which nobody knows here: a change to that may let
    /// everybody in, and a change from it those whom a route without such keys has refused.
    #[must_use]
    pub fn between(before: &ServicePolicy, after: &ServicePolicy) -> Vec<Self> {
        match (before.enforced(), after.enforced()) {
            (_, Enforced::Nothing) | (Enforced::RoutesAlone, Enforced::RoutesAlone) => Vec::new(),
            (_, Enforced::RoutesAlone) => vec![Self {
                method: None,
                before: match before.enforced() {
                    Enforced::Versions => "whom the active versions let in",
                    Enforced::Nothing | Enforced::RoutesAlone => "nobody",
                }
                .to_owned(),
                after: format!("{BY_ROUTES}: a version in SHADOW lets nobody in, and refuses nobody"),
            }],
            (_, Enforced::Versions) => {
                let methods: BTreeSet<&str> = after.active_methods().collect();
                methods.into_iter().filter_map(|method| Self::of_method(method, before, after)).collect()
            }
        }
    }

    fn of_method(method: &str, before: &ServicePolicy, after: &ServicePolicy) -> Option<Self> {
        let (old, new) = (before.active_rules(method), after.active_rules(method));
        let service = after.service();
        let passes_now = Condition::of(service, old.iter().copied());
        let would_pass = Condition::of(service, new.iter().copied());
        (!would_pass.implies(&passes_now)).then(|| Self {
            method: Some(method.to_owned()),
            before: match before.enforced() {
                Enforced::RoutesAlone => format!("{BY_ROUTES}; nobody if it has none"),
                Enforced::Versions | Enforced::Nothing => in_words(&old),
            },
            after: in_words(&new),
        })
    }

    /// Whether `new` lets in whom `old` refuses, both rules of one method of `service`; none for a version that does not know it.
    #[must_use]
    pub(super) fn is_one(service: &str, old: Option<&MethodRule>, new: Option<&MethodRule>) -> bool {
        !Condition::of(service, new).implies(&Condition::of(service, old))
    }
}

impl fmt::Display for Widening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, before, after } = self;
        write!(f, "{}: now {before}, then {after}", method.as_deref().unwrap_or("every method"))
    }
}

/// Who may call a method that has these rules, all of which must hold.
fn in_words(rules: &[&MethodRule]) -> String {
    let mut all: Vec<_> = rules.iter().map(ToString::to_string).collect();
    all.dedup();
    if all.is_empty() { "nobody".to_owned() } else { all.join("; and ") }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::model::access_rule::arbitrary::{Shown, access, shown};

    const SERVICE: &str = "stock";

    fn rule() -> impl Strategy<Value = MethodRule> {
        (access(), any::<bool>())
            .prop_map(|(access, has_no_side_effects)| MethodRule { access, has_no_side_effects })
    }

    /// Whether a call passes by all of `rules`: what the conditions are compared for.
    fn passes(rules: &[MethodRule], by_get: bool, shown: Option<&Shown>) -> bool {
        !rules.is_empty() && rules.iter().all(|rule| rule.missing(by_get, SERVICE, shown).is_empty())
    }

    /// Every call that can make a difference with the few names that rules have here.
    fn calls() -> Vec<(bool, Option<Shown>)> {
        let subsets = |names: &[&str]| -> Vec<BTreeSet<String>> {
            (0..1_u32 << names.len())
                .map(|bits| {
                    let chosen = names.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
                    chosen.map(|(_, name)| (*name).to_owned()).collect()
                })
                .collect()
        };
        let mut calls = vec![(false, None), (true, None)];
        for kind in [CallerKind::User, CallerKind::Client] {
            for audiences in subsets(&["stock", "orders"]) {
                for scopes in subsets(&["a", "b", "c"]) {
                    for at_stock in subsets(&["a", "b", "c"]) {
                        // Roles at the one audience say all about clauses; the other one has the same.
                        let of =
                            |at: &'static str| at_stock.iter().map(move |role| (role.clone(), at.to_owned()));
                        let roles: BTreeSet<_> = of("stock").chain(of("orders")).collect();
                        let shown =
                            Shown { kind, audiences: audiences.clone(), scopes: scopes.clone(), roles };
                        calls.extend([false, true].map(|by_get| (by_get, Some(shown.clone()))));
                    }
                }
            }
        }
        calls
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn what_is_no_widening_lets_nobody_in(
            old in vec(rule(), 0..3), new in vec(rule(), 0..3), by_get in any::<bool>(), shown in proptest::option::of(shown()),
        ) {
            let implied = Condition::of(SERVICE, &new).implies(&Condition::of(SERVICE, &old));
            if implied && passes(&new, by_get, shown.as_ref()) {
                prop_assert!(passes(&old, by_get, shown.as_ref()));
            }
        }

        #[test]
        fn a_widening_lets_somebody_in(old in rule(), new in rule()) {
            // With roles at one audience alone: two of one name at two audiences are two facts, of which `calls` makes one.
            let at_one = |rule: &MethodRule| match &rule.access {
                Access::Authenticated(rule) => rule.any_roles.is_empty() || rule.audience.is_none(),
                _ => true,
            };
            prop_assume!(at_one(&old) && at_one(&new));
            let widens = Widening::is_one(SERVICE, Some(&old), Some(&new));
            let (old, new) = ([old], [new]);
            let somebody = calls()
                .into_iter()
                .any(|(by_get, shown)| passes(&new, by_get, shown.as_ref()) && !passes(&old, by_get, shown.as_ref()));
            prop_assert_eq!(widens, somebody);
        }
    }
}
