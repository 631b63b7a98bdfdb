//! Owns the resume token: a place in the stream, which any replica understands.

use crate::base::Timestamp;

/// The first byte: a later form has another.
const VERSION: u8 = 1;

/// How long it is.
pub(super) const POSITION_BYTES: usize = 33;

/// A place in the stream. It is no secret, and proves nothing: it says no more than from when on changes are to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Which process told it, since when it misses nothing.
    pub(super) process: u64,
    /// The last batch that the process had told.
    pub(super) batch: u64,
    /// Until when it had read the feed.
    pub(super) time: Timestamp,
    /// What was told, of which audiences: whoever is to be told of others lacks what happened there before.
    pub(super) mark: u64,
}

impl Position {
    pub(super) fn encode(self) -> [u8; POSITION_BYTES] {
        let mut bytes = [VERSION; POSITION_BYTES];
        bytes[1..9].copy_from_slice(&self.process.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.batch.to_be_bytes());
        bytes[17..25].copy_from_slice(&self.time.as_micros().to_be_bytes());
        bytes[25..].copy_from_slice(&self.mark.to_be_bytes());
        bytes
    }

    /// What `bytes` say; none if this release does not understand them.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; POSITION_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(number)
        };
        (bytes[0] == VERSION).then(|| Self {
            process: number(1),
            batch: number(9),
            time: Timestamp::from_micros(number(17).cast_signed()),
            mark: number(25),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_position_is_read_as_it_was_written(process: u64, batch: u64, micros: i64, mark: u64) {
            let position = Position { process, batch, time: Timestamp::from_micros(micros), mark };
            prop_assert_eq!(Position::decode(&position.encode()), Some(position));
        }

        #[test]
        fn what_is_made_up_is_a_position_or_none(bytes: Vec<u8>) {
            if let Some(position) = Position::decode(&bytes) {
                prop_assert_eq!(&position.encode()[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn another_form_is_not_understood() {
        let mut bytes = Position { process: 1, batch: 2, time: Timestamp::from_micros(3), mark: 4 }.encode();
        bytes[0] = 2;
        assert_eq!(Position::decode(&bytes), None);
        assert_eq!(Position::decode(&bytes[1..]), None);
    }
}
