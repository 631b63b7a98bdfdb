//! Owns reading `multipart/form-data` bodies (RFC 7578), in which many libraries send a form.

use std::{convert::Infallible, future::ready};

use axum::body::Bytes;
use futures_util::stream;
use multer::{Multipart, parse_boundary};
use zeroize::Zeroizing;

/// The content type, without its boundary.
pub(super) const MULTIPART: &str = "multipart/form-data";

/// How long the boundary between parts may be (RFC 2046 section 5.1.1).
const BOUNDARY_MAX_CHARS: usize = 70;

/// The parameters of a form, by name, in their order.
pub(super) type Parameters = Vec<(String, Zeroizing<String>)>;

/// The parameters in `body`, of this `content_type`; none if it is no such form, or has more than `at_most`.
///
/// A value is UTF-8, whatever charset its part says, and a file is no value: either could be read in more than one way.
pub(super) async fn parse(content_type: &str, body: Bytes, at_most: usize) -> Option<Parameters> {
    let boundary = parse_boundary(content_type).ok()?;
    if !(1..=BOUNDARY_MAX_CHARS).contains(&boundary.len()) {
        return None;
    }
    let mut parts = Multipart::new(stream::once(ready(Ok::<_, Infallible>(body))), boundary);
    let mut parameters = Parameters::new();
    while let Some(part) = parts.next_field().await.ok()? {
        if parameters.len() == at_most || part.file_name().is_some() {
            return None;
        }
        let name = part.name()?.to_owned();
        let value = String::from_utf8(part.bytes().await.ok()?.into()).ok()?;
        parameters.push((name, Zeroizing::new(value)));
    }
    Some(parameters)
}

#[cfg(any(fuzzing, test))]
/// What must hold for any `body`: it is read at once or not at all, and no value holds the boundary that ends it.
pub(crate) fn fuzz(body: &[u8]) {
    use futures_util::FutureExt;

    let content_type = format!("{MULTIPART}; boundary=x");
    let read = parse(&content_type, Bytes::copy_from_slice(body), 8).now_or_never();
    for (name, value) in read.expect("nothing waits: all bytes are there").unwrap_or_default() {
        assert!(!value.contains("\r\n--x"), "{name}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn read(content_type: &str, body: &str) -> Option<Vec<(String, String)>> {
        let read = parse(content_type, Bytes::copy_from_slice(body.as_bytes()), 3).await?;
        Some(read.into_iter().map(|(name, value)| (name, value.to_string())).collect())
    }

    fn part(head: &str, value: &str) -> String {
        format!("--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    }

    const X: &str = "multipart/form-data; boundary=x";

    #[tokio::test]
    async fn parameters_are_read_in_their_order() {
        let body =
            [part("name=\"a\"", "1"), part("name=\"b\"", ""), part("name=a", "é&=%41\r\n--y")].concat();
        let expected = [("a", "1"), ("b", ""), ("a", "é&=%41\r\n--y")];
        let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for content_type in
            [X, "Multipart/Form-Data; boundary=\"x\"", "multipart/form-data; charset=utf-8; boundary=x"]
        {
            assert_eq!(
                read(content_type, &format!("{body}--x--\r\n")).await.unwrap(),
                expected,
                "{content_type}"
            );
        }
        assert_eq!(read(X, "--x--\r\n").await, Some(vec![]));
    }

    #[tokio::test]
    async fn what_is_no_such_form_is_not_read() {
        let one = part("name=\"a\"", "1");
        for (content_type, body) in [
            (X, String::new()),
            (X, one.clone()),
            (X, format!("{one}--y--\r\n")),
            (X, format!("{}--x--\r\n", part("name=\"a\"; filename=\"b\"", "1"))),
            (X, format!("{}--x--\r\n", part("filename=\"b\"", "1"))),
            (X, format!("{}--x--\r\n", part("", "1"))),
            (X, format!("{}--x--\r\n", one.repeat(4))),
            ("multipart/form-data", format!("{one}--x--\r\n")),
            ("multipart/form-data; boundary=", format!("{one}--x--\r\n")),
            ("multipart/form-data; boundary=\"\"", format!("{one}--x--\r\n")),
            ("multipart/mixed; boundary=x", format!("{one}--x--\r\n")),
        ] {
            assert_eq!(read(content_type, &body).await, None, "{content_type} {body:?}");
        }
        let latin_1 = [part("name=a", "").trim_end().as_bytes(), b"\r\n\r\n\xe9\r\n--x--\r\n"].concat();
        assert!(parse(X, latin_1.into(), 3).await.is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_such_a_form_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&bytes);
        }

        #[test]
        fn what_looks_like_parts_is_read_or_not(text in "(--x|\r\n|[a-z:;=\"-]|Content-Disposition: form-data; name=a){0,20}") {
            fuzz(text.as_bytes());
        }
    }
}
