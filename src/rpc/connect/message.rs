//! Owns the message of a request by Connect: out of its envelope and its compression on its way in, and a gRPC frame once it is read,
//! which is after its caller has been recognised.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http_body::{Body, Frame};
use hyper::body::Bytes;
use tonic::Status;

use super::{
    call::{Call, Codec, Form},
    json,
};
use crate::{
    admission::{Hold, Keeper},
    model::Error,
    rpc::gzip::{self, MESSAGE_HEAD_BYTES},
};

/// The flags of an envelope.
pub(super) const COMPRESSED: u8 = 1;
pub(super) const END_OF_STREAM: u8 = 2;

/// The message of a request as gRPC frames it, made when it is asked for.
pub(in crate::rpc) struct MessageBody {
    call: Call,
    /// None once it has been read.
    message: Option<Bytes>,
    /// The message itself, where its frame's head goes first.
    rest: Option<Bytes>,
    max_bytes: usize,
    keeper: Keeper,
}

impl Call {
    /// The message in `body`, which has `max_bytes` at most.
    ///
    /// # Errors
    /// [`Error::MalformedRequest`] if the body is no envelope, or not what gzip makes; [`Error::MessageTooLarge`].
    pub(in crate::rpc) fn message(&self, body: &Bytes, max_bytes: usize) -> Result<Bytes, Error> {
        let (message, is_compressed) = match self.form {
            Form::Unary => (body.clone(), self.is_compressed && !body.is_empty()),
            Form::Stream => self.only(body)?,
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
        MessageBody { call: self.clone(), message: Some(message), rest: None, max_bytes, keeper }
    }

    /// Whether messages are protobuf.
    pub(in crate::rpc) fn is_binary(&self) -> bool {
        self.codec == Codec::Proto
    }
}

impl MessageBody {
    fn frame(&mut self, message: Bytes) -> Result<Bytes, Error> {
        let Some(method) = &self.call.method else { return Err(Error::Unimplemented) };
        match self.call.codec {
            Codec::Json => {
                let frame = json::read(&message, &method.input, self.max_bytes)?;
                // Numbers and times can be longer in protobuf.
                if frame.len() > message.len() { self.keeper.keep(frame) } else { Ok(frame) }
            }
            Codec::Proto => {
                let mut head = [0; MESSAGE_HEAD_BYTES];
                let length = u32::try_from(message.len()).map_err(Error::internal)?;
                head[1..].copy_from_slice(&length.to_be_bytes());
                self.rest = Some(message).filter(|message| !message.is_empty());
                Ok(Bytes::copy_from_slice(&head))
            }
        }
    }
}

impl Body for MessageBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match (self.message.take(), self.rest.take()) {
            (Some(message), _) => Some(self.frame(message)),
            (None, rest) => rest.map(Ok),
        };
        Poll::Ready(frame.map(|frame| frame.map(Frame::data).map_err(Status::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.rest.is_none()
    }
}

/// What must hold for any bytes, whose first says how they come: a message is no longer than it may be, and what is read of JSON is what
/// is written of it.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(bytes: &[u8]) {
    use std::sync::LazyLock;

    use prost_reflect::{DescriptorPool, DynamicMessage};

    use crate::proto::DESCRIPTOR_SET;

    const MAX_BYTES: usize = 4_096;
    const INPUTS: [&str; 4] = [
        "identity.v1.SignUpRequest",
        "identity.admin.v1.CreateClientRequest",
        "identity.admin.v1.UpdateUserRequest",
        "identity.admin.v1.ApplyManifestRequest",
    ];
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).expect("it describes the API"));

    let Some((kind, body)) = bytes.split_first() else { return };
    let form = if kind & 1 == 0 { Form::Unary } else { Form::Stream };
    let is_compressed = kind & 2 != 0;
    let call =
        Call { method: None, codec: Codec::Json, form, is_compressed, takes_gzip: false, is_get: false };
    let Ok(message) = call.message(&Bytes::copy_from_slice(body), MAX_BYTES) else { return };
    assert!(message.len() <= MAX_BYTES);
    let input = POOL.get_message_by_name(INPUTS[usize::from(kind >> 2) % INPUTS.len()]).expect("it is one");
    let Ok(frame) = json::read(&message, &input, MAX_BYTES) else { return };
    assert!(frame.len() <= MAX_BYTES + MESSAGE_HEAD_BYTES);
    let decoded = |frame: &Bytes| DynamicMessage::decode(input.clone(), &frame[MESSAGE_HEAD_BYTES..]);
    // A path of a field can be read that has no spelling in JSON.
    if let Ok(written) = json::write(&frame[MESSAGE_HEAD_BYTES..], &input) {
        let again = json::read(&written, &input, usize::MAX).expect("what is written is read");
        assert_eq!(decoded(&again), decoded(&frame));
    }
}
