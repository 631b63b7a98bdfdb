//! Owns the id of a request, the header `x-request-id`: which ones senders may choose, and how others are made.

use std::fmt;

use uuid::{Uuid, fmt::Hyphenated};

use super::id::uuid_v7;
use crate::base::{Entropy, Timestamp};

/// The header that tells the id, in requests and in answers.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// The longest id.
const MAX_BYTES: usize = 64;

/// The id of one request, by which its answer, its error and its lines in the log are found. Its sender may choose it, as often as they
/// like the same, so nothing is looked up or merged by it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; MAX_BYTES],
    length: u8,
}

impl RequestId {
    /// The id that a sender has chosen; none if it is not 1 to 64 of `A-Z a-z 0-9 . _ -`: such an id needs no escape anywhere.
    #[must_use]
    pub fn parse(chosen: &[u8]) -> Option<Self> {
        let may_have = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let length = u8::try_from(chosen.len()).ok().filter(|length| *length > 0)?;
        let mut bytes = [0; MAX_BYTES];
        bytes.get_mut(..chosen.len())?.copy_from_slice(chosen);
        chosen.iter().all(may_have).then_some(Self { bytes, length })
    }

    /// A new id for a request that came at `now`: a UUIDv7.
    #[must_use]
    pub fn new(now: Timestamp, entropy: &Entropy) -> Self {
        Self::of(uuid_v7(now, entropy))
    }

    fn of(id: Uuid) -> Self {
        let mut bytes = [0; MAX_BYTES];
        id.hyphenated().encode_lower(&mut bytes);
        Self { bytes, length: u8::try_from(Hyphenated::LENGTH).unwrap_or_default() }
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It is ASCII, whoever chose it.
        str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_has_up_to_64_characters_that_need_no_escape() {
        let longest = "a".repeat(MAX_BYTES);
        for good in ["a", "-", "01a20a05-adfd-7f0f-a948-424ae62fc105", "A.Z_0-9", &longest] {
            assert_eq!(RequestId::parse(good.as_bytes()).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(MAX_BYTES + 1);
        let far_too_long = "a".repeat(256 + 1);
        for bad in
            ["", " ", "a b", "a,b", "a\n", "\0", "a\"", "%0a", "a/b", "a:b", "é", &too_long, &far_too_long]
        {
            assert_eq!(RequestId::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_new_id_is_a_uuid_of_its_time_and_of_nobody_else() {
        let now = Timestamp::from_micros(1_795_435_200_000_000);
        let [one, other] = [(); 2].map(|()| RequestId::new(now, &Entropy::system()));
        assert_ne!(one, other);
        let id = Uuid::try_parse(one.as_str()).unwrap();
        assert_eq!((id.get_version_num(), one.as_str().len()), (7, 36));
        assert_eq!(super::super::id::millis(id), Some(now.as_millis()));
        assert_eq!(RequestId::parse(one.as_str().as_bytes()), Some(one), "it may be sent on");
    }

    proptest! {
        #[test]
        fn what_is_taken_is_told_as_it_is_and_nothing_else_is_taken(chosen in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(id) = RequestId::parse(&chosen) {
                prop_assert_eq!(id.as_str().as_bytes(), &chosen);
                prop_assert!(id.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\,;=%/".contains(&byte)));
            }
        }
    }
}
