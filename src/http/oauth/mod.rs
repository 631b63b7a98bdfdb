//! Owns the OAuth 2.0 endpoints: they decode forms, call `identity` as the RPCs do, and encode JSON.

mod client;
mod introspect;
mod revoke;
mod token;
mod userinfo;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
    middleware::{from_fn_with_state, map_response},
    response::Response,
    routing::{get, post},
};

use super::{
    admit::{HttpAdmission, admit},
    draining::{self, OAuthDrain},
    method_not_allowed,
    pages::{self, Pages},
    refusal::Refusal,
};
use crate::{
    auth::Authenticator,
    identity::{GoodStanding, Keyring, Revocation, clients::TOKEN_ENDPOINT},
    model::{CertificateNames, Error, Origin},
    peer::{self, PeerAddress},
};

/// Where tokens are issued (RFC 6749 section 3.2).
pub(super) const TOKEN: &str = TOKEN_ENDPOINT;
/// Where tokens are revoked (RFC 7009).
pub(super) const REVOKE: &str = "/oauth2/revoke";
/// Where a token's worth is told (RFC 7662).
pub(super) const INTROSPECT: &str = "/oauth2/introspect";
/// Where a token's user is told (OpenID Connect Core 1.0 section 5.3).
pub(super) const USERINFO: &str = "/oauth2/userinfo";

pub(super) use client::{PROVING_METHODS, TLS_CLIENT_AUTH};
pub(crate) use introspect::IntrospectEndpoint;
pub(crate) use token::TokenEndpoint;
pub(super) use token::grant_types;
pub(super) use userinfo::CLAIMS;
pub(crate) use userinfo::UserInfoEndpoint;

/// Who recognises callers by their tokens.
type Recogniser = Arc<Authenticator<Arc<Keyring>, GoodStanding>>;

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

/// Which requests get as far as the endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    /// The origins whose pages may call, each as browsers write it.
    pub(crate) origins: Vec<HeaderValue>,
    /// How the endpoints end.
    pub(crate) drain: OAuthDrain,
}

/// The `endpoints` below each of `prefixes`, behind the `entrance`.
pub(super) fn router<'a>(
    prefixes: impl IntoIterator<Item = &'a str>,
    endpoints: &Endpoints,
    Entrance { origins, drain }: Entrance,
    limits: &HttpAdmission,
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

/// Who sent a request, as far as can be seen.
struct Sender {
    origin: Origin,
    /// The verified certificate.
    certificate: Option<Arc<CertificateNames>>,
}

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let address = parts.extensions.get::<PeerAddress>().map(|peer| peer.ip());
        Ok(Self {
            origin: Origin::of(user_agent, address).of_request(parts.extensions.get().copied()),
            certificate: peer::certificate(&parts.extensions, &parts.headers),
        })
    }
}

/// What these endpoints answer is for one reader alone (RFC 6749 section 5.1).
async fn keep_out_of_caches(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
