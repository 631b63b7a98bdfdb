//! Owns what is served over HTTP: the public keys, discovery, the OAuth 2.0 endpoints, the model service's API, the probes, the metrics,
//! and what browsers are shown.

mod admit;
mod discovery;
mod draining;
mod etag;
mod explorer;
mod form;
mod forward_auth;
mod hosts;
mod jwks;
mod meter;
pub(crate) mod metrics;
mod model_api;
mod multipart;
mod oauth;
mod openapi;
mod pages;
mod refusal;
mod sender;
mod traced_request;

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::watch;

use crate::{
    identity::{Keyring, Ready},
    metrics::Metrics,
    model::{AllowedHosts, Error},
};

pub(crate) use admit::HttpAdmission;
pub(crate) use discovery::Discovery;
pub(crate) use draining::HttpDrain;
pub(crate) use explorer::{EXPLORER, Explorer, ExplorerGuard, Front, KeptOut, OPENAPI_PATH, explorer_router};
pub(crate) use forward_auth::{VERIFY, forward_auth_router};
pub(crate) use meter::{RequestMeter, measured};
pub(crate) use model_api::ModelApi;
pub(crate) use oauth::{Endpoints, IntrospectEndpoint, TOKEN, TokenEndpoint, UserInfoEndpoint, token_router};
pub(crate) use openapi::{Described, Document, EndpointsDescribed};

#[cfg(any(fuzzing, test))]
pub(crate) use form::fuzz as fuzz_form;
#[cfg(any(fuzzing, test))]
pub(crate) use multipart::fuzz as fuzz_multipart;

use refusal::Refusal;

/// Where the public keys are.
const JWKS: &str = "/.well-known/jwks.json";

/// Which requests get as far as what asks `identity`.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    /// The origins whose pages may call, each as browsers write it.
    pub(crate) origins: Vec<HeaderValue>,
    /// What each may take.
    pub(crate) limits: HttpAdmission,
    /// How it ends.
    pub(crate) drain: HttpDrain,
}

/// What is served over HTTP.
pub(crate) struct HttpSide {
    /// Who has the keys.
    pub(crate) keyring: Arc<Keyring>,
    /// Whether the service can serve.
    pub(crate) ready: watch::Receiver<Ready>,
    /// What the issuer says of itself.
    pub(crate) discovery: Discovery,
    /// The endpoints of OAuth 2.0.
    pub(crate) endpoints: Endpoints,
    /// The model service's API, if it is served.
    pub(crate) model_api: Option<ModelApi>,
    /// What `/metrics` says where no metrics are served, if they are anywhere.
    pub(crate) metrics_elsewhere: Option<Router>,
    /// What `/` shows.
    pub(crate) front: Front,
    /// What is served, described.
    pub(crate) document: Document,
    /// The explorer, if it is here.
    pub(crate) explorer: Option<Explorer>,
}

/// The HTTP side of the service. What the issuer's URL leads to is served at that URL's path, for a proxy that hands paths on as
/// they are, and without it, for one that takes it off. Metrics are served at the operations address: `metrics_elsewhere` says so.
pub(crate) fn router(side: HttpSide, entrance: Entrance) -> Router {
    let HttpSide { keyring, ready, discovery, endpoints, model_api, metrics_elsewhere, .. } = side;
    let limits = entrance.limits.clone();
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
        .merge(oauth::router(prefixes.iter().copied(), &endpoints, entrance.clone()))
        .layer(from_fn_with_state(limits.clone(), admit::bound_headers))
        // These have the same layers, and another one around all of them.
        .merge(explorer::router(
            prefixes.iter().copied(),
            side.front,
            side.document,
            side.explorer.as_ref(),
            limits,
        ))
        .merge(model_api.as_ref().map_or_else(Router::new, |api| model_api::router(prefixes, api, entrance)))
}

/// What is served to operators: probes, and `metrics` if they are given; only to those who ask for one of the `hosts`.
pub(crate) fn operations_router(
    ready: watch::Receiver<Ready>,
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

fn probes(ready: watch::Receiver<Ready>) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz).with_state(ready))
}

/// What is answered is for one reader alone (RFC 6749 section 5.1).
async fn keep_out_of_caches(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
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
async fn readyz(State(ready): State<watch::Receiver<Ready>>) -> impl IntoResponse {
    let (status, text) = match *ready.borrow() {
        Ready::Yes => (StatusCode::OK, "ok\n".to_owned()),
        Ready::No(cause) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {cause}\n")),
    };
    (status, NO_STORE, text)
}

const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
