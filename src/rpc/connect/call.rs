//! Owns a request by Connect: what its head and query say, and that as the head of a gRPC request.

use std::{borrow::Cow, sync::Arc};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, Version,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TE},
    request,
};
use hyper::body::Bytes;
use percent_encoding::percent_decode;

use super::{ConnectError, Method};
use crate::{
    base::takes_gzip,
    rpc::{
        gzip::{Encoding, GRPC_ACCEPTED, GRPC_ENCODING},
        long::LongMessages,
    },
};

const PROTOCOL_VERSION: &str = "connect-protocol-version";
const TIMEOUT: &str = "connect-timeout-ms";
const STREAM_ENCODING: &str = "connect-content-encoding";
const STREAM_ACCEPTED: &str = "connect-accept-encoding";
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The one version of the protocol.
const VERSION: &str = "1";

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Json,
    Proto,
}

/// What of a call is a stream, as the libraries of Connect say it: nothing, or its answers. Each message of such a call has an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamType {
    Unary,
    Server,
}

/// A request by Connect, and what its answer must be like: an extension of the request, as long as that is one of gRPC.
#[derive(Clone, Debug)]
pub(in crate::rpc) struct Call {
    /// None if it is refused.
    pub(super) method: Option<Arc<Method>>,
    pub(super) codec: Codec,
    pub(super) stream_type: StreamType,
    /// Whether the message is compressed by gzip, or, in a stream, may be.
    pub(super) is_compressed: bool,
    /// Whether the answer may be compressed.
    pub(super) takes_gzip: bool,
    /// Whether it is a GET, whose answer is kept by caches that may.
    pub(super) is_get: bool,
    /// Where its message is read if that is long.
    pub(super) long: LongMessages,
}

/// The content types of Connect.
const CONTENT_TYPES: [(&str, StreamType, Codec); 4] = [
    ("application/json", StreamType::Unary, Codec::Json),
    ("application/proto", StreamType::Unary, Codec::Proto),
    ("application/connect+json", StreamType::Server, Codec::Json),
    ("application/connect+proto", StreamType::Server, Codec::Proto),
];

/// What the content type says, if it is the only one, and one of Connect.
pub(super) fn spoken(headers: &HeaderMap) -> Option<(StreamType, Codec)> {
    let said = one(headers, &CONTENT_TYPE).ok()??.to_str().ok()?;
    let (name, parameter) = said.split_once(';').map_or((said, None), |(name, rest)| (name, Some(rest)));
    if parameter.is_some_and(|parameter| !parameter.trim().eq_ignore_ascii_case("charset=utf-8")) {
        return None;
    }
    let known = CONTENT_TYPES.iter().find(|(known, ..)| name.trim_end().eq_ignore_ascii_case(known))?;
    Some((known.1, known.2))
}

/// Whether the query of a GET is one of Connect.
pub(super) fn has_query(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("encoding=")))
}

impl Codec {
    /// The content type of messages of this codec in such a call.
    pub(super) const fn content_type(self, stream_type: StreamType) -> HeaderValue {
        HeaderValue::from_static(match (stream_type, self) {
            (StreamType::Unary, Self::Json) => "application/json",
            (StreamType::Unary, Self::Proto) => "application/proto",
            (StreamType::Server, Self::Json) => "application/connect+json",
            (StreamType::Server, Self::Proto) => "application/connect+proto",
        })
    }
}

impl Call {
    /// A call of `method` with plain JSON.
    pub(super) const fn of_json(method: Option<Arc<Method>>, long: LongMessages) -> Self {
        Self {
            method,
            codec: Codec::Json,
            stream_type: StreamType::Unary,
            is_compressed: false,
            takes_gzip: false,
            is_get: false,
            long,
        }
    }

    /// A POST of `method`, whose head is made one of gRPC; or why it is refused.
    pub(super) fn of_post(
        method: Option<Arc<Method>>,
        (stream_type, codec): (StreamType, Codec),
        head: &mut request::Parts,
        long: LongMessages,
    ) -> (Self, Result<(), ConnectError>) {
        let (encoding, accepted) = match stream_type {
            StreamType::Unary => (CONTENT_ENCODING, ACCEPT_ENCODING),
            StreamType::Server => {
                (HeaderName::from_static(STREAM_ENCODING), HeaderName::from_static(STREAM_ACCEPTED))
            }
        };
        let headers = &head.headers;
        let takes_gzip = takes_gzip(headers, &accepted);
        let said = one(headers, &encoding).map(Option::<&HeaderValue>::cloned);
        let version = one(headers, &HeaderName::from_static(PROTOCOL_VERSION));
        let version = version.and_then(|version| check_version(version.map(HeaderValue::as_bytes)));
        let mut call = Self { codec, stream_type, takes_gzip, ..Self::of_json(method, long) };
        let refused = version.and(become_grpc(head));
        match said {
            Err(refusal) => return (call, Err(refusal)),
            Ok(None) => {}
            Ok(Some(name)) => match Encoding::named(name.as_bytes()) {
                Encoding::Identity => {}
                Encoding::Gzip => call.is_compressed = true,
                // It is refused where that of gRPC is.
                Encoding::Other => drop(head.headers.insert(GRPC_ENCODING, name)),
            },
        }
        (call, refused)
    }

