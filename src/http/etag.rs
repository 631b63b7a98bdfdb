//! Owns strong validators (RFC 9110 section 8.8): the same bytes have the same one, from whichever replica.

use aws_lc_rs::digest;
use axum::http::{HeaderMap, header};
use base64ct::{Base64UrlUnpadded, Encoding};

/// The tag of `body`.
pub(super) fn of(body: &[u8]) -> String {
    format!("\"{}\"", Base64UrlUnpadded::encode_string(digest::digest(&digest::SHA256, body).as_ref()))
}

/// Whether `If-None-Match` names `etag` or whatever there is. It compares weakly (RFC 9110 section 13.1.2).
pub(super) fn names(request: &HeaderMap, etag: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // An entity tag may hold commas; this one does not, so that no part of another equals it.
    let mut named = values.flat_map(|value| value.split(',')).map(str::trim);
    named.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_tag_is_found_among_others_and_taken_for_no_other() {
        let named = |values: &[&'static str]| {
            let mut request = HeaderMap::new();
            for value in values {
                request.append(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            }
            names(&request, "\"abc\"")
        };
        for yes in
            [&["\"abc\""][..], &["*"], &["W/\"abc\""], &["\"x\", \"abc\""], &["\"x\"", "\"y\",W/\"abc\""]]
        {
            assert!(named(yes), "{yes:?}");
        }
        for no in [&[][..], &[""], &["abc"], &["\"abcd\""], &["\"ABC\""], &["\"x,abc\""], &["w/\"abc\""]] {
            assert!(!named(no), "{no:?}");
        }
    }
}
