//! Owns the gRPC side of the composition: every service, behind the layers that every call passes.

use std::{convert::Infallible, sync::Arc};

use hyper::body::Incoming;
use prost_reflect::DescriptorPool;
use tonic::{body::Body, service::Routes};
use tower::{Service, ServiceBuilder, ServiceExt};

use super::Parts;
use crate::{
    admission::{ConnectionHandle, Pool},
    auth::{AuthLayer, Caller, Policy, PolicyError},
    config::{Config, ExtAuthzAddr, Switch},
    errors::FailureLog,
    identity::{GoodStanding, Keyring},
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

/// What Envoy asks.
const EXT_AUTHZ: &str = "envoy.service.auth.v3.Authorization";

/// Every service that is served, or can be.
const DESCRIPTOR_SETS: [&[u8]; 5] = [
    DESCRIPTOR_SET,
    EXT_AUTHZ_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// What a listener serves.
pub(super) trait GrpcService:
    Service<http::Request<Incoming>, Response = http::Response<MeteredBody>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> GrpcService for S where
    S: Service<
            http::Request<Incoming>,
            Response = http::Response<MeteredBody>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// The gRPC side: what is served at `--grpc-addr`, and what Envoy asks at an address of its own, which are nothing but that and health;
/// and what tells the health of both.
pub(super) fn services(
    parts: &Parts,
    config: &Config,
    ext_authz: ExtAuthzAddr,
) -> Result<(HealthRpc, impl GrpcService + use<>, impl GrpcService + use<>), Error> {
    let max_message_bytes = config.limits.max_message_bytes;
    let identity = IdentityRpc::new(
        Arc::clone(&parts.accounts),
        Arc::clone(&parts.own_account),
        Arc::clone(&parts.sessions),
        Arc::clone(&parts.grants),
        Arc::clone(&parts.revocation),
    );
    let tokens = TokenRpc::new(Arc::clone(&parts.introspection), Arc::clone(&parts.keyring));
    let (health, health_server) = HealthRpc::new((ext_authz != ExtAuthzAddr::Off).then_some(EXT_AUTHZ));
    let health_server = health_server.max_decoding_message_size(max_message_bytes);
    let is_shared = ext_authz == ExtAuthzAddr::Shared;
    let authorization = AuthorizationServer::new(ExtAuthzRpc::new(
        Arc::clone(&parts.authenticator),
        Arc::clone(&parts.accounts),
        HeaderNames::new(&config.mesh.ext_authz_header_prefix),
        config.mesh.ext_authz_forward_token == Switch::On,
        config.mesh.ext_authz_dynamic_metadata == Switch::On,
        is_shared,
        parts.clock.clone(),
    ))
    .max_decoding_message_size(max_message_bytes);
    let reflection_alpha = reflection(is_shared).build_v1alpha().map_err(Error::internal)?;
    let reflection = reflection(is_shared).build_v1().map_err(Error::internal)?;
    let mut routes =
        Routes::new(IdentityServiceServer::new(identity).max_decoding_message_size(max_message_bytes))
            .add_service(TokenServiceServer::new(tokens).max_decoding_message_size(max_message_bytes))
            .add_service(health_server.clone())
            .add_service(reflection.max_decoding_message_size(max_message_bytes))
            .add_service(reflection_alpha.max_decoding_message_size(max_message_bytes));
    if is_shared {
        routes = routes.add_service(authorization.clone());
    }
    let for_envoy = Routes::new(authorization).add_service(health_server);
    let failures = |listener| FailureLog::new(listener, parts.clock.clone());
    let meter =
        MeterLayer::new(&parts.metrics.calls, parts.clock.clone(), failures("grpc"), &DESCRIPTOR_SETS);
    let meter = meter.map_err(Error::internal)?;
    let meter_for_envoy = meter.telling(failures("ext_authz"));
    let policy = policy().map_err(Error::internal)?;
    let auth = AuthLayer::new(policy, Arc::clone(&parts.authenticator));
    let limits = |pool: &Pool| LimitsLayer::new(pool.clone(), &DESCRIPTOR_SETS).map_err(Error::internal);
    let layered = |routes, meter, limits| layered(routes, config, meter, limits, auth.clone());
    let (limits, limits_for_envoy) = (limits(&parts.pools.grpc)?, limits(&parts.pools.ext_authz)?);
    Ok((health, layered(routes, meter, limits), layered(for_envoy, meter_for_envoy, limits_for_envoy)))
}

/// `routes`, behind the layers that every call passes.
fn layered(
    routes: Routes,
    config: &Config,
    meter: MeterLayer,
    limits: LimitsLayer,
    auth: AuthLayer<Arc<Keyring>, GoodStanding>,
) -> impl GrpcService + use<> {
    let max_message_bytes = config.limits.max_message_bytes;
    ServiceBuilder::new()
        // Outermost: further in, there is gRPC alone. The meter could not find the status in a body of gRPC-Web, and what a
        // browser asks before it calls is no call.
        .layer(WebLayer::new(config.web.grpc_web_origins.clone()))
        // Around all of gRPC, so that every call is counted with the code that the client gets.
        .layer(meter)
        // So that every refusal below has a reason of this API.
        .map_response(move |response| framework_errors::rename(response, max_message_bytes))
        // What is no gRPC request takes no place among the calls.
        .layer(ProtocolLayer::new(config.limits.max_header_bytes))
        // Before anything that costs: what does not fit is refused for next to nothing.
        .layer(limits)
        // Last before the handlers: none is reached past it.
        .layer(auth)
        .map_request(note_caller)
        .service(routes.prepare())
        .map_request(|request: http::Request<Incoming>| request.map(Body::new))
}

/// Tells the connection of a `request` that its caller has shown a token that holds: it is kept when connections must end for others.
fn note_caller(request: http::Request<Body>) -> http::Request<Body> {
    let extensions = request.extensions();
    if let (Some(caller), Some(connection)) =
        (extensions.get::<Caller>(), extensions.get::<ConnectionHandle>())
    {
        connection.note_caller(caller.subject());
    }
    request
}

/// Who may call which method: what the proto declares, and the services that are everybody's by their nature.
///
/// # Errors
/// If a descriptor set cannot be read: a defect of the build.
pub fn policy() -> Result<Policy, PolicyError> {
    Policy::from_descriptor_set(DESCRIPTOR_SET)?
        // Envoy has no token of its own to show.
        .with_public(EXT_AUTHZ_DESCRIPTOR_SET, EXT_AUTHZ)?
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
