//! Owns who may call which method, as the descriptor set declares it.

use std::collections::{BTreeSet, HashSet};

use ahash::HashMap;
use prost::Message;
#[cfg(feature = "server")]
use prost_reflect::{DescriptorPool, MethodDescriptor};
use prost_types::FileDescriptorSet;

#[cfg(feature = "server")]
use super::declared;
use super::{
    declared::ACCESS_OPTION,
    described_methods::{DescribedMethods, DescribedMethodsError, WantedMethods},
};
use crate::model::Access;

/// Who may call which method, by the method's path `/package.Service/Method`.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    methods: HashMap<String, Access>,
    /// Services whose methods are all public, whatever these are.
    public_services: BTreeSet<String>,
    /// The methods that stream, to the service or from it: of a policy that was read from an encoded set.
    streaming: HashSet<String>,
}

/// The descriptor set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("the descriptor set cannot be read: {0}")]
    Descriptors(#[from] DescribedMethodsError),
    /// It does not define the option that declares access.
    #[error("the descriptor set does not define the method option `{ACCESS_OPTION}`")]
    NoAccessOption,
}

impl Policy {
    /// What the services in the encoded `FileDescriptorSet` declare, each method by the option `(identity.v1.access)`. A method that
    /// declares nothing is denied, and a set whose options were lost on its way (prost's own structs drop them) denies everything. So is
    /// one whose option is no message that this release knows wholly. Of a set that `buf build` has made the services of imported files are
    /// left out.
    ///
    /// # Errors
    /// If the set cannot be read, or lacks the option that declares access.
    pub fn from_descriptor_set(encoded: &[u8]) -> Result<Self, PolicyError> {
        let wanted = WantedMethods { imported: &[], most: usize::MAX, comments: false };
        let DescribedMethods { methods, defines_access, .. } = DescribedMethods::read(encoded, wanted)?;
        if !defines_access {
            return Err(PolicyError::NoAccessOption);
        }
        let methods = methods.into_iter().map(|method| (method.path, method.access)).collect();
        Ok(Self { methods, public_services: BTreeSet::new(), streaming: streaming(encoded)? })
    }

    /// What the services of the `pool` declare.
    #[cfg(feature = "server")]
    pub(crate) fn from_descriptors(pool: &DescriptorPool) -> Result<Self, PolicyError> {
        let option = pool.get_extension_by_name(ACCESS_OPTION).ok_or(PolicyError::NoAccessOption)?;
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let methods = methods.map(|method| (path(&method), declared(&method, &option))).collect();
        Ok(Self { methods, ..Self::default() })
    }

    /// Declares every method of the services of these full names public, which are not one's own to annotate: `grpc.health.v1.Health`,
    /// `grpc.reflection.v1.ServerReflection`.
    #[must_use]
    pub fn with_public_services<'a>(mut self, services: impl IntoIterator<Item = &'a str>) -> Self {
        self.public_services.extend(services.into_iter().map(str::to_owned));
        self
    }

    /// Declares every method of a `service` of the `pool` public.
    #[cfg(feature = "server")]
    pub(crate) fn with_public_of(mut self, pool: &DescriptorPool, service: &str) -> Self {
        let methods = pool.get_service_by_name(service).into_iter();
        self.methods.extend(methods.flat_map(|service| {
            service.methods().map(|method| (path(&method), Access::Public)).collect::<Vec<_>>()
        }));
        self
    }

    /// The same of the methods of `services` alone.
    #[must_use]
    pub fn of_services<'a>(&self, services: impl IntoIterator<Item = &'a str>) -> Self {
        let services: HashSet<&str> = services.into_iter().collect();
        let methods =
            self.methods.iter().filter(|(path, _)| service_of(path).is_some_and(|it| services.contains(it)));
        Self {
            methods: methods.map(|(path, access)| (path.clone(), access.clone())).collect(),
            public_services: self
                .public_services
                .iter()
                .filter(|it| services.contains(it.as_str()))
                .cloned()
                .collect(),
            streaming: self.streaming.clone(),
        }
    }

    /// Who may call the method at `path`; none if there is no such method.
    #[must_use]
    pub fn access(&self, path: &str) -> Option<&Access> {
        let of_public = |service: &str| self.public_services.contains(service);
        if !self.public_services.is_empty() && service_of(path).is_some_and(of_public) {
            return Some(&Access::Public);
        }
        self.methods.get(path)
    }

    /// Whether the method at `path` streams, to the service or from it.
    #[must_use]
    pub fn is_streaming(&self, path: &str) -> bool {
        self.streaming.contains(path)
    }

    /// Every method that is described, and its rule.
    pub fn methods(&self) -> impl Iterator<Item = (&str, &Access)> {
        self.methods.iter().map(|(path, access)| (path.as_str(), access))
    }
}

