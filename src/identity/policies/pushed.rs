//! Owns reading the rules that are pushed: of a descriptor set, within bounds.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};

use super::declares_nothing;
use crate::{
    auth::DescribedMethods,
    model::{
        Access, Error, FieldReason, RuleViolation,
        policy::{METHOD_MAX_BYTES, MethodRule, MethodRules, POLICY_MAX_METHODS},
    },
};

/// How many problems are told at once.
const TOLD: usize = 10;

/// How many services can be made public by their names.
const MAX_PUBLIC_SERVICES: usize = 100;

/// The field of the request that has the set.
const SET: &str = "descriptor_set";
const PUBLIC_SERVICES: &str = "public_services";

/// The rules of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRules(MethodRules);

impl PushedRules {
    /// What `descriptor_set` declares, an encoded `google.protobuf.FileDescriptorSet`; the methods of `public_services` are public.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for what cannot be read, has too many methods, or rules that nobody could keep.
    pub fn read(descriptor_set: &[u8], public_services: &[String]) -> Result<Self, Error> {
        let malformed = |field, rule: String| {
            Error::InvalidFields(vec![RuleViolation::new(FieldReason::Malformed, rule).at(field)])
        };
        let described = DescribedMethods::read(descriptor_set)
            .map_err(|error| malformed(SET, format!("cannot be read: {error}")))?;
        if described.methods.is_empty() {
            return Err(malformed(SET, "must have methods".to_owned()));
        }
        if !described.defines_access {
            let rule = "must have identity/v1/access.proto, which declares who may call a method: nothing in it imports that";
            return Err(malformed(SET, rule.to_owned()));
        }
        let (mut rules, mut problems) = (MethodRules::new(), Vec::new());
        let public: BTreeSet<&str> = public_services.iter().map(String::as_str).collect();
        let mut found = BTreeSet::new();
        for method in described.methods {
            let is_public = public.contains(method.service.as_str());
            if is_public && !declares_nothing(&method.access) {
                let rule = format!("names `{}`, which declares access itself", method.service);
                return Err(malformed(PUBLIC_SERVICES, rule));
            }
            let access = if is_public { Access::Public } else { method.access };
            let rule = MethodRule { access, has_no_side_effects: method.has_no_side_effects };
            problems.extend(rule.problem().map(|problem| format!("{}: {problem}", method.path)));
            if method.path.len() > METHOD_MAX_BYTES {
                problems.push(format!("{}...: a path has at most {METHOD_MAX_BYTES} bytes", &method.service));
            }
            found.insert(method.service);
            rules.insert(method.path, rule);
        }
        if public.len() > MAX_PUBLIC_SERVICES {
            return Err(malformed(PUBLIC_SERVICES, format!("must name at most {MAX_PUBLIC_SERVICES}")));
        }
        for service in public.into_iter().filter(|service| !found.contains(*service)) {
            let own = DescribedMethods::of_own(service);
            if own.is_empty() {
                let rule = "must name services of the file, `grpc.health.v1.Health`, or one of reflection";
                return Err(malformed(PUBLIC_SERVICES, rule.to_owned()));
            }
            let rule = MethodRule { access: Access::Public, has_no_side_effects: false };
            rules.extend(own.into_iter().map(|path| (path, rule.clone())));
        }
        if rules.len() > POLICY_MAX_METHODS {
            let rule = format!("must have at most {POLICY_MAX_METHODS} methods");
            return Err(Error::InvalidFields(vec![RuleViolation::new(FieldReason::TooLong, rule).at(SET)]));
        }
        if !problems.is_empty() {
            problems.truncate(TOLD);
            return Err(malformed(SET, format!("has rules that nobody could keep: {}", problems.join("; "))));
        }
        Ok(Self(rules))
    }

    /// What of `descriptor_set` is read: names and options of methods, and the option that declares access.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for what cannot be read.
    pub fn reduced(descriptor_set: &[u8]) -> Result<Vec<u8>, Error> {
        DescribedMethods::reduced(descriptor_set).map_err(|error| {
            let rule = RuleViolation::new(FieldReason::Malformed, format!("cannot be read: {error}"));
            Error::InvalidFields(vec![rule.at(SET)])
        })
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::EXAMPLE_SETS;

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
        let without = PushedRules::read(EXAMPLE_SETS.0, &[]).unwrap();
        assert!(!without.rules().contains_key("/grpc.health.v1.Health/Check"), "none by itself");
        assert!(refusal(EXAMPLE_SETS.0, &["stock.v1.Stock"]).contains("must name services of the file"));
        assert!(refusal(EXAMPLE_SETS.0, &["identity.v1.IdentityService"]).contains("declares access itself"));
    }

    #[test]
    fn what_is_no_set_of_rules_is_refused() {
        assert!(refusal(b"no set", &[]).contains("buf build"));
        assert!(refusal(&[], &[]).contains("must have methods"));
        assert!(refusal(EXAMPLE_SETS.1, &[]).contains("access.proto"));
    }
}
