//! Owns refusing what is not a gRPC request before it is taken for one.

use std::{
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
};

use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONTENT_TYPE, ORIGIN},
};
use http_body_util::Full;
use hyper::body::Bytes;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    connect::{ConnectError, TakesGet},
    web::is_grpc_web,
};
use crate::{admission::check_headers, model::Error};

/// What every gRPC request's content type begins with.
const CONTENT_TYPE_PREFIX: &str = "application/grpc";

/// For whoever is at the wrong address: what this one is for.
const SPOKEN_HERE: &str =
    "This address speaks gRPC (over HTTP/2), gRPC-Web and Connect; OAuth 2.0 is at --http-addr.";

/// Lets gRPC requests through, and refuses everything else as HTTP and as gRPC: a client of HTTP alone must not take the
/// refusal for a success ("gRPC over HTTP/2", Requests).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProtocolLayer {
    max_header_bytes: u32,
}

/// A gRPC service that meets gRPC requests alone.
#[derive(Clone, Debug)]
pub(crate) struct ProtocolService<Inner> {
    rules: ProtocolLayer,
    inner: Inner,
}

impl ProtocolLayer {
    pub(crate) const fn new(max_header_bytes: u32) -> Self {
        Self { max_header_bytes }
    }

    /// Whether `request` is gRPC; if not, why, and what HTTP calls that.
    fn check<B>(self, request: &Request<B>) -> Result<(), (Error, StatusCode)> {
        if let Some(refusal) = request.extensions().get::<ConnectError>() {
            // Connect has its own status for it.
            return Err((refusal.error(), StatusCode::OK));
        }
        if request.method() != Method::POST {
            let error = Error::MalformedRequest(
                "a call is a POST; by Connect, one that only reads may be a GET".to_owned(),
            );
            return Err((error, StatusCode::METHOD_NOT_ALLOWED));
        }
        let headers = request.headers();
        if !headers.get(CONTENT_TYPE).is_some_and(is_grpc) {
            // Had its page been one that may call, it would have been translated on its way here.
            if is_grpc_web(headers) && headers.contains_key(ORIGIN) {
                return Err((Error::OriginNotAllowed, StatusCode::FORBIDDEN));
            }
            let error = Error::MalformedRequest(format!(
                "its content type must be `application/json` or `application/proto` (Connect; with `connect+` for a stream), \
                 `{CONTENT_TYPE_PREFIX}`, or one of gRPC-Web"
            ));
            return Err((error, StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        if request.version() != Version::HTTP_2 {
            let error = Error::MalformedRequest(
                "gRPC is spoken over HTTP/2, and gRPC-Web and Connect over any".to_owned(),
            );
            return Err((error, StatusCode::HTTP_VERSION_NOT_SUPPORTED));
        }
        // 200: the peer speaks gRPC, and reads the status that gRPC has for this.
        check_headers(request, self.max_header_bytes).map_err(|error| (error, StatusCode::OK))
    }
}

/// The refusal of `request`.
fn refuse<B>(request: &Request<B>, error: Error, http_status: StatusCode) -> Response<Body> {
    let message = error.to_string();
    let mut response = Status::from(error).into_http();
    *response.status_mut() = http_status;
    if http_status == StatusCode::METHOD_NOT_ALLOWED {
        let takes_get = request.extensions().get::<TakesGet>().is_some();
        let allowed = HeaderValue::from_static(if takes_get { "GET, POST" } else { "POST" });
        response.headers_mut().insert(ALLOW, allowed);
    }
    // No gRPC client speaks HTTP/1.1, or sends another content type: somebody reads this, unless Connect has a form of its own for it.
    let is_grpc = request.headers().get(CONTENT_TYPE).is_some_and(is_grpc);
    let is_connect = request.extensions().get::<ConnectError>().is_some();
    if request.version() != Version::HTTP_2 || !(is_grpc || is_connect) {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        *response.body_mut() = Body::new(Full::<Bytes>::from(format!("{message}\n{SPOKEN_HERE}\n")));
    }
    response
}

/// `application/grpc`, alone or followed by a message format (`+proto`) or a parameter.
pub(super) fn is_grpc(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().split_at_checked(CONTENT_TYPE_PREFIX.len()).is_some_and(|(prefix, rest)| {
        prefix.eq_ignore_ascii_case(CONTENT_TYPE_PREFIX.as_bytes())
            && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

// ===== the plumbing of tower =====

impl<Inner> Layer<Inner> for ProtocolLayer {
    type Service = ProtocolService<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        ProtocolService { rules: *self, inner }
    }
}

impl<Inner, B> Service<Request<B>> for ProtocolService<Inner>
where
    Inner: Service<Request<B>, Response = Response<Body>>,
    Inner::Error: Send + 'static,
    Inner::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.rules.check(&request) {
            Err((error, status)) => Box::pin(ready(Ok(refuse(&request, error, status)))),
            Ok(()) => Box::pin(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_of_grpc_is_known_in_every_form() {
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "Application/GRPC",
        ] {
            assert!(is_grpc(&HeaderValue::from_static(good)), "{good}");
        }
        for bad in ["", "application/grp", "application/grpc-web", "application/grpcx", "application/json"] {
            assert!(!is_grpc(&HeaderValue::from_static(bad)), "{bad}");
        }
    }
}