/// The full name of the service in the `path` of a method.
fn service_of(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!method.is_empty() && !method.contains('/')).then_some(service)
}

/// The paths of the methods in the `encoded` set that are not unary on both sides.
fn streaming(encoded: &[u8]) -> Result<HashSet<String>, DescribedMethodsError> {
    let set = FileDescriptorSet::decode(encoded).map_err(|_| DescribedMethodsError::NoSet)?;
    let mut paths = HashSet::new();
    for file in &set.file {
        let dot = if file.package().is_empty() { "" } else { "." };
        for service in &file.service {
            let streams = service.method.iter().filter(|it| it.client_streaming() || it.server_streaming());
            paths.extend(
                streams.map(|it| format!("/{}{dot}{}/{}", file.package(), service.name(), it.name())),
            );
        }
    }
    Ok(paths)
}

#[cfg(feature = "server")]
fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

#[cfg(feature = "server")]
fn declared(method: &MethodDescriptor, option: &prost_reflect::ExtensionDescriptor) -> Access {
    let options = method.options();
    if !options.has_extension(option) {
        return Access::Undeclared;
    }
    // Its bytes, since the descriptors beside it may know fewer fields than this release, or more.
    let value = options.get_extension(option);
    value.as_message().map_or(Access::NotUnderstood, |rule| declared::read(&rule.encode_to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_damage_to_a_set_makes_reading_panic(at in any::<prop::sample::Index>(), with in any::<u8>()) {
            let mut set = crate::proto::DESCRIPTOR_SET.to_vec();
            let at = at.index(set.len());
            set[at] = with;
            let _ = Policy::from_descriptor_set(&set);
            let _ = Policy::from_descriptor_set(&set[..at]);
        }
    }

    #[test]
    fn a_set_that_lost_its_options_lets_nobody_in_and_one_that_never_had_them_is_no_policy() {
        // What prost's own structs make of it: the services are there, their options are not.
        let decoded: prost_types::FileDescriptorSet =
            prost::Message::decode(crate::proto::DESCRIPTOR_SET).unwrap();
        let policy = Policy::from_descriptor_set(&prost::Message::encode_to_vec(&decoded)).unwrap();
        assert!(policy.methods().count() > 10);
        assert!(policy.methods().all(|(_, access)| *access == Access::Undeclared));
        assert_eq!(policy.access("/stock.v1.StockService/TakeItem"), None);
        assert!(matches!(Policy::from_descriptor_set(&[]), Err(PolicyError::NoAccessOption)));
        assert!(matches!(Policy::from_descriptor_set(&[0xff]), Err(PolicyError::Descriptors(_))));
    }

    #[test]
    fn a_service_is_public_by_its_whole_name_and_by_nothing_else() {
        let policy = Policy::from_descriptor_set(crate::proto::DESCRIPTOR_SET).unwrap();
        assert!(policy.is_streaming("/identity.events.v1.EventService/Watch"));
        assert!(!policy.is_streaming("/identity.v1.IdentityService/GetMe"));
        let policy = policy.with_public_services(["grpc.health.v1.Health"]);
        assert_eq!(policy.access("/grpc.health.v1.Health/Watch"), Some(&Access::Public));
        for other in [
            "/grpc.health.v1.Health/",
            "/grpc.health.v1.Health",
            "//grpc.health.v1.Health/Watch",
            "/grpc.health.v1.Health/a/b",
            "/grpc.health.v1/Health",
            "grpc.health.v1.Health/Watch",
        ] {
            assert_eq!(policy.access(other), None, "{other}");
        }
        let of_others = policy.of_services(["identity.v1.IdentityService"]);
        assert_eq!(of_others.access("/grpc.health.v1.Health/Watch"), None);
    }
}
