//! Owns the model service's API: sign-up, login and the caller's own user, in the requests, answers and errors of a service as teams build
//! it with `FastAPI`, so that its clients need nothing but another URL. What may be had, `identity` decides as for everybody.

mod detail;
mod me;
mod sign_up;
mod token;

use std::sync::Arc;

use axum::{
    Router,
    middleware::{from_fn_with_state, map_response},
    routing::{get, post},
};

use super::{
    Entrance,
    admit::{admit, bound_headers},
    draining, keep_out_of_caches, method_not_allowed,
    pages::{self, Pages},
    sender::Recogniser,
};
use crate::identity::{Accounts, Grants};

/// The API, with what it asks.
#[derive(Clone, Debug)]
pub(crate) struct ModelApi {
    /// Makes accounts.
    pub(crate) accounts: Arc<Accounts>,
    /// Exchanges passwords for tokens.
    pub(crate) grants: Arc<Grants>,
    /// Recognises the bearers of tokens.
    pub(crate) authenticator: Recogniser,
}

/// The `api` below each of `prefixes`, behind the `entrance`.
pub(super) fn router<'a>(
    prefixes: impl IntoIterator<Item = &'a str>,
    api: &ModelApi,
    Entrance { origins, limits, drain }: Entrance,
) -> Router {
    let mut routes = Router::new();
    for prefix in prefixes {
        for (path, method) in [
            ("/auth/signup", post(sign_up::sign_up)),
            ("/auth/token", post(token::token)),
            ("/users/me", get(me::me)),
        ] {
            // FastAPI redirects to whichever of the two it has.
            for path in [format!("{prefix}{path}"), format!("{prefix}{path}/")] {
                routes = routes.route(&path, method.clone());
            }
        }
    }
    // As before the endpoints of OAuth 2.0, and outermost what puts every refusal, of the layers too, into the words of this API.
    routes
        .with_state(api.clone())
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(drain, draining::gate))
        .layer(from_fn_with_state(limits.clone(), admit))
        .layer(from_fn_with_state(Pages::new(origins), pages::serve))
        .layer(map_response(keep_out_of_caches))
        .layer(from_fn_with_state(limits, bound_headers))
        .layer(map_response(detail::told))
}
