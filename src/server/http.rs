//! Owns the HTTP side of the composition.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{body::Body, response::Response};
use hyper::body::Incoming;
use tower::{Service, ServiceExt};

use super::Parts;
use crate::{
    config::{Config, Switch},
    http::{
        Discovery, Endpoints, Entrance, HttpAdmission, IntrospectEndpoint, ModelApi, OAuthDrain,
        TokenEndpoint, UserInfoEndpoint, measured, metrics, router,
    },
};

/// The HTTP side: what does not speak gRPC finds the same service here. Metrics it would find at `operations_addr`, if anywhere.
pub(super) fn service(
    parts: &Parts,
    config: &Config,
    drain: OAuthDrain,
    operations_addr: Option<SocketAddr>,
) -> impl Service<http::Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
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
    let entrance = Entrance { origins: config.web.origins(), limits, drain };
    let tls_client_auth = config.tls.tls_client_ca.is_some();
    let issuer = config.tokens.issuer().to_owned();
    let discovery = Discovery::new(issuer, password_grant, tls_client_auth, Arc::clone(&parts.keyring));
    let metrics_elsewhere =
        (config.observe.metrics == Switch::On).then(|| metrics::elsewhere(operations_addr));
    let router = router(
        Arc::clone(&parts.keyring),
        parts.readiness.subscribe(),
        discovery,
        &endpoints,
        model_api.as_ref(),
        entrance,
        metrics_elsewhere,
    );
    // Outermost, so that every request is counted with the status that the client gets.
    measured(router, parts.http_meter("http"))
        .map_request(|request: http::Request<Incoming>| request.map(Body::new))
}
