//! Owns messages that gzip compresses, which every library of gRPC has: they are taken in as no more bytes than any other message, and
//! answers are sent so that are large and have nothing secret.

use std::io::{Read, Write};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Bytes;
use prost_reflect::{Kind, MessageDescriptor};
use tokio::task::spawn_blocking;
use tonic::{Status, body::Body, metadata::MetadataValue};

use crate::{base::GZIP, model::Error};

/// How messages with the flag `1` are compressed (gRPC over HTTP/2, `Message-Encoding`).
pub(super) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// How they may be (`Message-Accept-Encoding`).
const ACCEPTED: &str = "grpc-accept-encoding";
pub(super) const GRPC_ACCEPTED: HeaderName = HeaderName::from_static(ACCEPTED);

/// What stands before each message: whether it is compressed, and its length.
pub(super) const MESSAGE_HEAD_BYTES: usize = 5;

pub(super) const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;

/// The largest message of an answer that is not compressed: it is one packet or little more, with its headers.
const MAX_PLAIN_BYTES: usize = 1_024;

/// The largest that is compressed where the answer is made, which takes about a millisecond: what serves others waits for no more.
const MAX_BYTES_AT_ONCE: usize = 64 * 1_024;

/// The fields of answers that open something. How long a compressed answer is tells how much of it is alike: whoever sees that length, and
/// chooses another part of the same answer, finds a secret piece by piece (CRIME, BREACH). So what has such a field is not compressed.
const SECRET_FIELDS: [&str; 4] = ["access_token", "client_secret", "one_time_password", "refresh_token"];

/// How a call's messages are compressed, if they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// They are not.
    Identity,
    /// By gzip (RFC 1952).
    Gzip,
    /// By something that is not taken.
    Other,
}

impl Encoding {
    /// What `headers` say.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
            None => Self::Identity,
            Some(encoding) => Self::named(encoding),
        }
    }

    /// What the name of a coding means, in any case (RFC 9110 section 8.4.1).
    pub(super) const fn named(name: &[u8]) -> Self {
        if name.eq_ignore_ascii_case(GZIP.as_bytes()) {
            Self::Gzip
        } else if name.eq_ignore_ascii_case(b"identity") {
            Self::Identity
        } else {
            Self::Other
        }
    }
}

/// Refuses what is compressed by something else, and says what is taken, as gRPC's `compression.md` wants it.
pub(super) fn refusal() -> Status {
    let mut status = Status::unimplemented("messages may be compressed by gzip, and by nothing else");
    status.metadata_mut().insert(ACCEPTED, MetadataValue::from_static("gzip,identity"));
    status
}

/// Has `headers` say no more that messages are compressed, where they will not be.
pub(super) fn forget_in(headers: &mut HeaderMap) {
    headers.remove(GRPC_ENCODING);
}

/// Whether answers that are an `output` may be compressed: nothing in them is secret.
pub(super) fn may_compress(output: &MessageDescriptor) -> bool {
    let (mut seen, mut left) = (Vec::new(), vec![output.clone()]);
    while let Some(message) = left.pop() {
        for field in message.fields() {
            if SECRET_FIELDS.contains(&field.name()) {
                return false;
            }
            if let Kind::Message(inner) = field.kind()
                && !seen.contains(&inner)
            {
                left.push(inner.clone());
                seen.push(inner);
            }
        }
    }
    true
}

/// `response`, which has one message: compressed, if that is large, and smaller then.
pub(super) async fn compressed(response: Response<Body>) -> Response<Body> {
    if response.body().is_end_stream() {
        return response;
    }
    let (mut head, mut body) = response.into_parts();
    let mut first = body.frame().await;
    if let Some(Ok(frame)) = &first
        && let Some(data) = frame.data_ref()
        && let Some(smaller) = smaller(data).await
    {
        first = Some(Ok(Frame::data(smaller)));
        head.headers.insert(GRPC_ENCODING, HeaderValue::from_static(GZIP));
    }
    let frames = stream::iter(first).chain(BodyStream::new(body));
    Response::from_parts(head, Body::new(StreamBody::new(frames)))
}

