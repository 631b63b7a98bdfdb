//! Owns reading the rules that are pushed: of a descriptor set, within bounds.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};

use super::declares_nothing;
use crate::{
    auth::{DescribedMethods, DescribedMethodsError, WantedMethods},
    model::{
        Access, Error, FieldReason, FieldViolation, RuleViolation,
        policy::{MethodRule, MethodRules, POLICY_MAX_METHODS},
    },
};

/// How many bytes of problems are told at once: they go into headers, for which gRPC in Java takes 8 KiB.
const TOLD_BYTES: usize = 1_500;

/// How many services can be made public by their names.
const MAX_PUBLIC_SERVICES: usize = 100;

/// How many bytes the paths and names of a version have at most: an answer has room for those of two versions, and for their descriptions.
const RULES_MAX_BYTES: usize = 512 * 1_024;

/// What stands between a name and the next one where a rule is written in words.
const BETWEEN_NAMES: usize = 8;

/// The field of the request that has the set.
const SET: &str = "descriptor_set";
const PUBLIC_SERVICES: &str = "public_services";

/// The rules of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRules(MethodRules);

/// Why a set is no version: what is wrong with the whole, or with one of its methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    /// The path of the method; none if it is the whole.
    pub(super) method: Option<String>,
    /// Of the whole: whether the names of public services are wrong, and not the set.
    pub(super) is_of_names: bool,
    /// Whether there is too much.
    is_too_long: bool,
    /// What is wrong: of the whole the rest of a sentence that begins with it.
    pub(super) problem: String,
}

impl PushedRules {
    /// What `descriptor_set` declares, an encoded `google.protobuf.FileDescriptorSet`; the methods of `public_services` are public.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for what cannot be read, has too many methods, or rules that nobody could keep.
    pub fn read(descriptor_set: &[u8], public_services: &[String]) -> Result<Self, Error> {
        let described = described(descriptor_set, public_services, false)
            .map_err(|error| Error::InvalidFields(vec![unreadable(&error).at(SET)]))?;
        let (rules, unusable) = Self::judged(described, public_services);
        if unusable.is_empty() { Ok(Self(rules)) } else { Err(Error::InvalidFields(violations(unusable))) }
    }

    /// The rules of `described`, and why they are no version.
    pub(super) fn judged(
        described: DescribedMethods,
        public_services: &[String],
    ) -> (MethodRules, Vec<Unusable>) {
        let mut unusable = Vec::new();
        if described.methods.is_empty() {
            unusable.push(Unusable::set("must have methods"));
        } else if !described.defines_access {
            let rule = "must have identity/v1/access.proto, which declares who may call a method: nothing in it imports that";
            unusable.push(Unusable::set(rule));
        }
        let public: BTreeSet<&str> = public_services.iter().map(String::as_str).collect();
        if public.len() > MAX_PUBLIC_SERVICES {
            unusable.push(Unusable::names(&format!("must name at most {MAX_PUBLIC_SERVICES}")));
        }
        let (mut rules, mut found) = (MethodRules::new(), BTreeSet::new());
        for method in described.methods {
            let is_public = public.contains(method.service.as_str());
            if is_public && !declares_nothing(&method.access) {
                let problem = "it declares access, and its service is named as a public one";
                unusable.push(Unusable::method(&method.path, problem));
            }
            let access = if is_public { Access::Public } else { method.access };
            let rule = MethodRule { access, has_no_side_effects: method.has_no_side_effects };
            if let Some(problem) = rule.problem() {
                let problem = format!("nobody could keep its rule: {problem}");
                unusable.push(Unusable::method(&method.path, &problem));
            }
            found.insert(method.service);
            rules.insert(method.path, rule);
        }
        let mut is_unknown = false;
        for service in public.into_iter().filter(|service| !found.contains(*service)) {
            let own = DescribedMethods::of_own(service);
            is_unknown |= own.is_empty();
            let rule = MethodRule { access: Access::Public, has_no_side_effects: false };
            rules.extend(own.into_iter().map(|path| (path, rule.clone())));
        }
        if is_unknown {
            let rule = "must name services of the file, `grpc.health.v1.Health`, or one of reflection";
            unusable.push(Unusable::names(rule));
        }
        if rules.len() > POLICY_MAX_METHODS {
            unusable.push(Unusable::too_long(format!("must have at most {POLICY_MAX_METHODS} methods")));
        }
        if rules.iter().map(|(method, rule)| text_bytes(method, rule)).sum::<usize>() > RULES_MAX_BYTES {
            let rule = format!("must have at most {RULES_MAX_BYTES} bytes of paths and names in its rules");
            unusable.push(Unusable::too_long(rule));
        }
        (rules, unusable)
    }

