//! Owns the gRPC side of the composition: every service, behind the layers that every call passes.

use std::{convert::Infallible, sync::Arc};

use hyper::body::Incoming;
use prost_reflect::DescriptorPool;
use tonic::{body::Body, service::Routes};
use tower::{Service, ServiceBuilder, ServiceExt};

use super::Parts;
use crate::{
    auth::{AuthLayer, Policy, PolicyError},
    config::{Config, Switch},
    model::Error,
    proto::{
        DESCRIPTOR_SET, EXT_AUTHZ_DESCRIPTOR_SET,
        envoy::service::auth::v3::authorization_server::AuthorizationServer,
        identity::v1::{
            identity_service_server::IdentityServiceServer, token_service_server::TokenServiceServer,
        },
    },
    rpc::{
        ExtAuthzRpc, HeaderNames, IdentityRpc, TokenRpc, framework_errors,
        health::HealthRpc,
        limits::LimitsLayer,
        meter::{MeterLayer, MeteredBody},
        protocol::ProtocolLayer,
        web::WebLayer,
    },
};

/// Every service that is served, or can be.
const DESCRIPTOR_SETS: [&[u8]; 5] = [
    DESCRIPTOR_SET,
    EXT_AUTHZ_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// The gRPC side: every service, behind the layers that every call passes.
pub(super) fn service(
    parts: &Parts,
    config: &Config,
) -> Result<
    (
        HealthRpc,
        impl Service<
            http::Request<Incoming>,
            Response = http::Response<MeteredBody>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
    ),
    Error,
> {
    let max_message_bytes = config.limits.max_message_bytes;
    let identity = IdentityRpc::new(
        Arc::clone(&parts.accounts),
        Arc::clone(&parts.sessions),
        Arc::clone(&parts.grants),
        Arc::clone(&parts.revocation),
    );
    let tokens = TokenRpc::new(Arc::clone(&parts.introspection), Arc::clone(&parts.keyring));
    let (health, health_server) = HealthRpc::new();
    let ext_authz = (config.mesh.ext_authz == Switch::On).then(|| {
        let authenticator = Arc::clone(&parts.authenticator);
        let names = HeaderNames::new(&config.mesh.ext_authz_header_prefix);
        let rpc = ExtAuthzRpc::new(authenticator, Arc::clone(&parts.accounts), names, parts.clock.clone())
            .with_dynamic_metadata(config.mesh.ext_authz_dynamic_metadata == Switch::On);
        AuthorizationServer::new(rpc).max_decoding_message_size(max_message_bytes)
    });
    let reflection = || reflection(ext_authz.is_some());
    let reflection_alpha = reflection().build_v1alpha().map_err(Error::internal)?;
    let reflection = reflection().build_v1().map_err(Error::internal)?;
    let mut routes =
        Routes::new(IdentityServiceServer::new(identity).max_decoding_message_size(max_message_bytes))
            .add_service(TokenServiceServer::new(tokens).max_decoding_message_size(max_message_bytes))
            .add_service(health_server.max_decoding_message_size(max_message_bytes))
            .add_service(reflection.max_decoding_message_size(max_message_bytes))
            .add_service(reflection_alpha.max_decoding_message_size(max_message_bytes));
    if let Some(ext_authz) = ext_authz {
        routes = routes.add_service(ext_authz);
    }
    let meter = MeterLayer::new(&parts.metrics.calls, parts.clock.clone(), &DESCRIPTOR_SETS);
    let service = ServiceBuilder::new()
        // Outermost: further in, there is gRPC alone. The meter could not find the status in a body of gRPC-Web, and what a
        // browser asks before it calls is no call.
        .layer(WebLayer::new(config.web.grpc_web_origins.clone()))
        // Around all of gRPC, so that every call is counted with the code that the client gets.
        .layer(meter.map_err(Error::internal)?)
        // So that every refusal below has a reason of this API.
        .map_response(move |response| framework_errors::rename(response, max_message_bytes))
        // What is no gRPC request takes no place among the calls.
        .layer(ProtocolLayer::new(config.limits.max_header_bytes))
        // Before anything that costs: what does not fit is refused for next to nothing.
        .layer(LimitsLayer::new(parts.calls.clone(), config.limits.request_timeout))
        // Last before the handlers: none is reached past it.
        .layer(AuthLayer::new(policy().map_err(Error::internal)?, Arc::clone(&parts.authenticator)))
        .service(routes.prepare())
        .map_request(|request: http::Request<Incoming>| request.map(Body::new));
    Ok((health, service))
}

/// Who may call which method: what the proto declares, and the services that are everybody's by their nature.
///
/// # Errors
/// If a descriptor set cannot be read: a defect of the build.
pub fn policy() -> Result<Policy, PolicyError> {
    Policy::from_descriptor_set(DESCRIPTOR_SET)?
        // Envoy has no token of its own to show.
        .with_public(EXT_AUTHZ_DESCRIPTOR_SET, "envoy.service.auth.v3.Authorization")?
        .with_public(tonic_health::pb::FILE_DESCRIPTOR_SET, "grpc.health.v1.Health")?
        .with_public(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET, "grpc.reflection.v1.ServerReflection")?
        .with_public(
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            "grpc.reflection.v1alpha.ServerReflection",
        )
}

/// The encoded `google.protobuf.FileDescriptorSet` for clients and proxies: the API, health, and the error details, so that they can
/// decode everything.
///
/// # Errors
/// If the sets that it is made of cannot be read, or contradict each other: a defect of the build.
pub fn descriptor_set() -> Result<Vec<u8>, Error> {
    let mut pool = DescriptorPool::decode(DESCRIPTOR_SET).map_err(Error::internal)?;
    for set in [tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET] {
        pool.decode_file_descriptor_set(set).map_err(Error::internal)?;
    }
    Ok(pool.encode_to_vec())
}

/// Reflection knows the API, health, and the error details, so that a client without the proto can decode everything.
fn reflection(with_ext_authz: bool) -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    if with_ext_authz {
        builder.register_encoded_file_descriptor_set(EXT_AUTHZ_DESCRIPTOR_SET)
    } else {
        builder
    }
}
