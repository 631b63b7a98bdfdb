//! Owns `GET /oauth2/verify`: a proxy asks whether a request to another service may pass. Who decides it is handed in.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{self, request::Parts},
    middleware::from_fn_with_state,
    response::Response,
    routing::get,
};
use futures_util::future::BoxFuture;

use super::{HttpAdmission, admit, form::Form, method_not_allowed, not_found, refusal::Refusal};
use crate::model::Error;

/// Where proxies ask.
pub(crate) const VERIFY: &str = "/oauth2/verify";

/// Decides by the head of a question and the parameters of its query; none if those cannot be read.
pub(crate) type Decide = dyn Fn(Parts, Option<Vec<(String, String)>>) -> BoxFuture<'static, Result<http::Response<String>, Error>>
    + Send
    + Sync;

/// The question, which `decide` answers.
pub(crate) fn forward_auth_router(decide: Arc<Decide>, limits: HttpAdmission) -> Router {
    Router::new()
        .route(VERIFY, get(verify).with_state(decide))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn_with_state(limits.clone(), admit::admit))
        .layer(from_fn_with_state(limits, admit::bound_headers))
}

async fn verify(State(decide): State<Arc<Decide>>, request: Request) -> Result<Response, Refusal> {
    let (head, _) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let parameters = Form::parse(query.as_bytes()).map(Form::into_parameters);
    Ok(decide(head, parameters).await?.map(Body::from))
}
