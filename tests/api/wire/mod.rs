//! Owns what malformed input gets on every level of the wire: a clear refusal, and a server that goes on serving.

mod calm;
mod claimed_addresses;
pub(crate) mod compressed;
mod connections;
mod floods;
mod frames;
mod lanes;
mod layers;
mod messages;
mod places;
mod requests;
mod shares;
mod streams;
mod turns;
mod web_text;

use std::cell::Cell;

use bytes::Bytes;
use h2::{
    RecvStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, StatusCode, request::Builder};
use prost::Message;
use signet::proto::identity::v1::identity_service_client::IdentityServiceClient;
use tokio::net::TcpStream;
use tonic::{Code, Status, transport::Channel};

use crate::harness::{Client, TestServer, eventually};

const SIGN_UP: &str = "/identity.v1.IdentityService/SignUp";
const ISSUE_TOKEN: &str = "/identity.v1.IdentityService/IssueToken";
const GET_ME: &str = "/identity.v1.IdentityService/GetMe";

/// A server, and a token with which to see whether it still serves.
struct Target {
    server: TestServer,
    token: String,
}

impl Target {
    async fn new(args: &[&str]) -> Self {
        let server = TestServer::start(args).await;
        let token = server.client().await.token_of_new("alice").await;
        Self { server, token }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.server.started.grpc_addr).await.unwrap()
    }

    /// An HTTP/2 connection without a gRPC client on it.
    async fn http2(&self) -> SendRequest<Bytes> {
        let (sender, connection) = h2::client::handshake(self.tcp().await).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A gRPC request for `path`, as a well-behaved client begins it.
    fn request(&self, path: &str) -> Builder {
        Request::post(format!("{}{path}", self.server.uri()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    /// What `path` answers to a body of these bytes, on a connection of its own.
    async fn send(&self, path: &str, body: &[u8]) -> Answer {
        self.exchange(self.request(path), body).await
    }

    async fn exchange(&self, request: Builder, body: &[u8]) -> Answer {
        let mut sender = self.http2().await.ready().await.unwrap();
        let (response, mut stream) = sender.send_request(request.body(()).unwrap(), body.is_empty()).unwrap();
        if !body.is_empty() {
            // The server may have answered before it has read everything.
            let _ = stream.send_data(Bytes::copy_from_slice(body), true);
        }
        Answer::read(response).await
    }

    /// A call on a new connection is answered.
    async fn still_serves(&self) {
        let user = self.server.client().await.get_me(&self.token).await.unwrap();
        assert_eq!(user.username, "alice");
    }

    /// Once there is room again, a call on a new connection is answered.
    async fn serves_again(&self) -> Client {
        let served = Cell::new(None);
        eventually("a call is answered", || async {
            let channel = Channel::from_shared(self.server.uri()).unwrap().connect().await;
            let Ok(channel) = channel else { return false };
            let mut client = Client(IdentityServiceClient::new(channel));
            let answered = client.get_me(&self.token).await.is_ok();
            served.set(answered.then_some(client));
            answered
        })
        .await;
        served.take().unwrap()
    }
}

/// What HTTP/2 brought back.
#[derive(Debug)]
struct Answer {
    http: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Answer {
    async fn read(response: ResponseFuture) -> Self {
        let (head, mut stream): (_, RecvStream) = response.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.unwrap();
            stream.flow_control().release_capacity(data.len()).unwrap();
            body.extend_from_slice(&data);
        }
        let trailers = stream.trailers().await.unwrap();
        Self { http: head.status, headers: head.headers, body, trailers }
    }

    fn status(&self) -> Status {
        let headers = self.trailers.as_ref().unwrap_or(&self.headers);
        Status::from_header_map(headers).unwrap_or_else(|| panic!("no status: {self:?}"))
    }

    /// The gRPC outcome: the message, or the status.
    fn result<M: Message + Default>(&self) -> Result<M, Status> {
        match self.status() {
            status if status.code() == Code::Ok => Ok(M::decode(&self.body[5..]).unwrap()),
            status => Err(status),
        }
    }

    /// The status of a refusal.
    fn refusal(&self) -> Result<(), Status> {
        Err(self.status())
    }
}

/// `message` in a gRPC frame.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    frame_that_says(0, u32::try_from(message.len()).unwrap(), message)
}

/// A gRPC frame whose head says what it likes.
pub(crate) fn frame_that_says(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &length.to_be_bytes(), message].concat()
}
