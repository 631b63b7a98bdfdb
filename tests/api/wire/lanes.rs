//! Owns who gets a place while others take all that they can: messages that do not come, answers that nobody reads, streams without end.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use h2::{
    RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{Request, Response};
use prost::Message;
use signet::proto::{
    envoy::service::auth::v3::authorization_client::AuthorizationClient,
    identity::v1::{GetJwksRequest, GetMeResponse, token_service_client::TokenServiceClient},
};
use tokio::{net::TcpSocket, time::timeout};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt;

use super::{Answer, GET_ME, ISSUE_TOKEN, Target, frame};
use crate::{
    ext_authz::Sidecar,
    harness::{PASSWORD, TestServer, assert_refused, eventually, password_grant},
};

/// No more than an upper bound.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) const GET_JWKS: &str = "/identity.v1.TokenService/GetJwks";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
pub(super) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
pub(super) const TOKEN: &str = "/oauth2/token";
const USERINFO: &str = "/oauth2/userinfo";

/// With an address for Envoy, and calls that last as long as a test.
pub(super) const OPEN: [&str; 4] =
    ["--ext-authz=on", "--ext-authz-addr=127.0.0.1:0", "--request-timeout=60s", "--receive-timeout=60s"];

/// Few places: 16 of strangers in flight, 4 of them one peer's; 16 in the reserve, one of them one user's.
pub(super) const FEW: &str = "--max-in-flight-calls=16";

/// A connection from an address of its own, whose client reads `window` bytes of each answer.
pub(super) async fn connect(from: [u8; 4], to: SocketAddr, window: u32) -> SendRequest<Bytes> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let stream = socket.connect(to).await.unwrap();
    let (sender, connection) =
        Builder::new().initial_window_size(window).handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