    /// A GET of `method`, whose head is made one of gRPC, and its message; or why it is refused.
    pub(super) fn of_get(
        method: Arc<Method>,
        head: &mut request::Parts,
        long: LongMessages,
    ) -> (Self, Result<Bytes, ConnectError>) {
        let takes_gzip = takes_gzip(&head.headers, &ACCEPT_ENCODING);
        let mut call = Self { takes_gzip, is_get: true, ..Self::of_json(Some(method), long) };
        let query = head.uri.query().unwrap_or_default().to_owned();
        let mut is_other = false;
        let read = Query::read(&query).and_then(|query| {
            call.codec = query.codec;
            check_version(query.version.as_deref())?;
            let message = query.message()?;
            match query.compression.as_deref().filter(|name| !name.is_empty()).map(Encoding::named) {
                None | Some(Encoding::Identity) => {}
                Some(Encoding::Gzip) => call.is_compressed = true,
                Some(Encoding::Other) => is_other = true,
            }
            Ok(message)
        });
        let refused = become_grpc(head);
        if is_other {
            head.headers.insert(GRPC_ENCODING, HeaderValue::from_static("other"));
        }
        (call, read.and_then(|message| refused.map(|()| message)))
    }
}

/// The parameters of a GET.
struct Query<'a> {
    codec: Codec,
    message: Cow<'a, [u8]>,
    is_base64: bool,
    compression: Option<Cow<'a, [u8]>>,
    version: Option<Cow<'a, [u8]>>,
}

impl<'a> Query<'a> {
    fn read(query: &'a str) -> Result<Self, ConnectError> {
        // Whoever decodes names, too, sees other parameters.
        let has_odd_name = |pair: &str| pair.split('=').next().unwrap_or_default().contains(['%', '+']);
        if query.split('&').any(has_odd_name) {
            return Err(ConnectError::malformed("its query has a name with escapes"));
        }
        let one = |name: &str| {
            let mut values =
                query.split('&').filter_map(|pair| pair.split_once('=')).filter(|pair| pair.0 == name);
            let value = values.next().map(|(_, value)| decoded(value));
            match values.next() {
                Some(_) => Err(ConnectError::malformed(format!("its query has `{name}` twice"))),
                None => Ok(value),
            }
        };
        let codec = match one("encoding")?.as_deref() {
            Some(b"json") => Codec::Json,
            Some(b"proto") => Codec::Proto,
            _ => return Err(ConnectError::malformed("`encoding` of its query must be `json` or `proto`")),
        };
        let message = one("message")?;
        let message = message.ok_or_else(|| ConnectError::malformed("its query lacks `message`"))?;
        let is_base64 = match one("base64")?.as_deref() {
            None | Some(b"0") => false,
            Some(b"1") => true,
            Some(_) => return Err(ConnectError::malformed("`base64` of its query must be `1`")),
        };
        let version = match one("connect")? {
            None => None,
            Some(version) => match version.strip_prefix(b"v") {
                Some(number) => Some(Cow::Owned(number.to_vec())),
                None => return Err(ConnectError::malformed("`connect` of its query must be `v1`")),
            },
        };
        Ok(Self { codec, message, is_base64, compression: one("compression")?, version })
    }

    fn message(&self) -> Result<Bytes, ConnectError> {
        if !self.is_base64 {
            return Ok(Bytes::copy_from_slice(&self.message));
        }
        let text = str::from_utf8(&self.message).ok().map(|text| text.trim_end_matches('='));
        let bytes = text.and_then(|text| Base64UrlUnpadded::decode_vec(text).ok());
        let rule = "`message` of its query is not in base64url";
        bytes.map(Bytes::from).ok_or_else(|| ConnectError::malformed(rule))
    }
}

/// What `value` of a query is.
fn decoded(value: &str) -> Cow<'_, [u8]> {
    if value.contains('+') {
        let spaced = value.replace('+', " ");
        return Cow::Owned(percent_decode(spaced.as_bytes()).collect());
    }
    percent_decode(value.as_bytes()).into()
}

/// The header `name`, which a head has once at most.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, ConnectError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    match values.next() {
        Some(_) => Err(ConnectError::malformed(format!("its head has `{name}` more than once"))),
        None => Ok(value),
    }
}

fn check_version(version: Option<&[u8]>) -> Result<(), ConnectError> {
    match version {
        None => Ok(()),
        Some(version) if version == VERSION.as_bytes() => Ok(()),
        Some(_) => Err(ConnectError::malformed(format!("`{PROTOCOL_VERSION}` must be `{VERSION}`"))),
    }
}

