//! Owns the tests of tokens on their way: real connections to a service that says what it was sent.

use std::{convert::Infallible, net::SocketAddr, sync::Mutex};

use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};
use signet::{auth::Error as Refusal, errors::status_telling, proto::identity::v1::IssueTokenResponse};
use tokio::net::TcpListener;
use tonic::{client::Grpc, transport::server::TcpIncoming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::*;
use crate::{client::ClientCredential, replicas::Signet};

const UNARY: &str = "/stock.v1.Stock/Get";
const STREAM: &str = "/stock.v1.Stock/Watch";

/// A service that answers each call as it is told to.
#[derive(Clone, Default)]
struct StandIn(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    answers: Vec<Option<Status>>,
    /// What stood in `authorization`, and the deadline.
    seen: Vec<(String, bool)>,
    messages: Vec<Bytes>,
}

impl StandIn {
    fn answering(answers: impl IntoIterator<Item = Option<Status>>) -> Self {
        let answers = answers.into_iter().collect();
        Self(Arc::new(Mutex::new(Script { answers, ..Script::default() })))
    }

    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let this = self.clone();
        let service = service_fn(move |request: Request<Body>| this.clone().answer(request));
        let mut server = tonic::transport::Server::builder();
        let routes = tonic::service::Routes::new(Named(tower::util::BoxCloneSyncService::new(service)));
        tokio::spawn(server.add_routes(routes).serve_with_incoming(TcpIncoming::from(listener)));
        addr
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let message = body.collect().await.unwrap().to_bytes();
        let mut script = self.0.lock().unwrap();
        let token = parts.headers[AUTHORIZATION].to_str().unwrap().to_owned();
        script.seen.push((token, parts.headers.contains_key(GRPC_TIMEOUT)));
        script.messages.push(message);
        let answer = if script.answers.is_empty() { None } else { script.answers.remove(0) };
        Ok(answer.map_or_else(ok, Status::into_http))
    }

    fn tokens(&self) -> Vec<String> {
        self.0.lock().unwrap().seen.iter().map(|(token, _)| token.clone()).collect()
    }
}

/// An empty message, and its end.
fn ok() -> Response<Body> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message =
        Full::new(Bytes::from_static(&[0; 5])).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(message));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// The service, with the name that tonic routes by.
#[derive(Clone)]
struct Named(tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

impl tonic::server::NamedService for Named {
    const NAME: &'static str = "stock.v1.Stock";
}

impl Service<Request<Body>> for Named {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.call(request))
    }
}

/// A source of `t1`, `t2` and so on.
fn source() -> TokenSource {
    let number = std::sync::atomic::AtomicUsize::new(0);
    let credential = ClientCredential::secret("client", "secret");
    TokenSource::builder(Signet::default(), credential, "stock").build_with(move |_| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let issued =
            IssueTokenResponse { access_token: format!("t{number}"), expires_in: 900, ..Default::default() };
        std::future::ready(Ok(issued))
    })
}

