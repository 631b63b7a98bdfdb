//! Owns the end of a stream as its handler sees it, over a real connection: a client that reads nothing and sends on is ended, too.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use signet_sdk::{
    Hooks, Policy,
    proto::{
        DESCRIPTOR_SET,
        identity::events::v1::{WatchRequest, WatchResponse},
    },
    testing::{TestIssuer, Token},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tonic::{
    Code, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService},
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;
use tower::{Service, service_fn};

const METHOD: &str = "/identity.events.v1.EventService/Watch";

/// The audience of that method's service.
const AUDIENCE: &str = "signet";

/// An empty message, as gRPC frames it.
const MESSAGE: Bytes = Bytes::from_static(&[0; 5]);

/// What is heard of the stream, in its order.
#[derive(Debug)]
enum Heard {
    /// The handler has read a message.
    Message,
    /// The handler, which reads on after that, has read its end: every time.
    RequestEnded(Vec<Status>),
    /// Nobody takes the answers of the handler any more.
    AnswerGone,
    /// The hook was called.
    Hook(String),
}

type Hear = mpsc::UnboundedSender<Heard>;

struct TellHook(Hear);

impl Hooks for TellHook {
    fn stream_ended(&self, reason: &str) {
        self.0.send(Heard::Hook(reason.to_owned())).unwrap();
    }
}

/// Reads in a task of its own, and answers each message: tonic's own pattern for streams in both directions. It answers its headers only if
/// it `answers`.
#[derive(Clone)]
struct Echo {
    hear: Hear,
    answers: bool,
}

impl Echo {
    async fn handle(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let handler = service_fn(move |request: tonic::Request<Streaming<WatchRequest>>| {
            let this = self.clone();
            async move {
                let (sender, receiver) = mpsc::channel(1);
                tokio::spawn(read(request.into_inner(), sender, this.hear));
                if !this.answers {
                    std::future::pending::<()>().await;
                }
                let answers = stream::unfold(receiver, async |mut receiver| {
                    receiver.recv().await.map(|message| (Ok::<_, Status>(message), receiver))
                });
                Ok::<_, Status>(tonic::Response::new(answers))
            }
        });
        let mut grpc = Grpc::new(ProstCodec::<WatchResponse, WatchRequest>::default());
        Ok(grpc.streaming(handler, request).await)
    }
}

async fn read(mut messages: Streaming<WatchRequest>, answers: mpsc::Sender<WatchResponse>, hear: Hear) {
    let mut first = loop {
        match messages.message().await {
            Ok(Some(_)) => hear.send(Heard::Message).unwrap(),
            Ok(None) => break Vec::new(),
            Err(status) => break vec![status],
        }
        // Whether or not there is room for it.
        let _ = answers.try_send(WatchResponse::default());
    };
    for _ in 0..10 {
        match messages.message().await {
            Ok(Some(_)) => hear.send(Heard::Message).unwrap(),
            Ok(None) => {}
            Err(status) => first.push(status),
        }
    }
    hear.send(Heard::RequestEnded(first)).unwrap();
    answers.closed().await;
    hear.send(Heard::AnswerGone).unwrap();
}

impl NamedService for Echo {
    const NAME: &'static str = "identity.events.v1.EventService";
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().handle(request))
    }
}

