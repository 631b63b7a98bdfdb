//! Owns gRPC-Web: what the scripts of web pages can say of gRPC, translated to gRPC; and CORS, by which a browser learns
//! whose scripts may say it.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version,
    header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, ORIGIN},
};
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service};
use tower_http::cors::CorsLayer;

use super::meter::{MeteredBody, MeteredFuture};

/// The content types of gRPC-Web that can be translated: protobuf in bytes, or in base64.
const CONTENT_TYPES: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// What a page may send: what the clients of gRPC-Web do.
const REQUEST_HEADERS: [HeaderName; 5] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
];

/// What a page may read: an answer without a message has its status among its headers.
const RESPONSE_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// For how long a browser need not ask again: as long as Chromium remembers at most.
const MAX_AGE: Duration = Duration::from_hours(2);

/// Takes gRPC-Web from pages of some origins, and from what is no browser, and lets everything else pass as it is.
#[derive(Clone, Debug)]
pub(crate) struct WebLayer(Arc<Web>);

#[derive(Debug)]
struct Web {
    origins: Vec<HeaderValue>,
    cors: CorsLayer,
}

/// A gRPC service that also speaks gRPC-Web.
#[derive(Clone, Debug)]
pub(crate) struct WebService<Inner> {
    web: Arc<Web>,
    inner: Inner,
}

impl WebLayer {
    /// For the pages of `origins`, each as browsers write it.
    pub(crate) fn new(origins: Vec<HeaderValue>) -> Self {
        let cors = CorsLayer::new()
            .allow_origin(origins.clone())
            .allow_methods([Method::POST])
            .allow_headers(REQUEST_HEADERS)
            .expose_headers(RESPONSE_HEADERS)
            .max_age(MAX_AGE);
        Self(Arc::new(Web { origins, cors }))
    }
}

impl Web {
    /// Whether `request` is gRPC-Web, or a browser's question about it (a preflight of CORS), and its page may call.
    ///
    /// A page of another origin gets no answer of CORS, and what it sends is not translated, so that it is refused further in.
    /// Browsers alone would not do: they let a page call its own origin, and a name of a stranger's domain can be made to lead
    /// here (DNS rebinding).
    fn serves<B>(&self, request: &Request<B>) -> bool {
        let headers = request.headers();
        let origin = headers.get(ORIGIN);
        match *request.method() {
            Method::POST => is_grpc_web(headers) && origin.is_none_or(|origin| self.origins.contains(origin)),
            Method::OPTIONS => {
                headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
                    && origin.is_some_and(|origin| self.origins.contains(origin))
            }
            _ => false,
        }
    }
}

/// Whether the content type is one of gRPC-Web.
pub(super) fn is_grpc_web(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|content_type| CONTENT_TYPES.iter().any(|known| content_type == known))
}

// ===== the plumbing of tower =====

impl<Inner> Layer<Inner> for WebLayer {
    type Service = WebService<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        WebService { web: Arc::clone(&self.0), inner }
    }
}

impl<Inner> Service<Request<Body>> for WebService<Inner>
where
    Inner: Service<
            Request<Body>,
            Response = Response<MeteredBody>,
            Future = MeteredFuture<<Inner as Service<Request<Body>>>::Error>,
        > + Clone
        + Send
        + 'static,
{
    type Response = Response<MeteredBody>;
    type Error = Inner::Error;
    type Future = MeteredFuture<Inner::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if !self.web.serves(&request) {
            return self.inner.call(request);
        }
        // Translated, it is gRPC as any other, which is spoken over HTTP/2 alone.
        *request.version_mut() = Version::HTTP_2;
        // The clone takes the place of the service that was polled ready (tower's own advice).
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let answer = self.web.cors.layer(GrpcWebLayer::new().layer(inner)).call(request);
        Box::pin(async move { Ok(answer.await?.map(MeteredBody::from)) })
    }
}

/// What must hold for any bytes, whose first chooses the content type: a body of gRPC-Web is translated or refused, and ends.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(bytes: &[u8]) {
    use http_body_util::{BodyExt, Full};
    use tower::ServiceExt;

    let Some((kind, body)) = bytes.split_first() else { return };
    let echo = tower::service_fn(|request: Request<Body>| -> MeteredFuture<std::convert::Infallible> {
        Box::pin(async move {
            let body = match request.into_body().collect().await {
                Ok(body) => Body::new(Full::new(body.to_bytes())),
                Err(_) => Body::empty(),
            };
            Ok(Response::new(MeteredBody::from(body)))
        })
    });
    let request = Request::post("/identity.v1.IdentityService/SignUp")
        .header(CONTENT_TYPE, CONTENT_TYPES[usize::from(*kind) % CONTENT_TYPES.len()])
        .body(Body::new(Full::new(prost::bytes::Bytes::copy_from_slice(body))));
    let answered = async {
        let answer = WebLayer::new(Vec::new()).layer(echo).oneshot(request.expect("it is a request")).await;
        answer.map(http::Response::into_body).expect("nothing fails").collect().await.is_ok()
    };
    // All bytes are there, so nothing waits.
    assert!(futures_util::FutureExt::now_or_never(answered).is_some());
}
