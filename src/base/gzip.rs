//! Owns what gzip is called in headers, and whether a list of codings takes it.

use http::{HeaderMap, HeaderName};

/// What gzip is called in all headers.
pub(crate) const GZIP: &str = "gzip";

/// Whether whoever sends `headers` takes an answer that gzip has compressed: the list `accepted` names it, and does not weigh it as nothing
/// (RFC 9110 section 12.5.3).
pub(crate) fn takes_gzip(headers: &HeaderMap, accepted: &HeaderName) -> bool {
    let lists = headers.get_all(accepted).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let is_refused =
            weight.is_some_and(|(_, weight)| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        name.trim().eq_ignore_ascii_case(GZIP) && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::ACCEPT_ENCODING};

    use super::*;

    #[test]
    fn whoever_takes_gzip_says_so() {
        for (said, expected) in [
            ("gzip", true),
            ("identity, deflate,gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br, GZIP;q=0.5", true),
            ("identity", false),
            ("br", false),
            ("gzip2", false),
            ("x-gzip2", false),
            ("", false),
            ("GZip", true),
            ("gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip ; Q=0.0, br", false),
            ("*", false),
        ] {
            for accepted in [HeaderName::from_static("grpc-accept-encoding"), ACCEPT_ENCODING] {
                let mut headers = HeaderMap::new();
                headers.insert(&accepted, HeaderValue::from_static(said));
                assert_eq!(takes_gzip(&headers, &accepted), expected, "{said:?}");
            }
        }
        assert!(!takes_gzip(&HeaderMap::new(), &ACCEPT_ENCODING));
    }
}
