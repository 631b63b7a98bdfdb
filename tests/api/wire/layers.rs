//! Owns the order of the layers: for each two whose order matters, a request that is answered in another way when they are swapped.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, request::Builder};
use tokio::net::TcpSocket;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    Answer, GET_ME, Target, frame,
    lanes::{self, GET_JWKS, OPEN, TOKEN, connect, form, grpc, head_of, wait_for},
};
use crate::harness::eventually;

/// Where the layers of each listener are put together.
const GRPC_SOURCE: &str = include_str!("../../../src/server/grpc.rs");
const HTTP_SOURCES: [&str; 4] = [
    include_str!("../../../src/server/http.rs"),
    include_str!("../../../src/http/explorer/mod.rs"),
    include_str!("../../../src/http/mod.rs"),
    include_str!("../../../src/http/oauth/mod.rs"),
];

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const USERINFO: &str = "/oauth2/userinfo";

/// One place for strangers at each listener.
const FULL: &str = "--max-in-flight-calls=1";

/// Two layers by the names that the source gives them. A request meets `outer` first.
struct Order<Ask, Expected> {
    outer: &'static str,
    inner: &'static str,
    because: &'static str,
    /// Whether the places of the listener are taken when the request comes.
    is_full: bool,
    ask: Ask,
    expected: Expected,
}

/// A request to a listener of gRPC.
struct GrpcAsk {
    method: &'static str,
    path: &'static str,
    content_type: &'static str,
    timeout: &'static str,
    body: &'static [u8],
}

/// What comes of it: the answer, and the method and the code that are counted.
struct GrpcExpected {
    http: u16,
    code: Code,
    reason: &'static str,
    counted: Option<(&'static str, &'static str)>,
}

const CALL: GrpcAsk = GrpcAsk {
    method: "POST",
    path: HEALTH,
    content_type: "application/grpc",
    timeout: "1M",
    body: b"\0\0\0\0\0",
};

const SERVED: GrpcExpected = GrpcExpected { http: 200, code: Code::Ok, reason: "", counted: None };

const OVERLOADED: GrpcExpected =
    GrpcExpected { code: Code::ResourceExhausted, reason: "OVERLOADED", ..SERVED };

const MALFORMED: GrpcExpected =
    GrpcExpected { code: Code::InvalidArgument, reason: "MALFORMED_REQUEST", ..SERVED };

/// Both listeners of gRPC have these layers. Where a pair is not here, its order does not matter, or follows from others.
const GRPC: [Order<GrpcAsk, GrpcExpected>; 8] = [
    Order {
        outer: "web",
        inner: "meter",
        because: "the status of gRPC-Web is in its body, where the meter does not look",
        is_full: false,
        ask: GrpcAsk { content_type: "application/grpc-web+proto", ..CALL },
        expected: GrpcExpected { counted: Some(("Check", "OK")), ..SERVED },
    },
    Order {
        outer: "web",
        inner: "limits",
        because: "a page reads the refusal of a full pool, too",
        is_full: true,
        ask: GrpcAsk { path: GET_JWKS, content_type: "application/grpc-web+proto", ..CALL },
        expected: GrpcExpected { counted: Some(("GetJwks", "ResourceExhausted")), ..OVERLOADED },
    },
    Order {
        outer: "meter",
        inner: "framework_errors::rename",
        because: "what is counted is the code that the client gets",
        is_full: false,
        // A message whose bytes are none: tonic calls that INTERNAL.
        ask: GrpcAsk { body: b"\0\0\0\0\x01\xff", ..CALL },
        expected: GrpcExpected { counted: Some(("Check", "InvalidArgument")), ..MALFORMED },
    },
    Order {
        outer: "meter",
        inner: "ProtocolLayer",
        because: "whoever speaks something else to a method is counted, too",
        is_full: false,
        ask: GrpcAsk { method: "GET", ..CALL },
        expected: GrpcExpected { http: 405, counted: Some(("Check", "InvalidArgument")), ..MALFORMED },
    },
    Order {
        outer: "meter",
        inner: "limits",
        because: "what finds no place is counted, too",
        is_full: true,
        ask: GrpcAsk { path: GET_JWKS, ..CALL },
        expected: GrpcExpected { counted: Some(("GetJwks", "ResourceExhausted")), ..OVERLOADED },
    },
    Order {
        outer: "ProtocolLayer",
        inner: "limits",
        because: "what is no gRPC takes no place, and has no deadline",
        is_full: false,
        ask: GrpcAsk { method: "GET", timeout: "0n", ..CALL },
        expected: GrpcExpected { http: 405, ..MALFORMED },
    },
    Order {
        outer: "limits",
        inner: "auth",
        because: "a call whose time is over is not worth the look at its token",
        is_full: false,
        ask: GrpcAsk { path: GET_ME, timeout: "0n", ..CALL },
        expected: GrpcExpected { code: Code::DeadlineExceeded, reason: "DEADLINE_EXCEEDED", ..SERVED },
    },
    Order {
        outer: "limits",
        inner: "auth",
        because: "the look at a token takes a place: made-up ones cost a look into the database",
        is_full: true,
        ask: GrpcAsk { path: GET_ME, ..CALL },
        expected: OVERLOADED,
    },
];

