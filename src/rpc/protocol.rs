//! Owns refusing what is not a gRPC request before it is taken for one.

use std::{
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{limits::check_headers, model::Error};

/// What every gRPC request's content type begins with.
const CONTENT_TYPE_PREFIX: &str = "application/grpc";

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

    /// The refusal of `request`, if it is to be refused.
    fn refusal<B>(self, request: &Request<B>) -> Option<Response<Body>> {
        if request.method() != Method::POST {
            let error = Error::MalformedRequest("a gRPC request is a POST".to_owned());
            let mut response = refuse(error, StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Some(response);
        }
        if !request.headers().get(CONTENT_TYPE).is_some_and(is_grpc) {
            let error = Error::MalformedRequest(format!("its content type is not `{CONTENT_TYPE_PREFIX}`"));
            return Some(refuse(error, StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        // 200: the peer speaks gRPC, and reads the status that gRPC has for this.
        check_headers(request, self.max_header_bytes).err().map(|error| refuse(error, StatusCode::OK))
    }
}

fn refuse(error: Error, http_status: StatusCode) -> Response<Body> {
    let mut response = Status::from(error).into_http();
    *response.status_mut() = http_status;
    response
}

/// `application/grpc`, alone or followed by a message format (`+proto`) or a parameter.
fn is_grpc(content_type: &HeaderValue) -> bool {
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
        match self.rules.refusal(&request) {
            Some(response) => Box::pin(ready(Ok(response))),
            None => Box::pin(self.inner.call(request)),
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
