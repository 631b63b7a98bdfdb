//! Owns the wire contract: the code generated from `proto/`, and the descriptor sets.

/// The package `identity.v1`.
pub mod identity {
    /// The messages and services of `identity.v1`.
    #[expect(clippy::pedantic, clippy::allow_attributes_without_reason, reason = "generated from proto/")]
    pub mod v1 {
        tonic::include_proto!("identity.v1");
    }
}

/// What Envoy asks an authorization server, cut down to what is read and written here. The modules are nested as the packages are.
#[cfg(feature = "server")]
#[allow(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/third_party/"
)]
pub mod envoy {
    pub mod config {
        pub mod core {
            pub mod v3 {
                tonic::include_proto!("envoy.config.core.v3");
            }
        }
    }
    pub mod r#type {
        pub mod v3 {
            tonic::include_proto!("envoy.r#type.v3");
        }
    }
    pub mod service {
        pub mod auth {
            pub mod v3 {
                tonic::include_proto!("envoy.service.auth.v3");
            }
        }
    }
}

/// The encoded `google.protobuf.FileDescriptorSet` of Signet's own API and what it imports, custom options included.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The encoded `google.protobuf.FileDescriptorSet` of `envoy.service.auth.v3.Authorization` and what it imports.
#[cfg(feature = "server")]
pub const EXT_AUTHZ_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/ext_authz_descriptor_set.bin"));

/// The domain of `google.rpc.ErrorInfo`: the proto package.
pub const ERROR_DOMAIN: &str = "identity.v1";