/// A GET over HTTP, from a page if `origin` says so.
struct HttpAsk {
    listener: &'static str,
    path: &'static str,
    host: &'static str,
    has_large_headers: bool,
    origin: &'static str,
}

/// The answer, and the route that is counted.
struct HttpExpected {
    status: u16,
    reason: &'static str,
    pragma: Option<&'static str>,
    counted: Option<&'static str>,
}

const GET: HttpAsk =
    HttpAsk { listener: "http", path: USERINFO, host: "localhost", has_large_headers: false, origin: "" };

const TOO_LARGE: HttpExpected =
    HttpExpected { status: 431, reason: "HEADERS_TOO_LARGE", pragma: None, counted: None };

const OTHER_PAGE: HttpExpected =
    HttpExpected { status: 403, reason: "ORIGIN_NOT_ALLOWED", pragma: Some("no-cache"), counted: None };

const HTTP: [Order<HttpAsk, HttpExpected>; 6] = [
    Order {
        outer: "measured",
        inner: "bound_headers",
        because: "every refusal is counted",
        is_full: false,
        ask: HttpAsk { has_large_headers: true, ..GET },
        expected: HttpExpected { counted: Some(USERINFO), ..TOO_LARGE },
    },
    Order {
        outer: "bound_headers",
        inner: "admit",
        because: "what is refused for its headers takes no place",
        is_full: true,
        ask: HttpAsk { has_large_headers: true, ..GET },
        expected: TOO_LARGE,
    },
    Order {
        outer: "keep_out_of_caches",
        inner: "pages::serve",
        because: "refusals are for one reader alone, too",
        is_full: false,
        ask: HttpAsk { origin: "https://evil.example", ..GET },
        expected: OTHER_PAGE,
    },
    Order {
        outer: "pages::serve",
        inner: "admit",
        because: "what another site's page has its reader's browser send takes no place",
        is_full: true,
        ask: HttpAsk { origin: "https://evil.example", ..GET },
        expected: OTHER_PAGE,
    },
    Order {
        outer: "bound_headers",
        inner: "hosts::check",
        because: "no host is looked for in headers beyond their limit",
        is_full: false,
        ask: HttpAsk {
            listener: "operations",
            path: "/x",
            host: "evil.example",
            has_large_headers: true,
            ..GET
        },
        expected: TOO_LARGE,
    },
    Order {
        outer: "hosts::check",
        inner: "admit",
        because: "what a page of another name has its reader's browser send takes no place",
        is_full: true,
        ask: HttpAsk { listener: "operations", path: "/x", host: "evil.example", ..GET },
        expected: HttpExpected { status: 421, reason: "HOST_NOT_ALLOWED", pragma: None, counted: None },
    },
];

impl GrpcAsk {
    fn request(&self, to: SocketAddr) -> Builder {
        Request::builder()
            .method(self.method)
            .uri(format!("http://{to}{}", self.path))
            .header("content-type", self.content_type)
            .header("te", "trailers")
            .header("grpc-timeout", self.timeout)
    }

    fn is_web(&self) -> bool {
        self.content_type.contains("grpc-web")
    }
}

/// The status of `answer`, which a page finds in the body unless it is among the headers.
fn status(answer: &Answer, is_web: bool) -> Status {
    let in_body = is_web && !answer.headers.contains_key("grpc-status");
    if in_body {
        let body = String::from_utf8_lossy(&answer.body);
        assert!(body.contains("grpc-status:0\r\n"), "{answer:?}");
        return Status::ok("");
    }
    answer.status()
}

async fn counted(target: &Target, (method, code): (&str, &str)) -> f64 {
    let labels = [("grpc_method", method), ("grpc_code", code)];
    target.server.scrape().await.sum("grpc_server_handled_total", &labels)
}

async fn send(to: SocketAddr, request: Builder, body: &'static [u8]) -> Answer {
    // From an address of its own: the places that others have taken are not its own.
    let mut sender = connect([127, 0, 0, 1], to, 65_535).await;
    let request = request.body(()).unwrap();
    let (response, mut stream) = sender.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        // The server may have answered before it has read everything.
        let _ = stream.send_data(body.into(), true);
    }
    Answer::read(response).await
}

