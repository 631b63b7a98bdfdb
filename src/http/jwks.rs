//! Owns `/.well-known/jwks.json`: the public keys, and how long whoever reads them may keep them.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::etag;
use crate::identity::Keyring;

/// The public keys (RFC 7517 section 5), with a strong validator (RFC 9110 section 8.8).
pub(super) async fn jwks(State(keyring): State<Arc<Keyring>>, request: HeaderMap) -> Response {
    let max_age = match keyring.refresh().await {
        Ok(()) => keyring.published_max_age().as_secs(),
        // The keys may have changed meanwhile. Those that are known verify what they signed, so they are worth more than none.
        Err(_) => 0,
    };
    let Ok(body) = serde_json::to_vec(keyring.published().as_ref()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let etag = etag::of(&body);
    let headers =
        [(header::CACHE_CONTROL, format!("public, max-age={max_age}")), (header::ETAG, etag.clone())];
    if etag::names(&request, &etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, "application/jwk-set+json")], body).into_response()
}
