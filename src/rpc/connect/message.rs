//! Owns the message of a request by Connect: out of its envelope and its compression on its way in, and a gRPC frame once it is read,
//! which is after its caller has been recognised.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame};
use hyper::body::Bytes;
use tonic::Status;

use super::{
    call::{Call, Codec, StreamType},
    json::{self, Document},
};
use crate::{
    admission::{Hold, Keeper},
    model::Error,
    rpc::{
        gzip::{self, MESSAGE_HEAD_BYTES},
        long::{MAX_BYTES_AT_ONCE, MAX_MEMORY_AT_ONCE},
    },
};

/// The flags of an envelope.
pub(super) const COMPRESSED: u8 = 1;
pub(super) const END_OF_STREAM: u8 = 2;

/// The message of a request as gRPC frames it, made when it is asked for.
pub(in crate::rpc) struct MessageBody {
    call: Call,
    progress: Progress,
    max_bytes: usize,
    keeper: Keeper,
}

/// How far a message has been read.
enum Progress {
    /// Nobody has asked for it.
    Unread(Bytes),
    /// It is long, and becomes a frame elsewhere.
    Reading(MessageRead),
    /// The head of its frame has been read, and the message itself comes next.
    Head(Bytes),
    Over,
}

type MessageRead = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

impl Call {
    /// The message in `body`, which has `max_bytes` at most.
    ///
    /// # Errors
    /// [`Error::MalformedRequest`] if the body is no envelope, or not what gzip makes; [`Error::MessageTooLarge`].
    pub(in crate::rpc) fn message(&self, body: &Bytes, max_bytes: usize) -> Result<Bytes, Error> {
        let (message, is_compressed) = match self.stream_type {
            StreamType::Unary => (body.clone(), self.is_compressed && !body.is_empty()),
            StreamType::Server => self.only(body)?,
        };
        if is_compressed {
            return gzip::expanded(&message, max_bytes);
        }
        if message.len() > max_bytes {
            return Err(Error::MessageTooLarge { max_bytes });
        }
        Ok(message)
    }

    /// The one message of a stream, and whether it is compressed.
    fn only(&self, body: &Bytes) -> Result<(Bytes, bool), Error> {
        let malformed = |what: &str| Error::MalformedRequest(what.to_owned());
        let (flags, message) = match gzip::first_frame(body) {
            Some((flags, message, [])) => (flags, message),
            Some(_) => return Err(malformed("its body has more than one message")),
            None => return Err(malformed("its body is no message in an envelope")),
        };
        match flags {
            0 => Ok((body.slice_ref(message), false)),
            COMPRESSED if self.is_compressed => Ok((body.slice_ref(message), true)),
            COMPRESSED => Err(malformed("its message is compressed, and its head does not say by what")),
            _ => Err(malformed("its envelope has flags that there are not")),
        }
    }

    /// `message`, which has `max_bytes` at most in protobuf, too, as the body of a gRPC request that holds `hold`.
    pub(in crate::rpc) fn body(&self, message: Bytes, max_bytes: usize, hold: &Arc<Hold>) -> MessageBody {
        let keeper = Keeper::Call(Arc::clone(hold));
        MessageBody { call: self.clone(), progress: Progress::Unread(message), max_bytes, keeper }
    }

    /// Whether messages may be compressed.
    pub(in crate::rpc) fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Whether messages are protobuf.
    pub(in crate::rpc) fn is_binary(&self) -> bool {
        self.codec == Codec::Proto
    }
}

impl MessageBody {
    /// Begins to read `message`: the first frame, or how it comes to be.
    fn begin(&mut self, message: Bytes) -> Result<Result<Bytes, MessageRead>, Error> {
        let Some(method) = &self.call.method else { return Err(Error::Unimplemented) };
        match self.call.codec {
            Codec::Json => {
                if message.len() <= MAX_BYTES_AT_ONCE {
                    let document = Document::check(&message, &method.input)?;
                    if document.memory_bytes <= MAX_MEMORY_AT_ONCE {
                        let frame = document.read(self.max_bytes)?;
                        return kept(frame, &message, &self.keeper).map(Ok);
                    }
                }
                let (input, max_bytes, keeper) = (method.input.clone(), self.max_bytes, self.keeper.clone());
                let long = self.call.long.clone();
                // The message is held until it has been read, even if its call is over by then.
                let read = move || kept(json::read(&message, &input, max_bytes)?, &message, &keeper);
                Ok(Err(Box::pin(long.translate(read))))
            }
            Codec::Proto => {
                let mut head = [0; MESSAGE_HEAD_BYTES];
                let length = u32::try_from(message.len()).map_err(Error::internal)?;
                head[1..].copy_from_slice(&length.to_be_bytes());
                if !message.is_empty() {
                    self.progress = Progress::Head(message);
                }
                Ok(Ok(Bytes::copy_from_slice(&head)))
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let begun = match std::mem::replace(&mut self.progress, Progress::Over) {
            Progress::Unread(message) => self.begin(message),
            Progress::Reading(reading) => Ok(Err(reading)),
            Progress::Head(message) => Ok(Ok(message)),
            Progress::Over => return Poll::Ready(None),
        };
        Poll::Ready(Some(match begun {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(mut reading)) => match reading.as_mut().poll(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    self.progress = Progress::Reading(reading);
                    return Poll::Pending;
                }
            },
            Err(error) => Err(error),
        }))
    }
}

