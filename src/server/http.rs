//! Owns the HTTP side of the composition.

use std::{net::SocketAddr, sync::Arc};

use axum::body::Body;
use http_body_util::Either;

use super::{
    Parts,
    connections::HttpService,
    explorer::{self, ExplorerSettings},
    grpc::GrpcService,
    served::GrpcListener,
};
use crate::{
    config::{Config, Switch},
    http::{
        Discovery, Endpoints, Entrance, HttpAdmission, HttpDrain, HttpSide, IntrospectEndpoint, ModelApi,
        TokenEndpoint, UserInfoEndpoint, measured, metrics, router,
    },
    model::Error,
    rpc::meter::MeteredBody,
};

/// Where else something is served.
pub(super) struct Elsewhere {
    /// gRPC.
    pub(super) grpc: SocketAddr,
    /// Metrics, if anywhere.
    pub(super) operations: Option<SocketAddr>,
}

/// The HTTP side: what does not speak gRPC finds the same service here; and beside it `rpcs` by Connect, if the explorer is here.
///
/// # Errors
/// If the descriptor set cannot be used: a defect of the build.
pub(super) fn service<Rpcs: GrpcService>(
    (parts, config): (&Parts, &Config),
    drain: HttpDrain,
    elsewhere: &Elsewhere,
    settings: ExplorerSettings,
    rpcs: Option<Rpcs>,
) -> Result<impl HttpService<Either<MeteredBody, Body>> + use<Rpcs>, Error> {
    let password_grant = config.http.http_password_grant == Switch::On;
    let endpoints = Endpoints {
        token: TokenEndpoint { grants: Arc::clone(&parts.grants), password_grant },
        revoke: Arc::clone(&parts.revocation),
        introspect: IntrospectEndpoint {
            introspection: Arc::clone(&parts.introspection),
            clients: Arc::clone(&parts.clients),
            authenticator: Arc::clone(&parts.authenticator),
        },
        userinfo: UserInfoEndpoint {
            authenticator: Arc::clone(&parts.authenticator),
            attributes: Arc::clone(&parts.attributes),
        },
    };
    let model_api = (config.http.model_api == Switch::On).then(|| ModelApi {
        accounts: Arc::clone(&parts.accounts),
        grants: Arc::clone(&parts.grants),
        authenticator: Arc::clone(&parts.authenticator),
    });
    let limits = HttpAdmission::new(parts.pools.http.clone(), config.limits.max_header_bytes);
    let entrance = Entrance { origins: config.web.origins(), limits, drain: drain.clone() };
    let tls_client_auth = config.tls.tls_client_ca.is_some();
    let issuer = config.tokens.issuer().to_owned();
    let discovery = Discovery::new(issuer, password_grant, tls_client_auth, Arc::clone(&parts.keyring));
    let shows_metrics = config.observe.metrics == Switch::On;
    let side = HttpSide {
        keyring: Arc::clone(&parts.keyring),
        ready: parts.readiness.subscribe(),
        discovery,
        endpoints,
        model_api,
        metrics_elsewhere: shows_metrics.then(|| metrics::elsewhere(elsewhere.operations)),
        front: explorer::front(parts, config),
        document: explorer::document(config, GrpcListener::Explorer, elsewhere.grpc)?,
        explorer: settings.at_http(drain.clone()),
    };
    // Outermost, so that every request is counted with the status that the client gets.
    let router = measured(router(side, entrance), parts.http_meter("http"));
    Ok(explorer::with_rpcs(settings, drain, rpcs, router))
}
