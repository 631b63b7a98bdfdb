//! Owns how the rules of policies look in messages of the API.

use crate::{
    model::{
        Access, CallerKind, PolicyState, Requirements,
        policy::{Difference, MethodRule},
    },
    proto::identity::{
        policy::v1::{self, diff_policy_versions_response, policy_version::State},
        v1::{
            Access as Declared,
            access::{Authenticated, Callers, Public, Rule},
        },
    },
};

const STATES: [(PolicyState, State); 4] = [
    (PolicyState::Pushed, State::Pushed),
    (PolicyState::Shadow, State::Shadow),
    (PolicyState::Active, State::Active),
    (PolicyState::Retired, State::Retired),
];

/// What a version does.
pub(crate) fn policy_state(state: PolicyState) -> State {
    STATES.iter().find(|(known, _)| *known == state).map_or(State::Unspecified, |(_, state)| *state)
}

/// What a version does; none of a state that this release does not know.
pub(crate) fn read_policy_state(state: State) -> Option<PolicyState> {
    STATES.iter().find(|(_, known)| *known == state).map(|(state, _)| *state)
}

/// The rule of `method`.
pub(crate) fn method_rule(method: &str, rule: &MethodRule) -> v1::MethodRule {
    v1::MethodRule {
        method: method.to_owned(),
        access: declared(&rule.access),
        is_not_understood: rule.access == Access::NotUnderstood,
        has_no_side_effects: rule.has_no_side_effects,
        description: rule.to_string(),
    }
}

/// A method whose rule is another one.
pub(crate) fn difference(found: Difference) -> diff_policy_versions_response::Difference {
    let Difference { method, old, new, widens, renamed } = found;
    let (renamed_scope, renamed_to) = renamed.map(|renamed| (renamed.old, renamed.new)).unwrap_or_default();
    diff_policy_versions_response::Difference {
        old_rule: old.map(|rule| method_rule(&method, &rule)),
        new_rule: new.map(|rule| method_rule(&method, &rule)),
        method,
        widens,
        renamed_scope,
        renamed_to,
    }
}

fn declared(access: &Access) -> Option<Declared> {
    let rule = match access {
        Access::Public => Rule::Public(Public {}),
        Access::Undeclared | Access::NotUnderstood => return None,
        Access::Authenticated(rule) => Rule::Authenticated(authenticated(rule.clone())),
    };
    Some(Declared { rule: Some(rule) })
}

fn authenticated(rule: Requirements) -> Authenticated {
    let Requirements { required_scopes, any_scopes, any_roles, callers, audience } = rule;
    let callers = match callers {
        None => Callers::Unspecified,
        Some(CallerKind::User) => Callers::User,
        Some(CallerKind::Client) => Callers::Client,
    };
    let audience = audience.unwrap_or_default();
    Authenticated { required_scopes, any_scopes, any_roles, callers: callers.into(), audience }
}
