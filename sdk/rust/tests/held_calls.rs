//! Owns what becomes of a unary call whose message comes long after its metadata: it is judged by what holds when it comes.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use signet_sdk::{
    Hooks, Policy,
    proto::{
        DESCRIPTOR_SET,
        identity::v1::{GetMeRequest, GetMeResponse},
    },
    testing::{TestIssuer, Token},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tonic::{
    body::Body,
    server::{Grpc, NamedService},
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

const METHOD: &str = "/identity.v1.IdentityService/GetMe";

/// An empty message, as gRPC frames it.
const MESSAGE: Bytes = Bytes::from_static(&[0; 5]);

struct TellJudged(mpsc::UnboundedSender<String>);

impl Hooks for TellJudged {
    fn verified(&self, reason: &str, _cached: bool) {
        self.0.send(reason.to_owned()).unwrap();
    }
}

/// A service whose handler counts its calls.
#[derive(Clone)]
struct Me(Arc<AtomicUsize>);

impl NamedService for Me {
    const NAME: &'static str = "identity.v1.IdentityService";
}

impl Service<Request<Body>> for Me {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let handled = Arc::clone(&self.0);
        Box::pin(async move {
            let me = service_fn(move |_: tonic::Request<GetMeRequest>| {
                handled.fetch_add(1, Ordering::SeqCst);
                std::future::ready(Ok::<_, tonic::Status>(tonic::Response::new(GetMeResponse::default())))
            });
            let mut grpc = Grpc::new(ProstCodec::<GetMeResponse, GetMeRequest>::default());
            Ok(grpc.unary(me, request).await)
        })
    }
}

async fn serve(
    issuer: &TestIssuer,
    judged: mpsc::UnboundedSender<String>,
    handled: Arc<AtomicUsize>,
) -> SocketAddr {
    let verifier = issuer.verifier_with("signet", |it| it.hooks(Arc::new(TellJudged(judged))));
    let guard = verifier.guard(Policy::from_descriptor_set(DESCRIPTOR_SET).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::builder().layer(guard).add_routes(Routes::new(Me(handled)));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    addr
}

/// How often the handler runs, and the status that is answered, if `end` happens once the metadata are judged and `message` is sent, or not
/// all of it.
async fn held(early: bool, end: impl FnOnce(&TestIssuer, &Token)) -> (usize, String) {
    let issuer = TestIssuer::new();
    let user = Token::user().audiences(["signet"]).scopes(["profile"]);
    let (sender, mut judged) = mpsc::unbounded_channel();
    let handled = Arc::new(AtomicUsize::new(0));
    let addr = serve(&issuer, sender, Arc::clone(&handled)).await;
    let tcp = TcpStream::connect(addr).await.unwrap();
    let (client, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{addr}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", issuer.sign(&user)));
    let mut client = client.ready().await.unwrap();
    let (response, mut messages) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let first = tokio::time::timeout(Duration::from_secs(20), judged.recv()).await.unwrap();
    assert_eq!(first.as_deref(), Some("OK"));
    if early {
        // The message itself, whose end is kept back.
        messages.send_data(MESSAGE, false).unwrap();
    }
    end(&issuer, &user);
    messages.send_data(if early { Bytes::new() } else { MESSAGE }, true).unwrap();
    let response = tokio::time::timeout(Duration::from_secs(20), response).await.unwrap().unwrap();
    let told = response.headers().get("grpc-status").cloned();
    let status = if let Some(status) = told {
        status
    } else {
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            drop(data.unwrap());
        }
        body.trailers().await.unwrap().unwrap()["grpc-status"].clone()
    };
    (handled.load(Ordering::SeqCst), status.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_message_that_is_held_back_reaches_no_handler_once_its_session_has_ended() {
    let refused = (0, "16".to_owned());
    for early in [false, true] {
        assert_eq!(held(early, TestIssuer::revoke_session).await, refused, "{early}");
        assert_eq!(
            held(early, |issuer, _| issuer.advance(Duration::from_mins(16))).await,
            refused,
            "{early}"
        );
        assert_eq!(held(early, |_, _| {}).await, (1, "0".to_owned()), "{early}");
    }
}
