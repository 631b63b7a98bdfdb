//! Owns what is served over HTTP: the public keys, the probes, and the metrics.

pub(crate) mod metrics;

mod jwks;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::sync::watch;

use crate::identity::Keyring;

/// The HTTP side of the service.
pub(crate) fn router(keyring: Arc<Keyring>, ready: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks::jwks).with_state(keyring))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz).with_state(ready))
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
