//! Owns how two versions of a policy differ, method by method.

use std::collections::BTreeSet;

use super::{MethodRule, MethodRules, Widening};
use crate::model::{Access, Requirements};

/// A method whose rule is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its path.
    pub method: String,
    /// Its rule in the one version; none if that does not know it.
    pub old: Option<MethodRule>,
    /// Its rule in the other version; none if that does not know it.
    pub new: Option<MethodRule>,
    /// Whether the other version lets in whom the one refuses.
    pub widens: bool,
    /// What looks like a scope that was renamed: it would refuse calls that are valid now.
    pub renamed: Option<RenamedScope>,
}

/// A scope that is asked for in the place of another: who had all that was asked for is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenamedScope {
    /// The scope that was asked for.
    pub old: String,
    /// The scope that is asked for.
    pub new: String,
}

impl Difference {
    /// What `new` has otherwise than `old`, both of `service`, in the order of the methods.
    #[must_use]
    pub fn between(service: &str, old: &MethodRules, new: &MethodRules) -> Vec<Self> {
        let methods: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let differing = methods.into_iter().filter(|method| old.get(*method) != new.get(*method));
        let difference = |method: &String| {
            let (old, new) = (old.get(method), new.get(method));
            Self {
                method: method.clone(),
                widens: Widening::is_one(service, old, new),
                renamed: old.zip(new).and_then(|(old, new)| RenamedScope::of(&old.access, &new.access)),
                old: old.cloned(),
                new: new.cloned(),
            }
        };
        differing.map(difference).collect()
    }
}

impl RenamedScope {
    /// What `new` asks for of who has every scope that `old` names, where it does not name one of those any more: a scope that it requires,
    /// or one of several of which none was named.
    fn of(old: &Access, new: &Access) -> Option<Self> {
        let (Access::Authenticated(old), Access::Authenticated(new)) = (old, new) else { return None };
        let (before, now) = (named(old), named(new));
        let gone = before.iter().find(|scope| !now.contains(*scope))?;
        let is_new = |scope: &&String| !before.contains(scope.as_str());
        let required = new.required_scopes.iter().find(is_new);
        let come = match required {
            None if new.any_scopes.iter().all(|scope| is_new(&scope)) => new.any_scopes.first(),
            required => required,
        };
        Some(Self { old: (*gone).to_owned(), new: come?.clone() })
    }
}

/// The scopes that a rule names.
fn named(rule: &Requirements) -> BTreeSet<&str> {
    rule.required_scopes.iter().chain(&rule.any_scopes).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(of: &[(&str, &[&str], &[&str])]) -> MethodRules {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let rule = |all: &[&str], any: &[&str]| {
            let requirements = Requirements {
                required_scopes: owned(all),
                any_scopes: owned(any),
                ..Requirements::default()
            };
            MethodRule { access: Access::Authenticated(requirements), has_no_side_effects: false }
        };
        of.iter().map(|(method, all, any)| ((*method).to_owned(), rule(all, any))).collect()
    }

    #[test]
    fn what_widens_is_marked_and_a_renamed_scope_is_seen() {
        let old = rules(&[
            ("/s/A", &["a"], &[]),
            ("/s/B", &["b"], &[]),
            ("/s/C", &["c"], &[]),
            ("/s/Same", &["a"], &[]),
        ]);
        let new = rules(&[
            ("/s/A", &["z"], &[]),
            ("/s/B", &[], &["b", "y"]),
            ("/s/D", &[], &[]),
            ("/s/Same", &["a"], &[]),
        ]);
        let found = Difference::between("stock", &old, &new);
        let told: Vec<_> =
            found.iter().map(|one| (one.method.as_str(), one.widens, one.renamed.is_some())).collect();
        let expected =
            [("/s/A", true, true), ("/s/B", true, false), ("/s/C", false, false), ("/s/D", true, false)];
        assert_eq!(told, expected);
        assert_eq!(found[0].renamed, Some(RenamedScope { old: "a".to_owned(), new: "z".to_owned() }));
        assert!(Difference::between("stock", &new, &new).is_empty());
        let back = Difference::between("stock", &new, &rules(&[("/s/B", &["y"], &[])]));
        assert!(back.iter().all(|one| one.renamed.is_none()), "the third step is none: {back:?}");
    }

    #[test]
    fn every_kind_of_rename_at_once_is_seen_and_no_step_of_one_that_refuses_nobody() {
        let renamed = |(all, any): (&[&str], &[&str]), (new_all, new_any): (&[&str], &[&str])| {
            let (old, new) = (rules(&[("/s/A", all, any)]), rules(&[("/s/A", new_all, new_any)]));
            let found = Difference::between("stock", &old, &new).remove(0).renamed;
            found.map(|RenamedScope { old, new }| format!("{old} to {new}"))
        };
        let is_renamed =
            |old, new, told: &str| assert_eq!(renamed(old, new).as_deref(), Some(told), "{old:?}");
        is_renamed((&["a"], &[]), (&["b"], &[]), "a to b");
        is_renamed((&["a"], &[]), (&[], &["b"]), "a to b");
        is_renamed((&[], &["b"]), (&[], &["c"]), "b to c");
        is_renamed((&[], &["b"]), (&["a"], &[]), "b to a");
        is_renamed((&["a"], &["b", "c"]), (&["a"], &["d", "e"]), "b to d");
        let stays = |old, new| assert_eq!(renamed(old, new), None, "{old:?}");
        stays((&["a"], &[]), (&[], &["a", "b"]));
        stays((&[], &["a", "b"]), (&["b"], &[]));
        stays((&["a"], &[]), (&["a", "b"], &[]));
        stays((&["a", "b"], &[]), (&["a"], &[]));
        stays((&["a"], &[]), (&[], &[]));
    }
}
