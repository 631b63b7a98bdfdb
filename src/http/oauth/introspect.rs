//! Owns `POST /oauth2/introspect`: `IntrospectToken` for services that speak OAuth 2.0 (RFC 7662).

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap};
use serde::Serialize;

use super::{Error, Recogniser, Refusal, Sender, client, is_bearer};
use crate::{
    http::form::Form,
    identity::{Clients, Introspection, introspection::ActiveToken},
    model::claims::INTROSPECT_SCOPE,
};

/// The endpoint.
#[derive(Clone, Debug)]
pub(crate) struct IntrospectEndpoint {
    /// Who tells what tokens are worth.
    pub(crate) introspection: Arc<Introspection>,
    /// Who knows the clients that may ask.
    pub(crate) clients: Arc<Clients>,
    /// Who recognises the bearers of tokens that may.
    pub(crate) authenticator: Recogniser,
}

/// What a token is worth (section 2.2). Of an inactive one nothing is said but that.
#[derive(Serialize)]
pub(super) struct Description {
    active: bool,
    #[serde(flatten)]
    token: Option<ActiveToken>,
}

pub(super) async fn introspect(
    State(endpoint): State<IntrospectEndpoint>,
    sender: Sender,
    headers: HeaderMap,
    mut form: Form,
) -> Result<Json<Description>, Refusal> {
    endpoint.admit_inspector(&headers, &mut form, &sender).await?;
    let token = form.required("token");
    form.check()?;
    let token = endpoint.introspection.introspect(&token).await?;
    Ok(Json(Description { active: token.is_some(), token }))
}

impl IntrospectEndpoint {
    /// Lets through who may ask: the bearer of a token with the scope `introspect`, or a client that could get one (section 2.1).
    async fn admit_inspector(
        &self,
        headers: &HeaderMap,
        form: &mut Form,
        sender: &Sender,
    ) -> Result<(), Error> {
        if !is_bearer(headers) {
            let said = client::said(headers, form)?;
            let Sender { origin, certificate, slot } = sender;
            let certificate = certificate.as_deref();
            let requester = self.clients.authenticate_registered(said, certificate, origin, slot).await?;
            return self.introspection.admit(&requester).await;
        }
        // Whoever shows a token says nothing else of who asks.
        if client::said(&HeaderMap::new(), form)?.is_some() {
            return Err(client::more_than_one());
        }
        self.authenticator.authenticate(headers).await?.must_have([INTROSPECT_SCOPE])
    }
}
