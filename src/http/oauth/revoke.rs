//! Owns `POST /oauth2/revoke`: `RevokeToken` for clients of OAuth 2.0 (RFC 7009).

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{Refusal, Sender, client};
use crate::{http::form::Form, identity::Revocation};

/// Answers alike whether the token was known or not (section 2.2). `token_type_hint` is not needed: a token shows its kind.
pub(super) async fn revoke(
    State(revocation): State<Arc<Revocation>>,
    sender: Sender,
    headers: HeaderMap,
    mut form: Form,
) -> Result<StatusCode, Refusal> {
    let client = client::said(&headers, &mut form)?;
    let token = form.required("token");
    form.check()?;
    let Sender { origin, certificate, slot } = sender;
    revocation.revoke(&token, client, certificate.as_deref(), &origin, &slot).await?;
    Ok(StatusCode::OK)
}
