//! Owns `GET /users/me`: `GetMe` for clients of the model service.

use axum::{
    Json,
    extract::State,
    http::{Extensions, HeaderMap},
};
use serde::Serialize;

use super::ModelApi;
use crate::{
    admission::ConnectionHandle,
    http::{refusal::Refusal, sender::is_bearer},
    identity::user_of,
    model::{Error, claims::USER_SCOPE},
};

/// The caller's own user.
#[derive(Serialize)]
pub(super) struct Me {
    id: String,
    username: String,
    /// Always: nobody else is recognised.
    is_active: bool,
}

pub(super) async fn me(
    State(api): State<ModelApi>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Json<Me>, Refusal> {
    // To FastAPI another scheme is no token at all.
    if !is_bearer(&headers) {
        return Err(Error::TokenMissing.into());
    }
    let caller = api.authenticator.authenticate_request(&headers, &extensions, None).await?;
    if let Some(connection) = extensions.get::<ConnectionHandle>() {
        connection.note_caller(caller.subject());
    }
    caller.must_have([USER_SCOPE])?;
    let user = user_of(&caller)?;
    let (id, username) = (user.id.to_string(), user.username.typed().to_owned());
    Ok(Json(Me { id, username, is_active: user.is_active }))
}
