//! Owns what is enforced of a service's policy: of all its versions, those in force judge a call together.

use std::{collections::HashMap, sync::Arc};

use super::{MethodRule, MethodRules, PolicyState, PolicyVersionName};

/// The versions of a service that are active or in SHADOW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePolicy {
    service: String,
    active: Vec<InForce>,
    shadow: Vec<InForce>,
}

/// What decides whether a call passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforced {
    /// Nothing does: neither an active nor a SHADOW version is there, and everybody is refused.
    Nothing,
    /// The other keys of each route: SHADOW versions stand alone.
    RoutesAlone,
    /// The active versions.
    Versions,
}

/// A version in force.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InForce {
    version: PolicyVersionName,
    rules: Arc<HashMap<String, MethodRule>>,
}

impl ServicePolicy {
    /// Of `service`, with `versions`, of which those count that are active or in SHADOW.
    pub fn new(
        service: impl Into<String>,
        versions: impl IntoIterator<Item = (PolicyVersionName, PolicyState, MethodRules)>,
    ) -> Self {
        let mut policy = Self { service: service.into(), active: Vec::new(), shadow: Vec::new() };
        for (version, state, rules) in versions {
            let of_state = match state {
                PolicyState::Active => &mut policy.active,
                PolicyState::Shadow => &mut policy.shadow,
                PolicyState::Pushed | PolicyState::Retired => continue,
            };
            of_state.push(InForce { version, rules: Arc::new(rules.into_iter().collect()) });
        }
        policy
    }

    /// The same, with `version` in `state` and nowhere else; its rules are `rules`.
    #[must_use]
    pub fn with(&self, version: &PolicyVersionName, state: PolicyState, rules: MethodRules) -> Self {
        let others = |of: &[InForce]| of.iter().filter(|one| one.version != *version).cloned().collect();
        let mut policy = Self {
            service: self.service.clone(),
            active: others(&self.active),
            shadow: others(&self.shadow),
        };
        let one = Self::new(self.service.clone(), [(version.clone(), state, rules)]);
        policy.active.extend(one.active);
        policy.shadow.extend(one.shadow);
        policy
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What decides.
    #[must_use]
    pub const fn enforced(&self) -> Enforced {
        match (self.active.is_empty(), self.shadow.is_empty()) {
            (false, _) => Enforced::Versions,
            (true, false) => Enforced::RoutesAlone,
            (true, true) => Enforced::Nothing,
        }
    }

    /// Whether a version is in SHADOW.
    #[must_use]
    pub const fn has_shadow(&self) -> bool {
        !self.shadow.is_empty()
    }

    /// How many versions are in force.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.active.len() + self.shadow.len()
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let rules = self.active.iter().chain(&self.shadow).flat_map(|one| one.rules.iter());
        rules.map(|(method, rule)| method.len() + rule.size()).sum()
    }

    /// The rules of `method`, which a call must all keep: one of each active version that knows it. None: nobody may call it.
    #[must_use]
    pub fn active_rules(&self, method: &str) -> Vec<&MethodRule> {
        self.active.iter().filter_map(|one| one.rules.get(method)).collect()
    }

