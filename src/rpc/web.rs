//! Owns what is spoken beside gRPC, translated to it: gRPC-Web, and Connect; and CORS, by which a browser learns whose scripts may speak.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version,
    header::{ACCESS_CONTROL_REQUEST_METHOD, CONNECTION, CONTENT_TYPE, EXPECT, HOST, ORIGIN, RETRY_AFTER},
    uri::Authority,
};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Bytes;
use tonic::{Status, body::Body};
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, CorsLayer};

use super::{
    connect::{Asked, Connect, TakesGet},
    late_body::LateBody,
    meter::{MeteredBody, MeteredFuture},
    protocol::is_grpc,
};
use crate::{
    admission::Keeper,
    model::{AllowedHosts, Host, REQUEST_ID_HEADER},
};

/// The content types of gRPC-Web that can be translated: protobuf in bytes, or in base64.
const CONTENT_TYPES: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// How the content type of an answer begins whose pieces are encoded anew: in base64.
const TEXT: &[u8] = b"application/grpc-web-text";

/// What a page may read: how a message is compressed, if it says that it takes that; an answer without a message has its status among its
/// headers; and every answer tells the id of its request.
const RESPONSE_HEADERS: [HeaderName; 7] = [
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("grpc-retry-pushback-ms"),
    RETRY_AFTER,
    HeaderName::from_static(REQUEST_ID_HEADER),
];

/// For how long a browser need not ask again: as long as Chromium remembers at most.
const MAX_AGE: Duration = Duration::from_hours(2);

/// Takes gRPC-Web and Connect from pages of some origins, and from what is no browser, and lets everything else pass as it is.
#[derive(Clone, Debug)]
pub(crate) struct WebLayer(Arc<Web>);

#[derive(Debug)]
struct Web {
    origins: Vec<HeaderValue>,
    /// The hosts that a GET may ask for which does not say whose page sends it.
    hosts: AllowedHosts,
    cors: CorsLayer,
    /// None where Connect is not spoken.
    connect: Option<Connect>,
}

/// What a request speaks.
enum Spoken {
    Grpc,
    /// gRPC-Web, or a browser's question about a page that may call.
    Web,
    Connect {
        asked: Asked,
        may_call: bool,
    },
    /// Nothing that is served.
    Other,
}

/// The request was gRPC-Web or Connect, and its answer will be: an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Translated;

/// An answer in base64, whose pieces hold what those held that they were made of.
struct TextBody {
    inner: Body,
    keeper: Keeper,
}

/// A gRPC service that also speaks gRPC-Web, and Connect.
#[derive(Clone, Debug)]
pub(crate) struct WebService<Inner> {
    web: Arc<Web>,
    inner: Inner,
}

impl WebLayer {
    /// For the pages of `origins`, each as browsers write it; with what is called by `connect`, by GET at `hosts`.
    pub(crate) fn new(origins: Vec<HeaderValue>, hosts: AllowedHosts, connect: Option<Connect>) -> Self {
        let cors = CorsLayer::new()
            .allow_origin(origins.clone())
            .allow_methods([Method::GET, Method::POST])
            // Whatever a page likes to send: tracers put headers of theirs into all of it, and none makes anybody believe anything.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(RESPONSE_HEADERS)
            .max_age(MAX_AGE);
        Self(Arc::new(Web { origins, hosts, cors, connect }))
    }
}

impl Web {
    /// What `request` speaks.
    ///
    /// A page of another origin gets no answer of CORS, and what it sends is refused further in. Browsers alone would not do: they let a
    /// page call its own origin, and a name of a stranger's domain can be made to lead here (DNS rebinding).
    fn spoken<B>(&self, request: &Request<B>) -> Spoken {
        let headers = request.headers();
        if headers.get(CONTENT_TYPE).is_some_and(is_grpc) {
            return Spoken::Grpc;
        }
        let may_call = self.may_call(request);
        if *request.method() == Method::OPTIONS {
            let asks = headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) && headers.contains_key(ORIGIN);
            return if asks && may_call { Spoken::Web } else { Spoken::Other };
        }
        if *request.method() == Method::POST && is_grpc_web(headers) {
            return if may_call { Spoken::Web } else { Spoken::Other };
        }
        let asked = self.connect.as_ref().and_then(|connect| connect.asked(request));
        asked.map_or(Spoken::Other, |asked| Spoken::Connect { asked, may_call })
    }

    /// Whether `request` is sent for no page, or for one that may call. A browser names the origin of the page that sends a POST. With a
    /// GET it does not if no script sends it, or if the page is of the origin that it asks: then `Sec-Fetch-Site` tells that there is a
    /// page, and where a browser sends none, over plain HTTP, the host that the request asks for is the page's.
    fn may_call<B>(&self, request: &Request<B>) -> bool {
        let headers = request.headers();
        if headers.contains_key(ORIGIN) {
            return headers.get_all(ORIGIN).iter().all(|origin| self.origins.contains(origin));
        }
        let mut sites = headers.get_all("sec-fetch-site").iter();
        if *request.method() == Method::GET {
            sites.all(|site| site == "none") && self.asks_for_known_host(request)
        } else {
            sites.all(|site| site != "cross-site")
        }
    }

    /// Whether every host that `request` names is known. One that names none is not a browser's.
    fn asks_for_known_host<B>(&self, request: &Request<B>) -> bool {
        let is_known = |host: &str| host.parse::<Host>().is_ok_and(|host| self.hosts.allow(&host));
        let target = request.uri().authority().map(Authority::as_str);
        let lines = request.headers().get_all(HOST).iter().map(|line| line.to_str().unwrap_or_default());
        lines.chain(target).all(is_known)
    }
}

