//! Owns pages of lists (AIP-158): how many, and where the next one begins.

use base64ct::{Base64UrlUnpadded, Encoding};
use uuid::Uuid;

use super::refused;
use crate::model::{Error, FieldReason};

/// How many there are on a page if the caller does not say.
const DEFAULT_SIZE: u64 = 50;

/// The most that a page has: what comes in one message and costs one query.
const MAX_SIZE: u64 = 500;

/// Which page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// How many at most.
    pub(super) size: u64,
    /// The last id of the page before.
    pub(super) after: Option<Uuid>,
}

impl Page {
    /// Reads a request's `page_size` and `page_token`.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a negative size, or a token that this service did not make.
    pub(super) fn parse(page_size: i32, page_token: &str) -> Result<Self, Error> {
        let size = size(page_size)?;
        if page_token.is_empty() {
            return Ok(Self { size, after: None });
        }
        let mut bytes = [0; 16];
        match Base64UrlUnpadded::decode(page_token, &mut bytes) {
            Ok(decoded) if decoded.len() == 16 => Ok(Self { size, after: Some(Uuid::from_bytes(bytes)) }),
            _ => {
                let rule = "must be the `next_page_token` of the page before";
                Err(refused("page_token", FieldReason::Malformed, rule))
            }
        }
    }
}

/// How many a page has at most, if a request asks for `page_size`.
pub(super) fn size(page_size: i32) -> Result<u64, Error> {
    match u64::try_from(page_size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err(refused("page_size", FieldReason::Malformed, "must not be negative")),
    }
}

/// Cuts `found` to `size`, and returns the token of the next page, empty if there is none.
pub(super) fn next<T>(found: &mut Vec<T>, size: u64, id: impl Fn(&T) -> Uuid) -> String {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if found.len() <= size {
        return String::new();
    }
    found.truncate(size);
    found.last().map_or_else(String::new, |last| Base64UrlUnpadded::encode_string(id(last).as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_next_page_begins_after_the_last_of_this_one() {
        let ids: Vec<_> = (1..=3).map(Uuid::from_u128).collect();
        let mut found = ids.clone();
        let token = next(&mut found, 2, |id| *id);
        assert_eq!(found, ids[..2]);
        assert_eq!(Page::parse(2, &token).unwrap(), Page { size: 2, after: Some(ids[1]) });
        assert_eq!(next(&mut found, 2, |id| *id), "");
        assert_eq!(Page::parse(0, "").unwrap().size, DEFAULT_SIZE);
        assert_eq!(Page::parse(i32::MAX, "").unwrap().size, MAX_SIZE);
        assert!(Page::parse(-1, "").is_err());
    }

    proptest! {
        #[test]
        fn no_token_panics(token in any::<String>()) {
            let _ = Page::parse(1, &token);
        }
    }
}