/// `frame`, which `message` has become: numbers and times can be longer in protobuf, and `keeper` is charged for that.
fn kept(frame: Bytes, message: &Bytes, keeper: &Keeper) -> Result<Bytes, Error> {
    if frame.len() > message.len() { keeper.keep(frame) } else { Ok(frame) }
}

impl Body for MessageBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(self.poll(context));
        Poll::Ready(frame.map(|frame| frame.map(Frame::data).map_err(Status::from)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.progress, Progress::Over)
    }
}

/// What must hold for any bytes, whose first says how they come: a head is read or refused; a message is no longer
/// than it may be, and what is read of JSON is what is written of it.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(bytes: &[u8]) {
    use prost_reflect::DynamicMessage;

    use super::call;
    use crate::{proto::described::API, rpc::long::LongMessages};

    const MAX_BYTES: usize = 4_096;
    const INPUTS: [&str; 4] = [
        "identity.v1.SignUpRequest",
        "identity.admin.v1.CreateClientRequest",
        "identity.admin.v1.UpdateUserRequest",
        "identity.admin.v1.ApplyManifestRequest",
    ];

    let Some((kind, body)) = bytes.split_first() else { return };
    if kind & 0x80 != 0 {
        return call::fuzz(body);
    }
    let stream_type = if kind & 1 == 0 { StreamType::Unary } else { StreamType::Server };
    let is_compressed = kind & 2 != 0;
    let call = Call { stream_type, is_compressed, ..Call::of_json(None, LongMessages::new()) };
    let Ok(message) = call.message(&Bytes::copy_from_slice(body), MAX_BYTES) else { return };
    assert!(message.len() <= MAX_BYTES);
    let input = API.get_message_by_name(INPUTS[usize::from(kind >> 2) % INPUTS.len()]).expect("it is one");
    let Ok(frame) = json::read(&message, &input, MAX_BYTES) else { return };
    assert!(frame.len() <= MAX_BYTES + MESSAGE_HEAD_BYTES);
    let decoded = |frame: &Bytes| DynamicMessage::decode(input.clone(), &frame[MESSAGE_HEAD_BYTES..]);
    // A path of a field can be read that has no spelling in JSON.
    if let Ok(written) = json::write(&frame[MESSAGE_HEAD_BYTES..], &input) {
        let again = json::read(&written, &input, usize::MAX).expect("what is written is read");
        assert_eq!(decoded(&again), decoded(&frame));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    use super::*;
    use crate::{
        proto::described::API,
        rpc::{connect::Method, long::LongMessages},
    };

    fn body(path: &str, message: String, long: &LongMessages) -> MessageBody {
        let (service, name) = path.split_once('/').unwrap();
        let service = API.get_service_by_name(service).unwrap();
        let method = service.methods().find(|method| method.name() == name).unwrap();
        let call = Call::of_json(Some(Arc::new(Method::of(&method))), long.clone());
        call.body(message.into(), usize::MAX, &Arc::new(Hold::of_message(None)))
    }

    #[tokio::test]
    async fn json_that_is_long_or_has_many_values_is_read_elsewhere_one_at_a_time() {
        let display_name = |chars| format!("{{\"displayName\":\"{}\"}}", "x".repeat(chars));
        let objects = |count| format!("{{\"groups\":[{}]}}", vec!["{}"; count].join(","));
        let (sign_up, apply) =
            ("identity.v1.IdentityService/SignUp", "identity.admin.v1.ApplyService/ApplyManifest");
        let long = LongMessages::new();
        for (path, message, is_long) in [
            (sign_up, display_name(60_000), false),
            (sign_up, display_name(70_000), true),
            (apply, format!("{{\"manifest\":{}}}", objects(1_000)), false),
            (apply, format!("{{\"manifest\":{}}}", objects(2_000)), true),
        ] {
            let mut body = body(path, message, &long);
            let turn = long.turn().await.unwrap();
            // Nothing of a long one is read where it is asked for.
            let at_once = body.frame().now_or_never();
            assert_eq!(at_once.is_none(), is_long, "{path}");
            drop(turn);
            let frame = match at_once {
                Some(frame) => frame,
                None => body.frame().await,
            };
            let frame = frame.unwrap().unwrap().into_data().unwrap();
            assert!(
                gzip::first_frame(&frame).is_some_and(|(flag, _, behind)| flag == 0 && behind.is_empty())
            );
            assert!(body.is_end_stream() && body.frame().await.is_none());
        }
    }
}
