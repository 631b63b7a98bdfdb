//! Owns what is wrong with the rules of a descriptor set, before they are pushed: all that refuses the push, and more.

use std::collections::BTreeSet;

use super::{
    PushedRules,
    pushed::{Unusable, described, unreadable},
};
use crate::{
    auth::{DescribedMethod, DescribedMethods},
    model::{Access, Error, Requirements, RoleName},
};

/// How the line of a comment begins that says why everybody may call a method.
const PUBLIC_REASON: &str = "Public:";

/// Something about a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintFinding {
    /// The path of the method; none if it is about the whole.
    pub method: Option<String>,
    /// What is wrong, or to be known: a sentence without its full stop.
    pub problem: String,
    /// Whether it is wrong; else it is only to be known.
    pub is_error: bool,
}

/// The scopes that there are.
#[derive(Clone, Debug)]
pub struct KnownScopes {
    /// The service whose they are; none if they were named one by one.
    pub service: Option<String>,
    /// Their names.
    pub scopes: BTreeSet<String>,
}

/// What is to be said of `descriptor_set`, an encoded `google.protobuf.FileDescriptorSet`, where the methods of `public_services` are
/// public, and the scopes of its rules must be among those that are `known`; and how many methods were looked at.
///
/// # Errors
/// [`Error::InvalidFields`] for what cannot be read.
pub fn lint(
    descriptor_set: &[u8],
    public_services: &[String],
    known: Option<&KnownScopes>,
) -> Result<(usize, Vec<LintFinding>), Error> {
    let described = described(descriptor_set, public_services, true)
        .map_err(|error| Error::InvalidFields(vec![unreadable(&error).at("file")]))?;
    let DescribedMethods { methods, has_comments, .. } = &described;
    let mut findings = Vec::new();
    for method in methods.iter().filter(|method| !public_services.contains(&method.service)) {
        Linting { method, findings: &mut findings }.look(*has_comments, known);
    }
    let count = methods.len();
    // What refuses the push comes first, once.
    let (_, unusable) = PushedRules::judged(described, public_services);
    let mut all: Vec<_> = unusable.into_iter().map(LintFinding::from).collect();
    all.append(&mut findings);
    Ok((count, all))
}

impl From<Unusable> for LintFinding {
    fn from(unusable: Unusable) -> Self {
        let Unusable { method, is_of_names, problem, .. } = unusable;
        let problem = match (&method, is_of_names) {
            (Some(_), _) => problem,
            (None, false) => format!("the file {problem}"),
            (None, true) => format!("--public-service {problem}"),
        };
        Self { method, problem, is_error: true }
    }
}

/// A method that is looked at.
struct Linting<'a> {
    method: &'a DescribedMethod,
    findings: &'a mut Vec<LintFinding>,
}

