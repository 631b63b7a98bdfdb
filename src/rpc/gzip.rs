//! Owns taking in messages that are compressed: by gzip, which every library of gRPC has, and as no more bytes than any other message.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::Bytes;
use tonic::{Status, metadata::MetadataValue};

use crate::model::Error;

/// How messages with the flag `1` are compressed (gRPC over HTTP/2, `Message-Encoding`).
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// How they may be (`Message-Accept-Encoding`).
const ACCEPTED: &str = "grpc-accept-encoding";

/// What stands before each message: whether it is compressed, and its length.
pub(super) const MESSAGE_HEAD_BYTES: usize = 5;

const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;

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
        match headers.get(ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Self::Identity,
            Some(b"gzip") => Self::Gzip,
            Some(_) => Self::Other,
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
    headers.remove(ENCODING);
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
fn first_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<MESSAGE_HEAD_BYTES>()?;
    let [flag, length @ ..] = *head;
    let (message, behind) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
    Some((flag, message, behind))
}

/// The frame of what `message` was, which has at most `max_bytes`.
fn plain(message: &[u8], max_bytes: usize) -> Result<Bytes, Error> {
    let mut plain = vec![PLAIN; MESSAGE_HEAD_BYTES];
    let room = max_bytes.saturating_sub(plain.len());
    let mut decoder =
        MultiGzDecoder::new(message).take(u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1));
    let length = decoder
        .read_to_end(&mut plain)
        .map_err(|_| Error::MalformedRequest("a compressed message is not what gzip makes".to_owned()))?;
    if length > room {
        return Err(Error::MessageTooLarge { max_bytes: max_bytes.saturating_sub(MESSAGE_HEAD_BYTES) });
    }
    // What is held is what is charged.
    plain.shrink_to_fit();
    let length = u32::try_from(length).map_err(Error::internal)?;
    plain[1..MESSAGE_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(plain.into())
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
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

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
