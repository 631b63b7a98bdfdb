//! Owns the rule of a route: what `context_extensions` ask of a request.

use std::{collections::BTreeMap, fmt};

use crate::model::{AudienceName, NameSet, RoleName, name_set::is_name};

/// What a request must prove to pass. By default: a token that is meant for Signet itself, with any scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule<'a> {
    /// `signet.require_scope`: the token must have all of them.
    pub(super) scopes: NameSet,
    /// `signet.require_audience`: whom the token must be meant for, if that is not Signet itself.
    pub(super) audience: Option<&'a str>,
    /// `signet.require_role`: the role that whoever the token stands for must have at that audience.
    pub(super) role: Option<&'a str>,
    /// `signet.anonymous`: whether a request without a token passes too, if the route says.
    pub(super) anonymous: Option<bool>,
    /// `signet.policy`: the service by whose policy requests are judged, method by method. The keys above only tighten it.
    pub(super) policy: Option<AudienceName>,
    /// `signet.forward_token`: whether the service behind gets the token, if the route says.
    pub(super) forward_token: Option<bool>,
}

/// An entry that cannot be understood. What it was meant to ask for is unknown, so nothing passes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BrokenRule<'a> {
    key: &'a str,
    value: &'a str,
    problem: &'static str,
}

impl<'a> Rule<'a> {
    /// The rule that the entries of a route make; those that do not begin with `signet` are somebody else's.
    pub(super) fn parse(extensions: &'a BTreeMap<String, String>) -> Result<Self, BrokenRule<'a>> {
        let mut rule = Self::default();
        for (key, value) in extensions {
            let broken = |problem| BrokenRule { key, value, problem };
            match key.as_str() {
                // An empty value is more likely a template without its variable than the wish for no scope.
                "signet.require_scope" => {
                    rule.scopes = NameSet::parse(value)
                        .ok()
                        .filter(|scopes| !scopes.is_empty())
                        .ok_or_else(|| broken("must be scopes, separated by single spaces"))?;
                }
                "signet.require_audience" if is_name(value) => rule.audience = Some(value),
                "signet.require_audience" => return Err(broken("must be one audience")),
                "signet.require_role" => {
                    let is_role = RoleName::parse(value).is_ok_and(|role| !role.is_everyone());
                    rule.role = Some(value.as_str()).filter(|_| is_role);
                    if rule.role.is_none() {
                        return Err(broken("must be the name of one role, and not `everyone`"));
                    }
                }
                "signet.policy" => {
                    let service = AudienceName::parse(value);
                    rule.policy = Some(service.map_err(|_| broken("must be the name of one service"))?);
                }
                "signet.anonymous" | "signet.forward_token" => {
                    let allow = match value.as_str() {
                        "allow" => true,
                        "deny" => false,
                        _ => return Err(broken("must be `allow` or `deny`")),
                    };
                    if key == "signet.anonymous" {
                        rule.anonymous = Some(allow);
                    } else {
                        rule.forward_token = Some(allow);
                    }
                }
                _ if is_meant_for_signet(key) => return Err(broken("there is no such rule")),
                _ => {}
            }
        }
        match rule {
            // A role is one of an audience: which is meant must not hang on how this server is called.
            Self { role: Some(value), audience: None, .. } => {
                let problem = "needs `signet.require_audience` beside it";
                Err(BrokenRule { key: "signet.require_role", value, problem })
            }
            rule => Ok(rule),
        }
    }
}

impl Rule<'_> {
    /// Whether it has one of the keys `signet.require_*`.
    pub(super) fn requires_something(&self) -> bool {
        !self.scopes.is_empty() || self.audience.is_some() || self.role.is_some()
    }

    /// Whether it has a key by which no request passes without a token, where a policy decides besides.
    pub(super) fn needs_token(&self) -> bool {
        self.requires_something() || self.anonymous == Some(false)
    }
}

/// Also a key that is written almost like one of Signet's was meant to ask for something.
fn is_meant_for_signet(key: &str) -> bool {
    key.trim_start().get(..6).is_some_and(|start| start.eq_ignore_ascii_case("signet"))
}

impl fmt::Display for BrokenRule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever reaches the port can send anything: it must not fill the log, nor forge lines of it.
        let (key, value) = (beginning(self.key), beginning(self.value));
        write!(f, "{key:?}: {value:?}, and {}", self.problem)
    }
}

