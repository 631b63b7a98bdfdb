//! Owns the gRPC side of the composition: every service, behind the layers that every call passes.

use std::{convert::Infallible, sync::Arc};

use hyper::body::Incoming;
use prost_reflect::DescriptorPool;
use tonic::body::Body;
use tower::{Service, ServiceBuilder, ServiceExt};

use super::{
    Parts, admin,
    explorer::ExplorerSettings,
    operations,
    routes::Routes,
    served::{self, Building, Callers, GrpcListener, SERVED},
};
use crate::{
    admission::{ConnectionHandle, Pool},
    auth::{AuthLayer, Caller, Policy, PolicyError},
    config::{Config, ExtAuthzAddr},
    identity::{AdminRefusals, GoodStanding, Keyring},
    model::Error,
    proto::{DESCRIPTOR_SET, ERROR_DETAILS_DESCRIPTOR_SET, HEALTH_DESCRIPTOR_SET, described},
    rpc::{
        admin_calls::{AdminCallsLayer, Hearing},
        admit::AdmitLayer,
        connect::Connect,
        framework_errors,
        health::HealthRpc,
        meter::{MeterLayer, MeteredBody},
        protocol::ProtocolLayer,
        web::WebLayer,
    },
};

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

/// The gRPC side of the composition.
pub(super) struct Services<S> {
    /// What tells its health, at each listener what is served there.
    pub(super) health: Vec<HealthRpc>,
    /// What is served at `--grpc-addr`.
    pub(super) main: S,
    /// What is served at `--ext-authz-addr`.
    pub(super) ext_authz: S,
    /// What is served at `--admin-addr`.
    pub(super) admin: S,
    /// What is served at `--http-addr`, if the explorer is there.
    pub(super) explorer: Option<S>,
}

/// The gRPC side.
pub(super) fn services(
    parts: &Parts,
    config: &Config,
    ext_authz: ExtAuthzAddr,
    explorer: &ExplorerSettings,
) -> Result<Services<impl GrpcService + use<>>, Error> {
    let health = HealthRpc::new(served::with_health(ext_authz));
    let admin_health = HealthRpc::new(served::with_health_for_administrators());
    let described = served::described();
    let meter = MeterLayer::new(&parts.metrics.calls, parts.clock.clone(), parts.told("grpc"), &described);
    let policy = policy().map_err(Error::internal)?;
    let connect = Connect::new(&described, described::ERROR_DETAILS.clone());
    let hosts = operations::hosts(config.tokens.issuer(), &[]);
    let admin_calls = AdminCallsLayer::new(AdminRefusals::new(parts.audit.clone()), hearing(parts));
    let service = |listener, health: &HealthRpc, meter, pool: &Pool| {
        let max_message_bytes = match listener {
            GrpcListener::Main | GrpcListener::ExtAuthz | GrpcListener::Explorer => {
                config.limits.max_message_bytes
            }
            GrpcListener::Admin => admin::max_message_bytes(config),
        };
        let building = Building { parts, config, listener, ext_authz, health, max_message_bytes };
        let routes = served::routes(&building);
        // What is served elsewhere does not exist here, for whoever asks.
        let policy = policy.of_services(served::names(listener, ext_authz));
        let (pool, manifests) = (pool.clone(), parts.pools.manifests.clone());
        let limits = AdmitLayer::new(pool, manifests, &described, &policy);
        let auth = AuthLayer::new(policy, Arc::clone(&parts.authenticator));
        // Envoy speaks gRPC alone.
        let connect = (listener != GrpcListener::ExtAuthz)
            .then(|| connect.of_services(served::names(listener, ext_authz)));
        let web = WebLayer::new(config.web.origins(), hosts.clone(), connect);
        // Elsewhere there are no calls of the admin API.
        let admin_calls = (listener == GrpcListener::Admin).then(|| admin_calls.clone());
        layered(routes, config, max_message_bytes, (web, meter), limits, (admin_calls, auth))
    };
    let (for_envoy, for_admin) = (meter.telling(parts.told("ext_authz")), meter.telling(parts.told("admin")));
    let for_explorer = explorer.is_at_http().then(|| meter.telling(parts.told("http")));
    let pools = &parts.pools;
    Ok(Services {
        main: service(GrpcListener::Main, &health, meter, &pools.grpc),
        ext_authz: service(GrpcListener::ExtAuthz, &health, for_envoy, &pools.ext_authz),
        admin: service(GrpcListener::Admin, &admin_health, for_admin, &pools.admin),
        explorer: for_explorer.map(|meter| service(GrpcListener::Explorer, &health, meter, &pools.http)),
        health: vec![health, admin_health],
    })
}

