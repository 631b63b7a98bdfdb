//! Owns the gRPC services: decode and validate, call `identity`, encode; and the limits that every call has.

mod admin;
pub(crate) mod admin_calls;
pub(crate) mod admit;
mod attributes;
pub(crate) mod connect;
mod decoded_size;
mod encode;
mod events;
mod ext_authz;
pub(crate) mod framework_errors;
mod gzip;
pub(crate) mod health;
mod identity_service;
mod late_body;
mod logged_call;
mod long;
pub(crate) mod meter;
mod methods;
mod page;
pub(crate) mod protocol;
mod reflection;
mod token_service;
mod traced_call;
mod update_mask;
pub(crate) mod web;

#[cfg(any(fuzzing, test))]
pub(crate) use {
    admit::fuzz as fuzz_grpc_timeout, connect::fuzz as fuzz_connect, gzip::fuzz as fuzz_gzip,
    web::fuzz as fuzz_grpc_web,
};

pub(crate) use admin::{
    ApplyRpc, AttributeRpc, AuditRpc, ClientRpc, GroupRpc, KeyRpc, MANIFEST_MAX_BYTES, PolicyRpc, RoleRpc,
    SessionRpc, UserRpc,
};
pub(crate) use events::{EventServer, MessageEncoder};
pub(crate) use ext_authz::{ExtAuthzRpc, ExtAuthzSettings, HeaderNames};
pub(crate) use identity_service::IdentityRpc;
pub(crate) use reflection::ReflectionRpc;
pub(crate) use token_service::TokenRpc;

use tonic::Request;

use crate::{
    model::{Error, FieldReason, Origin, RuleViolation},
    peer::PeerAddress,
};

/// The request lacks `field`.
fn required(field: &'static str) -> Error {
    refused(field, FieldReason::Required, "must be set")
}

/// The request's `field` breaks `rule`.
fn refused(field: &'static str, reason: FieldReason, rule: &str) -> Error {
    Error::InvalidFields(vec![RuleViolation::new(reason, rule).at(field)])
}

/// Where the call comes from, as far as can be seen.
fn origin_of<T>(request: &Request<T>) -> Origin {
    let user_agent = request.metadata().get("user-agent").and_then(|value| value.to_str().ok());
    let extensions = request.extensions();
    let origin = Origin::of(user_agent, extensions.get::<PeerAddress>().map(|peer| peer.ip()));
    origin.of_request(extensions.get().copied())
}
