//! Owns what the scripts of web pages get: calls by gRPC-Web, and CORS.

mod calls;
mod cors;
mod http1;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use prost::Message;
use signet::proto::identity::v1::{
    GetMeRequest, GetMeResponse, IssueTokenRequest, IssueTokenResponse, SignUpRequest, SignUpResponse,
};
use tonic::{Code, Status};

use crate::{
    harness::{PASSWORD, TestServer, password_grant},
    http::client::HttpClient,
    wire::{compressed::gunzip, frame},
};

const SIGN_UP: &str = "/identity.v1.IdentityService/SignUp";
const ISSUE_TOKEN: &str = "/identity.v1.IdentityService/IssueToken";
const GET_ME: &str = "/identity.v1.IdentityService/GetMe";

/// Where the page comes from that the operator has allowed.
const ORIGIN: &str = "https://app.example";
const WITH_ORIGIN: &str = "--web-origins=https://app.example";

/// A page, or a program without one, that speaks gRPC-Web.
#[derive(Clone, Debug)]
struct Page {
    http: HttpClient,
    content_type: &'static str,
    origin: Option<&'static str>,
}

/// What a page gets.
#[derive(Debug)]
struct Answer {
    http: Response<Bytes>,
    message: Option<Vec<u8>>,
    /// From the body's last frame.
    trailers: Option<HeaderMap>,
}

impl Page {
    fn of(server: &TestServer) -> Self {
        let http = HttpClient::new(server.started.grpc_addr);
        Self { http, content_type: "application/grpc-web+proto", origin: Some(ORIGIN) }
    }

    fn from(self, origin: Option<&'static str>) -> Self {
        Self { origin, ..self }
    }

    fn is_text(&self) -> bool {
        self.content_type.contains("-text")
    }

    /// What `path` answers to the frames `body`.
    async fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let body = if self.is_text() { STANDARD.encode(body).into_bytes() } else { body.to_vec() };
        self.send_as_it_is(path, headers, body).await
    }

    async fn send_as_it_is(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = self
            .http
            .request("POST", path)
            .header("content-type", self.content_type)
            .header("accept", self.content_type)
            .header("x-grpc-web", "1");
        let origin = self.origin.map(|origin| ("origin", origin));
        for (name, value) in origin.iter().chain(headers) {
            request = request.header(*name, *value);
        }
        Answer::read(self.http.exchange(request, body.into()).await)
    }

    async fn call<M: Message + Default>(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        message: &impl Message,
    ) -> Result<M, Status> {
        self.send(path, headers, &frame(&message.encode_to_vec())).await.result()
    }

    async fn sign_up(&self, username: &str, password: &str) -> Result<SignUpResponse, Status> {
        let request = SignUpRequest {
            username: username.to_owned(),
            password: password.to_owned(),
            ..SignUpRequest::default()
        };
        self.call(SIGN_UP, &[], &request).await
    }

    async fn issue_token(&self, request: &IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
        self.call(ISSUE_TOKEN, &[], request).await
    }

    /// A token of `username`, who signs up now.
    async fn token_of_new(&self, username: &str) -> String {
        self.sign_up(username, PASSWORD).await.unwrap();
        self.issue_token(&password_grant(username, PASSWORD)).await.unwrap().access_token
    }

    async fn get_me(&self, token: &str) -> Result<GetMeResponse, Status> {
        self.call(GET_ME, &[("authorization", &format!("Bearer {token}"))], &GetMeRequest {}).await
    }

    /// What the browser is told that asks first.
    async fn preflight(&self, path: &str) -> Response<Bytes> {
        let request = self
            .http
            .request("OPTIONS", path)
            .header("access-control-request-method", "POST")
            // What the client of gRPC-Web sends, and what tracers put into every request of their page.
            .header(
                "access-control-request-headers",
                "authorization,content-type,x-grpc-web,traceparent,baggage,sentry-trace",
            );
        let request = match self.origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        };
        self.http.exchange(request, Bytes::new()).await
    }
}

impl Answer {
    fn read(http: Response<Bytes>) -> Self {
        let is_text = header(http.headers(), "content-type").starts_with("application/grpc-web-text");
        let is_web = header(http.headers(), "content-type").starts_with("application/grpc-web");
        let mut rest = match http.body().to_vec() {
            _ if !is_web => Vec::new(),
            // Each frame may be encoded on its own, so there may be padding in the middle.
            text if is_text => text.chunks(4).flat_map(|chunk| STANDARD.decode(chunk).unwrap()).collect(),
            bytes => bytes,
        };
        let (mut message, mut trailers) = (None, None);
        while !rest.is_empty() {
            let length = usize::try_from(u32::from_be_bytes(rest[1..5].try_into().unwrap())).unwrap();
            let behind = rest.split_off(5 + length);
            assert!(trailers.is_none(), "the trailers come last: {http:?}");
            match rest[0] {
                0 => message = Some(rest[5..].to_vec()),
                1 if header(http.headers(), "grpc-encoding") == "gzip" => message = Some(gunzip(&rest[5..])),
                0x80 => trailers = Some(header_map(&rest[5..])),
                flags => panic!("a frame with the flags {flags}: {http:?}"),
            }
            rest = behind;
        }
        Self { http, message, trailers }
    }

    fn status(&self) -> Status {
        let headers = self.trailers.as_ref().unwrap_or(self.http.headers());
        Status::from_header_map(headers).unwrap_or_else(|| panic!("no status: {self:?}"))
    }

    fn result<M: Message + Default>(&self) -> Result<M, Status> {
        match self.status() {
            status if status.code() == Code::Ok => {
                Ok(M::decode(self.message.as_deref().expect("a message")).unwrap())
            }
            status => Err(status),
        }
    }

    /// The status of a refusal.
    fn refusal(&self) -> Result<(), Status> {
        Err(self.status())
    }
}

/// `name: value` in lines.
fn header_map(lines: &[u8]) -> HeaderMap {
    let lines = str::from_utf8(lines).unwrap().split_terminator("\r\n");
    let pairs = lines.map(|line| line.split_once(':').unwrap_or_else(|| panic!("{line:?}")));
    pairs
        .map(|(name, value)| {
            // The protocol wants names in lower case.
            let name = HeaderName::from_lowercase(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value.trim()).unwrap())
        })
        .collect()
}

/// The value of the header `name`, empty if there is none.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// Everything that CORS says.
fn cors(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut said: Vec<_> = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control"))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    said.sort();
    said
}
