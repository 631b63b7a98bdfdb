//! Owns the OAuth 2.0 endpoints: they decode forms, call `identity` as the RPCs do, and encode JSON.

mod client;
mod introspect;
mod revoke;
mod token;
mod userinfo;

use std::sync::Arc;

use axum::{
    Router,
    middleware::{from_fn_with_state, map_response},
    routing::{get, post},
};

use super::{
    Entrance,
    admit::admit,
    draining, keep_out_of_caches, method_not_allowed,
    pages::{self, Pages},
    refusal::Refusal,
    sender::{Recogniser, Sender, is_bearer},
};
use crate::{
    identity::{Revocation, clients::TOKEN_ENDPOINT},
    model::Error,
};

/// Where tokens are issued (RFC 6749 section 3.2).
pub(crate) const TOKEN: &str = TOKEN_ENDPOINT;
/// Where tokens are revoked (RFC 7009).
pub(super) const REVOKE: &str = "/oauth2/revoke";
/// Where a token's worth is told (RFC 7662).
pub(super) const INTROSPECT: &str = "/oauth2/introspect";
/// Where a token's user is told (OpenID Connect Core 1.0 section 5.3).
pub(super) const USERINFO: &str = "/oauth2/userinfo";

pub(super) use client::{JWT_BEARER, PROVING_METHODS, TLS_CLIENT_AUTH};
pub(crate) use introspect::IntrospectEndpoint;
pub(crate) use token::TokenEndpoint;
pub(super) use token::grant_types;
pub(super) use userinfo::CLAIMS;
pub(crate) use userinfo::UserInfoEndpoint;

/// The endpoints, each with what it asks.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// Exchanges grants for tokens.
    pub(crate) token: TokenEndpoint,
    /// Ends the sessions of tokens.
    pub(crate) revoke: Arc<Revocation>,
    /// Tells what tokens are worth.
    pub(crate) introspect: IntrospectEndpoint,
    /// Tells the users of tokens.
    pub(crate) userinfo: UserInfoEndpoint,
}

/// The token endpoint alone, behind the `entrance`: for a page of another listener, which may call its own origin only.
pub(crate) fn token_router(endpoint: TokenEndpoint, Entrance { origins, limits, drain }: Entrance) -> Router {
    Router::new()
        .route(TOKEN, post(token::token).with_state(endpoint))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(drain, draining::gate))
        .layer(from_fn_with_state(limits, admit))
        .layer(from_fn_with_state(Pages::new(origins), pages::refuse_others))
        .layer(map_response(keep_out_of_caches))
}

/// The `endpoints` below each of `prefixes`, behind the `entrance`.
pub(super) fn router<'a>(
    prefixes: impl IntoIterator<Item = &'a str>,
    endpoints: &Endpoints,
    Entrance { origins, limits, drain }: Entrance,
) -> Router {
    let (mut for_pages, mut for_services) = (Router::new(), Router::new());
    for prefix in prefixes {
        let Endpoints { token, revoke, introspect, userinfo } = endpoints.clone();
        let userinfo = get(userinfo::userinfo).post(userinfo::userinfo).with_state(userinfo);
        for_pages = for_pages
            .route(&format!("{prefix}{TOKEN}"), post(token::token).with_state(token))
            .route(&format!("{prefix}{REVOKE}"), post(revoke::revoke).with_state(revoke))
            .route(&format!("{prefix}{USERINFO}"), userinfo);
        let introspect = post(introspect::introspect).with_state(introspect);
        for_services = for_services.route(&format!("{prefix}{INTROSPECT}"), introspect);
    }
    let pages = Pages::new(origins);
    let admitted = |routes: Router| {
        routes
            .method_not_allowed_fallback(method_not_allowed)
            // Inside of the limits: what has not arrived whole is not in flight.
            .layer(from_fn_with_state(drain.clone(), draining::gate))
            // Inside of the check of origins: what another site's page sends takes no place, and neither does a preflight.
            .layer(from_fn_with_state(limits.clone(), admit))
    };
    let for_pages = admitted(for_pages).layer(from_fn_with_state(pages.clone(), pages::serve));
    let for_services = admitted(for_services).layer(from_fn_with_state(pages, pages::refuse_others));
    // Outside of all that refuses, so that refusals have these headers, too.
    for_pages.merge(for_services).layer(map_response(keep_out_of_caches))
}