    /// What of `descriptor_set` is read: names and options of methods, and the option that declares access.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for what cannot be read.
    pub fn reduced(descriptor_set: &[u8], public_services: &[String]) -> Result<Vec<u8>, Error> {
        DescribedMethods::reduced(descriptor_set, public_services)
            .map_err(|error| Error::InvalidFields(vec![unreadable(&error).at(SET)]))
    }

    /// The SHA-256 of `bytes`, in hexadecimal digits.
    #[must_use]
    pub fn sha256_of(bytes: &[u8]) -> String {
        hex::encode(digest(&SHA256, bytes))
    }

    /// By the paths of the methods.
    #[must_use]
    pub const fn rules(&self) -> &MethodRules {
        &self.0
    }

    /// The rules that let nobody in: they declare nothing, or what is not understood.
    pub fn closed(&self) -> impl Iterator<Item = (&String, &MethodRule)> {
        let is_closed = |access: &Access| matches!(access, Access::Undeclared | Access::NotUnderstood);
        self.0.iter().filter(move |(_, rule)| is_closed(&rule.access))
    }
}

impl Unusable {
    fn set(problem: &str) -> Self {
        Self { method: None, is_of_names: false, is_too_long: false, problem: problem.to_owned() }
    }

    fn names(problem: &str) -> Self {
        Self { is_of_names: true, ..Self::set(problem) }
    }

    fn too_long(problem: String) -> Self {
        Self { is_too_long: true, problem, ..Self::set("") }
    }

    fn method(path: &str, problem: &str) -> Self {
        Self { method: Some(path.to_owned()), ..Self::set(problem) }
    }
}

/// What `descriptor_set` says of the methods that a version has: of files that others import it has the services that are named alone.
pub(super) fn described(
    descriptor_set: &[u8],
    public_services: &[String],
    comments: bool,
) -> Result<DescribedMethods, DescribedMethodsError> {
    // More of them are refused, and are not looked for in each file.
    let imported = &public_services[..public_services.len().min(MAX_PUBLIC_SERVICES)];
    let wanted = WantedMethods { imported, most: POLICY_MAX_METHODS, comments };
    DescribedMethods::read(descriptor_set, wanted)
}

/// Why a set cannot be read.
pub(super) fn unreadable(error: &DescribedMethodsError) -> RuleViolation {
    let reason = match error {
        DescribedMethodsError::TooLarge
        | DescribedMethodsError::TooManyMethods(_)
        | DescribedMethodsError::TooLong(_) => FieldReason::TooLong,
        DescribedMethodsError::NoSet | DescribedMethodsError::NoName(_) | DescribedMethodsError::Twice(_) => {
            FieldReason::Malformed
        }
    };
    RuleViolation::new(reason, format!("cannot be read: {error}"))
}

/// How many bytes the path and the names of a rule have.
fn text_bytes(method: &str, rule: &MethodRule) -> usize {
    let Access::Authenticated(rule) = &rule.access else { return method.len() };
    let names =
        rule.required_scopes.iter().chain(&rule.any_scopes).chain(&rule.any_roles).chain(&rule.audience);
    method.len() + names.map(|name| name.len() + BETWEEN_NAMES).sum::<usize>()
}

