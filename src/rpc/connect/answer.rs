//! Owns the answer to a unary request by Connect: a message or an error, and the status of HTTP that goes with it.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY,
    },
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use tonic::{Code, Status, body::Body};

use super::{
    CacheFor, Method,
    call::{Call, Codec, StreamType},
    error_body::{ErrorBody, broken_off, failed},
    json,
};
use crate::{
    admission::Keeper,
    base::GZIP,
    errors::PUSHBACK,
    model::Error,
    rpc::{
        gzip::{self, GRPC_ACCEPTED},
        long::{LongMessages, MAX_BYTES_AT_ONCE},
        meter::MeteredBody,
    },
};

/// What writes the answers of one listener.
#[derive(Debug)]
pub(super) struct Answers {
    /// The types of the details of errors.
    details: DescriptorPool,
    /// Whose long message is JSON next: that of a request, or of an answer.
    pub(super) long: LongMessages,
}

/// What a call has come to.
struct Finished {
    headers: HeaderMap,
    trailers: HeaderMap,
    result: Result<Bytes, Status>,
    keeper: Option<Keeper>,
    cache: Option<CacheFor>,
}

impl Answers {
    pub(super) fn new(details: DescriptorPool) -> Self {
        Self { details, long: LongMessages::new() }
    }

    /// The same of another listener, which has its own turn of long messages.
    pub(super) fn of_another_listener(&self) -> Self {
        Self::new(self.details.clone())
    }

    /// The answer to `call` that `response`, by gRPC, is.
    pub(super) async fn unary(&self, call: &Call, response: Response<MeteredBody>) -> Response<Body> {
        let Finished { headers, trailers, result, keeper, cache } = Finished::read(response).await;
        let told = match result {
            Ok(frame) => self.message(call, &frame).await.map_err(Status::from),
            Err(status) => Err(status),
        };
        let (status, body, content_type, may_compress) = match told {
            Ok(message) => {
                let may_compress = call.method.as_ref().is_some_and(|method| method.may_compress);
                (StatusCode::OK, message, call.codec.content_type(StreamType::Unary), may_compress)
            }
            Err(status) => {
                let body = self.error_body(&status);
                // HTTP has a word of its own for what there is not.
                let is_missing = call.method.is_none() && status.code() == Code::Unimplemented;
                let http_status = if is_missing { StatusCode::NOT_FOUND } else { body.status };
                (http_status, body.json(), Codec::Json.content_type(StreamType::Unary), false)
            }
        };
        let smaller = if may_compress && call.takes_gzip { gzip::smaller_message(&body).await } else { None };
        let is_smaller = smaller.is_some();
        let body = smaller.unwrap_or(body);
        let length = HeaderValue::from(body.len());
        // There was room for the answer in protobuf. Without room for what it has become, it is the refusal that says so.
        let body = match keeper.map_or(Ok(body.clone()), |keeper| keeper.keep(body)) {
            Ok(body) => body,
            Err(error) => return self.refusal(error),
        };
        let mut answer = Response::new(Body::new(Full::new(body)));
        *answer.status_mut() = status;
        let told = answer.headers_mut();
        tell_metadata(headers, &trailers, told);
        told.insert(CONTENT_TYPE, content_type);
        told.insert(CONTENT_LENGTH, length);
        if is_smaller {
            told.insert(CONTENT_ENCODING, HeaderValue::from_static(GZIP));
        }
        if may_compress {
            told.append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        told.insert(CACHE_CONTROL, kept_for(cache.filter(|_| call.is_get && status == StatusCode::OK)));
        answer
    }

    /// How `status` looks, in an answer of its own or at the end of a stream.
    pub(super) fn error_body(&self, status: &Status) -> ErrorBody {
        ErrorBody::of(status, &self.details)
    }

    fn refusal(&self, error: Error) -> Response<Body> {
        let body = self.error_body(&error.into());
        let status = body.status;
        let mut answer = Response::new(Body::new(Full::new(body.json())));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, Codec::Json.content_type(StreamType::Unary));
        answer.headers_mut().insert(CACHE_CONTROL, kept_for(None));
        answer
    }