/// What of `text` is told.
pub(super) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extensions(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_rule_is_read() {
        assert_eq!(Rule::parse(&BTreeMap::new()), Ok(Rule::default()));
        let others = extensions(&[("virtual_host", "x"), ("require_scope", "a")]);
        assert_eq!(Rule::parse(&others), Ok(Rule::default()), "of somebody else");
        let all = extensions(&[
            ("signet.require_scope", "a b"),
            ("signet.require_audience", "https://orders.example/"),
            ("signet.require_role", "order-desk"),
            ("signet.anonymous", "allow"),
            ("signet.forward_token", "allow"),
            ("signet.policy", "stock"),
        ]);
        let rule = Rule::parse(&all).unwrap();
        assert_eq!(
            (rule.scopes.as_str(), rule.anonymous, rule.forward_token),
            ("a b", Some(true), Some(true))
        );
        assert_eq!(rule.policy.as_ref().map(AudienceName::as_str), Some("stock"));
        assert!(rule.requires_something());
        assert_eq!((rule.audience, rule.role), (Some("https://orders.example/"), Some("order-desk")));
        let denied = extensions(&[("signet.anonymous", "deny")]);
        let rule = Rule::parse(&denied).unwrap();
        assert_eq!((rule.anonymous, rule.requires_something()), (Some(false), false));
        let kept = extensions(&[("signet.forward_token", "deny")]);
        assert_eq!(Rule::parse(&kept).unwrap().forward_token, Some(false));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (key, value) in [
            ("signet.require_scope", ""),
            ("signet.require_scope", "a  b"),
            ("signet.require_scope", "a,\"b\""),
            ("signet.require_audience", ""),
            ("signet.require_audience", "a b"),
            ("signet.anonymous", ""),
            ("signet.anonymous", "Allow"),
            ("signet.anonymous", "true"),
            ("signet.policy", ""),
            ("signet.policy", "stock orders"),
            ("signet.Policy", "stock"),
            ("signet.forward_token", ""),
            ("signet.forward_token", "true"),
            ("signet.forward_tokens", "allow"),
            ("signet.require_scopes", "a"),
            ("signet.", "a"),
            ("signet", "a"),
            ("Signet.require_scope", "a"),
            ("SIGNET.ANONYMOUS", "deny"),
            (" signet.require_scope", "a"),
            ("signet.require_scope ", "a"),
            ("signet_require_scope", "a"),
        ] {
            assert!(Rule::parse(&extensions(&[(key, value)])).is_err(), "{key:?}: {value:?}");
        }
    }

    #[test]
    fn a_role_is_one_of_an_audience_that_is_named() {
        let parsed = |role, audience: &[(&str, &str)]| {
            let entries = [&[("signet.require_role", role)], audience].concat();
            Rule::parse(&extensions(&entries)).map(|_| ()).map_err(|broken| broken.to_string())
        };
        let orders = [("signet.require_audience", "orders")];
        assert_eq!(parsed("desk", &orders), Ok(()));
        for bad in ["", "everyone", "desk clerk", "Desk", "signet", "signet.admin", "é"] {
            assert!(parsed(bad, &orders).is_err(), "{bad:?}");
        }
        assert!(parsed("desk", &[]).unwrap_err().contains("require_audience"));
    }

    #[test]
    fn what_is_told_of_a_broken_rule_is_short_and_one_line() {
        let long = extensions(&[(&format!("signet.{}", "é".repeat(500)), &"\n".repeat(500))]);
        let text = Rule::parse(&long).unwrap_err().to_string();
        assert!(text.len() < 400 && !text.contains('\n'), "{text}");
    }

    proptest! {
        #[test]
        fn a_key_of_signets_namespace_is_a_rule_or_refused(key in "signet[ -~]{0,24}", value in "[ -~]{0,12}") {
            let extensions = extensions(&[(&key, &value)]);
            if let Ok(rule) = Rule::parse(&extensions) {
                let means_something = !rule.scopes.is_empty()
                    || rule.audience.is_some()
                    || rule.forward_token.is_some()
                    || rule.policy.is_some()
                    || key == "signet.anonymous";
                prop_assert!(means_something, "{key:?} was passed over");
            }
        }
    }
}