/// What is told of all that is `unusable`: of methods the first, as many as there is room for.
fn violations(unusable: Vec<Unusable>) -> Vec<FieldViolation> {
    let (mut violations, mut of_methods, mut more) = (Vec::new(), String::new(), 0);
    for Unusable { method, is_of_names, is_too_long, problem } in unusable {
        let Some(method) = method else {
            let reason = if is_too_long { FieldReason::TooLong } else { FieldReason::Malformed };
            let field = if is_of_names { PUBLIC_SERVICES } else { SET };
            violations.push(RuleViolation::new(reason, problem).at(field));
            continue;
        };
        let line = format!("{method}: {problem}");
        if of_methods.is_empty() {
            of_methods = line;
        } else if of_methods.len() + line.len() <= TOLD_BYTES {
            of_methods.push_str("; ");
            of_methods.push_str(&line);
        } else {
            more += 1;
        }
    }
    if !of_methods.is_empty() {
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        let rule = format!("has rules that cannot be meant: {of_methods}{more}");
        violations.push(RuleViolation::new(FieldReason::Malformed, rule).at(SET));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::EXAMPLE_SETS, model::Requirements};

    fn refusal(set: &[u8], public: &[&str]) -> String {
        let public: Vec<_> = public.iter().map(|name| (*name).to_owned()).collect();
        PushedRules::read(set, &public).unwrap_err().to_string()
    }

    #[test]
    fn the_rules_of_a_file_are_read_with_what_is_public_by_name() {
        let health = ["grpc.health.v1.Health".to_owned()];
        let pushed = PushedRules::read(EXAMPLE_SETS.0, &health).unwrap();
        assert_eq!(pushed.rules()["/grpc.health.v1.Health/Check"].access, Access::Public);
        assert_eq!(pushed.rules()["/identity.v1.IdentityService/SignUp"].access, Access::Public);
        let Access::Authenticated(rule) = &pushed.rules()["/identity.v1.IdentityService/GetMe"].access else {
            panic!()
        };
        assert_eq!(rule.required_scopes, ["profile"]);
        assert_eq!(pushed.closed().count(), 0);
        let without = PushedRules::read(EXAMPLE_SETS.0, &[]).unwrap();
        assert!(!without.rules().contains_key("/grpc.health.v1.Health/Check"), "none by itself");
        assert!(refusal(EXAMPLE_SETS.0, &["stock.v1.Stock"]).contains("must name services of the file"));
        assert!(refusal(EXAMPLE_SETS.0, &["identity.v1.IdentityService"]).contains("it declares access"));
    }

    #[test]
    fn what_is_no_set_of_rules_is_refused() {
        assert!(refusal(b"no set", &[]).contains("buf build"));
        assert!(refusal(&[], &[]).contains("must have methods"));
        assert!(refusal(EXAMPLE_SETS.1, &[]).contains("access.proto"));
    }

    fn described(methods: usize, path_bytes: usize, scopes: &[String]) -> DescribedMethods {
        let rule = Requirements { required_scopes: scopes.to_vec(), ..Requirements::default() };
        let method = |number| crate::auth::DescribedMethod {
            service: "s.S".to_owned(),
            path: format!("/s.S/{number:0>path_bytes$}"),
            access: Access::Authenticated(rule.clone()),
            has_no_side_effects: false,
            comment: None,
        };
        DescribedMethods {
            methods: (0..methods).map(method).collect(),
            defines_access: true,
            has_comments: false,
        }
    }

    #[test]
    fn all_rules_of_a_version_together_are_bounded() {
        let scopes: Vec<String> = (0..7).map(|number| format!("{number:0>128}")).collect();
        let judged = |methods, scopes: &[String]| PushedRules::judged(described(methods, 100, scopes), &[]).1;
        assert!(judged(2_000, &scopes[..1]).is_empty());
        assert!(judged(400, &scopes).is_empty());
        let refused = violations(judged(600, &scopes));
        assert_eq!((refused.len(), refused[0].reason), (1, FieldReason::TooLong), "{refused:?}");
        assert!(refused[0].description.contains("524288 bytes"), "{refused:?}");
    }

    #[test]
    fn what_is_told_of_many_methods_fits_into_headers() {
        let judged = PushedRules::judged(described(600, 500, &["two words".to_owned()]), &[]).1;
        assert_eq!(judged.iter().filter(|one| one.method.is_some()).count(), 600);
        let told = Error::InvalidFields(violations(judged)).to_string();
        assert!(told.len() < 2_000 && told.contains("more"), "{} bytes: {told}", told.len());
    }
}
