//! Owns `POST /oauth2/revoke`: `RevokeToken` for clients of OAuth 2.0 (RFC 7009).

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{OAuth, Refusal, client};
use crate::{http::form::Form, identity::RefreshToken};

/// Answers alike whether the token was known or not (section 2.2). `token_type_hint` is not needed: a token shows its kind.
pub(super) async fn revoke(
    State(oauth): State<Arc<OAuth>>,
    headers: HeaderMap,
    mut form: Form,
) -> Result<StatusCode, Refusal> {
    client::identify(&headers, &mut form)?;
    let token = form.required("token");
    form.check()?;
    if let Some(token) = RefreshToken::parse(&token) {
        oauth.sessions.end_by_token(&token).await?;
    }
    Ok(StatusCode::OK)
}
