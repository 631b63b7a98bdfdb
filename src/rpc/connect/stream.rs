//! Owns the answers of a stream by Connect: each message in an envelope, and at the end one more that says how it ended.

use std::{collections::BTreeMap, sync::Arc};

use base64ct::{Base64Unpadded, Encoding};
use futures_util::stream::{self, Stream};
use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Bytes;
use serde::Serialize;
use tonic::{Status, body::Body};

use super::{
    Method,
    answer::{Answers, is_metadata},
    call::{Call, Codec, StreamType},
    error_body::{ErrorBody, broken_off, failed},
    message::END_OF_STREAM,
};
use crate::{
    admission::Keeper,
    model::Error,
    rpc::{
        gzip::{MESSAGE_HEAD_BYTES, first_frame},
        meter::MeteredBody,
    },
};

/// How a stream ended.
#[derive(Serialize)]
struct End {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, Vec<String>>,
}

/// A stream on its way.
struct Answering {
    answers: Arc<Answers>,
    call: Call,
    body: MeteredBody,
    /// What has come of the next message.
    rest: Bytes,
    keeper: Option<Keeper>,
    /// How it has ended before it began.
    ended: Option<HeaderMap>,
    is_over: bool,
}

impl Answers {
    /// The answer to `call`, whose answers are those of `response`, by gRPC.
    pub(super) fn stream(self: &Arc<Self>, call: Call, response: Response<MeteredBody>) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        let keeper = head.extensions.remove::<Keeper>();
        let ended = head.headers.contains_key(Status::GRPC_STATUS).then(|| head.headers.clone());
        let content_type = call.codec.content_type(StreamType::Server);
        let answering = Answering {
            answers: Arc::clone(self),
            call,
            body,
            rest: Bytes::new(),
            keeper,
            ended,
            is_over: false,
        };
        let mut answer = Response::new(Body::new(StreamBody::new(answering.envelopes())));
        let told = answer.headers_mut();
        for (name, value) in head.headers.iter().filter(|(name, _)| is_metadata(name)) {
            told.append(name, value.clone());
        }
        told.insert(CONTENT_TYPE, content_type);
        told.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }
}

impl Answering {
    fn envelopes(self) -> impl Stream<Item = Result<Frame<Bytes>, Status>> + Send {
        stream::unfold(self, |mut answering| async move {
            if answering.is_over {
                return None;
            }
            let envelope = answering.next().await;
            Some((Ok(Frame::data(envelope)), answering))
        })
    }

    /// The next envelope: of a message, or the last one.
    async fn next(&mut self) -> Bytes {
        let message = match self.ended.take() {
            Some(trailers) => return self.end(failed(&trailers), &trailers),
            None => self.message().await,
        };
        let envelope = match message {
            Ok(Some(message)) => self.envelope(message).await,
            Ok(None) => Err(broken_off()),
            Err(Ended::Trailers(trailers)) => return self.end(failed(&trailers), &trailers),
            Err(Ended::Status(status)) => Err(status),
        };
        envelope.unwrap_or_else(|status| self.end(Some(status), &HeaderMap::new()))
    }

    /// The next message; none if the answers break off.
    async fn message(&mut self) -> Result<Option<Bytes>, Ended> {
        loop {
            if let Some((0, message, behind)) = first_frame(&self.rest) {
                let (message, behind) = (self.rest.slice_ref(message), self.rest.slice_ref(behind));
                self.rest = behind;
                return Ok(Some(message));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            match frame.map_err(Ended::Status)?.into_data() {
                Ok(data) if self.rest.is_empty() => self.rest = data,
                Ok(data) => self.rest = [&self.rest[..], &data].concat().into(),
                Err(frame) => return Err(Ended::Trailers(frame.into_trailers().unwrap_or_default())),
            }
        }
    }

    async fn envelope(&mut self, message: Bytes) -> Result<Bytes, Status> {
        let message = match (self.call.method.as_deref(), self.call.codec) {
            (Some(Method { output, .. }), Codec::Json) => self.answers.json(message, output).await?,
            _ => message,
        };
        let envelope = enveloped(0, &message)?;
        Ok(self.keeper.as_ref().map_or(Ok(envelope.clone()), |keeper| keeper.keep(envelope))?)
    }

    fn end(&mut self, status: Option<Status>, trailers: &HeaderMap) -> Bytes {
        self.is_over = true;
        let error = status.map(|status| self.answers.error_body(&status));
        let mut metadata = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in trailers.iter().filter(|(name, _)| is_metadata(name)) {
            let text = match value.to_str() {
                Ok(text) => text.to_owned(),
                Err(_) => Base64Unpadded::encode_string(value.as_bytes()),
            };
            metadata.entry(name.to_string()).or_default().push(text);
        }
        let mut end = End { error, metadata };
        let json = serde_json::to_vec(&end).or_else(|_| {
            end.error.iter_mut().for_each(ErrorBody::forget_debug);
            serde_json::to_vec(&end)
        });
        enveloped(END_OF_STREAM, &json.unwrap_or_default()).unwrap_or_default()
    }
}

/// How the answers have ended.
enum Ended {
    Trailers(HeaderMap),
    /// Without trailers.
    Status(Status),
}

fn enveloped(flags: u8, message: &[u8]) -> Result<Bytes, Error> {
    let mut envelope = Vec::with_capacity(MESSAGE_HEAD_BYTES + message.len());
    envelope.push(flags);
    envelope.extend_from_slice(&u32::try_from(message.len()).map_err(Error::internal)?.to_be_bytes());
    envelope.extend_from_slice(message);
    Ok(envelope.into())
}
