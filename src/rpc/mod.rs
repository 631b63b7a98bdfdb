//! Owns the gRPC services: decode and validate, call `identity`, encode; and the limits that every call has.

mod encode;
pub(crate) mod framework_errors;
pub(crate) mod health;
mod identity_service;
pub(crate) mod limits;
pub(crate) mod meter;
mod paging;
pub(crate) mod protocol;

pub(crate) use identity_service::IdentityRpc;
