//! Owns the two halves together, over a real connection: a service of Signet's own proto, behind the guard, and its client.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use signet_sdk::{
    AuthorizedChannel, Caller, ClientCredential, Policy, Random, Signet, TokenSource,
    proto::{
        DESCRIPTOR_SET,
        identity::{
            events::v1::{
                Heartbeat, WatchRequest, WatchResponse,
                event_service_client::EventServiceClient,
                event_service_server::{EventService, EventServiceServer},
                watch_response::Part,
            },
            v1::{
                GetJwksRequest, GetJwksResponse, IntrospectTokenRequest, IntrospectTokenResponse,
                IssueTokenResponse,
                token_service_client::TokenServiceClient,
                token_service_server::{TokenService, TokenServiceServer},
            },
        },
    },
    testing::{TestIssuer, Token},
};
use tokio::net::TcpListener;
use tonic::{
    Code, Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_types::StatusExt;

/// What the service calls itself.
const AUDIENCE: &str = "signet";

/// Tells one thing, and then nothing more; and says who asks.
struct Service;

#[tonic::async_trait]
impl EventService for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let resume_token = Caller::of(&request)?.id().into_bytes();
        let first = WatchResponse { resume_token, part: Some(Part::Heartbeat(Heartbeat {})) };
        Ok(Response::new(Box::pin(stream::iter([Ok(first)]).chain(stream::pending()))))
    }
}

#[tonic::async_trait]
impl TokenService for Service {
    async fn introspect_token(
        &self,
        request: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        let sub = Some(Caller::of(&request)?.id());
        Ok(Response::new(IntrospectTokenResponse { active: true, sub, ..Default::default() }))
    }

    async fn get_jwks(&self, request: Request<GetJwksRequest>) -> Result<Response<GetJwksResponse>, Status> {
        assert!(Caller::of(&request).is_err(), "it is public");
        Ok(Response::new(GetJwksResponse::default()))
    }
}

async fn serve(issuer: &TestIssuer) -> SocketAddr {
    let policy = Policy::from_descriptor_set(DESCRIPTOR_SET).unwrap();
    let mut server = Server::builder().layer(issuer.verifier(AUDIENCE).guard(policy));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let services =
        server.add_service(EventServiceServer::new(Service)).add_service(TokenServiceServer::new(Service));
    tokio::spawn(services.serve_with_incoming(TcpIncoming::from(listener)));
    addr
}

/// A channel whose tokens `issuer` issues to the client of `token`.
fn channel(addr: SocketAddr, issuer: &Arc<TestIssuer>, token: &Token) -> AuthorizedChannel {
    let credential = ClientCredential::secret(token.client_id(), "secret");
    let (issuer, token) = (Arc::clone(issuer), token.clone());
    let time = issuer.time().clone();
    let source = TokenSource::builder(Signet::default(), credential, AUDIENCE).time(time, Random::of(|| 0.5));
    let source = source.build_with(move |_| {
        let access_token = issuer.sign(&token);
        std::future::ready(Ok(IssueTokenResponse { access_token, expires_in: 900, ..Default::default() }))
    });
    let channel = AuthorizedChannel::to(&addr.to_string(), &source).unwrap();
    channel.retry_unary_of(DESCRIPTOR_SET).unwrap().connect_lazy().unwrap()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("an ErrorInfo").reason
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked_or_has_expired_and_is_opened_again_with_another() {
    let issuer = Arc::new(TestIssuer::new());
    let addr = serve(&issuer).await;
    let client = Token::client().audiences([AUDIENCE]).scopes(["signet.events.watch", "introspect"]);
    let channel = channel(addr, &issuer, &client);
    let mut watcher = EventServiceClient::new(channel.clone());
    let open = async |watcher: &mut EventServiceClient<AuthorizedChannel>| {
        let mut stream = watcher.watch(WatchRequest::default()).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert_eq!(first.resume_token, client.subject().as_bytes());
        stream
    };
    let mut stream = open(&mut watcher).await;
    issuer.revoke_client(client.client_id());
    let ended = stream.message().await.unwrap_err();
    assert_eq!((ended.code(), reason(&ended)), (Code::Unauthenticated, "TOKEN_REVOKED".to_owned()));
    let info = ended.get_details_error_info().unwrap();
    assert_eq!(info.metadata["audience"], AUDIENCE);
    assert_eq!(info.metadata["method"], "/identity.events.v1.EventService/Watch");

    // Another token is issued later.
    issuer.advance(Duration::from_secs(1));
    let mut stream = open(&mut watcher).await;
    issuer.advance(Duration::from_secs(900 + 30));
    assert_eq!(reason(&stream.message().await.unwrap_err()), "TOKEN_EXPIRED");
    drop(open(&mut watcher).await);
}

#[tokio::test]
async fn a_unary_call_whose_token_was_revoked_is_made_again_and_its_caller_hears_nothing_of_it() {
    let issuer = Arc::new(TestIssuer::new());
    let addr = serve(&issuer).await;
    let client = Token::client().audiences([AUDIENCE]).scopes(["introspect"]);
    let channel = channel(addr, &issuer, &client);
    let mut tokens = TokenServiceClient::new(channel.clone());
    let mut ask = async || tokens.introspect_token(IntrospectTokenRequest { token: "t".to_owned() }).await;
    assert_eq!(ask().await.unwrap().into_inner().sub.as_deref(), Some(client.subject()));
    issuer.revoke_client(client.client_id());
    let refused = ask().await.unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_REVOKED", "the next one was issued in the same second");
    // Another one is got after a while.
    issuer.advance(Duration::from_secs(7));
    ask().await.expect("with another token");
    issuer.advance(Duration::from_secs(904));
    ask().await.expect("within the leeway it is renewed");
    TokenServiceClient::new(channel.clone()).get_jwks(GetJwksRequest {}).await.expect("it is public");

    let mut watcher = EventServiceClient::new(channel);
    let lacking = watcher.watch(WatchRequest::default()).await.unwrap_err();
    assert_eq!((lacking.code(), reason(&lacking)), (Code::PermissionDenied, "INSUFFICIENT_SCOPE".to_owned()));
}
