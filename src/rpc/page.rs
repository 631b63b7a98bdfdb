//! Owns pages of lists (AIP-158): how many a page has, where the next one begins, and that it is a page of the same list.

use std::mem::take;

use aws_lc_rs::digest::{SHA256, digest};
use base64ct::{Base64UrlUnpadded, Encoding};
use prost::Message;
use uuid::Uuid;

use super::refused;
use crate::{
    model::{Error, FieldReason},
    proto::identity::{
        admin::v1::{
            ListAttributesRequest, ListAudiencesRequest, ListAuditEventsRequest, ListBindingsRequest,
            ListClientsRequest, ListGroupsRequest, ListKeysRequest, ListMembershipsRequest, ListRolesRequest,
            ListSessionsRequest, ListUsersRequest,
        },
        policy::v1::ListPolicyVersionsRequest,
        v1::ListSessionsRequest as ListOwnSessionsRequest,
    },
};

/// How many there are on a page if the caller does not say.
const DEFAULT_SIZE: u64 = 50;

/// The most that a page has: what comes in one message and costs one query.
const MAX_SIZE: u64 = 500;

/// How many bytes of a token tell for which list and filter it was made: nobody gains by two that have the same.
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

/// A request for a page of a list.
pub(super) trait ListRequest: Message {
    /// What the list is called: without a filter, requests for two lists have the same fields.
    const NAME: &str;

    /// Takes out its `page_size` and `page_token`: what is left says which list it is.
    fn take_page(&mut self) -> (i32, String);
}

macro_rules! list_requests {
    ($($request:ident),+ $(,)?) => {
        $(impl ListRequest for $request {
            const NAME: &str = stringify!($request);

            fn take_page(&mut self) -> (i32, String) {
                (take(&mut self.page_size), take(&mut self.page_token))
            }
        })+
    };
}

list_requests!(
    ListAttributesRequest,
    ListAudiencesRequest,
    ListAuditEventsRequest,
    ListBindingsRequest,
    ListClientsRequest,
    ListGroupsRequest,
    ListKeysRequest,
    ListMembershipsRequest,
    ListOwnSessionsRequest,
    ListPolicyVersionsRequest,
    ListRolesRequest,
    ListSessionsRequest,
    ListUsersRequest,
);

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
    /// Takes the page out of `request`, whose other fields are left.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a negative size, or a token that this service did not make, or made for another filter.
    pub(super) fn take(request: &mut impl ListRequest) -> Result<Self, Error> {
        let (page_size, page_token) = request.take_page();
        Self::parse(page_size, &page_token, request)
    }

    /// Reads a request's `page_size` and `page_token`; `filter` is the request without these two.
    fn parse<List: ListRequest>(page_size: i32, page_token: &str, filter: &List) -> Result<Self, Error> {
        let size = size(page_size)?;
        let mut filter_bytes = [0; FILTER_BYTES];
        let list = [List::NAME.as_bytes(), &filter.encode_to_vec()].concat();
        filter_bytes.copy_from_slice(&digest(&SHA256, &list).as_ref()[..FILTER_BYTES]);
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

/// How many a page has at most, if a request asks for `page_size`.
fn size(page_size: i32) -> Result<u64, Error> {
    match u64::try_from(page_size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err(refused("page_size", FieldReason::Malformed, "must not be negative")),
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

    #[test]
    fn a_token_leads_on_in_the_same_list_and_in_no_other() {
        let ids: Vec<_> = (1..=3).map(Uuid::from_u128).collect();
        let list = |page_size, page_token: &str, scope: &str| ListClientsRequest {
            page_size,
            page_token: page_token.to_owned(),
            scope: scope.to_owned(),
            ..ListClientsRequest::default()
        };
        let read =
            |page_size, page_token: &str, scope| Page::<Uuid>::take(&mut list(page_size, page_token, scope));
        let mut first = list(2, "", "a");
        let page = Page::take(&mut first).unwrap();
        assert_eq!(first, list(0, "", "a"), "the filter is left");
        let mut found = ids.clone();
        let token = page.next(&mut found, |id| *id);
        assert_eq!(found, ids[..2]);
        let second = read(2, &token, "a").unwrap();
        assert_eq!(second, Page { after: Some(ids[1]), ..page });
        assert_eq!(second.next(&mut found, |id| *id), "");
        assert!(read(2, &token, "b").is_err());
        let unfiltered = read(2, "", "").unwrap().token(&ids[1]);
        assert!(read(2, &unfiltered, "").is_ok());
        let mut other = ListGroupsRequest { page_size: 2, page_token: unfiltered };
        assert!(Page::<Uuid>::take(&mut other).is_err(), "another list, where nothing is filtered either");
        assert!(read(-1, "", "a").is_err());
        assert_eq!(read(0, "", "a").unwrap().size, DEFAULT_SIZE);
        assert_eq!(read(i32::MAX, "", "a").unwrap().size, MAX_SIZE);
        let mut page = read(2, &token, "a").unwrap();
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