/// Takes the place for strangers at `listener` with what `request` asks, and whose answer is not read.
async fn fill(
    target: &Target,
    listener: &str,
    to: SocketAddr,
    request: Request<()>,
    body: Vec<u8>,
) -> impl Sized {
    let held = head_of([127, 1, 0, 1], to, request, body).await;
    wait_for(&target.server, listener, "strangers", 1.0).await;
    held
}

/// Every request of [`GRPC`] with these places is answered as its row says, at each of the listeners `to`.
async fn grpc_holds(target: &Target, to: &[SocketAddr], is_full: bool) {
    let mut wrong = Vec::new();
    for Order { outer, inner, because, ask, expected, .. } in GRPC.iter().filter(|row| row.is_full == is_full)
    {
        for to in to {
            let what = format!("{outer} is outside of {inner} at {to}: {because}");
            let before = match expected.counted {
                Some(labels) => counted(target, labels).await,
                None => 0.0,
            };
            let answer = send(*to, ask.request(*to), ask.body).await;
            let status = status(&answer, ask.is_web());
            let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            let got = (answer.http.as_u16(), status.code(), reason.as_str());
            let is_answered = got == (expected.http, expected.code, expected.reason);
            // It is counted before its end is sent.
            let is_counted = match expected.counted {
                Some(labels) => counted(target, labels).await == before + 1.0,
                None => true,
            };
            if !is_answered || !is_counted {
                wrong.push(format!("{what}: {got:?}, counted as expected: {is_counted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[tokio::test]
async fn each_layer_of_grpc_is_met_before_those_that_must_come_later() {
    let target = Target::new(&OPEN).await;
    let started = &target.server.started;
    grpc_holds(&target, &[started.grpc_addr, started.ext_authz_addr.unwrap()], false).await;
}

#[tokio::test]
async fn each_layer_of_grpc_is_met_in_its_order_when_there_is_no_place() {
    let target = Target::new(&[&OPEN[..], &[FULL]].concat()).await;
    let to = target.server.started.grpc_addr;
    let _held = fill(&target, "grpc", to, grpc(GET_JWKS, None), frame(b"")).await;
    grpc_holds(&target, &[to], true).await;
}

/// Every request of [`HTTP`] with these places is answered as its row says.
async fn http_holds(target: &Target, is_full: bool) {
    let (started, mut wrong) = (&target.server.started, Vec::new());
    for Order { outer, inner, because, ask, expected, .. } in HTTP.iter().filter(|row| row.is_full == is_full)
    {
        let what = format!("{outer} is outside of {inner}: {because}");
        let to = if ask.listener == "http" { started.http_addr } else { started.operations_addr.unwrap() };
        let mut request = Request::get(format!("http://{}{}", ask.host, ask.path));
        if ask.has_large_headers {
            // Less than what HTTP/2 refuses by itself.
            request = request.header("x-large", "x".repeat(9 * 1_024));
        }
        if !ask.origin.is_empty() {
            request = request.header("origin", ask.origin);
        }
        let route = expected.counted.unwrap_or_default();
        let refused = expected.status.to_string();
        let labels = [("route", route), ("status", refused.as_str())];
        let requests = async || target.server.scrape().await.sum("signet_http_requests_total", &labels);
        let before = requests().await;
        let answer = send(to, request, b"").await;
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let got = (answer.http.as_u16(), body["reason"].as_str().unwrap_or_default());
        let is_answered = got == (expected.status, expected.reason)
            && expected
                .pragma
                .is_none_or(|pragma| answer.headers.get("pragma").is_some_and(|told| told == pragma));
        let is_counted = expected.counted.is_none() || requests().await == before + 1.0;
        if !is_answered || !is_counted {
            wrong.push(format!("{what}: {answer:?}, counted as expected: {is_counted}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[tokio::test]
async fn each_layer_of_http_is_met_before_those_that_must_come_later() {
    let target = Target::new(&["--max-header-bytes=8192"]).await;
    http_holds(&target, false).await;
}

#[tokio::test]
async fn each_layer_of_http_is_met_in_its_order_when_there_is_no_place() {
    let target = Target::new(&["--max-header-bytes=8192", "--request-timeout=60s", FULL]).await;
    let started = &target.server.started;
    let ask = |path: &str| Request::get(format!("http://localhost{path}")).body(()).unwrap();
    let _http = fill(&target, "http", started.http_addr, ask(USERINFO), Vec::new()).await;
    let operations = started.operations_addr.unwrap();
    let _operations = fill(&target, "operations", operations, ask("/x"), Vec::new()).await;
    http_holds(&target, true).await;
}

/// `admit` is outside of `draining::gate`: what has not arrived whole is not in flight, and is not waited for.
#[tokio::test]
async fn a_request_that_arrives_when_the_end_has_begun_is_refused_however_early_it_began() {
    let target = Target::new(&[&OPEN[..], &["--drain-timeout=60s"]].concat()).await;
    let started = &target.server.started;
    // The drain lasts as long as this has not been read.
    let held = head_of([127, 1, 0, 1], started.grpc_addr, grpc(GET_JWKS, None), frame(b"")).await;
    let sender = connect([127, 0, 0, 1], started.http_addr, 65_535).await;
    let lanes::Open(response, mut body) = lanes::open(&sender, form(TOKEN), None).await;
    wait_for(&target.server, "http", "arriving_strangers", 1.0).await;
    target.server.begin_stop();
    eventually("the end has begun", async || target.server.http().get(USERINFO).await.status() == 503).await;
    body.send_data("grant_type=password".into(), true).unwrap();
    let answer = Answer::read(response).await;
    assert_eq!(answer.http, 503, "{answer:?}");
    drop(held);
}

/// A connection from `from` after two calls, unless it was refused or ended.
async fn stranger(from: [u8; 4], to: SocketAddr) -> Option<SendRequest<Bytes>> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let (sender, connection) = h2::client::handshake(socket.connect(to).await.ok()?).await.ok()?;
    tokio::spawn(connection);
    for _ in 0..2 {
        let mut ready = sender.clone().ready().await.ok()?;
        let (response, mut body) = ready.send_request(grpc(GET_JWKS, None), false).ok()?;
        body.send_data(frame(b"").into(), true).ok()?;
        let mut answer = response.await.ok()?.into_body();
        while let Some(data) = answer.data().await {
            answer.flow_control().release_capacity(data.ok()?.len()).ok()?;
        }
    }
    Some(sender)
}

/// `auth` is outside of `note_caller`: a connection whose caller has shown a token is kept when others come. Else it would be the first to
/// end, since it has made the fewest calls.
#[tokio::test]
async fn a_connection_is_kept_whose_caller_auth_has_recognised() {
    let target = Target::new(&["--max-connections=32", "--request-timeout=60s"]).await;
    let to = target.server.started.grpc_addr;
    let known = connect([127, 0, 0, 1], to, 65_535).await;
    let ask = async || {
        let mut sender = known.clone().ready().await.unwrap();
        let (response, mut body) = sender.send_request(grpc(GET_ME, Some(&target.token)), false).unwrap();
        body.send_data(frame(b"").into(), true).unwrap();
        Answer::read(response).await.status().code()
    };
    assert_eq!(ask().await, Code::Ok);
    let mut strangers = Vec::new();
    for host in 1..=64 {
        strangers.extend(stranger([127, 3, 0, host], to).await);
        target.server.clock.advance(Duration::from_millis(100));
    }
    let mut ended = 0;
    for stranger in strangers {
        ended += usize::from(stranger.ready().await.is_err());
    }
    assert!(ended > 0, "others have ended");
    assert_eq!(ask().await, Code::Ok);
}

/// The lines of `source` that add a layer.
fn layers(source: &str) -> impl Iterator<Item = &str> {
    let adds = |line: &&str| {
        [".layer(", ".option_layer(", ".map_response(", ".map_request(", "metrics::measured("]
            .iter()
            .any(|how| line.starts_with(how))
    };
    // The body is put into another type, which is no layer.
    source.lines().map(str::trim).filter(adds).filter(|line| !line.contains("Body::new"))
}

#[test]
fn each_layer_has_a_row_and_each_row_its_layers() {
    // These have tests of their own: the refused calls of the admin API are in tests/api/admin/audit.rs.
    let others = [("admin_calls", "auth"), ("auth", "note_caller")];
    let rows = GRPC.iter().map(|row| (row.outer, row.inner)).chain(others);
    let rows: Vec<_> = rows.collect();
    let lines: Vec<_> = layers(GRPC_SOURCE).collect();
    let place = |name: &str| {
        let is_it =
            |line: &&str| [format!("({name}"), format!(" {name}")].iter().any(|way| line.contains(way));
        lines.iter().position(is_it).unwrap_or_else(|| panic!("{name} is no layer of gRPC"))
    };
    for (outer, inner) in &rows {
        assert!(place(outer) < place(inner), "{outer} is outside of {inner}");
    }
    for (index, line) in lines.iter().enumerate() {
        assert!(
            rows.iter().any(|(outer, inner)| place(outer) == index || place(inner) == index),
            "`{line}` has no row"
        );
    }

    let named: Vec<_> = HTTP
        .iter()
        .flat_map(|row| [row.outer, row.inner])
        // The last three have tests of their own in tests/api/http/explorer.rs.
        .chain(["draining::gate", "pages::for_every_page"])
        .chain(["pages::refuse_others", "guard::check", "add_page_headers"])
        .collect();
    for line in HTTP_SOURCES.into_iter().flat_map(layers) {
        assert!(named.iter().any(|name| line.contains(name)), "`{line}` has no row");
    }
}
