//! Owns `POST /oauth2/introspect`: `IntrospectToken` for services that speak OAuth 2.0 (RFC 7662).

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
};
use serde::Serialize;

use super::{Error, OAuth, Refusal, client, origin_of, token::TOKEN_TYPE};
use crate::{
    http::form::Form,
    identity::introspection::ActiveToken,
    model::{
        Origin,
        claims::{Audience, INTROSPECT_SCOPE},
    },
};

/// What a token is worth (section 2.2). Of an inactive one nothing is said but that.
#[derive(Default, Serialize)]
pub(super) struct Description {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Audience>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
}

pub(super) async fn introspect(
    State(oauth): State<Arc<OAuth>>,
    peer: Option<Extension<SocketAddr>>,
    headers: HeaderMap,
    mut form: Form,
) -> Result<Json<Description>, Refusal> {
    oauth.admit_inspector(&headers, &mut form, &origin_of(&headers, peer)).await?;
    let token = form.required("token");
    form.check()?;
    let active = oauth.introspection.introspect(&token).await?;
    Ok(Json(active.map_or_else(Description::default, Description::from)))
}

impl OAuth {
    /// Lets through who may ask: the bearer of a token with the scope `introspect`, or a client that could get one (section 2.1).
    async fn admit_inspector(
        &self,
        headers: &HeaderMap,
        form: &mut Form,
        origin: &Origin,
    ) -> Result<(), Error> {
        if !is_bearer(headers) {
            let requester = self.clients.authenticate(client::said(headers, form)?, origin).await?;
            return requester.prove_scope(INTROSPECT_SCOPE);
        }
        // Whoever shows a token says nothing else of who asks.
        if client::said(&HeaderMap::new(), form)?.is_some() {
            return Err(client::more_than_one());
        }
        let caller = self.authenticator.authenticate(headers).await?;
        if caller.claims().has_scope(INTROSPECT_SCOPE) {
            Ok(())
        } else {
            Err(Error::InsufficientScope(INTROSPECT_SCOPE.to_owned()))
        }
    }
}

fn is_bearer(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    value.split(|byte| *byte == b' ').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

impl From<ActiveToken> for Description {
    fn from(token: ActiveToken) -> Self {
        match token {
            ActiveToken::Access { claims, user } => Self {
                active: true,
                scope: Some(claims.scope.clone()),
                client_id: Some(claims.client_id.clone()),
                username: user.map(|user| user.username.typed().to_owned()),
                token_type: Some(TOKEN_TYPE),
                exp: Some(claims.exp),
                iat: Some(claims.iat),
                nbf: claims.nbf,
                sub: Some(claims.sub.to_string()),
                aud: Some(claims.aud.clone()),
                iss: Some(claims.iss.clone()),
                jti: Some(claims.jti.to_string()),
            },
            ActiveToken::Refresh { issuer, session, user, issue_time, expire_time } => Self {
                active: true,
                scope: Some(session.scope.as_str().to_owned()),
                client_id: Some(session.client_id),
                username: Some(user.username.typed().to_owned()),
                exp: Some(expire_time.as_secs()),
                iat: Some(issue_time.as_secs()),
                sub: Some(session.user_id.to_string()),
                iss: Some(issuer),
                ..Self::default()
            },
        }
    }
}
