//! Owns Connect: JSON or protobuf over HTTP of any version, as plain as `curl` sends it, translated to gRPC and back. Further in, there is
//! gRPC alone, so that places, deadlines, access and measures are the same.

mod answer;
mod call;
#[cfg(test)]
mod conformance;
mod error_body;
mod json;
mod message;
mod shape;
mod stream;

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::stream::once;
use http::{Method as HttpMethod, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Bytes;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use prost_types::method_options::IdempotencyLevel;
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    gzip,
    long::LongMessages,
    meter::{MeteredBody, MeteredFuture},
    web::Translated,
};
use crate::{model::Error, proto::envoy::service::auth::v3::authorization_server::SERVICE_NAME as EXT_AUTHZ};
use answer::Answers;
pub(super) use call::Call;
use call::{Codec, StreamType};
#[cfg(any(fuzzing, test))]
pub(crate) use message::fuzz;

/// What is wrong with a GET that has one.
const NO_BODY: &str = "a GET has no body";

/// The RPCs that are called by Connect at one listener.
#[derive(Debug)]
pub(crate) struct Connect {
    /// By path: `/package.Service/Method`.
    methods: HashMap<String, Arc<Method>>,
    answers: Arc<Answers>,
}

/// One RPC: its requests are one message each.
#[derive(Debug)]
struct Method {
    input: MessageDescriptor,
    output: MessageDescriptor,
    has_stream: bool,
    /// Whether a GET does: it changes nothing, and what it asks may stand in logs.
    is_read: bool,
    may_compress: bool,
}

/// For how long caches may keep an answer that is the same for everybody: an extension of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheFor(pub(super) Duration);

/// Why a request by Connect is no call: an extension of the request, for who refuses what is no gRPC.
#[derive(Clone, Debug)]
pub(super) enum ConnectError {
    Malformed(String),
    /// A page of another origin has sent it.
    Origin,
    Unimplemented,
}

/// The RPC may be called by GET: an extension of a request that is none of Connect.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakesGet;

/// What a request by Connect asks, before it is translated.
#[derive(Debug)]
pub(super) struct Asked(Ask);

#[derive(Debug)]
enum Ask {
    /// Of no method, it is refused.
    Post(Option<Arc<Method>>, (StreamType, Codec)),
    Get(Arc<Method>),
}

/// Answers one request by Connect.
pub(super) struct ConnectService<Inner> {
    answers: Arc<Answers>,
    asked: Option<Asked>,
    /// Whether its page may call, if a page has sent it.
    may_call: bool,
    inner: Inner,
}

impl Connect {
    /// All that is `described`, except what belongs to other programs; with errors whose `details` another set describes.
    pub(crate) fn new(described: &[DescriptorPool], details: DescriptorPool) -> Self {
        let mut methods = HashMap::new();
        for pool in described {
            let services = pool.services().filter(|service| service.full_name() != EXT_AUTHZ);
            for method in services.flat_map(|service| service.methods().collect::<Vec<_>>()) {
                // Of several requests to a call there is none in a browser, and none over HTTP/1.1.
                if !method.is_client_streaming() {
                    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                    methods.insert(path, Arc::new(Method::of(&method)));
                }
            }
        }
        let answers = Arc::new(Answers::new(details));
        Self { methods, answers }
    }

    /// The same of the RPCs of `services` alone.
    #[must_use]
    pub(crate) fn of_services<'a>(&self, services: impl Iterator<Item = &'a str>) -> Self {
        let services: HashSet<&str> = services.collect();
        let is_of = |path: &str| path.rsplit_once('/').is_some_and(|(of, _)| services.contains(&of[1..]));
        let methods = self.methods.iter().filter(|(path, _)| is_of(path));
        let methods = methods.map(|(path, method)| (path.clone(), Arc::clone(method))).collect();
        Self { methods, answers: Arc::new(self.answers.of_another_listener()) }
    }

    /// What `request` asks by Connect, if that is what it speaks.
    pub(super) fn asked<B>(&self, request: &Request<B>) -> Option<Asked> {
        let method = self.methods.get(request.uri().path());
        match *request.method() {
            HttpMethod::POST => {
                let spoken = call::spoken(request.headers())?;
                match method {
                    Some(method) if method.has_stream != (spoken.0 == StreamType::Server) => None,
                    Some(method) => Some(Asked(Ask::Post(Some(Arc::clone(method)), spoken))),
                    None => call::names_rpc(request).then_some(Asked(Ask::Post(None, spoken))),
                }
            }
            HttpMethod::GET if call::has_query(request.uri().query()) => {
                method.filter(|method| method.is_read).map(|method| Asked(Ask::Get(Arc::clone(method))))
            }
            _ => None,
        }
    }

    /// Whether the RPC at `path` may be called by GET.
    pub(super) fn takes_get(&self, path: &str) -> bool {
        self.methods.get(path).is_some_and(|method| method.is_read)
    }

    /// What answers the request that asks for `asked` by `inner`; or refuses it, unless the page that has sent it `may_call`.
    pub(super) fn service<Inner>(&self, asked: Asked, may_call: bool, inner: Inner) -> ConnectService<Inner> {
        ConnectService { answers: Arc::clone(&self.answers), asked: Some(asked), may_call, inner }
    }
}