/// The frame of the one message of `body`, compressed. None if it stays as it is.
async fn smaller(body: &Bytes) -> Option<Bytes> {
    let Some((PLAIN, message, [])) = first_frame(body) else { return None };
    if message.len() <= MAX_PLAIN_BYTES {
        return None;
    }
    let frame = if message.len() <= MAX_BYTES_AT_ONCE {
        compressed_frame(message)
    } else {
        let message = body.slice_ref(message);
        spawn_blocking(move || compressed_frame(&message)).await.ok()?
    };
    frame.filter(|frame| frame.len() < body.len())
}

/// `message`, which is all of an answer, compressed. None if it stays as it is.
pub(super) async fn smaller_message(message: &Bytes) -> Option<Bytes> {
    if message.len() <= MAX_PLAIN_BYTES {
        return None;
    }
    let smaller = if message.len() <= MAX_BYTES_AT_ONCE {
        compressed_behind(Vec::new(), message)
    } else {
        let message = message.clone();
        spawn_blocking(move || compressed_behind(Vec::new(), &message)).await.ok()?
    };
    smaller.filter(|smaller| smaller.len() < message.len()).map(Bytes::from)
}

/// `message`, compressed, behind `head`.
fn compressed_behind(head: Vec<u8>, message: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(head, Compression::fast());
    encoder.write_all(message).ok()?;
    encoder.finish().ok()
}

fn compressed_frame(message: &[u8]) -> Option<Bytes> {
    let mut frame = compressed_behind(vec![COMPRESSED; MESSAGE_HEAD_BYTES], message)?;
    let length = u32::try_from(frame.len() - MESSAGE_HEAD_BYTES).ok()?;
    frame[1..MESSAGE_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    Some(frame.into())
}

/// The frame of `body` with its message as it was before it was compressed: at most `max_bytes`. None if it is not compressed.
///
/// # Errors
/// [`Error::MalformedRequest`] if the message is not what gzip makes, or not the only one: each costs a decompressor, and a body of those
/// that become nothing could have thousands. [`Error::MessageTooLarge`] beyond `max_bytes`.
pub(super) fn decompressed(body: &[u8], max_bytes: usize) -> Result<Option<Bytes>, Error> {
    match first_frame(body) {
        Some((COMPRESSED, message, [])) => plain(message, max_bytes).map(Some),
        Some((COMPRESSED, ..)) => {
            Err(Error::MalformedRequest("a compressed message is the only one of its call".to_owned()))
        }
        _ => Ok(None),
    }
}

/// The first frame of `bytes`: its flag, its message, and what is behind it.
pub(super) fn first_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<MESSAGE_HEAD_BYTES>()?;
    let [flag, length @ ..] = *head;
    let (message, behind) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
    Some((flag, message, behind))
}

