//! Owns what is served over HTTP: the public keys, the probes, and the metrics.

pub(crate) mod metrics;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::sync::watch;

use crate::identity::Keyring;

/// How long verifiers may keep the key set, in seconds. Short enough that a restart with another algorithm is seen soon.
const JWKS_CACHE_CONTROL: &str = "public, max-age=300";

/// The HTTP side of the service.
pub(crate) fn router(keyring: Arc<Keyring>, ready: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks).with_state(keyring))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz).with_state(ready))
}

/// The public keys (RFC 7517 section 5).
async fn jwks(State(keyring): State<Arc<Keyring>>) -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, JWKS_CACHE_CONTROL)];
    (headers, Json(keyring.published().as_ref().clone()))
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