impl Method {
    fn of(method: &MethodDescriptor) -> Self {
        let (input, output, has_stream) = (method.input(), method.output(), method.is_server_streaming());
        let options = method.method_descriptor_proto().options.as_ref();
        let level = options.map(prost_types::MethodOptions::idempotency_level);
        let is_read = !has_stream && level == Some(IdempotencyLevel::NoSideEffects);
        let may_compress = !has_stream && gzip::may_compress(&output);
        Self { input, output, has_stream, is_read, may_compress }
    }
}

impl ConnectError {
    fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    /// What the client is told.
    pub(super) fn error(&self) -> Error {
        match self {
            Self::Malformed(what) => Error::MalformedRequest(what.clone()),
            Self::Origin => Error::OriginNotAllowed,
            Self::Unimplemented => Error::Unimplemented,
        }
    }
}

/// `message`, once `body` has ended without anything in it: Go ends that of a GET over HTTP/2 in a frame of its own. It is waited for as
/// the message of a POST is, and not by the answer, with its place.
fn behind(mut body: Body, message: Bytes) -> Body {
    let message = once(async move {
        while let Some(frame) = body.frame().await {
            if frame?.data_ref().is_some_and(|data| !data.is_empty()) {
                return Err(Status::invalid_argument(NO_BODY));
            }
        }
        Ok(Frame::data(message))
    });
    Body::new(StreamBody::new(message))
}

impl Asked {
    /// `request` as one by gRPC, or as one that is refused, and what its answer must be like.
    fn translated(self, request: Request<Body>, may_call: bool, long: LongMessages) -> (Call, Request<Body>) {
        let (mut head, body) = request.into_parts();
        let (call, body, refused) = match self.0 {
            Ask::Post(method, spoken) => {
                let exists = if method.is_some() { Ok(()) } else { Err(ConnectError::Unimplemented) };
                let (call, refused) = Call::of_post(method, spoken, &mut head, long);
                (call, body, exists.and(refused))
            }
            Ask::Get(method) => match Call::of_get(method, &mut head, long) {
                (call, Ok(_)) if body.size_hint().lower() > 0 => {
                    (call, Body::empty(), Err(ConnectError::malformed(NO_BODY)))
                }
                (call, Ok(message)) if body.is_end_stream() => (call, Body::new(Full::new(message)), Ok(())),
                (call, Ok(message)) => (call, behind(body, message), Ok(())),
                (call, Err(refusal)) => (call, Body::empty(), Err(refusal)),
            },
        };
        let refused = if may_call { refused } else { Err(ConnectError::Origin) };
        if let Err(refusal) = refused {
            head.extensions.insert(refusal);
        }
        head.extensions.insert(Translated);
        head.extensions.insert(call.clone());
        (call, Request::from_parts(head, body))
    }
}

// ===== the plumbing of tower =====

impl<Inner> Service<Request<Body>> for ConnectService<Inner>
where
    Inner: Service<
            Request<Body>,
            Response = Response<MeteredBody>,
            Future = MeteredFuture<<Inner as Service<Request<Body>>>::Error>,
        > + 'static,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answers = Arc::clone(&self.answers);
        let asked = self.asked.take().unwrap_or(Asked(Ask::Post(None, (StreamType::Unary, Codec::Json))));
        let (call, request) = asked.translated(request, self.may_call, answers.long.clone());
        let answered = self.inner.call(request);
        Box::pin(async move {
            let response = answered.await?;
            Ok(match call.stream_type {
                StreamType::Unary => answers.unary(&call, response).await,
                StreamType::Server => answers.stream(call, response),
            })
        })
    }
}