    /// The message in `frame`, as `call` wants it.
    async fn message(&self, call: &Call, frame: &Bytes) -> Result<Bytes, Error> {
        let Some((0, message, [])) = gzip::first_frame(frame) else {
            return Err(Error::internal("the answer is not one message"));
        };
        let message = frame.slice_ref(message);
        match (call.method.as_deref(), call.codec) {
            (Some(Method { output, .. }), Codec::Json) => self.json(message, output).await,
            _ => Ok(message),
        }
    }

    /// The JSON of `message`.
    pub(super) async fn json(&self, message: Bytes, output: &MessageDescriptor) -> Result<Bytes, Error> {
        if message.len() <= MAX_BYTES_AT_ONCE {
            return json::write(&message, output).map(Bytes::from);
        }
        let output = output.clone();
        self.long.clone().translate(move || json::write(&message, &output)).await.map(Bytes::from)
    }
}

impl Finished {
    /// Reads `response` to its end: by Connect, the status stands at the beginning.
    async fn read(response: Response<MeteredBody>) -> Self {
        let (mut head, mut body) = response.into_parts();
        let keeper = head.extensions.remove::<Keeper>();
        let cache = head.extensions.remove::<CacheFor>();
        let (mut headers, mut trailers) = (head.headers, HeaderMap::new());
        if headers.contains_key(Status::GRPC_STATUS) {
            let result = failed(&headers).map_or(Ok(Bytes::new()), Err);
            accepted(&mut headers);
            return Self { headers, trailers, result, keeper, cache };
        }
        let mut message = Bytes::new();
        let result = loop {
            match body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if message.is_empty() => message = data,
                    Ok(data) => message = [&message[..], &data].concat().into(),
                    Err(frame) => {
                        trailers = frame.into_trailers().unwrap_or_default();
                        break failed(&trailers).map_or(Ok(message), Err);
                    }
                },
                Some(Err(status)) => break Err(status),
                None => break Err(broken_off()),
            }
        };
        Self { headers, trailers, result, keeper, cache }
    }
}

/// Has `told` tell what of gRPC's `headers` and `trailers` is not its protocol.
fn tell_metadata(headers: HeaderMap, trailers: &HeaderMap, told: &mut HeaderMap) {
    let pushback = trailers.get(PUSHBACK).or_else(|| headers.get(PUSHBACK));
    if let Some(seconds) = pushback.and_then(retry_after) {
        told.insert(RETRY_AFTER, seconds);
    }
    let mut last = None;
    for (name, value) in headers {
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| is_metadata(name)) {
            told.append(name, value);
        }
    }
    for (name, value) in trailers.iter().filter(|(name, _)| is_metadata(name)) {
        if let Ok(name) = HeaderName::try_from(format!("trailer-{name}")) {
            told.append(name, value.clone());
        }
    }
}

/// Whether `name` is not a word of the protocol.
pub(super) fn is_metadata(name: &HeaderName) -> bool {
    !name.as_str().starts_with("grpc-") && *name != CONTENT_TYPE && *name != CONTENT_LENGTH
}

/// Has `headers` say as HTTP does what gRPC says of how messages may be compressed, to whom it has refused one.
fn accepted(headers: &mut HeaderMap) {
    if let Some(accepted) = headers.remove(GRPC_ACCEPTED) {
        headers.insert(ACCEPT_ENCODING, accepted);
    }
}

/// The whole seconds of `millis`, not too early.
fn retry_after(millis: &HeaderValue) -> Option<HeaderValue> {
    let millis: u64 = millis.to_str().ok()?.parse().ok()?;
    Some(HeaderValue::from(millis.div_ceil(1_000)))
}

/// How long caches may keep an answer: not at all, unless it says so.
fn kept_for(cache: Option<CacheFor>) -> HeaderValue {
    let public = cache.map(|CacheFor(age)| age).filter(|age| *age > Duration::ZERO);
    public
        .and_then(|age| HeaderValue::try_from(format!("public, max-age={}", age.as_secs())).ok())
        .unwrap_or_else(|| HeaderValue::from_static("no-store"))
}
