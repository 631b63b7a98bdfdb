//! Owns `POST /auth/token`: `IssueToken` for clients of the model service, which send the form of `FastAPI`'s `OAuth2PasswordRequestForm`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::StatusCode,
};
use serde::Serialize;

use super::ModelApi;
use crate::{
    admission::Hold,
    base::Deadline,
    http::{form::Form, refusal::Refusal, sender::Sender},
    identity::grants::{Granted, PasswordGrant, SessionKind, TokenRequest},
    model::{
        FieldReason,
        claims::{ACCOUNT_SCOPE, USER_SCOPE},
    },
};

/// The scopes that may be asked for by this path. Whatever administers the service never comes by it.
const SCOPES: [&str; 2] = [USER_SCOPE, ACCOUNT_SCOPE];

/// What a password was exchanged for.
#[derive(Serialize)]
pub(super) struct Token {
    access_token: String,
    token_type: &'static str,
}

/// Logs a user in with the built-in client, whatever the request says of a client: these clients send what their forms have room for.
pub(super) async fn token(
    State(api): State<ModelApi>,
    Extension(deadline): Extension<Deadline>,
    hold: Option<Extension<Arc<Hold>>>,
    Sender { origin, slot, .. }: Sender,
    request: Request,
) -> Result<Json<Token>, Refusal> {
    // FastAPI passes over what the URL says.
    let mut form = match Form::read(request).await {
        // FastAPI finds no fields in what is no form.
        Err(refusal) if refusal.has_status(StatusCode::UNSUPPORTED_MEDIA_TYPE) => Form::default(),
        form => form?,
    };
    if form.optional("grant_type").is_some_and(|grant_type| grant_type.as_str() != "password") {
        form.refuse("grant_type", FieldReason::Malformed, "must be `password`, or left out");
    }
    let (username, password) = (form.required("username").to_string(), form.required("password"));
    let scope = form.optional("scope").map(|asked| known(&asked)).unwrap_or_default();
    form.check()?;
    let request = TokenRequest {
        grant: Box::new(PasswordGrant { username, password, session: SessionKind::OneAccessToken }),
        client: None,
        certificate: None,
        slot,
        scope,
        audiences: Vec::new(),
        user_address: String::new(),
        // `--http-password-grant` is of `/oauth2/token`; this API is served for passwords alone.
        takes_passwords: true,
        hold: hold.map(|Extension(hold)| hold),
    };
    let Granted { access, .. } = api.grants.exchange(request, origin, deadline).await?;
    Ok(Json(Token { access_token: access.access_token, token_type: "bearer" }))
}

/// Those of the scopes `asked` for that there are here; none for what is given where nothing is asked for. The model service's own scopes,
/// such as `me` and `items`, mean nothing.
fn known(asked: &str) -> String {
    let is_asked = |scope: &&str| asked.split(' ').any(|name| name == *scope);
    SCOPES.into_iter().filter(is_asked).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_the_model_service_and_of_administrators_mean_nothing() {
        for (asked, expected) in [
            ("", ""),
            ("me items", ""),
            ("signet.users.write", ""),
            ("profile", "profile"),
            ("account  signet.users.read me account profile", "profile account"),
            ("profiles Profile", ""),
        ] {
            assert_eq!(known(asked), expected, "{asked:?}");
        }
    }
}
