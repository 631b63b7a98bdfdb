//! Owns who may call which method, as the descriptor set declares it.

use std::collections::HashSet;

use ahash::HashMap;
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use super::declared::{self, ACCESS_OPTION};
use crate::model::Access;

/// Who may call which method, by the method's path `/package.Service/Method`.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    methods: HashMap<String, Access>,
}

/// The descriptor set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is no `FileDescriptorSet`, or not a complete one.
    #[error("the descriptor set cannot be read")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// It does not define the option that declares access.
    #[error("the descriptor set does not define the method option `{ACCESS_OPTION}`")]
    NoAccessOption,
}

impl Policy {
    /// What the services in the encoded `FileDescriptorSet` declare, each method by the option `(identity.v1.access)`. A method that
    /// declares nothing is denied, and a set whose options were lost on its way (prost's own structs drop them) denies everything.
    ///
    /// # Errors
    /// If the set cannot be read, or lacks the option that declares access.
    pub fn from_descriptor_set(encoded: &[u8]) -> Result<Self, PolicyError> {
        Self::from_descriptors(&DescriptorPool::decode(encoded)?)
    }

    /// What the services of the `pool` declare.
    pub(crate) fn from_descriptors(pool: &DescriptorPool) -> Result<Self, PolicyError> {
        let option = pool.get_extension_by_name(ACCESS_OPTION).ok_or(PolicyError::NoAccessOption)?;
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let methods = methods.map(|method| (path(&method), declared(&method, &option))).collect();
        Ok(Self { methods })
    }

    /// Declares every method of a service public that is not one's own to annotate: reflection, health.
    ///
    /// # Errors
    /// If the set cannot be read.
    pub fn with_public(self, encoded: &[u8], service: &str) -> Result<Self, PolicyError> {
        Ok(self.with_public_of(&DescriptorPool::decode(encoded)?, service))
    }

    /// Declares every method of a `service` of the `pool` public.
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
        let is_of = |path: &str| path.rsplit_once('/').is_some_and(|(of, _)| services.contains(&of[1..]));
        let methods = self.methods.iter().filter(|(path, _)| is_of(path));
        Self { methods: methods.map(|(path, access)| (path.clone(), access.clone())).collect() }
    }

    /// Who may call the method at `path`; none if there is no such method.
    #[must_use]
    pub fn access(&self, path: &str) -> Option<&Access> {
        self.methods.get(path)
    }

    /// Every method and its rule.
    pub fn methods(&self) -> impl Iterator<Item = (&str, &Access)> {
        self.methods.iter().map(|(path, access)| (path.as_str(), access))
    }
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

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
    use super::*;

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
    }
}
