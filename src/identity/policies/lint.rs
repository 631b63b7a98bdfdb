//! Owns what is wrong with the rules of a descriptor set, before they are pushed.

use std::collections::BTreeSet;

use super::declares_nothing;
use crate::{
    auth::{DescribedMethod, DescribedMethods},
    model::{Access, Error, FieldReason, Requirements, RuleViolation, policy::MethodRule},
};

/// How the line of a comment begins that says why everybody may call a method.
const PUBLIC_REASON: &str = "Public:";

/// Something about a method's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintFinding {
    /// The path of the method.
    pub method: String,
    /// What is wrong, or to be known: a sentence without its full stop.
    pub problem: String,
    /// Whether it is wrong; else it is only to be known.
    pub is_error: bool,
}

/// What is wrong with `descriptor_set`, an encoded `google.protobuf.FileDescriptorSet`, where the methods of `public_services` are public,
/// and the scopes of its rules must be among `scopes`, if they are known.
///
/// # Errors
/// [`Error::InvalidFields`] for what cannot be read.
pub fn lint(
    descriptor_set: &[u8],
    public_services: &[String],
    scopes: Option<&BTreeSet<String>>,
) -> Result<(usize, Vec<LintFinding>), Error> {
    let described = DescribedMethods::read(descriptor_set).map_err(|error| {
        let rule = RuleViolation::new(FieldReason::Malformed, format!("cannot be read: {error}"));
        Error::InvalidFields(vec![rule.at("file")])
    })?;
    let mut findings = Vec::new();
    // What others have written, and this service need not serve.
    let own: Vec<_> = described.methods.iter().filter(|method| !method.is_imported).collect();
    for method in &own {
        let is_public = public_services.contains(&method.service);
        Linting { method, findings: &mut findings }.look(is_public, described.has_comments, scopes);
    }
    Ok((own.len(), findings))
}

/// A method that is looked at.
struct Linting<'a> {
    method: &'a DescribedMethod,
    findings: &'a mut Vec<LintFinding>,
}

impl Linting<'_> {
    fn look(&mut self, is_public_by_name: bool, has_comments: bool, scopes: Option<&BTreeSet<String>>) {
        if is_public_by_name {
            if !declares_nothing(&self.method.access) {
                self.error("it declares access, and its service is named as a public one".to_owned());
            }
            return;
        }
        match &self.method.access {
            Access::Undeclared => self.error("it declares no access, so nobody may call it".to_owned()),
            Access::NotUnderstood => {
                let problem =
                    "its rule has a field or a value that this release does not know, so nobody may call it";
                self.error(problem.to_owned());
            }
            Access::Public => self.look_at_public(has_comments),
            Access::Authenticated(rule) => self.look_at_rule(rule, scopes),
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

    fn look_at_rule(&mut self, rule: &Requirements, scopes: Option<&BTreeSet<String>>) {
        let method_rule = MethodRule { access: self.method.access.clone(), has_no_side_effects: false };
        if let Some(problem) = method_rule.problem() {
            self.error(format!("nobody could keep its rule: {problem}"));
        }
        // Another audience's scopes are another team's to know.
        if let (Some(known), None) = (scopes, &rule.audience) {
            let unknown =
                rule.required_scopes.iter().chain(&rule.any_scopes).filter(|scope| !known.contains(*scope));
            for scope in unknown.collect::<BTreeSet<_>>() {
                self.error(format!("no role gives the scope `{scope}`, and no client is registered with it"));
            }
        }
        if !rule.any_roles.is_empty() {
            self.tell(
                "its `any_roles` are judged by the roles of the moment where Envoy asks Signet alone; a service that verifies tokens \
                 by itself sees the claim `roles`, if the client's tokens have it"
                    .to_owned(),
                false,
            );
        }
    }

    fn error(&mut self, problem: String) {
        self.tell(problem, true);
    }

    fn tell(&mut self, problem: String, is_error: bool) {
        self.findings.push(LintFinding { method: self.method.path.clone(), problem, is_error });
    }
}
