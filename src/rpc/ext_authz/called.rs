//! Owns which RPC a request calls, as far as every program behind reads it alike; of any other request nothing is said.

use super::fields;
use crate::{model::policy::Called, proto::envoy::service::auth::v3::attribute_context::HttpRequest};

/// The content types of bodies that are messages of an RPC: alone, and with the name of a codec behind them.
const ALONE: [&[u8]; 5] = [
    b"application/grpc",
    b"application/grpc-web",
    b"application/grpc-web-text",
    b"application/proto",
    b"application/json",
];

const WITH_CODEC: [&[u8]; 4] =
    [b"application/grpc+", b"application/grpc-web+", b"application/grpc-web-text+", b"application/connect+"];

/// The RPC that `http` calls; none if it is no call of gRPC, gRPC-Web or Connect.
///
/// Nothing is decoded, normalised or compared without case: what another program could read as a method, and is not written as one, is
/// none.
pub(super) fn called(http: &HttpRequest) -> Option<Called<'_>> {
    let of_path = Called::of_path(&http.path);
    let mut types = fields(http, "content-type");
    let content_type = types.next();
    if types.next().is_some() {
        return None;
    }
    match (http.method.as_str(), content_type) {
        ("POST", Some(content_type)) if is_of_rpc(content_type) => Some(Called { by_get: false, ..of_path }),
        ("GET", None) if of_path.by_get => Some(of_path),
        _ => None,
    }
}

/// Whether a body of this type is a message of an RPC.
fn is_of_rpc(content_type: &[u8]) -> bool {
    // Two headers, as proxies join them: which of them counts is not the same everywhere.
    if content_type.contains(&b',') {
        return false;
    }
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    let essence = content_type[..end].trim_ascii_end();
    let is_codec = |rest: &[u8]| {
        !rest.is_empty()
            && rest.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
    };
    ALONE.contains(&essence)
        || WITH_CODEC.iter().any(|begin| essence.strip_prefix(*begin).is_some_and(is_codec))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(method: &str, path: &str, content_type: Option<&str>) -> HttpRequest {
        let headers = content_type.map(|text| ("content-type".to_owned(), text.to_owned()));
        HttpRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: headers.into_iter().collect(),
            ..HttpRequest::default()
        }
    }

    fn read(method: &str, path: &str, content_type: Option<&str>) -> Option<(String, bool)> {
        called(&http(method, path, content_type)).map(|called| (called.method.to_owned(), called.by_get))
    }

    #[test]
    fn calls_of_each_protocol_are_read() {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpc-web-text+proto",
            "application/proto",
            "application/json",
            "application/json; charset=utf-8",
            "application/connect+json",
            "application/connect+proto",
        ] {
            let post = read("POST", "/a.B/C", Some(content_type));
            assert_eq!(post, Some(("/a.B/C".to_owned(), false)), "{content_type}");
            assert_eq!(read("GET", "/a.B/C?connect=v1", Some(content_type)), None, "{content_type}");
            assert_eq!(read("PUT", "/a.B/C", Some(content_type)), None, "{content_type}");
        }
        assert_eq!(
            read("GET", "/a.B/C?encoding=json&connect=v1&message={}", None),
            Some(("/a.B/C".to_owned(), true))
        );
        assert_eq!(
            read("POST", "/a.B/C?x=1?y", Some("application/grpc")),
            Some(("/a.B/C".to_owned(), false))
        );
    }

    #[test]
    fn what_two_programs_could_read_differently_is_no_call() {
        for content_type in [
            None,
            Some(""),
            Some("Application/grpc"),
            Some(" application/grpc"),
            Some("application/grpc,application/json"),
            Some("application/grpc;x,text/plain"),
            Some("application/grpcx"),
            Some("application/grpc+"),
            Some("application/grpc+a/b"),
            Some("application/connect"),
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
        ] {
            assert_eq!(read("POST", "/a.B/C", content_type), None, "{content_type:?}");
        }
        for query in [
            "",
            "?",
            "?connect=v2",
            "?Connect=v1",
            "?connect=v1&connect=v1",
            "?connect=v1&connect=v2",
            "?connect=v11",
            "?x=connect=v1",
            "?connect%3Dv1",
        ] {
            assert_eq!(read("GET", &format!("/a.B/C{query}"), None), None, "{query}");
        }
        for method in ["", "post", "HEAD", "OPTIONS"] {
            assert_eq!(read(method, "/a.B/C?connect=v1", Some("application/grpc")), None, "{method}");
        }
    }
}
