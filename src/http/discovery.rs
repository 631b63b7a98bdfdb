//! Owns what clients can find out about this issuer by themselves: RFC 8414, and OpenID Connect Discovery 1.0.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, Router, extract::State, http::header, response::IntoResponse, routing::get};
use serde::Serialize;

use super::{JWKS, oauth};
use crate::{
    identity::{Keyring, clients::ASSERTION_ALGORITHMS},
    jose::Jwk,
    model::{
        claims::{ACCOUNT_SCOPE, INTROSPECT_SCOPE, USER_SCOPE},
        well_known::{OAUTH_AUTHORIZATION_SERVER, OPENID_CONFIGURATION},
    },
};

/// How long clients may keep what they read here. Only a restart with other settings changes it.
const CACHE_CONTROL: &str = "public, max-age=300";

/// What access tokens and introspection say of a login, beside the claims of userinfo. `acr` comes with a second level.
const LOGIN_CLAIMS: [&str; 2] = ["amr", "auth_time"];

/// What this issuer says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Discovery {
    issuer: String,
    password_grant: bool,
    /// Whether certificates stand for clients.
    tls_client_auth: bool,
    keyring: Arc<Keyring>,
}

/// The metadata of RFC 8414 section 2. What it has no value for is left out (section 3.2).
#[derive(Serialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    userinfo_endpoint: String,
    jwks_uri: String,
    grant_types_supported: Vec<&'static str>,
    /// Required, and empty: there is no authorization endpoint.
    response_types_supported: [&'static str; 0],
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 4],
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 4],
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 4],
    scopes_supported: [&'static str; 3],
    claims_supported: Vec<&'static str>,
    subject_types_supported: [&'static str; 1],
    /// There are no ID tokens, but the specification requires the member, and verifiers take from it which algorithms access
    /// tokens may be signed with.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    id_token_signing_alg_values_supported: BTreeSet<String>,
}

impl Discovery {
    /// `issuer` and nothing of the request says where everything is: a forged `Host` must not lead clients elsewhere.
    pub(crate) const fn new(
        issuer: String,
        password_grant: bool,
        tls_client_auth: bool,
        keyring: Arc<Keyring>,
    ) -> Self {
        Self { issuer, password_grant, tls_client_auth, keyring }
    }

    /// The path of the issuer: empty, or without a slash at its end.
    pub(super) fn path(&self) -> String {
        let uri: Option<axum::http::Uri> = self.issuer.parse().ok();
        uri.map_or_else(String::new, |uri| uri.path().trim_end_matches('/').to_owned())
    }

    fn metadata(&self) -> Metadata {
        let at = |path| format!("{}{path}", self.issuer.trim_end_matches('/'));
        let by_certificate = self.tls_client_auth.then_some(oauth::TLS_CLIENT_AUTH);
        let proving_or =
            |other| oauth::PROVING_METHODS.into_iter().chain(by_certificate).chain([other]).collect();
        let published = self.keyring.published();
        let algorithms = published.keys.iter().filter_map(Jwk::signing_alg);
        Metadata {
            issuer: self.issuer.clone(),
            token_endpoint: at(oauth::TOKEN),
            revocation_endpoint: at(oauth::REVOKE),
            introspection_endpoint: at(oauth::INTROSPECT),
            userinfo_endpoint: at(oauth::USERINFO),
            jwks_uri: at(JWKS),
            grant_types_supported: oauth::grant_types(self.password_grant),
            response_types_supported: [],
            token_endpoint_auth_methods_supported: proving_or("none"),
            token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
            revocation_endpoint_auth_methods_supported: proving_or("none"),
            revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
            // RFC 8414 section 2: also the type of an access token that may be shown.
            introspection_endpoint_auth_methods_supported: proving_or("Bearer"),
            introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
            scopes_supported: [USER_SCOPE, ACCOUNT_SCOPE, INTROSPECT_SCOPE],
            claims_supported: [oauth::CLAIMS, &LOGIN_CLAIMS].concat(),
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: algorithms.map(|alg| alg.to_string()).collect(),
        }
    }
}

/// The metadata at every place where the two specifications have clients look for it: RFC 8414 section 3.1 puts the issuer's path
/// behind the well-known one, OpenID Connect before it.
pub(super) fn router(discovery: Discovery) -> Router {
    let path = discovery.path();
    let places = [OPENID_CONFIGURATION, OAUTH_AUTHORIZATION_SERVER].into_iter().flat_map(|well_known| {
        [well_known.to_owned(), format!("{well_known}{path}"), format!("{path}{well_known}")]
    });
    let places: BTreeSet<String> = places.collect();
    let router = places.iter().fold(Router::new(), |router, place| router.route(place, get(metadata)));
    router.with_state(discovery)
}

async fn metadata(State(discovery): State<Discovery>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, CACHE_CONTROL)], Json(discovery.metadata()))
}