fn descriptors() -> Vec<u8> {
    let method = |name: &str, server_streaming| MethodDescriptorProto {
        name: Some(name.to_owned()),
        server_streaming: Some(server_streaming),
        ..Default::default()
    };
    let method = vec![method("Get", false), method("Watch", true)];
    let service = ServiceDescriptorProto { name: Some("Stock".to_owned()), method, options: None };
    let file = FileDescriptorProto {
        package: Some("stock.v1".to_owned()),
        service: vec![service],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn refusal(error: Refusal, audience: &str, method: &str) -> Status {
    status_telling(error, [("audience", audience), ("method", method)])
}

/// Calls `path` of a service that answers so, and returns the tokens that it has seen.
async fn call(
    answers: impl IntoIterator<Item = Option<Status>>,
    path: &'static str,
) -> (Result<(), Status>, Vec<String>) {
    let service = StandIn::answering(answers);
    let addr = service.serve().await;
    let channel = AuthorizedChannel::to(&format!("localhost:{}", addr.port()), &source()).unwrap();
    let channel = channel.retry_unary_of(&descriptors()).unwrap().connect_lazy().unwrap();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let (codec, path) = (ProstCodec::<String, ()>::default(), path.parse().unwrap());
    let mut request = tonic::Request::new("bolt".to_owned());
    request.set_timeout(Duration::from_secs(20));
    let answer = grpc.unary(request, path, codec).await.map(|_| ());
    let script = service.0.lock().unwrap();
    assert!(script.seen.iter().all(|(_, has_deadline)| *has_deadline));
    assert!(script.messages.windows(2).all(|pair| pair[0] == pair[1]), "the same message is sent again");
    drop(script);
    (answer, service.tokens())
}

#[tokio::test]
async fn a_unary_call_is_made_once_more_if_its_own_token_was_refused() {
    let expired = || Some(refusal(Refusal::TokenExpired, "stock", UNARY));
    let revoked = || Some(refusal(Refusal::TokenRevoked, "stock", UNARY));
    let (answer, tokens) = call([expired(), None], UNARY).await;
    answer.unwrap();
    assert_eq!(tokens, ["Bearer t1", "Bearer t2"]);
    let (answer, tokens) = call([revoked(), revoked(), None], UNARY).await;
    assert_eq!((answer.unwrap_err().code(), tokens.len()), (Code::Unauthenticated, 2), "no third time");
}

#[tokio::test]
async fn a_service_that_refuses_every_token_has_nobody_ask_for_another_in_a_hurry() {
    let service = StandIn::answering((0..9).map(|_| Some(refusal(Refusal::TokenRevoked, "stock", UNARY))));
    let addr = service.serve().await;
    let channel = AuthorizedChannel::to(&addr.to_string(), &source()).unwrap();
    let channel = channel.retry_unary_of(&descriptors()).unwrap().connect_lazy().unwrap();
    for _ in 0..5 {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<String, ()>::default();
        let refused = grpc.unary(tonic::Request::new(String::new()), UNARY.parse().unwrap(), codec).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    let again = ["Bearer t2"; 5];
    assert_eq!(service.tokens(), [&["Bearer t1"], &again[..]].concat());
}

#[tokio::test]
async fn what_another_service_has_refused_is_handed_up_and_so_is_a_stream() {
    for (answer, path) in [
        (Some(refusal(Refusal::TokenExpired, "orders", UNARY)), UNARY),
        (Some(refusal(Refusal::TokenExpired, "stock", "/orders.v1.Orders/Get")), UNARY),
        (Some(refusal(Refusal::TokenInvalid("it is bad"), "stock", UNARY)), UNARY),
        (Some(Status::unauthenticated("")), UNARY),
        (Some(Status::unavailable("")), UNARY),
        (Some(refusal(Refusal::TokenExpired, "stock", STREAM)), STREAM),
    ] {
        let expected = answer.as_ref().map(Status::code);
        let (answer, tokens) = call([answer, None], path).await;
        assert_eq!((answer.err().map(|status| status.code()), tokens.len()), (expected, 1), "{path}");
    }
}

#[tokio::test]
async fn no_token_goes_to_another_service_or_over_plaintext_without_a_reason() {
    let source = source();
    for address in ["stock.example:1", "http://10.0.0.1:1"] {
        let target = || AuthorizedChannel::to(address, &source).unwrap();
        assert!(matches!(target().connect_lazy(), Err(ClientError::Plaintext(_))), "{address}");
        target().allow_plaintext("the sidecar encrypts").connect_lazy().unwrap();
    }
    for here in ["localhost:1", "127.8.0.1:1", "http://[::1]:1"] {
        AuthorizedChannel::to(here, &source).unwrap().connect_lazy().unwrap();
    }
    let elsewhere = AuthorizedChannel::to("http://127.0.0.1:1", &source).unwrap();
    let elsewhere = elsewhere.endpoint(|_| Endpoint::from_static("http://127.0.0.1:2"));
    assert!(matches!(elsewhere.connect_lazy(), Err(ClientError::OtherTarget { .. })));

    let service = StandIn::default();
    let addr = service.serve().await;
    let channel = AuthorizedChannel::to(&addr.to_string(), &source).unwrap().connect_lazy().unwrap();
    let mut grpc = Grpc::with_origin(channel, "http://orders.example".parse().unwrap());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<String, ()>::default();
    let refused = grpc.unary(tonic::Request::new(String::new()), UNARY.parse().unwrap(), codec).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    assert!(service.tokens().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn who_opens_a_stream_again_whose_token_was_refused_has_another() {
    let service = StandIn::answering([Some(refusal(Refusal::TokenRevoked, "stock", STREAM)), None]);
    let addr = service.serve().await;
    let channel = AuthorizedChannel::to(&addr.to_string(), &source()).unwrap().connect_lazy().unwrap();
    for expected in [Some(Code::Unauthenticated), None] {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<String, ()>::default();
        let answer =
            grpc.server_streaming(tonic::Request::new(String::new()), STREAM.parse().unwrap(), codec).await;
        assert_eq!(answer.err().map(|status| status.code()), expected);
    }
    assert_eq!(service.tokens(), ["Bearer t1", "Bearer t2"]);
}

#[test]
fn deadlines_are_read_as_grpc_writes_them() {
    let read = |text: &str| timeout(&HeaderValue::from_str(text).unwrap());
    for (text, millis) in [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("4m", 4), ("5000u", 5)] {
        assert_eq!(read(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for none in ["", "1", "S", "1x", "-1S", "1.5S"] {
        assert_eq!(read(none), None, "{none}");
    }
}
