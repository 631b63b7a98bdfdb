//! Owns the wire contract: the code generated from `proto/`, and the descriptor sets.

/// The packages of `proto/`, each a module: `identity::v1` is `identity.v1`.
#[doc(inline)]
pub use api::identity;
/// What Envoy asks an authorization server, cut down to what is read and written here. The modules are nested as the packages are.
#[cfg(feature = "server")]
#[doc(inline)]
pub use ext_authz::envoy;
/// What a collector of traces takes (OTLP).
#[cfg(feature = "server")]
#[doc(inline)]
pub use otlp::opentelemetry;

#[allow(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/; the modules of packages have no comment"
)]
mod api {
    include!(concat!(env!("OUT_DIR"), "/api.rs"));
}

#[cfg(feature = "server")]
#[allow(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from third_party/proto/"
)]
mod ext_authz {
    include!(concat!(env!("OUT_DIR"), "/ext_authz.rs"));
}

#[cfg(feature = "server")]
#[allow(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated from third_party/proto/"
)]
mod otlp {
    include!(concat!(env!("OUT_DIR"), "/otlp.rs"));
}

/// The encoded `google.protobuf.FileDescriptorSet` of Signet's own API and what it imports, custom options included.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The encoded `google.protobuf.FileDescriptorSet` of `envoy.service.auth.v3.Authorization` and what it imports.
#[cfg(feature = "server")]
pub const EXT_AUTHZ_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/ext_authz_descriptor_set.bin"));

/// The encoded `google.protobuf.FileDescriptorSet` of the error details of `google.rpc` and what they import.
#[cfg(feature = "server")]
pub const ERROR_DETAILS_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/error_details_descriptor_set.bin"));

/// The encoded `google.protobuf.FileDescriptorSet` of `grpc.health.v1.Health`.
#[cfg(feature = "server")]
pub const HEALTH_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/health_descriptor_set.bin"));

/// The encoded `google.protobuf.FileDescriptorSet` of `grpc.reflection.v1.ServerReflection`.
#[cfg(feature = "server")]
pub const REFLECTION_V1_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/reflection_v1_descriptor_set.bin"));

/// The encoded `google.protobuf.FileDescriptorSet` of `grpc.reflection.v1alpha.ServerReflection`.
#[cfg(feature = "server")]
pub const REFLECTION_V1ALPHA_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/reflection_v1alpha_descriptor_set.bin"));

/// What the descriptor sets say, each read once, by whoever asks first: a reading takes milliseconds, and every listener asks.
#[cfg(feature = "auth")]
pub(crate) mod described {
    use std::sync::LazyLock;

    use prost_reflect::DescriptorPool;

    /// What one set says.
    pub(crate) type Described = LazyLock<DescriptorPool>;

    pub(crate) static API: Described = LazyLock::new(|| read(super::DESCRIPTOR_SET));
    #[cfg(feature = "server")]
    pub(crate) static EXT_AUTHZ: Described = LazyLock::new(|| read(super::EXT_AUTHZ_DESCRIPTOR_SET));
    #[cfg(feature = "server")]
    pub(crate) static ERROR_DETAILS: Described = LazyLock::new(|| read(super::ERROR_DETAILS_DESCRIPTOR_SET));
    #[cfg(feature = "server")]
    pub(crate) static HEALTH: Described = LazyLock::new(|| read(super::HEALTH_DESCRIPTOR_SET));
    #[cfg(feature = "server")]
    pub(crate) static REFLECTION_V1: Described = LazyLock::new(|| read(super::REFLECTION_V1_DESCRIPTOR_SET));
    #[cfg(feature = "server")]
    pub(crate) static REFLECTION_V1ALPHA: Described =
        LazyLock::new(|| read(super::REFLECTION_V1ALPHA_DESCRIPTOR_SET));

    fn read(set: &[u8]) -> DescriptorPool {
        DescriptorPool::decode(set).expect("the build has made the set")
    }
}

/// The domain of `google.rpc.ErrorInfo`: the proto package.
pub const ERROR_DOMAIN: &str = "identity.v1";

