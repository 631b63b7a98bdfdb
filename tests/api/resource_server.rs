//! Owns what the feature `auth` promises a service of tonic whose callers name made-up keys.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use signet::{
    auth::{Policy, ResourceServer, ResourceServerSettings},
    base::Clock,
    proto::{
        DESCRIPTOR_SET,
        identity::v1::{GetMeRequest, identity_service_client::IdentityServiceClient},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    task::JoinSet,
};
use tonic::{
    Code, Status,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_types::StatusExt;

use crate::harness::{Data, TestServer, assert_refused, with_token};

/// The example of RFC 8037 appendix A.2: a key that signs nothing here.
const OTHER_KEY: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"other","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// How many calls of one network may wait.
const SHARE: usize = 250;

/// Serves a key set over HTTP: the first answer is `first`, and all later ones are what `later` holds, once it holds something.
async fn serve_keys(first: &'static str, later: watch::Receiver<Option<String>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut later = later.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.ok()?);
                }
                let body = if number == 0 {
                    first.to_owned()
                } else {
                    later.wait_for(Option::is_some).await.ok()?.clone()?
                };
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok()
            });
        }
    });
    addr
}

/// A service that has no method at all, and protects them; what passes the check is therefore told that it does not exist.
async fn protected(jwks: SocketAddr) -> SocketAddr {
    let mut settings = ResourceServerSettings::new("http://127.0.0.1:8080", "signet");
    settings.jwks_uri = Some(format!("http://{jwks}/keys"));
    settings.refresh.min_pause = Duration::from_millis(100);
    settings.refresh.timeout = Duration::from_mins(5);
    let auth = ResourceServer::start(settings).unwrap();
    auth.ready().await;
    let (_, health) = tonic_health::server::health_reporter();
    let mut server =
        Server::builder().layer(auth.protect(Policy::from_descriptor_set(DESCRIPTOR_SET).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(server.add_service(health).serve_with_incoming(TcpIncoming::from(listener)));
    addr
}

/// A client whose connection comes from `address`.
async fn client_from(address: &str, server: SocketAddr) -> IdentityServiceClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{server}")).unwrap();
    let endpoint = endpoint.local_address(Some(address.parse().unwrap()));
    IdentityServiceClient::new(endpoint.connect().await.unwrap())
}

/// `token`, naming the key `kid`.
fn naming(token: &str, kid: &str) -> String {
    let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#);
    let rest = token.split_once('.').unwrap().1;
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
}

async fn ask(mut client: IdentityServiceClient<Channel>, token: String) -> Result<(), Status> {
    client.get_me(with_token(GetMeRequest {}, &token)).await.map(drop)
}

#[tokio::test]
async fn a_flood_of_made_up_keys_waits_in_its_own_share_and_a_new_key_is_found_beside_it() {
    let signet = TestServer::start_in(Data::new().await, Clock::system(), &[]).await;
    let token = signet.client().await.token_of_new("alice").await;
    let (publish, later) = watch::channel(None);
    let server = protected(serve_keys(OTHER_KEY, later).await).await;

    // More than the share of one network, while the issuer has not answered.
    let mut flooding = Vec::new();
    for _ in 0..4 {
        flooding.push(client_from("127.0.0.1", server).await);
    }
    let mut flood = JoinSet::new();
    for (number, client) in (0..SHARE + 10).zip(flooding.iter().cycle()) {
        flood.spawn(ask(client.clone(), naming(&token, &format!("made-up-{number}"))));
    }
    for _ in 0..10 {
        let refused = flood.join_next().await.unwrap().unwrap();
        let status = assert_refused(refused, Code::Unavailable, "UNAVAILABLE");
        assert!(status.get_details_retry_info().unwrap().retry_delay.is_some(), "{status:?}");
    }
    let honest = tokio::spawn(ask(client_from("127.0.0.2", server).await, token.clone()));
    // The key has just been published.
    publish.send(Some(signet.http_get("/.well-known/jwks.json").await.into_body())).unwrap();
    let passed = honest.await.unwrap().unwrap_err();
    assert_eq!(passed.code(), Code::Unimplemented, "another network waits, and passes: {passed:?}");
    while let Some(refused) = flood.join_next().await {
        assert_refused(refused.unwrap(), Code::Unauthenticated, "TOKEN_INVALID");
    }
    let again = ask(flooding.remove(0), naming(&token, "made-up-0")).await;
    assert_refused(again, Code::Unauthenticated, "TOKEN_INVALID");
}
