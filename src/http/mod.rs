//! Owns what is served over HTTP: the public keys, discovery, the OAuth 2.0 endpoints, the probes, and the metrics.

mod admit;
mod discovery;
mod draining;
mod form;
mod hosts;
mod jwks;
pub(crate) mod metrics;
mod multipart;
mod oauth;
mod pages;
mod refusal;

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    middleware::from_fn_with_state,
    response::IntoResponse,
    routing::get,
};
use tokio::sync::watch;

use crate::{
    identity::Keyring,
    metrics::Metrics,
    model::{AllowedHosts, Error},
};

pub(crate) use admit::HttpAdmission;
pub(crate) use discovery::Discovery;
pub(crate) use draining::OAuthDrain;
pub(crate) use oauth::{Endpoints, Entrance, IntrospectEndpoint, TokenEndpoint, UserInfoEndpoint};

#[cfg(any(fuzzing, test))]
pub(crate) use form::fuzz as fuzz_form;
#[cfg(any(fuzzing, test))]
pub(crate) use multipart::fuzz as fuzz_multipart;

use refusal::Refusal;

/// Where the public keys are.
const JWKS: &str = "/.well-known/jwks.json";

/// The HTTP side of the service. What the issuer's URL leads to is served at that URL's path, for a proxy that hands paths on as
/// they are, and without it, for one that takes it off. Metrics are served at the operations address: `metrics_elsewhere` says so.
pub(crate) fn router(
    keyring: Arc<Keyring>,
    ready: watch::Receiver<bool>,
    discovery: Discovery,
    endpoints: &Endpoints,
    entrance: Entrance,
    metrics_elsewhere: Option<Router>,
    limits: HttpAdmission,
) -> Router {
    let issuer_path = discovery.path();
    let prefixes = BTreeSet::from(["", issuer_path.as_str()]);
    let keys = prefixes
        .iter()
        .fold(Router::new(), |router, prefix| router.route(&format!("{prefix}{JWKS}"), get(jwks::jwks)));
    // Keys, discovery and probes have places of their own: they cost next to nothing, and whoever needs them would do worse without.
    let documents = keys
        .with_state(keyring)
        .merge(discovery::router(discovery))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(limits.clone(), admit::admit))
        .layer(pages::for_every_page());
    probes(ready)
        .merge(metrics_elsewhere.unwrap_or_default())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn_with_state(limits.clone(), admit::admit))
        .merge(documents)
        .merge(oauth::router(prefixes, endpoints, entrance, &limits))
        .layer(from_fn_with_state(limits, admit::bound_headers))
}

/// What is served to operators: probes, and `metrics` if they are given; only to those who ask for one of the `hosts`.
pub(crate) fn operations_router(
    ready: watch::Receiver<bool>,
    metrics: Option<Arc<Metrics>>,
    hosts: AllowedHosts,
    limits: HttpAdmission,
) -> Router {
    probes(ready)
        .merge(metrics.map_or_else(Router::new, metrics::router))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn_with_state(limits.clone(), admit::admit))
        .layer(from_fn_with_state(Arc::new(hosts), hosts::check))
        .layer(from_fn_with_state(limits, admit::bound_headers))
}

fn probes(ready: watch::Receiver<bool>) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz).with_state(ready))
}

async fn not_found() -> Refusal {
    Error::Unimplemented.into()
}

/// The router adds the header `Allow`.
async fn method_not_allowed() -> Refusal {
    let error = Error::MalformedRequest("its method is not one that this path takes".to_owned());
    Refusal::with_status(error, StatusCode::METHOD_NOT_ALLOWED)
}

/// The process answers: it need not be restarted.
async fn livez() -> impl IntoResponse {
    (NO_STORE, "ok\n")
}

/// The service can serve: its database answers and holds the signing key, and it is not shutting down.
async fn readyz(State(ready): State<watch::Receiver<bool>>) -> impl IntoResponse {
    let ready = *ready.borrow();
    let (status, text) =
        if ready { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") };
    (status, NO_STORE, text)
}

const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