impl Linting<'_> {
    fn look(&mut self, has_comments: bool, known: Option<&KnownScopes>) {
        match &self.method.access {
            Access::Undeclared => self.error("it declares no access, so nobody may call it".to_owned()),
            Access::NotUnderstood => {
                let problem =
                    "its rule has a field or a value that this release does not know, so nobody may call it";
                self.error(problem.to_owned());
            }
            Access::Public => self.look_at_public(has_comments),
            Access::Authenticated(rule) => self.look_at_rule(rule, known),
        }
    }

    fn look_at_public(&mut self, has_comments: bool) {
        let has_reason = self.method.comment.as_deref().is_some_and(|comment| {
            let reasons = comment.lines().filter_map(|line| line.trim().strip_prefix(PUBLIC_REASON));
            reasons.into_iter().any(|reason| !reason.trim().is_empty())
        });
        if has_reason {
            return;
        }
        self.error(if has_comments {
            format!("everybody may call it, and no line of its comment says why: `{PUBLIC_REASON} ...`")
        } else {
            "everybody may call it, and the file has no comments that could say why: build it with them (protoc \
             --include_source_info; `buf build` does by itself)"
                .to_owned()
        });
    }

    fn look_at_rule(&mut self, rule: &Requirements, known: Option<&KnownScopes>) {
        if let Some(known) = known {
            self.look_at_scopes(rule, known);
        }
        if rule.any_roles.iter().any(|role| role == RoleName::EVERYONE) {
            let problem = "nobody has the role `everyone` by its name, so it lets nobody in: whoever shows a token has what it gives";
            self.error(problem.to_owned());
        }
        if !rule.any_roles.is_empty() {
            let problem = "its `any_roles` are judged by the roles of the moment only where a proxy asks Signet; a service that verifies \
                           tokens by itself sees the claim `roles`, if the client's tokens have it";
            self.warning(problem.to_owned());
        }
    }

    fn look_at_scopes(&mut self, rule: &Requirements, known: &KnownScopes) {
        let named: BTreeSet<_> = rule.required_scopes.iter().chain(&rule.any_scopes).collect();
        match (&rule.audience, &known.service) {
            _ if named.is_empty() => {}
            // Another audience's scopes are another team's to know.
            (Some(audience), service) if service.as_ref() != Some(audience) => {
                self.warning(format!("its scopes were not looked at: they are those of `{audience}`"));
            }
            (_, service) => {
                for scope in named.into_iter().filter(|scope| !known.scopes.contains(*scope)) {
                    self.error(match service {
                        Some(service) => format!(
                            "no role of `{service}` gives the scope `{scope}`, and no client is registered with it for that"
                        ),
                        None => format!("no --known-scope names the scope `{scope}`"),
                    });
                }
            }
        }
    }

    fn error(&mut self, problem: String) {
        self.tell(problem, true);
    }

    fn warning(&mut self, problem: String) {
        self.tell(problem, false);
    }

    fn tell(&mut self, problem: String, is_error: bool) {
        self.findings.push(LintFinding { method: Some(self.method.path.clone()), problem, is_error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::EXAMPLE_SETS;

    fn told(set: &[u8], public: &[&str], known: Option<&KnownScopes>) -> Vec<(Option<String>, String)> {
        let public: Vec<_> = public.iter().map(|name| (*name).to_owned()).collect();
        let (_, findings) = lint(set, &public, known).unwrap();
        findings.into_iter().filter(|one| one.is_error).map(|one| (one.method, one.problem)).collect()
    }

    #[test]
    fn what_refuses_the_push_is_wrong() {
        let whole = |set, public: &[&str]| told(set, public, None).remove(0);
        assert_eq!(whole(&[], &[]), (None, "the file must have methods".to_owned()));
        let (method, problem) = whole(EXAMPLE_SETS.0, &["no.Such"]);
        assert!(method.is_none() && problem.starts_with("--public-service must name"), "{problem}");
        let (method, problem) = whole(EXAMPLE_SETS.0, &["identity.v1.IdentityService"]);
        assert!(method.is_some() && problem.starts_with("it declares access"), "{problem}");
    }

    #[test]
    fn scopes_are_those_of_the_service_or_those_that_are_named() {
        let rule = |audience: Option<&str>| Requirements {
            required_scopes: vec!["stock.wriet".to_owned()],
            audience: audience.map(str::to_owned),
            ..Requirements::default()
        };
        let looked = |audience, service: Option<&str>| -> (bool, String) {
            let scopes = ["stock.write".to_owned()].into();
            let known = KnownScopes { service: service.map(str::to_owned), scopes };
            let method = DescribedMethod {
                service: "s.S".to_owned(),
                path: "/s.S/A".to_owned(),
                access: Access::Authenticated(rule(audience)),
                has_no_side_effects: false,
                comment: None,
            };
            let mut findings = Vec::new();
            Linting { method: &method, findings: &mut findings }.look(true, Some(&known));
            let LintFinding { problem, is_error, .. } = findings.remove(0);
            (is_error, problem)
        };
        for (audience, service, is_wrong, part) in [
            (None, Some("stock"), true, "no role of `stock` gives the scope `stock.wriet`"),
            (Some("stock"), Some("stock"), true, "no role of `stock` gives"),
            (Some("ledger"), Some("stock"), false, "they are those of `ledger`"),
            (Some("ledger"), None, false, "they are those of `ledger`"),
            (None, None, true, "no --known-scope names the scope `stock.wriet`"),
        ] {
            let (is_error, problem) = looked(audience, service);
            assert!(is_error == is_wrong && problem.contains(part), "{audience:?}, {service:?}: {problem}");
        }
    }
}
