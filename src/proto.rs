//! Owns the wire contract: the code generated from `proto/`, and the descriptor sets.

/// The packages of `proto/`, each a module: `identity::v1` is `identity.v1`.
#[doc(inline)]
pub use api::identity;
/// What Envoy asks an authorization server, cut down to what is read and written here. The modules are nested as the packages are.
#[cfg(feature = "server")]
#[doc(inline)]
pub use ext_authz::envoy;

#[allow(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/, the modules of packages without a comment"
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

/// The encoded `google.protobuf.FileDescriptorSet` of Signet's own API and what it imports, custom options included.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The encoded `google.protobuf.FileDescriptorSet` of `envoy.service.auth.v3.Authorization` and what it imports.
#[cfg(feature = "server")]
pub const EXT_AUTHZ_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/ext_authz_descriptor_set.bin"));

/// The domain of `google.rpc.ErrorInfo`: the proto package.
pub const ERROR_DOMAIN: &str = "identity.v1";
