//! Owns `POST /oauth2/token`: `IssueToken` for clients of OAuth 2.0 (RFC 6749 section 3.2).

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::HeaderMap};
use serde::Serialize;

use super::{Error, Refusal, Sender, client};
use crate::{
    admission::Hold,
    base::Deadline,
    http::form::Form,
    identity::{
        Grants,
        grants::{
            ClientCredentialsGrant, Grant, Granted, PasswordGrant, RefreshTokenGrant, SessionKind,
            TokenRequest,
        },
    },
    model::claims::TOKEN_TYPE,
};

/// The endpoint.
#[derive(Clone, Debug)]
pub(crate) struct TokenEndpoint {
    /// Who exchanges grants.
    pub(crate) grants: Arc<Grants>,
    /// Whether passwords are exchanged for tokens here.
    pub(crate) password_grant: bool,
}

/// A grant of this endpoint.
struct FormGrant {
    /// Its name as `grant_type`, and in discovery.
    name: &'static str,
    /// Reads what it shows.
    read: fn(&mut Form) -> Box<dyn Grant>,
    /// Whether `--http-password-grant` must be on.
    shows_password: bool,
}

/// Every grant of this endpoint.
const GRANTS: [FormGrant; 3] = [
    FormGrant {
        name: "password",
        read: |form| {
            let username = form.required("username").to_string();
            let password = form.required("password");
            Box::new(PasswordGrant { username, password, session: SessionKind::Refreshed })
        },
        shows_password: true,
    },
    FormGrant {
        name: "refresh_token",
        read: |form| Box::new(RefreshTokenGrant(form.required("refresh_token"))),
        shows_password: false,
    },
    FormGrant {
        name: "client_credentials",
        read: |_| Box::new(ClientCredentialsGrant),
        shows_password: false,
    },
];

/// The names of the grants that are served, of which a user's password is one only if `password_grant` says so; for discovery.
pub(in crate::http) fn grant_types(password_grant: bool) -> Vec<&'static str> {
    let is_served = |grant: &&FormGrant| password_grant || !grant.shows_password;
    GRANTS.iter().filter(is_served).map(|grant| grant.name).collect()
}

/// What a grant was exchanged for (RFC 6749 section 5.1).
#[derive(Serialize)]
pub(super) struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: i32,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

pub(super) async fn token(
    State(endpoint): State<TokenEndpoint>,
    Extension(deadline): Extension<Deadline>,
    hold: Option<Extension<Arc<Hold>>>,
    Sender { origin, certificate, slot }: Sender,
    headers: HeaderMap,
    mut form: Form,
) -> Result<Json<TokenResponse>, Refusal> {
    let client = client::said(&headers, &mut form)?;
    let grant = grant(&mut form)?;
    let scope = form.optional("scope").map(|scope| scope.to_string()).unwrap_or_default();
    let audiences = audiences(&form);
    let user_address = form.optional("user_address").map(|address| address.to_string()).unwrap_or_default();
    form.check()?;
    let hold = hold.map(|Extension(hold)| hold);
    let request = TokenRequest {
        grant,
        client,
        certificate,
        slot,
        scope,
        audiences,
        user_address,
        takes_passwords: endpoint.password_grant,
        hold,
    };
    let Granted { access, refresh_token, .. } = endpoint.grants.exchange(request, origin, deadline).await?;
    Ok(Json(TokenResponse {
        access_token: access.access_token,
        token_type: TOKEN_TYPE,
        expires_in: access.expires_in,
        scope: access.scope,
        refresh_token: refresh_token.map(|token| token.text()),
    }))
}

/// Whom the token shall be meant for. RFC 8707 section 2 has `resource`, any number of times; `audience`, which has names separated by
/// spaces where it has more than one, is what clients of Auth0, Hydra and Zitadel send.
fn audiences(form: &Form) -> Vec<String> {
    let by_another_name = form.any_number("audience");
    let by_another_name =
        by_another_name.iter().flat_map(|names| names.split(' ')).filter(|name| !name.is_empty());
    let mut audiences = form.any_number("resource");
    audiences.extend(by_another_name.map(str::to_owned));
    audiences
}

/// The grant that `form` holds. Whether it is taken here, `Grants` decides.
fn grant(form: &mut Form) -> Result<Box<dyn Grant>, Error> {
    let grant_type = form.required("grant_type");
    form.check()?;
    let found = GRANTS.iter().find(|grant| grant.name == grant_type.as_str());
    let grant = (found.ok_or(Error::UnsupportedGrantType)?.read)(form);
    form.check()?;
    Ok(grant)
}
