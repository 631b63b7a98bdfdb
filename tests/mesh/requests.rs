//! Owns what clients send to the sidecar, and what they get: HTTP byte by byte, and gRPC.

use std::{fmt::Write, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{AsciiMetadataKey, MetadataValue},
    transport::Channel,
};

use crate::envoy::PAUSE;

/// How long a fact may take on a machine that is busy with other things. Passing it is a failure, never a pace.
const TIMEOUT: Duration = Duration::from_mins(1);

/// What a server that cuts paths off at `;`, some after decoding it, takes for /reports; Envoy, left to itself, takes most for something
/// else.
pub(crate) const REPORTS_BY_SEMICOLON: [&str; 12] = [
    "/reports;x",
    "/reports;",
    "/reports;/1",
    "/reports%3bx",
    "/reports%3Bx",
    "/;/reports",
    "/public/..;/reports",
    "/public/..;x=y/reports",
    "/public/..%3b/reports",
    "/public/..%3B/reports",
    "/public/%2e%2e;/reports",
    "/public/.%2E;/reports",
];

/// A request of HTTP/1.1, written as it is said: names in any case, as often as wanted.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    head: String,
    body: String,
}

/// The answer to it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn get(path: &str) -> Self {
        Self::of("GET", path)
    }

    pub(crate) fn of(method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: service.example\r\nConnection: close\r\n");
        Self { head, body: String::new() }
    }

    /// The same of another host.
    pub(crate) fn host(self, name: &str) -> Self {
        Self { head: self.head.replacen("service.example", name, 1), ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(crate) fn body(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self.header("Content-Length", &body.len().to_string()) }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// What `addr` answers, or why it does not.
    pub(crate) async fn send(self, addr: SocketAddr) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(format!("{}\r\n{}", self.head, self.body).as_bytes()).await?;
        let mut answer = Vec::new();
        while !is_whole(&answer) && stream.read_buf(&mut answer).await? > 0 {}
        let text = String::from_utf8_lossy(&answer);
        Answer::read(&answer).ok_or_else(|| io::Error::other(format!("no answer of HTTP: {text:?}")))
    }
}

impl Answer {
    fn read(answer: &[u8]) -> Option<Self> {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        // Envoy's administration writes in chunks.
        let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
        let body = if chunked { unchunked(body)? } else { body.to_vec() };
        Some(Self { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Whether `answer` is as long as it says. Envoy takes a second to end the connection of a request that it has refused: that is not
/// waited for.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        rest = &rest[end + 2..];
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The headers that the service saw, if the request arrived there.
    #[track_caller]
    pub(crate) fn arrived(&self) -> Vec<(String, String)> {
        assert_eq!(self.status, 200, "{self:?}");
        seen(&self.body)
    }
}

/// The headers that the service wrote down.
pub(crate) fn seen(body: &str) -> Vec<(String, String)> {
    let lines = body.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The values of the header `name`.
pub(crate) fn values<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

/// Those by which the service is told who is calling, in the order of their names.
pub(crate) fn told(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.retain(|(name, _)| name.starts_with("x-signet"));
    headers.sort();
    headers
}

/// Calls the gRPC method `path` by way of the sidecar at `addr`, and returns the headers that the service saw.
pub(crate) async fn grpc(
    addr: SocketAddr,
    path: &'static str,
    metadata: &[(&str, &str)],
) -> Result<Vec<(String, String)>, Status> {
    let channel = Channel::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut request = tonic::Request::new(());
    for (name, value) in metadata {
        let name: AsciiMetadataKey = name.parse().unwrap();
        request.metadata_mut().append(name, MetadataValue::try_from(*value).unwrap());
    }
    let codec: tonic_prost::ProstCodec<(), String> = tonic_prost::ProstCodec::default();
    Ok(seen(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.get_ref()))
}

/// Waits for a fact, asking again and again; fails when it has not come true in time.
pub(crate) async fn eventually<T>(what: &str, mut fact: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = fact().await {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(TIMEOUT, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