/// Has `head` be that of a gRPC request: all that gRPC reads is what Connect says.
fn become_grpc(head: &mut request::Parts) -> Result<(), ConnectError> {
    let timeout = one(&head.headers, &HeaderName::from_static(TIMEOUT));
    let timeout = timeout.map(|timeout| timeout.map(|millis| grpc_timeout(millis.as_bytes())));
    head.method = HttpMethod::POST;
    head.version = Version::HTTP_2;
    let headers = &mut head.headers;
    for name in
        [ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, TE, GRPC_TIMEOUT, GRPC_ENCODING, GRPC_ACCEPTED]
    {
        headers.remove(name);
    }
    for name in [PROTOCOL_VERSION, TIMEOUT, STREAM_ENCODING, STREAM_ACCEPTED] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    match timeout? {
        None => Ok(()),
        Some(Some(timeout)) => {
            headers.insert(GRPC_TIMEOUT, timeout);
            Ok(())
        }
        Some(None) => Err(ConnectError::malformed(format!("`{TIMEOUT}` must be 1 to 10 digits"))),
    }
}

/// `millis`, at most ten digits, as gRPC writes it: at most eight digits, and a unit.
fn grpc_timeout(millis: &[u8]) -> Option<HeaderValue> {
    if millis.is_empty() || millis.len() > 10 || !millis.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let millis: u64 = str::from_utf8(millis).ok()?.parse().ok()?;
    let text = if millis < 100_000_000 { format!("{millis}m") } else { format!("{}S", millis / 1_000) };
    HeaderValue::from_str(&text).ok()
}

/// Whether `request` asks for an RPC by its path, `/package.Service/Method`, whether or not there is one.
pub(super) fn names_rpc<B>(request: &Request<B>) -> bool {
    let parts = request.uri().path().strip_prefix('/').and_then(|path| path.split_once('/'));
    parts
        .is_some_and(|(service, method)| service.contains('.') && !method.is_empty() && !method.contains('/'))
}

/// What must hold for any `text`: as a timeout it is read as one of gRPC or not at all, and as a query it has a message that is no longer
/// than itself or is refused.
#[cfg(any(fuzzing, test))]
pub(super) fn fuzz(text: &[u8]) {
    if let Some(timeout) = grpc_timeout(text) {
        assert!(text.len() <= 10 && timeout.len() <= 9, "gRPC has eight digits and a unit");
    }
    if let Ok(said) = HeaderValue::from_bytes(text) {
        spoken(&HeaderMap::from_iter([(CONTENT_TYPE, said)]));
    }
    if let Ok(query) = str::from_utf8(text)
        && let Ok(read) = Query::read(query)
    {
        assert!(has_query(Some(query)), "what is read is known as a query of Connect");
        assert!(read.message().is_ok_and(|message| message.len() < query.len()) || read.is_base64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_those_of_grpc_and_no_longer() {
        for (millis, expected) in [
            ("0", Some("0m")),
            ("5000", Some("5000m")),
            ("99999999", Some("99999999m")),
            ("100000000", Some("100000S")),
            ("9999999999", Some("9999999S")),
            ("10000000000", None),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("1s", None),
        ] {
            let expected = expected.map(HeaderValue::from_static);
            assert_eq!(grpc_timeout(millis.as_bytes()), expected, "{millis}");
        }
    }

    #[test]
    fn a_content_type_of_connect_is_known_and_no_other() {
        let spoken = |said: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(said));
            spoken(&headers)
        };
        assert_eq!(spoken("application/json"), Some((StreamType::Unary, Codec::Json)));
        assert_eq!(spoken("Application/JSON ; Charset=UTF-8"), Some((StreamType::Unary, Codec::Json)));
        assert_eq!(spoken("application/proto"), Some((StreamType::Unary, Codec::Proto)));
        assert_eq!(spoken("application/connect+proto"), Some((StreamType::Server, Codec::Proto)));
        for other in
            ["application/json; charset=latin1", "application/jsonx", "text/json", "application/grpc"]
        {
            assert_eq!(spoken(other), None, "{other}");
        }
    }

    #[test]
    fn a_query_is_read_strictly() {
        let message = |query: &str| Query::read(query).and_then(|query| query.message()).ok();
        assert_eq!(message("encoding=json&message=%7B%7D").as_deref(), Some(&b"{}"[..]));
        assert_eq!(message("connect=v1&encoding=json&base64=1&message=e30").as_deref(), Some(&b"{}"[..]));
        assert_eq!(message("encoding=json&base64=1&message=e30%3D").as_deref(), Some(&b"{}"[..]));
        assert_eq!(message("encoding=proto&message=%FF+a").as_deref(), Some(&b"\xff a"[..]));
        for bad in [
            "encoding=json",
            "message=e30",
            "encoding=xml&message=e30",
            "encoding=json&message=e30&message=e30",
            "encoding=json&base64=1&message=%2B%2F",
            "encoding=json&base64=2&message=e30",
            "encoding=json&message=e30&connect=1",
            "encoding=json&message=e30&%6dessage=e31",
            "encoding=json&message=e30&mes+sage",
        ] {
            assert_eq!(message(bad), None, "{bad}");
        }
    }
}