    /// The versions in force, each with its rule of `method` if it knows that: the active ones first.
    pub fn judging<'a>(
        &'a self,
        method: &'a str,
    ) -> impl Iterator<Item = (&'a PolicyVersionName, PolicyState, Option<&'a MethodRule>)> {
        let active = self.active.iter().map(|one| (one, PolicyState::Active));
        let shadow = self.shadow.iter().map(|one| (one, PolicyState::Shadow));
        active.chain(shadow).map(move |(one, state)| (&one.version, state, one.rules.get(method)))
    }

    /// Every method that an active version knows; some of them more than once.
    pub(super) fn active_methods(&self) -> impl Iterator<Item = &str> {
        self.active.iter().flat_map(|one| one.rules.keys().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use PolicyState::{Active, Pushed, Retired, Shadow};

    use super::*;
    use crate::model::{Access, Requirements, policy::Widening};

    fn version(name: &str) -> PolicyVersionName {
        PolicyVersionName::parse(name).unwrap()
    }

    fn rules(of: &[(&str, Access)]) -> MethodRules {
        let rule = |access: &Access| MethodRule { access: access.clone(), has_no_side_effects: false };
        of.iter().map(|(method, access)| ((*method).to_owned(), rule(access))).collect()
    }

    fn scope(name: &str) -> Access {
        Access::Authenticated(Requirements { required_scopes: vec![name.to_owned()], ..Default::default() })
    }

    fn one_of(names: &[&str]) -> Access {
        let any_scopes = names.iter().map(|name| (*name).to_owned()).collect();
        Access::Authenticated(Requirements { any_scopes, ..Default::default() })
    }

    fn policy(versions: &[(&str, PolicyState, &MethodRules)]) -> ServicePolicy {
        let versions = versions.iter().map(|(name, state, rules)| (version(name), *state, (*rules).clone()));
        ServicePolicy::new("stock", versions)
    }

    /// The methods by which a change lets calls pass; `*` for all.
    fn widened(before: &ServicePolicy, after: &ServicePolicy) -> Vec<String> {
        let widened = Widening::between(before, after).into_iter();
        widened.map(|widening| widening.method.unwrap_or_else(|| "*".to_owned())).collect()
    }

    #[test]
    fn a_call_must_keep_the_rule_of_every_active_version_that_knows_the_method() {
        let (old, new) =
            (rules(&[("/s/A", scope("a")), ("/s/B", scope("b"))]), rules(&[("/s/A", Access::Public)]));
        let both = policy(&[
            ("v1", Active, &old),
            ("v2", Active, &new),
            ("v3", Retired, &new),
            ("v4", Pushed, &new),
        ]);
        assert_eq!(both.active_rules("/s/A").len(), 2);
        assert_eq!(both.active_rules("/s/B").len(), 1, "the other version does not know it");
        assert_eq!(both.active_rules("/s/C").len(), 0);
        assert_eq!(both.active_rules("/s/a").len(), 0, "byte for byte");
        assert_eq!(both.enforced(), Enforced::Versions);
        assert_eq!(policy(&[("v1", Shadow, &old), ("v2", Pushed, &new)]).enforced(), Enforced::RoutesAlone);
        assert_eq!(policy(&[("v1", Retired, &old)]).enforced(), Enforced::Nothing);
    }

    #[test]
    fn to_retire_the_strict_version_beside_a_lax_one_widens_and_to_retire_the_lax_one_does_not() {
        let (strict, lax) = (rules(&[("/s/A", scope("a"))]), rules(&[("/s/A", Access::Public)]));
        let both = policy(&[("v1", Active, &strict), ("v2", Active, &lax)]);
        assert_eq!(widened(&both, &both.with(&version("v1"), Retired, strict.clone())), ["/s/A"]);
        assert!(widened(&both, &both.with(&version("v2"), Retired, lax.clone())).is_empty());
        let alone = policy(&[("v1", Active, &strict)]);
        assert!(widened(&alone, &alone.with(&version("v2"), Active, lax)).is_empty(), "both must be kept");
        assert!(
            widened(&alone, &alone.with(&version("v1"), Retired, strict)).is_empty(),
            "then all is refused"
        );
    }

    #[test]
    fn the_first_activation_and_a_new_method_widen() {
        let (old, new) =
            (rules(&[("/s/A", scope("a"))]), rules(&[("/s/A", scope("a")), ("/s/B", scope("a"))]));
        let nothing = policy(&[("v1", Pushed, &old)]);
        assert_eq!(widened(&nothing, &nothing.with(&version("v1"), Active, old.clone())), ["/s/A"]);
        let one = policy(&[("v1", Active, &old)]);
        assert_eq!(widened(&one, &one.with(&version("v2"), Active, new)), ["/s/B"]);
        let closed = rules(&[("/s/A", Access::Undeclared), ("/s/B", Access::NotUnderstood)]);
        assert!(widened(&nothing, &nothing.with(&version("v2"), Active, closed)).is_empty());
    }

    #[test]
    fn to_and_from_shadow_widens_where_the_routes_alone_decide() {
        let strict = rules(&[("/s/A", scope("a"))]);
        let nothing = policy(&[]);
        let shadow = nothing.with(&version("v1"), Shadow, strict.clone());
        let active = shadow.with(&version("v1"), Active, strict.clone());
        assert_eq!(widened(&nothing, &shadow), ["*"], "a route without a version refuses everybody");
        assert_eq!(widened(&shadow, &active), ["/s/A"], "a route without another key refuses everybody");
        assert_eq!(widened(&active, &shadow), ["*"], "the last active one to SHADOW");
        let beside = shadow.with(&version("v2"), Shadow, strict.clone());
        assert!(widened(&shadow, &beside).is_empty());
        assert!(widened(&active, &active.with(&version("v2"), Shadow, strict.clone())).is_empty());
        let with_shadow = active.with(&version("v2"), Shadow, strict.clone());
        assert_eq!(widened(&with_shadow, &with_shadow.with(&version("v1"), Retired, strict)), ["*"]);
    }

    #[test]
    fn a_scope_is_renamed_in_three_steps() {
        let [old, either, new] =
            [scope("a"), one_of(&["a", "b"]), scope("b")].map(|rule| rules(&[("/s/A", rule)]));
        let first = policy(&[("v1", Active, &old)]);
        let second = first.with(&version("v2"), Active, either.clone());
        assert!(widened(&first, &second).is_empty(), "while both are active, `a` is asked for");
        let alone = second.with(&version("v1"), Retired, old);
        assert_eq!(widened(&second, &alone), ["/s/A"], "`b` will do from here on");
        let third = alone.with(&version("v3"), Active, new.clone());
        assert!(widened(&alone, &third).is_empty());
        assert!(widened(&third, &third.with(&version("v2"), Retired, either)).is_empty());
    }
}
