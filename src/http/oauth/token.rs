//! Owns `POST /oauth2/token`: `IssueToken` for clients of OAuth 2.0 (RFC 6749 section 3.2).

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::HeaderMap};
use serde::Serialize;

use super::{Error, OAuth, Refusal, Sender, client};
use crate::{
    admission::Hold,
    base::Deadline,
    http::form::Form,
    identity::grants::{Grant, Granted, TokenRequest},
    model::claims::TOKEN_TYPE,
};

/// The grant type of a username and its password (RFC 6749 section 4.3).
pub(in crate::http) const PASSWORD: &str = "password";
/// The grant type of a refresh token (RFC 6749 section 6).
pub(in crate::http) const REFRESH_TOKEN: &str = "refresh_token";

/// The grant type of a client's own credentials (RFC 6749 section 4.4).
pub(in crate::http) const CLIENT_CREDENTIALS: &str = "client_credentials";

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
    State(oauth): State<Arc<OAuth>>,
    Extension(deadline): Extension<Deadline>,
    hold: Option<Extension<Arc<Hold>>>,
    Sender { origin, certificate }: Sender,
    headers: HeaderMap,
    mut form: Form,
) -> Result<Json<TokenResponse>, Refusal> {
    let client = client::said(&headers, &mut form)?;
    let grant = oauth.grant(&mut form)?;
    let scope = form.optional("scope").map(|scope| scope.to_string()).unwrap_or_default();
    // RFC 8707 section 2: more than one may be asked for.
    let audiences = form.any_number("resource");
    let user_address = form.optional("user_address").map(|address| address.to_string()).unwrap_or_default();
    form.check()?;
    let hold = hold.map(|Extension(hold)| hold);
    let request = TokenRequest { grant, client, certificate, scope, audiences, user_address, hold };
    let Granted { access, refresh_token } = oauth.grants.exchange(request, origin, deadline).await?;
    Ok(Json(TokenResponse {
        access_token: access.access_token,
        token_type: TOKEN_TYPE,
        expires_in: access.expires_in,
        scope: access.scope,
        refresh_token: refresh_token.map(|token| token.text()),
    }))
}

impl OAuth {
    /// The grant that `form` holds.
    fn grant(&self, form: &mut Form) -> Result<Grant, Error> {
        let grant_type = form.required("grant_type");
        form.check()?;
        let grant = match grant_type.as_str() {
            PASSWORD if self.password_grant => Grant::Password {
                username: form.required("username").to_string(),
                password: form.required("password"),
            },
            CLIENT_CREDENTIALS => Grant::ClientCredentials,
            REFRESH_TOKEN => Grant::RefreshToken(form.required("refresh_token")),
            _ => return Err(Error::UnsupportedGrantType),
        };
        form.check()?;
        Ok(grant)
    }
}
