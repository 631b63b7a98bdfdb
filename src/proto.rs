//! Owns the wire contract: the code generated from `proto/`, and the descriptor set.

/// The package `identity.v1`.
pub mod identity {
    /// The messages and services of `identity.v1`.
    #[expect(clippy::pedantic, clippy::allow_attributes_without_reason, reason = "generated from proto/")]
    pub mod v1 {
        tonic::include_proto!("identity.v1");
    }
}

/// The encoded `google.protobuf.FileDescriptorSet` of `proto/` and what it imports, custom options included.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The domain of `google.rpc.ErrorInfo`: the proto package.
pub const ERROR_DOMAIN: &str = "identity.v1";
