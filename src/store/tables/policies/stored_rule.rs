//! Owns how the rule of a method is kept: as it was understood when it was pushed, whatever a later release would make of it.

use serde::{Deserialize, Serialize};

use crate::model::{Access, CallerKind, Requirements, policy::MethodRule};

/// A rule as JSON. What another release has written and this one does not know refuses the method.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Stored {
    access: Kind,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required_scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    any_scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    any_roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callers: Option<Callers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    no_side_effects: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Public,
    Authenticated,
    Undeclared,
    #[default]
    NotUnderstood,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Callers {
    User,
    Client,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference to what is there")]
const fn is_false(is: &bool) -> bool {
    !*is
}

/// `rule` as it is kept.
pub(super) fn write(rule: &MethodRule) -> String {
    let requirements = match &rule.access {
        Access::Authenticated(requirements) => requirements.clone(),
        _ => Requirements::default(),
    };
    let Requirements { required_scopes, any_scopes, any_roles, callers, audience } = requirements;
    let stored = Stored {
        access: match rule.access {
            Access::Public => Kind::Public,
            Access::Authenticated(_) => Kind::Authenticated,
            Access::Undeclared => Kind::Undeclared,
            Access::NotUnderstood => Kind::NotUnderstood,
        },
        required_scopes,
        any_scopes,
        any_roles,
        callers: callers.map(|kind| match kind {
            CallerKind::User => Callers::User,
            CallerKind::Client => Callers::Client,
        }),
        audience,
        no_side_effects: rule.has_no_side_effects,
    };
    serde_json::to_string(&stored).unwrap_or_default()
}

/// The rule that was kept as `text`.
pub(super) fn read(text: &str) -> MethodRule {
    let stored: Stored = serde_json::from_str(text).unwrap_or_default();
    let Stored { access, required_scopes, any_scopes, any_roles, callers, audience, no_side_effects } =
        stored;
    let requirements = Requirements {
        required_scopes,
        any_scopes,
        any_roles,
        callers: callers.map(|kind| match kind {
            Callers::User => CallerKind::User,
            Callers::Client => CallerKind::Client,
        }),
        audience,
    };
    MethodRule {
        access: match access {
            Kind::Public => Access::Public,
            Kind::Authenticated => Access::Authenticated(requirements),
            Kind::Undeclared => Access::Undeclared,
            Kind::NotUnderstood => Access::NotUnderstood,
        },
        has_no_side_effects: no_side_effects,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::access_rule::arbitrary::access;

    proptest! {
        #[test]
        fn a_rule_is_read_as_it_was_written(access in access(), has_no_side_effects in any::<bool>()) {
            let rule = MethodRule { access, has_no_side_effects };
            prop_assert_eq!(read(&write(&rule)), rule);
        }
    }

    #[test]
    fn what_a_later_release_has_written_refuses_the_method() {
        for text in [
            r#"{"access":"authenticated","min_acr":"2"}"#,
            r#"{"access":"insiders"}"#,
            r#"{"access":"authenticated","callers":"robot"}"#,
            "",
        ] {
            assert_eq!(read(text).access, Access::NotUnderstood, "{text}");
        }
    }
}
