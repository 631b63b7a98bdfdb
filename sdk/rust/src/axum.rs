//! Owns the same checks over HTTP, for axum: the rule stands in the code, and refusals are those of RFC 6750.
//!
//! ```
//! use axum::{Router, extract::Extension, routing::get};
//! use signet_sdk::{Caller, Requirements, axum::HttpGuard};
//! # fn app(verifier: &signet_sdk::Verifier) -> Router {
//!
//! let rule = Requirements { required_scopes: vec!["stock:read".to_owned()], ..Requirements::default() };
//! let app = Router::new()
//!     .route("/items", get(|Extension(caller): Extension<Caller>| async move { caller.id() }))
//!     .layer(HttpGuard::new(verifier, rule));
//! # app
//! # }
//! ```

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, StatusCode, header::WWW_AUTHENTICATE};
use serde_json::json;
use signet::{
    auth::{Error, Requirements, caller_address},
    errors::Row,
};
use tower::{Layer, Service};

use crate::verifier::Verifier;

/// Lets a request through only if it keeps the rule, with its [`Caller`](crate::Caller) in its extensions.
#[derive(Clone, Debug)]
pub struct HttpGuard(Arc<Checked>);

/// A service behind an [`HttpGuard`].
#[derive(Clone, Debug)]
pub struct HttpService<Inner> {
    checked: Arc<Checked>,
    inner: Inner,
}

#[derive(Debug)]
struct Checked {
    verifier: Verifier,
    rule: Requirements,
}

impl HttpGuard {
    /// A layer by which only callers pass who keep `rule`: with nothing set in it, everybody with a token for this service.
    #[must_use]
    pub fn new(verifier: &Verifier, rule: Requirements) -> Self {
        Self(Arc::new(Checked { verifier: verifier.clone(), rule }))
    }
}

impl<Inner> Layer<Inner> for HttpGuard {
    type Service = HttpService<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        HttpService { checked: Arc::clone(&self.0), inner }
    }
}

impl<Inner> Service<Request<Body>> for HttpService<Inner>
where
    Inner: Service<Request<Body>, Response = Response> + Clone + Send + 'static,
    Inner::Future: Send,
{
    type Response = Response;
    type Error = Inner::Error;
    type Future = BoxFuture<'static, Result<Response, Inner::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let checked = Arc::clone(&self.checked);
        // The clone takes the place of the service that was polled ready (tower's own advice).
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let Checked { verifier, rule } = &*checked;
            let address = caller_address(request.extensions());
            let admitted =
                verifier.authenticator().admit(rule, request.headers(), request.extensions(), address).await;
            match admitted {
                Ok(caller) => {
                    verifier.told().tell(|hooks| hooks.verified("OK", caller.was_seen()));
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(error) => {
                    let answer = refused(&error);
                    let reason = Row::of(&error).reason().unwrap_or_default();
                    verifier.told().tell(|hooks| hooks.verified(reason, false));
                    Ok(answer)
                }
            }
        })
    }
}

/// The answer to a request that is refused (RFC 6750 section 3).
fn refused(error: &Error) -> Response {
    let row = Row::of(error);
    let status = StatusCode::from_u16(row.http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body =
        json!({ "error": row.oauth.name(), "reason": row.reason(), "error_description": error.to_string() });
    let mut answer = (status, Json(body)).into_response();
    let challenge = match status {
        // Who has sent no token is told nothing of one (RFC 6750 section 3.1).
        StatusCode::UNAUTHORIZED if matches!(error, Error::TokenMissing) => Some("Bearer"),
        StatusCode::UNAUTHORIZED => Some(r#"Bearer error="invalid_token""#),
        StatusCode::FORBIDDEN => Some(r#"Bearer error="insufficient_scope""#),
        _ => None,
    };
    if let Some(challenge) = challenge {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(delay) = row.retry_after {
        answer.headers_mut().insert(http::header::RETRY_AFTER, delay.as_secs().max(1).into());
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::{
        Caller,
        testing::{TestIssuer, Token},
    };

    async fn answer(verifier: &Verifier, rule: &Requirements, token: Option<&str>) -> (u16, String, Value) {
        let handler = service_fn(async |request: Request<Body>| {
            let caller = request.extensions().get::<Caller>().expect("a caller");
            Ok::<_, Infallible>(json!({ "id": caller.id() }).to_string().into_response())
        });
        let mut request = Request::new(Body::empty());
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let answer = HttpGuard::new(verifier, rule.clone()).layer(handler).oneshot(request).await.unwrap();
        let challenge = answer.headers().get(WWW_AUTHENTICATE).map(|it| it.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, challenge.unwrap_or_default(), serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_request_is_judged_as_a_call_is_and_refused_as_the_rfc_says() {
        let issuer = TestIssuer::new();
        let verifier = issuer.verifier("stock");
        let rule = Requirements { required_scopes: vec!["stock:read".to_owned()], ..Requirements::default() };
        let alice = Token::user().audiences(["stock"]).scopes(["stock:read"]);
        let token = issuer.sign(&alice);
        let (status, _, body) = answer(&verifier, &rule, Some(&token)).await;
        assert_eq!((status, body["id"].as_str()), (200, Some(alice.subject())));

        let (status, challenge, body) = answer(&verifier, &rule, None).await;
        assert_eq!((status, &*challenge, &body["reason"]), (401, "Bearer", &json!("TOKEN_MISSING")));
        let lacking = issuer.sign(&Token::client().audiences(["stock"]));
        let (status, challenge, body) = answer(&verifier, &rule, Some(&lacking)).await;
        assert_eq!((status, &*challenge), (403, r#"Bearer error="insufficient_scope""#));
        assert_eq!(
            (&body["error"], &body["reason"]),
            (&json!("insufficient_scope"), &json!("INSUFFICIENT_SCOPE"))
        );
        issuer.revoke_session(&alice);
        let (status, challenge, body) = answer(&verifier, &rule, Some(&token)).await;
        assert_eq!((status, &*challenge), (401, r#"Bearer error="invalid_token""#));
        assert_eq!(body["reason"], "TOKEN_REVOKED");
        issuer.advance_in_silence(Duration::from_secs(31));
        let (status, challenge, body) = answer(&verifier, &rule, Some(&token)).await;
        assert_eq!((status, &*challenge, &body["reason"]), (503, "", &json!("UNAVAILABLE")));
    }
}
