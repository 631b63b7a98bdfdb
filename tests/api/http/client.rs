//! Owns a small HTTP client: one connection a request, HTTP/1.1 or HTTP/2 without TLS.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version, header, request::Builder};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Speaks to one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpClient {
    addr: SocketAddr,
    version: Version,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer(pub(crate) Response<String>);

impl HttpClient {
    pub(crate) const fn new(addr: SocketAddr) -> Self {
        Self { addr, version: Version::HTTP_11 }
    }

    pub(crate) const fn h2c(self) -> Self {
        Self { version: Version::HTTP_2, ..self }
    }

    /// A request for `path`, as a well-behaved client begins it.
    pub(crate) fn request(&self, method: &str, path: &str) -> Builder {
        let request = Request::builder().method(method);
        if self.version == Version::HTTP_2 {
            return request.uri(format!("http://{}{path}", self.addr));
        }
        request.uri(path).header(header::HOST, self.addr.to_string())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path), "").await
    }

    pub(crate) async fn get_with_token(&self, path: &str, token: &str) -> Answer {
        self.send(self.request("GET", path).header(header::AUTHORIZATION, format!("Bearer {token}")), "")
            .await
    }

    /// Posts `fields` as a form.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.form(path), &encoded(fields)).await
    }

    /// The beginning of a request whose body is a form.
    pub(crate) fn form(&self, path: &str) -> Builder {
        self.request("POST", path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    pub(crate) async fn send(&self, request: Builder, body: &str) -> Answer {
        let answer = self.exchange(request, Bytes::copy_from_slice(body.as_bytes())).await;
        Answer::of(answer)
    }

    /// Of a body that is no text.
    pub(crate) async fn exchange(&self, request: Builder, body: Bytes) -> Response<Bytes> {
        let request = request.body(Full::new(body)).unwrap();
        exchange(TcpStream::connect(self.addr).await.unwrap(), self.version, request).await
    }
}

/// Sends `request` by `stream`, which speaks `version`.
pub(crate) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    version: Version,
    request: Request<Full<Bytes>>,
) -> Response<Bytes> {
    let io = TokioIo::new(stream);
    let response = if version == Version::HTTP_2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    let (head, body) = response.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// `fields` as a form.
pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The content type of [`in_parts`].
pub(crate) const MULTIPART: &str = "multipart/form-data; boundary=x";

/// `fields` as a form in parts.
pub(crate) fn in_parts(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).collect::<String>() + "--x--\r\n"
}

impl Answer {
    /// `response`, whose body is text.
    pub(crate) fn of(response: Response<Bytes>) -> Self {
        Self(response.map(|body| String::from_utf8(body.to_vec()).unwrap()))
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The value of the header `name`, empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_str(self.0.body()).unwrap()
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status(), StatusCode::OK, "{self:?}");
        self.json()
    }

    /// Asserts a refusal's status, its OAuth 2.0 error code and its reason.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, error: &str, reason: &str) {
        let body = self.json();
        let got = (
            self.status().as_u16(),
            body["error"].as_str().unwrap(),
            body["reason"].as_str().unwrap_or_default(),
        );
        assert_eq!(got, (status, error, reason), "{self:?}");
        assert!(!body["error_description"].as_str().unwrap().is_empty(), "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
    }

    /// The fields at fault, and why.
    pub(crate) fn violations(&self) -> Vec<(String, String)> {
        let body = self.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let violations = body["field_violations"].as_array().cloned().unwrap_or_default();
        violations.iter().map(|one| (text(&one["field"]), text(&one["reason"]))).collect()
    }
}