/// What has this process hear of changes at once, and not when its job reads them next: who administers sees what they have done.
fn hearing(parts: &Parts) -> impl Fn() -> Hearing + Send + Sync + use<> {
    let (feed, subscribers): (_, Arc<[_]>) = (Arc::clone(&parts.changes), parts.subscribers().into());
    move || {
        let (feed, subscribers) = (Arc::clone(&feed), Arc::clone(&subscribers));
        Box::pin(async move {
            // A task of its own: whoever calls may go away, and a reading that is cut short is begun anew, with all that is remembered.
            let reading = tokio::spawn(async move { feed.follow(&subscribers).await });
            // The job reads it again, and says so where it cannot.
            let read = reading.await.map_err(Error::internal).and_then(|read| read.map(drop));
            if let Err(error) = read {
                tracing::debug!(error = %error, "the changes of a call are heard of later");
            }
        })
    }
}

/// `routes`, behind the layers that every call passes.
fn layered(
    routes: Routes,
    config: &Config,
    max_message_bytes: usize,
    (web, meter): (WebLayer, MeterLayer),
    limits: AdmitLayer,
    (admin_calls, auth): (Option<AdminCallsLayer>, AuthLayer<Arc<Keyring>, GoodStanding>),
) -> impl GrpcService + use<> {
    ServiceBuilder::new()
        // Outermost: further in, there is gRPC alone. The meter could not find the status in a body of gRPC-Web or Connect, and what a
        // browser asks before it calls is no call.
        .layer(web)
        // Around all of gRPC, so that every call is counted with the code that the client gets.
        .layer(meter)
        // So that every refusal below has a reason of this API.
        .map_response(move |response| framework_errors::rename(response, max_message_bytes))
        // What is no gRPC request takes no place among the calls.
        .layer(ProtocolLayer::new(config.limits.max_header_bytes))
        // Before anything that costs: what does not fit is refused for next to nothing.
        .layer(limits)
        // Around what refuses whoever is known, so that the audit log tells of it.
        .option_layer(admin_calls)
        // Last before the handlers: none is reached past it.
        .layer(auth)
        .map_request(note_caller)
        .service(routes)
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
/// If the descriptor set lacks the option that declares access: a defect of the build.
pub fn policy() -> Result<Policy, PolicyError> {
    let everybodys = SERVED.iter().filter(|served| served.callers == Callers::Everybody);
    let declared = Policy::from_descriptors(&described::API)?;
    Ok(everybodys.fold(declared, |policy, served| policy.with_public_of(served.described, served.name)))
}

/// The encoded `google.protobuf.FileDescriptorSet` for clients and proxies: the API, health, and the error details, so that they can
/// decode everything.
///
/// # Errors
/// If the sets that it is made of cannot be read, or contradict each other: a defect of the build.
pub fn descriptor_set() -> Result<Vec<u8>, Error> {
    let mut pool = DescriptorPool::decode(DESCRIPTOR_SET).map_err(Error::internal)?;
    for set in [HEALTH_DESCRIPTOR_SET, ERROR_DETAILS_DESCRIPTOR_SET] {
        pool.decode_file_descriptor_set(set).map_err(Error::internal)?;
    }
    Ok(pool.encode_to_vec())
}