pub(super) fn grpc(path: &str, token: Option<&str>) -> Request<()> {
    let mut request = Request::post(format!("http://x{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(()).unwrap()
}

pub(super) fn form(path: &str) -> Request<()> {
    let kind = "application/x-www-form-urlencoded";
    Request::post(format!("http://x{path}")).header("content-type", kind).body(()).unwrap()
}

/// A request of which only the headers have been sent, or whose answer is not read.
pub(super) struct Open(pub(super) ResponseFuture, pub(super) SendStream<Bytes>);

/// Sends the headers of `request`, and `body` if there is one.
pub(super) async fn open(sender: &SendRequest<Bytes>, request: Request<()>, body: Option<Vec<u8>>) -> Open {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    if let Some(body) = body {
        stream.send_data(body.into(), true).unwrap();
    }
    Open(response, stream)
}

/// The answer to a whole call from an address of its own, of which no more than the head is read: its place is held.
pub(super) async fn head_of(
    from: [u8; 4],
    to: SocketAddr,
    request: Request<()>,
    body: Vec<u8>,
) -> Response<RecvStream> {
    let sender = connect(from, to, 0).await;
    open(&sender, request, Some(body)).await.0.await.unwrap()
}

/// Takes all places for what `request` begins that `peers` addresses can have, `each` asking so many times.
pub(super) async fn flood(
    to: SocketAddr,
    peers: u8,
    each: usize,
    request: impl Fn() -> Request<()>,
) -> Vec<Open> {
    let mut flood = Vec::new();
    for peer in 0..peers {
        let sender = connect([127, 1, 0, peer + 1], to, 65_535).await;
        for _ in 0..each {
            flood.push(open(&sender, request(), None).await);
        }
    }
    flood
}

/// The same with whole calls for the keys, whose answers nobody reads.
pub(super) async fn flood_unread(to: SocketAddr, peers: u8, each: usize) -> Vec<Open> {
    let mut flood = Vec::new();
    for peer in 0..peers {
        let sender = connect([127, 2, 0, peer + 1], to, 0).await;
        for _ in 0..each {
            flood.push(open(&sender, grpc(GET_JWKS, None), Some(frame(b""))).await);
        }
    }
    flood
}

/// Waits until so many places of `lane` are taken.
pub(super) async fn wait_for(server: &TestServer, listener: &str, lane: &str, places: f64) {
    eventually(&format!("{places} of {lane} at {listener} are taken"), async || {
        let labels = [("listener", listener), ("lane", lane)];
        server.scrape().await.sum("signet_places_taken", &labels) >= places
    })
    .await;
}

async fn get_jwks(server: &TestServer) -> Result<(), Status> {
    TokenServiceClient::new(server.channel().await).get_jwks(GetJwksRequest {}).await.map(|_| ())
}

async fn health(channel: Channel) -> Result<(), Status> {
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(|_| ())
}

async fn envoys(server: &TestServer) -> Channel {
    let addr = server.started.ext_authz_addr.unwrap();
    Channel::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap()
}

/// What has a reserve is served: health, Envoy, and whoever has a good token, by both protocols.
async fn reserves_serve(target: &Target) {
    let server = &target.server;
    health(server.channel().await).await.unwrap();
    health(envoys(server).await).await.unwrap();
    for path in ["/livez", "/readyz", "/.well-known/jwks.json"] {
        assert_eq!(server.http_get(path).await.status(), 200, "{path}");
    }
    Sidecar(AuthorizationClient::new(envoys(server).await)).ask_of(&target.token).await.unwrap();
    target.still_serves().await;
    server.http().get_with_token(USERINFO, &target.token).await.ok();
    // The message of this one comes after its headers.
    let sender = connect([127, 0, 0, 1], server.started.grpc_addr, 65_535).await;
    let Open(response, mut stream) = open(&sender, grpc(GET_ME, Some(&target.token)), None).await;
    health(server.channel().await).await.unwrap();
    stream.send_data(frame(b"").into(), true).unwrap();
    Answer::read(response).await.result::<GetMeResponse>().unwrap();
}

/// Everybody is served.
async fn all_are_served(target: &Target) {
    reserves_serve(target).await;
    get_jwks(&target.server).await.unwrap();
    target.server.client().await.log_in("alice", PASSWORD).await.unwrap();
    let form = [("grant_type", "password"), ("username", "alice"), ("password", PASSWORD)];
    target.server.http().post(TOKEN, &form).await.ok();
}

#[tokio::test]
async fn messages_that_do_not_come_stop_nobody() {
    let target = Target::new(&OPEN).await;
    let started = &target.server.started;
    let envoys = started.ext_authz_addr.unwrap();
    for (listener, to, request) in [
        ("grpc", started.grpc_addr, grpc(GET_ME, None)),
        ("ext_authz", envoys, grpc(CHECK, None)),
        ("http", started.http_addr, form(TOKEN)),
    ] {
        // From one address.
        let mut flood = Vec::new();
        for _ in 0..17 {
            let sender = connect([127, 1, 0, 1], to, 65_535).await;
            for _ in 0..256 {
                flood.push(open(&sender, request.clone(), None).await);
            }
        }
        eventually("as many are on their way as may be", async || {
            let labels = [("listener", listener), ("lane", "arriving_strangers")];
            target.server.scrape().await.sum("signet_places_refused_total", &labels) > 0.0
        })
        .await;
        all_are_served(&target).await;
    }
}

#[tokio::test]
async fn of_the_messages_on_their_way_the_oldest_gives_its_place_away() {
    let target = Target::new(&[&OPEN[..], &[FEW]].concat()).await;
    let (server, started) = (&target.server, &target.server.started);
    for (listener, lanes, to, request) in [
        (
            "ext_authz",
            ["arriving_check", "arriving_strangers"],
            started.ext_authz_addr.unwrap(),
            grpc(CHECK, None),
        ),
        ("grpc", ["arriving_strangers"; 2], started.grpc_addr, grpc(GET_JWKS, None)),
    ] {
        let flood = flood(to, 40, 8, || request.clone()).await;
        for lane in lanes {
            eventually("the flood has filled it, and more", async || {
                let scrape = server.scrape().await;
                let labels = [("listener", listener), ("lane", lane)];
                let [taken, all] =
                    ["signet_places_taken", "signet_places"].map(|name| scrape.sum(name, &labels));
                taken >= all && scrape.sum("signet_places_refused_total", &labels) > 0.0
            })
            .await;
        }
        let sender = connect([127, 0, 0, 1], to, 65_535).await;
        let Open(response, mut stream) = open(&sender, request.clone(), None).await;
        // Answered after those headers were read.
        let asked = open(&sender, grpc(HEALTH, None), Some(frame(b""))).await;
        assert_eq!(Answer::read(asked.0).await.status().code(), Code::Ok, "{listener}");
        stream.send_data(frame(b"").into(), true).unwrap();
        assert_eq!(Answer::read(response).await.status().code(), Code::Ok, "{listener}");
        drop(flood);
    }
}

#[tokio::test]
async fn a_message_that_does_not_come_has_a_short_time_of_its_own() {
    let target = Target::new(&["--request-timeout=60s", "--receive-timeout=1s"]).await;
    let sender = target.http2().await;
    let opened = open(&sender, target.request(GET_ME).body(()).unwrap(), None).await;
    let answer = timeout(PATIENCE, Answer::read(opened.0)).await.unwrap();
    assert_refused(answer.refusal(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    wait_for(&target.server, "grpc", "arriving_strangers", 0.0).await;
}

#[tokio::test]
async fn what_has_a_reserve_is_served_while_many_peers_take_all_other_places() {
    let target = Target::new(&[&OPEN[..], &[FEW]].concat()).await;
    let started = &target.server.started;
    let envoys = started.ext_authz_addr.unwrap();
    let mut flood_of_all = Vec::new();
    for to in [started.grpc_addr, envoys] {
        for path in [GET_ME, ISSUE_TOKEN] {
            flood_of_all.push(flood(to, 12, 4, || grpc(path, None)).await);
        }
        // Each of them takes its share of health, too.
        flood_of_all.push(flood(to, 40, 4, || grpc(HEALTH, None)).await);
        flood_of_all.push(flood_unread(to, 12, 8).await);
    }
    flood_of_all.push(flood(started.http_addr, 12, 4, || form(TOKEN)).await);
    wait_for(&target.server, "grpc", "arriving_strangers", 8.0).await;
    wait_for(&target.server, "grpc", "strangers", 16.0).await;
    wait_for(&target.server, "http", "arriving_strangers", 8.0).await;
    let refused = assert_refused(get_jwks(&target.server).await, Code::ResourceExhausted, "OVERLOADED");
    assert!(refused.get_details_retry_info().is_some());
    reserves_serve(&target).await;
    // A token that has not been seen before is as good.
    let before = target.server.replica(&[]).await;
    let token = before.client().await.log_in("alice", PASSWORD).await.unwrap().access_token;
    target.server.client().await.get_me(&token).await.unwrap();
    let forged = format!("{}x", &token[..token.len() - 1]);
    let refused = target.server.client().await.get_me(&forged).await;
    assert_refused(refused, Code::ResourceExhausted, "OVERLOADED");
}

/// The strangers' places are full; then of each token as many answers as it says are asked for, and not read, each from a peer of its own.
async fn unread_with_tokens(server: &TestServer, tokens: &[(String, u8)]) -> Vec<Open> {
    let mut opened = flood_unread(server.started.grpc_addr, 12, 8).await;
    wait_for(server, "grpc", "strangers", 16.0).await;
    let mut verified = 0.0;
    for (token, peer) in tokens {
        let sender = connect([127, 3, 0, *peer], server.started.grpc_addr, 0).await;
        opened.push(open(&sender, grpc(GET_ME, Some(token)), Some(frame(b""))).await);
        verified += 1.0;
        wait_for(server, "grpc", "verified", verified).await;
    }
    opened
}

#[tokio::test]
async fn of_the_reserve_one_user_has_a_sixteenth_and_one_peer_a_quarter() {
    let target = Target::new(&[&OPEN[..], &[FEW]].concat()).await;
    let server = &target.server;
    // Accounts that are not new.
    let mut client = server.client().await;
    for name in ["bob", "carol", "dave", "erin", "frank"] {
        client.sign_up(name, PASSWORD).await.unwrap();
    }
    server.clock.advance(Duration::from_hours(25));
    let mut tokens = Vec::new();
    for name in ["alice", "bob", "carol", "dave", "erin"] {
        tokens.push(client.log_in(name, PASSWORD).await.unwrap().access_token);
    }
    let alice_again = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let frank = client.log_in("frank", PASSWORD).await.unwrap().access_token;
    let four: Vec<_> = tokens[..4].iter().map(|token| (token.clone(), 9)).collect();
    let opened = unread_with_tokens(server, &four).await;
    // Another token, another peer: the same user.
    assert_refused(client.get_me(&alice_again).await, Code::ResourceExhausted, "OVERLOADED");
    client.get_me(&frank).await.unwrap();
    // Another user: the same peer.
    let sender = connect([127, 3, 0, 9], server.started.grpc_addr, 65_535).await;
    let erin = open(&sender, grpc(GET_ME, Some(&tokens[4])), Some(frame(b""))).await;
    let refused = Answer::read(erin.0).await;
    assert_refused(refused.refusal(), Code::ResourceExhausted, "OVERLOADED");
    client.get_me(&tokens[4]).await.unwrap();
    drop(opened);
}

#[tokio::test]
async fn of_the_reserve_new_accounts_have_a_half_together() {
    let target = Target::new(&[&OPEN[..], &[FEW]].concat()).await;
    let server = &target.server;
    let mut client = server.client().await;
    server.clock.advance(Duration::from_hours(25));
    let old = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let mut tokens = Vec::new();
    for number in 0..9 {
        tokens.push(client.token_of_new(&format!("new{number}")).await);
    }
    let eight: Vec<_> = tokens[..8].iter().zip(1..).map(|(token, peer)| (token.clone(), peer)).collect();
    let opened = unread_with_tokens(server, &eight).await;
    assert_refused(client.get_me(&tokens[8]).await, Code::ResourceExhausted, "OVERLOADED");
    client.get_me(&old).await.unwrap();
    drop(opened);
}

#[tokio::test]
async fn answers_that_nobody_reads_end_with_their_deadline() {
    let target = Target::new(&["--request-timeout=1s", "--keepalive-timeout=60s"]).await;
    let server = &target.server;
    let _unread = flood_unread(server.started.grpc_addr, 2, 50).await;
    wait_for(server, "grpc", "strangers", 100.0).await;
    let sender = connect([127, 2, 0, 9], server.started.http_addr, 0).await;
    let mut unread = Vec::new();
    for _ in 0..50 {
        unread.push(open(&sender, form(TOKEN), Some(b"grant_type=x".to_vec())).await);
    }
    wait_for(server, "http", "strangers", 50.0).await;
    for listener in ["grpc", "http"] {
        eventually("the places are free", async || {
            let labels = [("listener", listener), ("lane", "strangers")];
            server.scrape().await.sum("signet_places_taken", &labels) == 0.0
        })
        .await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn large_messages_are_bounded_together() {
    let target = Target::new(&[&OPEN[..], &[FEW]].concat()).await;
    let server = &target.server;
    let message = vec![0; 60_000];
    let mut opened = Vec::new();
    let sender = connect([127, 1, 0, 1], server.started.grpc_addr, 65_535).await;
    for _ in 0..6 {
        let mut call = open(&sender, grpc(ISSUE_TOKEN, None), None).await;
        call.1.send_data(message.clone().into(), false).unwrap();
        opened.push(call);
    }
    eventually("some are refused", async || {
        server.scrape().await.sum("signet_places_refused_total", &[("lane", "bytes")]) >= 1.0
    })
    .await;
    let labels = [("listener", "grpc"), ("lane", "bytes")];
    let scrape = server.scrape().await;
    let (taken, all) = (scrape.sum("signet_places_taken", &labels), scrape.sum("signet_places", &labels));
    assert!(taken > 0.0 && taken <= all / 4.0, "{taken} of {all}");
    // Others are not concerned.
    let sender = connect([127, 1, 0, 2], server.started.grpc_addr, 65_535).await;
    let login = frame(&password_grant("alice", PASSWORD).encode_to_vec());
    let padding = frame(b"").repeat(4_000);
    let answer = open(&sender, grpc(ISSUE_TOKEN, None), Some([login, padding].concat())).await;
    assert_eq!(Answer::read(answer.0).await.status().code(), Code::Ok);
    drop(opened);
    eventually("all bytes are given back", async || {
        server.scrape().await.sum("signet_places_taken", &labels) == 0.0
    })
    .await;
}

#[tokio::test]
async fn open_streams_do_not_hold_up_a_stop() {
    let target = Target::new(&["--drain-timeout=60s"]).await;
    let channel = target.server.channel().await;
    // A request, and then silence.
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let requests = stream::iter([request]).chain(stream::pending());
    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = reflection.server_reflection_info(requests).await.unwrap().into_inner();
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let requests = stream::iter([request]).chain(stream::pending());
    let mut reflection = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut alpha_answers = reflection.server_reflection_info(requests).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    assert!(alpha_answers.message().await.unwrap().is_some());
    let mut watch =
        HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.message().await.unwrap();
    // A stream that nobody reads.
    let sender = connect([127, 1, 0, 1], target.server.started.grpc_addr, 0).await;
    let _unread = open(&sender, grpc("/grpc.health.v1.Health/Watch", None), Some(frame(b""))).await;
    wait_for(&target.server, "grpc", "streams", 2.0).await;
    wait_for(&target.server, "grpc", "watches", 2.0).await;
    timeout(PATIENCE, target.server.stop()).await.expect("the streams have been told to stop");
    assert!(answers.message().await.unwrap().is_none());
    assert!(alpha_answers.message().await.unwrap().is_none());
}

#[tokio::test]
async fn streams_are_bounded_for_each_peer() {
    let target = Target::new(&[FEW]).await;
    let sender = connect([127, 1, 0, 1], target.server.started.grpc_addr, 65_535).await;
    let mut watches = Vec::new();
    for _ in 0..5 {
        watches.push(open(&sender, grpc("/grpc.health.v1.Health/Watch", None), Some(frame(b""))).await);
    }
    // Two places of those who watch are one peer's, and two of 16 streams.
    let refused = Answer::read(watches.pop().unwrap().0).await;
    assert_refused(refused.refusal(), Code::ResourceExhausted, "OVERLOADED");
    let other = connect([127, 1, 0, 2], target.server.started.grpc_addr, 65_535).await;
    let watch = open(&other, grpc("/grpc.health.v1.Health/Watch", None), Some(frame(b""))).await;
    assert_eq!(watch.0.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_stream_that_its_client_does_not_read_ends() {
    let target = Target::new(&["--request-timeout=1s"]).await;
    let sender = connect([127, 1, 0, 1], target.server.started.grpc_addr, 0).await;
    let _watch = open(&sender, grpc("/grpc.health.v1.Health/Watch", None), Some(frame(b""))).await;
    wait_for(&target.server, "grpc", "watches", 1.0).await;
    eventually("the stream has ended", async || {
        target.server.scrape().await.sum("signet_places_taken", &[("lane", "watches")]) == 0.0
    })
    .await;
}
