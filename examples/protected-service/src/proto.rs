//! Owns the generated code, and the descriptors from which the access rules are read.

#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/; the service has no use for the client's half, nor the client for the service's"
)]

tonic::include_proto!("stock.v1");

/// The encoded descriptor set.
pub(crate) const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