/// Times of messages that are read and written as text, by RFC 3339.
pub(crate) mod time_as_text {
    use prost_types::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option, reason = "serde hands a reference to what is there")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(all(test, feature = "auth"))]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use prost_reflect::DescriptorPool;
    use prost_types::method_options::IdempotencyLevel;

    use super::*;

    /// `identity` is `Identity`.
    fn pascal(segment: &str) -> String {
        let (first, rest) = segment.split_at(1);
        format!("{}{rest}", first.to_uppercase())
    }

    #[test]
    fn every_file_names_its_code_in_other_languages_by_its_package_and_one_owner() {
        let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
        let mut owners = BTreeSet::new();
        for file in pool.files().filter(|file| file.package_name().starts_with("identity.")) {
            let options = file.file_descriptor_proto().options.clone().unwrap_or_default();
            let segments: Vec<_> = file.package_name().split('.').collect();
            let pascal: Vec<_> = segments.iter().map(|segment| pascal(segment)).collect();
            let names = [
                (options.go_package(), format!("/{};{}", segments.join("/"), segments.concat())),
                (options.java_package(), format!(".{}", segments.join("."))),
                (options.csharp_namespace(), format!(".{}", pascal.join("."))),
                (options.ruby_package(), format!("::{}", pascal.join("::"))),
            ];
            let owner = names.map(|(name, ending)| {
                let owner = name.strip_suffix(ending.as_str());
                owner
                    .unwrap_or_else(|| panic!("{}: `{name}` must end with `{ending}`", file.name()))
                    .to_owned()
            });
            owners.insert(owner);
            assert!(options.java_multiple_files(), "{}", file.name());
        }
        assert_eq!(owners.len(), 1, "{owners:?}");
    }

    /// Clients send such a call as an HTTP GET: its request stands in the logs of proxies.
    #[test]
    fn a_request_that_may_end_up_in_logs_names_no_person_address_token_or_secret() {
        let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let without_effects = methods.filter(|method| {
            let options = method.method_descriptor_proto().options.clone().unwrap_or_default();
            options.idempotency_level() == IdempotencyLevel::NoSideEffects
        });
        let requests: BTreeMap<_, Vec<_>> = without_effects
            .map(|method| {
                let request = method.input();
                let fields = request.fields().map(|field| field.name().to_owned());
                (method.full_name().to_owned(), fields.collect())
            })
            .collect();
        let page = ["page_size", "page_token"];
        let expected = [
            ("identity.admin.v1.AttributeService.GetAttribute", vec!["id", "name"]),
            ("identity.admin.v1.AttributeService.ListAttributes", page.to_vec()),
            ("identity.admin.v1.AuditService.GetAuditEvent", vec!["id"]),
            ("identity.admin.v1.ClientService.GetClient", vec!["id", "name"]),
            (
                "identity.admin.v1.ClientService.ListClients",
                [&page[..], &["name_prefix", "scope", "audience"]].concat(),
            ),
            ("identity.admin.v1.GroupService.GetGroup", vec!["id", "name"]),
            ("identity.admin.v1.GroupService.ListGroups", page.to_vec()),
            ("identity.admin.v1.KeyService.GetKey", vec!["kid"]),
            ("identity.admin.v1.KeyService.ListKeys", page.to_vec()),
            ("identity.admin.v1.RoleService.GetAudience", vec!["name"]),
            ("identity.admin.v1.RoleService.GetBinding", vec!["id"]),
            ("identity.admin.v1.RoleService.GetRole", vec!["id", "name"]),
            ("identity.admin.v1.RoleService.ListAudiences", page.to_vec()),
            ("identity.admin.v1.RoleService.ListRoles", [&page[..], &["audience", "scope"]].concat()),
            (
                "identity.policy.v1.PolicyService.DiffPolicyVersions",
                vec!["service", "old_version", "new_version"],
            ),
            ("identity.policy.v1.PolicyService.GetPolicyVersion", vec!["service", "version"]),
            ("identity.policy.v1.PolicyService.ListPolicyVersions", [&page[..], &["service"]].concat()),
            ("identity.v1.IdentityService.GetMe", vec![]),
            ("identity.v1.IdentityService.ListSessions", page.to_vec()),
            ("identity.v1.TokenService.GetJwks", vec![]),
        ];
        let expected =
            expected.map(|(name, fields)| (name.to_owned(), fields.into_iter().map(str::to_owned).collect()));
        assert_eq!(requests, BTreeMap::from(expected));
    }
}
