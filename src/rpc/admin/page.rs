//! Owns pages of lists of the admin API (AIP-158): how many, where the next one begins, and that it is a page of the same list.

use aws_lc_rs::digest::{SHA256, digest};
use base64ct::{Base64UrlUnpadded, Encoding};
use prost::Message;
use uuid::Uuid;

use super::refused;
use crate::{
    model::{Error, FieldReason},
    rpc::paging,
};

/// How many bytes of a token tell for which filter it was made: nobody gains by two that have the same.
const FILTER_BYTES: usize = 8;

/// The longest token: room for a name, and an id.
const TOKEN_MAX_BYTES: usize = 1_024;

/// Where a list goes on: what the last of a page was, in the order of the list.
pub(super) trait Cursor: Sized {
    /// As it stands in a token.
    fn encode(&self) -> Vec<u8>;

    /// What a token says; none if this service did not make it.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Which page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page<C> {
    /// How many at most.
    pub(super) size: u64,
    /// The last of the page before; none asks for the first page.
    pub(super) after: Option<C>,
    filter: [u8; FILTER_BYTES],
}

impl<C: Cursor> Page<C> {
    /// Reads a request's `page_size` and `page_token`; `filter` is the request without these two.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a negative size, or a token that this service did not make, or made for another filter.
    pub(super) fn parse(page_size: i32, page_token: &str, filter: &impl Message) -> Result<Self, Error> {
        let size = paging::size(page_size)?;
        let mut filter_bytes = [0; FILTER_BYTES];
        filter_bytes.copy_from_slice(&digest(&SHA256, &filter.encode_to_vec()).as_ref()[..FILTER_BYTES]);
        if page_token.is_empty() {
            return Ok(Self { size, after: None, filter: filter_bytes });
        }
        let read = || {
            let short_enough = Some(page_token).filter(|token| token.len() <= TOKEN_MAX_BYTES)?;
            let bytes = Base64UrlUnpadded::decode_vec(short_enough).ok()?;
            C::decode(bytes.strip_prefix(&filter_bytes)?)
        };
        let after = read().ok_or_else(no_token)?;
        Ok(Self { size, after: Some(after), filter: filter_bytes })
    }

    /// The last of the page before, taken out, if it may be that of a page of this list, as `has` says: what a token is made for, anybody
    /// can write into one.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] if it may not.
    pub(super) fn take_after(&mut self, has: impl FnOnce(&C) -> bool) -> Result<Option<C>, Error> {
        match self.after.take() {
            Some(after) if !has(&after) => Err(no_token()),
            after => Ok(after),
        }
    }

    /// Cuts `found`, which was asked for one more, to the size of the page, and returns the token of the next one, empty if there is none.
    pub(super) fn next<T>(&self, found: &mut Vec<T>, cursor: impl Fn(&T) -> C) -> String {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if found.len() <= size {
            return String::new();
        }
        found.truncate(size);
        found.last().map_or_else(String::new, |last| self.token(&cursor(last)))
    }

    /// The token of the page after `last`.
    pub(super) fn token(&self, last: &C) -> String {
        Base64UrlUnpadded::encode_string(&[&self.filter[..], &last.encode()].concat())
    }
}

fn no_token() -> Error {
    let rule = "must be the `next_page_token` of the page before, of a request that differs in nothing else";
    refused("page_token", FieldReason::Malformed, rule)
}

impl Cursor for Uuid {
    fn encode(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }
}

impl Cursor for String {
    fn encode(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::identity::admin::v1::{GetKeyRequest, ListKeysRequest};

    #[test]
    fn a_token_leads_on_in_the_same_list_and_in_no_other() {
        let ids: Vec<_> = (1..=3).map(Uuid::from_u128).collect();
        let filter = GetKeyRequest { kid: "a".to_owned() };
        let page = Page::parse(2, "", &filter).unwrap();
        let mut found = ids.clone();
        let token = page.next(&mut found, |id| *id);
        assert_eq!(found, ids[..2]);
        let second = Page::parse(2, &token, &filter).unwrap();
        assert_eq!(second, Page { after: Some(ids[1]), ..page });
        assert_eq!(second.next(&mut found, |id| *id), "");
        assert!(Page::<Uuid>::parse(2, &token, &GetKeyRequest { kid: "b".to_owned() }).is_err());
        assert!(Page::<Uuid>::parse(-1, "", &filter).is_err());
        let mut page = Page::parse(2, &token, &filter).unwrap();
        assert!(page.clone().take_after(|id| *id != ids[1]).is_err());
        assert_eq!(page.take_after(|id| *id == ids[1]).unwrap(), Some(ids[1]));
    }

    proptest! {
        #[test]
        fn no_token_panics_and_what_is_made_is_read(token in any::<String>(), last in any::<String>()) {
            let filter = ListKeysRequest::default();
            let _ = Page::<Uuid>::parse(1, &token, &filter);
            let first = Page::<String>::parse(1, "", &filter).unwrap();
            prop_assert_eq!(Page::parse(1, &first.token(&last), &filter).map(|page| page.after).ok(), Some(Some(last)));
        }
    }
}