async fn serve(issuer: &TestIssuer, echo: Echo) -> SocketAddr {
    let verifier = issuer.verifier_with(AUDIENCE, |it| it.hooks(Arc::new(TellHook(echo.hear.clone()))));
    let guard = verifier.guard(Policy::from_descriptor_set(DESCRIPTOR_SET).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::builder().layer(guard).add_routes(Routes::new(echo));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    addr
}

/// Opens the stream with a window of this many bytes for its answers, and returns what sends its messages.
async fn open(
    addr: SocketAddr,
    token: &str,
    window: u32,
) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let tcp = TcpStream::connect(addr).await.unwrap();
    let handshake = h2::client::Builder::new().initial_window_size(window).handshake(tcp);
    let (client, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{addr}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"));
    client.ready().await.unwrap().send_request(request.body(()).unwrap(), false).unwrap()
}

/// The next thing that is heard.
async fn next(heard: &mut mpsc::UnboundedReceiver<Heard>) -> Heard {
    let next = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
    next.expect("something is heard").unwrap()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("an ErrorInfo").reason
}

/// A stream to `issuer`'s service, of which the handler has read two messages.
async fn opened(
    issuer: &TestIssuer,
    user: &Token,
    answers: bool,
    window: u32,
) -> (mpsc::UnboundedReceiver<Heard>, h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let (hear, mut heard) = mpsc::unbounded_channel();
    let addr = serve(issuer, Echo { hear, answers }).await;
    let (response, mut messages) = open(addr, &issuer.sign(user), window).await;
    for _ in 0..2 {
        messages.send_data(MESSAGE, false).unwrap();
        assert!(matches!(next(&mut heard).await, Heard::Message));
    }
    (heard, response, messages)
}

/// Waits until the handler has heard of the end, and the hook of its `expected` reason: the handler reads nothing more.
async fn ended(heard: &mut mpsc::UnboundedReceiver<Heard>, expected: &str) {
    let (mut request, mut hook, mut is_gone) = (None, None, false);
    while request.is_none() || hook.is_none() || !is_gone {
        match next(heard).await {
            Heard::Message => panic!("a message was read after the end"),
            Heard::RequestEnded(statuses) => request = Some(statuses),
            Heard::AnswerGone => is_gone = true,
            Heard::Hook(reason) => hook = Some(reason),
        }
    }
    assert_eq!(hook.as_deref(), Some(expected));
    let statuses = request.unwrap();
    assert_eq!(
        statuses.first().map(|status| (status.code(), reason(status))),
        Some((Code::Unauthenticated, expected.to_owned()))
    );
}

fn user() -> Token {
    Token::client().audiences([AUDIENCE]).scopes(["signet.events.watch"])
}

#[tokio::test]
async fn a_handler_that_reads_is_told_of_the_end_by_what_it_reads_though_its_client_takes_no_answer() {
    for answers in [true, false] {
        let (issuer, user) = (TestIssuer::new(), user());
        let (mut heard, _response, mut messages) = opened(&issuer, &user, answers, 0).await;
        issuer.revoke_client(user.client_id());
        // It sends on.
        messages.send_data(MESSAGE, false).unwrap();
        ended(&mut heard, "TOKEN_REVOKED").await;
    }
}

#[tokio::test]
async fn a_stream_whose_client_takes_no_answer_ends_when_its_token_has_expired() {
    let (issuer, user) = (TestIssuer::new(), user());
    let (mut heard, _response, _messages) = opened(&issuer, &user, true, 0).await;
    issuer.advance(Duration::from_secs(900 + 30));
    ended(&mut heard, "TOKEN_EXPIRED").await;
}

#[tokio::test]
async fn a_client_that_reads_is_told_and_what_it_sends_after_that_is_read_by_nobody() {
    let (issuer, user) = (TestIssuer::new(), user());
    let (mut heard, response, mut messages) = opened(&issuer, &user, true, 65_535).await;
    issuer.revoke_client(user.client_id());
    ended(&mut heard, "TOKEN_REVOKED").await;
    let mut body = response.await.unwrap().into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    let trailers = body.trailers().await.unwrap().expect("trailers");
    assert_eq!(reason(&Status::from_header_map(&trailers).unwrap()), "TOKEN_REVOKED");
    // Its stream is closed in this direction, too.
    let closed =
        tokio::time::timeout(Duration::from_secs(20), std::future::poll_fn(|it| messages.poll_reset(it)));
    assert_eq!(closed.await.expect("it is closed").unwrap(), h2::Reason::NO_ERROR);
}
