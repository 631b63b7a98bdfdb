//! Owns `/.well-known/jwks.json`: the public keys, and how long whoever reads them may keep them.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64ct::{Base64UrlUnpadded, Encoding};

use crate::identity::Keyring;

/// The public keys (RFC 7517 section 5), with a strong validator (RFC 9110 section 8.8).
pub(super) async fn jwks(State(keyring): State<Arc<Keyring>>, request: HeaderMap) -> Response {
    let max_age = match keyring.refresh().await {
        Ok(()) => keyring.published_max_age().as_secs(),
        // The keys may have changed meanwhile. Those that are known verify what they signed, so they are worth more than none.
        Err(_) => 0,
    };
    let Ok(body) = serde_json::to_vec(keyring.published().as_ref()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let etag = etag(&body);
    let headers =
        [(header::CACHE_CONTROL, format!("public, max-age={max_age}")), (header::ETAG, etag.clone())];
    if names(&request, &etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, "application/jwk-set+json")], body).into_response()
}

/// The same for the same bytes, from whichever replica.
fn etag(body: &[u8]) -> String {
    format!("\"{}\"", Base64UrlUnpadded::encode_string(digest::digest(&digest::SHA256, body).as_ref()))
}

/// Whether `If-None-Match` names `etag` or whatever there is. It compares weakly (RFC 9110 section 13.1.2).
fn names(request: &HeaderMap, etag: &str) -> bool {
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