/// Whether the content type is one of gRPC-Web.
pub(super) fn is_grpc_web(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|content_type| CONTENT_TYPES.iter().any(|known| content_type == known))
}

/// `answer`, whose body holds what its call has taken until it has been read.
fn kept(mut answer: Response<Body>) -> Response<Body> {
    let keeper = answer.extensions_mut().remove::<Keeper>();
    let is_text = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|content_type| content_type.as_bytes().starts_with(TEXT));
    match keeper.filter(|_| is_text) {
        Some(keeper) => answer.map(|inner| Body::new(TextBody { inner, keeper })),
        // In binary, the pieces are the same ones.
        None => answer,
    }
}

impl HttpBody for TextBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(frame.map(|frame| match frame?.into_data() {
            Ok(data) => Ok(Frame::data(self.keeper.keep(data)?)),
            Err(trailers) => Ok(trailers),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let spoken = self.web.spoken(&request);
        if matches!(spoken, Spoken::Grpc) {
            return self.inner.call(request);
        }
        // The clone takes the place of the service that was polled ready (tower's own advice).
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        // Whoever asks first whether to send it need not send it any more.
        let is_awaited = !request.headers().contains_key(EXPECT);
        let is_http_1 = request.version() < Version::HTTP_2;
        let (request, late) = LateBody::of(request);
        let answered = answered(&self.web, spoken, inner, request);
        Box::pin(async move {
            let mut answer = answered.await?;
            let is_read = if is_awaited { late.forget().await } else { !late.is_left() };
            // hyper ends such a connection without a word, and a client that has the answer sends its next request there.
            if is_http_1 && !is_read {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        })
    }
}

/// The answer of `inner` to `request`, in what is `spoken`.
fn answered<Inner>(
    web: &Web,
    spoken: Spoken,
    mut inner: Inner,
    mut request: Request<Body>,
) -> MeteredFuture<Inner::Error>
where
    Inner: Service<
            Request<Body>,
            Response = Response<MeteredBody>,
            Future = MeteredFuture<<Inner as Service<Request<Body>>>::Error>,
        > + Send
        + 'static,
{
    match (spoken, &web.connect) {
        (Spoken::Web, _) => {
            // Translated, it is gRPC as any other, which is spoken over HTTP/2 alone.
            *request.version_mut() = Version::HTTP_2;
            request.extensions_mut().insert(Translated);
            let answer = web.cors.layer(GrpcWebLayer::new().layer(inner)).call(request);
            Box::pin(async move { Ok(kept(answer.await?).map(MeteredBody::from)) })
        }
        (Spoken::Connect { asked, may_call }, Some(connect)) => {
            // What no page sends and no cache keeps needs no word of CORS.
            let has_reader = request.headers().contains_key(ORIGIN) || *request.method() == Method::GET;
            let mut service = connect.service(asked, may_call, inner);
            if may_call && has_reader {
                let answer = web.cors.layer(service).call(request);
                Box::pin(async move { Ok(answer.await?.map(MeteredBody::from)) })
            } else {
                let answer = service.call(request);
                Box::pin(async move { Ok(answer.await?.map(MeteredBody::from)) })
            }
        }
        (Spoken::Other, connect) => {
            if connect.as_ref().is_some_and(|connect| connect.takes_get(request.uri().path())) {
                request.extensions_mut().insert(TakesGet);
            }
            // A page that may call may read why it is refused. To OPTIONS, CORS would answer by itself.
            let is_page = request.headers().contains_key(ORIGIN) && *request.method() != Method::OPTIONS;
            if is_page && web.may_call(&request) {
                Box::pin(web.cors.layer(inner).call(request))
            } else {
                inner.call(request)
            }
        }
        (Spoken::Grpc | Spoken::Connect { .. }, _) => inner.call(request),
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
        let web = WebLayer::new(Vec::new(), AllowedHosts::new(Vec::new()), None);
        let answer = web.layer(echo).oneshot(request.expect("it is a request")).await;
        answer.map(http::Response::into_body).expect("nothing fails").collect().await.is_ok()
    };
    // All bytes are there, so nothing waits.
    assert!(futures_util::FutureExt::now_or_never(answered).is_some());
}