/// The frame of what `message` was, which has at most `max_bytes`.
fn plain(message: &[u8], max_bytes: usize) -> Result<Bytes, Error> {
    let room = max_bytes.saturating_sub(MESSAGE_HEAD_BYTES);
    let mut plain = expanded_behind(vec![PLAIN; MESSAGE_HEAD_BYTES], message, room)?;
    let length = u32::try_from(plain.len() - MESSAGE_HEAD_BYTES).map_err(Error::internal)?;
    plain[1..MESSAGE_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(plain.into())
}

/// What `message`, which has no frame, was before it was compressed: at most `max_bytes`.
///
/// # Errors
/// As [`decompressed`].
pub(super) fn expanded(message: &[u8], max_bytes: usize) -> Result<Bytes, Error> {
    expanded_behind(Vec::new(), message, max_bytes).map(Bytes::from)
}

/// How many members of gzip one message may have: compressors make one, and each of thousands that are empty would cost as much as a short
/// message.
const MAX_MEMBERS: usize = 16;

/// What `message` was, at most `room` bytes, behind `head`.
fn expanded_behind(head: Vec<u8>, message: &[u8], room: usize) -> Result<Vec<u8>, Error> {
    let malformed = |what: &str| Error::MalformedRequest(format!("a compressed message {what}"));
    let before = head.len();
    let mut plain = head;
    let mut left = message;
    for _ in 0..MAX_MEMBERS {
        let more = room.saturating_add(1).saturating_sub(plain.len() - before);
        let mut decoder = GzDecoder::new(left);
        let member = decoder.by_ref().take(u64::try_from(more).unwrap_or(u64::MAX)).read_to_end(&mut plain);
        member.map_err(|_| malformed("is not what gzip makes"))?;
        if plain.len() - before > room {
            return Err(Error::MessageTooLarge { max_bytes: room });
        }
        left = decoder.into_inner();
        if left.is_empty() {
            break;
        }
    }
    if !left.is_empty() {
        return Err(malformed("has too many members"));
    }
    // What is held is what is charged.
    plain.shrink_to_fit();
    Ok(plain)
}

/// What must hold for any `body`: what comes of it is no longer than it may be, or is not taken.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(body: &[u8]) {
    const MAX_BYTES: usize = 4_096;
    if let Ok(Some(plain)) = decompressed(body, MAX_BYTES) {
        assert!(plain.len() <= MAX_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures_util::FutureExt;
    use http_body_util::Full;
    use proptest::prelude::*;
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::proto::DESCRIPTOR_SET;

    fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag][..], &length, message].concat()
    }

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_message_is_taken_up_to_the_limit_and_not_beyond() {
        let bomb = |length| frame(COMPRESSED, &gzip(&vec![0; length]));
        let plain = decompressed(&bomb(1_000), 1_005).unwrap().unwrap();
        assert_eq!(&plain[..], frame(PLAIN, &[0; 1_000]));
        for length in [1_001, 1_000_000] {
            let error = decompressed(&bomb(length), 1_005).unwrap_err();
            assert!(matches!(error, Error::MessageTooLarge { max_bytes: 1_000 }), "{error:?}");
        }
    }

    #[test]
    fn what_is_not_what_gzip_makes_is_malformed() {
        let good = gzip(b"a message");
        let mut other_sum = good.clone();
        *other_sum.last_mut().unwrap() ^= 1;
        let garbage_behind = [&good[..], b"garbage"].concat();
        for bad in [&b"a message"[..], &good[..good.len() - 1], &other_sum, &garbage_behind, b""] {
            let error = decompressed(&frame(COMPRESSED, bad), 1_000).unwrap_err();
            assert!(matches!(error, Error::MalformedRequest(_)), "{error:?}");
        }
    }

    #[test]
    fn members_of_one_message_are_joined() {
        let message = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(
            decompressed(&frame(COMPRESSED, &message), 1_000).unwrap().unwrap(),
            frame(PLAIN, b"onetwo")
        );
        // Each costs something, though there is nothing in it.
        let many = frame(COMPRESSED, &gzip(b"").repeat(MAX_MEMBERS + 1));
        assert!(matches!(decompressed(&many, 1_000), Err(Error::MalformedRequest(_))));
    }

    #[test]
    fn a_compressed_message_is_the_only_one_and_what_is_not_compressed_stays_as_it_is() {
        let compressed = frame(COMPRESSED, &gzip(b"one"));
        for behind in [&compressed[..], &frame(PLAIN, b"two"), &[0]] {
            let error = decompressed(&[&compressed[..], behind].concat(), 1_000).unwrap_err();
            assert!(matches!(error, Error::MalformedRequest(_)), "{error:?}");
        }
        for plain in
            [&frame(PLAIN, b"one")[..], &[frame(PLAIN, b"one"), compressed].concat(), &[1, 0, 0], &[]]
        {
            assert_eq!(decompressed(plain, 1_000).unwrap(), None);
        }
    }

    /// Notes in `names` the texts and bytes in `message`, and in what is in it, by the names of their fields.
    fn texts(message: &MessageDescriptor, seen: &mut Vec<MessageDescriptor>, names: &mut BTreeSet<String>) {
        if seen.contains(message) {
            return;
        }
        seen.push(message.clone());
        for field in message.fields() {
            match field.kind() {
                Kind::Message(inner) => texts(&inner, seen, names),
                Kind::String | Kind::Bytes => {
                    names.insert(field.name().to_owned());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn no_answer_with_a_token_a_secret_or_a_password_is_compressed() {
        // The places in a list and in a stream, a word, names of claims; and a key of manifests that is never answered.
        let open = ["next_page_token", "resume_token", "token_type", "token_typ", "token_claims", "secret"];
        let is_secret = |name: &&String| {
            ["token", "secret", "password"].iter().any(|word| name.contains(word))
                && !open.contains(&name.as_str())
        };
        let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
        let (mut secret, mut plain) = (BTreeSet::new(), BTreeSet::new());
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let mut names = BTreeSet::new();
            texts(&method.output(), &mut Vec::new(), &mut names);
            secret.extend(names.iter().filter(is_secret).cloned());
            if !may_compress(&method.output()) {
                plain.insert(method.name().to_owned());
            }
        }
        assert_eq!(secret, BTreeSet::from(SECRET_FIELDS.map(str::to_owned)));
        for (name, expected) in [
            ("IssueToken", true),
            ("ChangePassword", true),
            ("CreateClient", true),
            ("ResetPassword", true),
            ("GetMe", false),
            ("ListUsers", false),
            ("ExportManifest", false),
        ] {
            assert_eq!(plain.contains(name), expected, "{name}: {plain:?}");
        }
    }

    #[test]
    fn the_name_of_a_coding_is_read_in_any_case() {
        for (said, expected) in [
            ("gzip", Encoding::Gzip),
            ("GZIP", Encoding::Gzip),
            ("Identity", Encoding::Identity),
            ("br", Encoding::Other),
            ("", Encoding::Other),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_ENCODING, HeaderValue::from_static(said));
            assert_eq!(Encoding::of(&headers), expected, "{said:?}");
        }
    }

    #[tokio::test]
    async fn what_is_large_and_becomes_smaller_is_compressed() {
        // Marsaglia's xorshift: nothing in it comes twice.
        let mut state = 0x9e37_79b9_u32;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        });
        let noise = noise.take(2_000).collect();
        for (what, message, expected) in [
            ("small", vec![7; MAX_PLAIN_BYTES], false),
            ("large", vec![7; MAX_PLAIN_BYTES + 1], true),
            ("larger", vec![7; MAX_BYTES_AT_ONCE + 1], true),
            ("noise", noise, false),
        ] {
            let body = Bytes::from(frame(PLAIN, &message));
            let answer = compressed(Response::new(Body::new(Full::new(body.clone())))).await;
            assert_eq!(
                answer.headers().get(GRPC_ENCODING).is_some_and(|said| said == GZIP),
                expected,
                "{what}"
            );
            let sent = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(sent.len() < body.len(), expected, "{what}");
            let read = decompressed(&sent, 100_000).unwrap().unwrap_or(sent);
            assert_eq!(read, body, "{what}");
        }
        // What is no single message, or none at all, stays as it is.
        for odd in [Vec::new(), vec![0; 3], [frame(PLAIN, &[7; 2_000]), frame(PLAIN, &[7; 2_000])].concat()] {
            let answer = compressed(Response::new(Body::new(Full::new(Bytes::from(odd.clone()))))).await;
            assert!(answer.headers().is_empty());
            let sent = answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
            assert_eq!(sent, odd);
        }
    }

    proptest! {
        #[test]
        fn a_message_is_what_it_was(message in any::<Vec<u8>>()) {
            let plain = decompressed(&frame(COMPRESSED, &gzip(&message)), 1_000).unwrap().unwrap();
            prop_assert_eq!(&plain[..], frame(PLAIN, &message));
        }

        #[test]
        fn no_bytes_panic(body in any::<Vec<u8>>()) {
            fuzz(&body);
        }
    }
}
