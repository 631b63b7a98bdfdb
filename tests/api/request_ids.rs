//! Owns by which id a request is found: every answer and every error tells it, whoever answers and in whichever protocol.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, request::Builder};
use signet::proto::{
    envoy::service::auth::v3::{
        AttributeContext, CheckRequest, attribute_context::Request as Checked, check_response::HttpResponse,
    },
    identity::v1::{GetMeRequest, SignUpRequest},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Code, Request, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    ext_authz::{Sidecar, http as checked},
    harness::{PASSWORD, TestServer, assert_refused, eventually, with_token},
    http::client::HttpClient,
    wire::frame,
};

const HEADER: &str = "x-request-id";

const GET_ME: &str = "/identity.v1.IdentityService/GetMe";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// An id with every kind of character that it may have.
const CHOSEN: &str = "Client_1.attempt-2";

const ARGS: [&str; 3] =
    ["--ext-authz=on", "--ext-authz-addr=127.0.0.1:0", "--web-origins=https://app.example"];

/// A request, and the status over HTTP that answers it.
struct Case {
    http: HttpClient,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    status: u16,
}

impl Case {
    fn request(&self) -> Builder {
        let request = self.http.request(self.method, self.path);
        self.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    async fn send(&self, request: Builder) -> Response<Bytes> {
        let answer = self.http.exchange(request, self.body.clone().into()).await;
        assert_eq!(answer.status(), self.status, "{} {} {:?}", self.method, self.path, self.headers);
        answer
    }
}

/// The one id among `headers`.
#[track_caller]
fn id(headers: &HeaderMap) -> &str {
    let ids: Vec<_> = headers.get_all(HEADER).iter().collect();
    let [id] = ids[..] else { panic!("one id: {headers:?}") };
    id.to_str().unwrap()
}

/// Asserts that `id` was made here.
#[track_caller]
fn assert_new(id: &str) {
    let made = Uuid::try_parse(id).unwrap_or_else(|_| panic!("{id:?} is no UUID"));
    assert_eq!((made.get_version_num(), id.len()), (7, 36), "{id}");
}

/// The id among the headers that a stub hands on.
#[track_caller]
fn said(metadata: &MetadataMap) -> &str {
    metadata.get(HEADER).expect("an id").to_str().unwrap()
}

/// The id that the details of `status` tell.
#[track_caller]
fn told(status: &Status) -> String {
    let info = status.get_details_request_info().unwrap_or_else(|| panic!("no RequestInfo: {status:?}"));
    assert_eq!(info.serving_data, "");
    info.request_id
}

/// One request of each kind for each listener, in each protocol that it speaks.
fn cases(server: &TestServer) -> Vec<Case> {
    const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc")];
    const LATE: &[(&str, &str)] = &[("content-type", "application/grpc"), ("grpc-timeout", "0n")];
    const WEB: &[(&str, &str)] = &[("content-type", "application/grpc-web+proto")];
    const PAGE: &[(&str, &str)] =
        &[("content-type", "application/grpc-web+proto"), ("origin", "https://app.example")];
    const FOREIGN: &[(&str, &str)] =
        &[("content-type", "application/grpc-web+proto"), ("origin", "https://evil.example")];
    const PREFLIGHT: &[(&str, &str)] =
        &[("access-control-request-method", "POST"), ("origin", "https://app.example")];
    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
    const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
    const EVIL: &[(&str, &str)] = &[("host", "evil.example")];
    let started = &server.started;
    let (grpc, envoy) =
        (HttpClient::new(started.grpc_addr), HttpClient::new(started.ext_authz_addr.unwrap()));
    let operations = HttpClient::new(started.operations_addr.unwrap());
    let mut cases = Vec::new();
    let mut add = |http, (method, path): (_, _), headers, body: &[u8], status| {
        cases.push(Case { http, method, path, headers, body: body.to_vec(), status });
    };
    let empty = frame(b"");
    for listener in [grpc, envoy] {
        add(listener.h2c(), ("POST", HEALTH), GRPC, &empty, 200);
        add(listener.h2c(), ("POST", "/no.such.Service/Method"), GRPC, &empty, 200);
        add(listener.h2c(), ("GET", "/"), &[], b"", 405);
        add(listener, ("POST", HEALTH), GRPC, &empty, 505);
        add(listener, ("POST", HEALTH), WEB, &empty, 200);
    }
    add(envoy.h2c(), ("POST", CHECK), GRPC, &empty, 200);
    add(envoy.h2c(), ("POST", HEALTH), JSON, b"{}", 415);
    for http in [grpc, grpc.h2c()] {
        add(http, ("POST", HEALTH), JSON, b"{}", 200);
        add(http, ("POST", GET_ME), JSON, b"{}", 401);
        add(http, ("POST", "/no.such.Service/Method"), JSON, b"{}", 404);
    }
    add(grpc.h2c(), ("POST", GET_ME), GRPC, &empty, 200);
    add(grpc.h2c(), ("POST", GET_ME), LATE, &empty, 200);
    // What the framework refuses: no message, and one that is cut.
    add(grpc.h2c(), ("POST", GET_ME), GRPC, b"\xff\xff\xff", 200);
    add(grpc.h2c(), ("POST", GET_ME), GRPC, &empty[..3], 200);
    for http in [grpc, grpc.h2c()] {
        add(http, ("POST", GET_ME), PAGE, &empty, 200);
        add(http, ("POST", GET_ME), FOREIGN, &empty, 403);
        add(http, ("OPTIONS", GET_ME), PREFLIGHT, b"", 200);
    }
    for http in [server.http(), server.http().h2c()] {
        add(http, ("GET", "/.well-known/jwks.json"), &[], b"", 200);
        add(http, ("GET", "/livez"), &[], b"", 200);
        add(http, ("GET", "/nothing"), &[], b"", 404);
        add(http, ("GET", "/metrics"), &[], b"", 404);
        add(http, ("GET", "/oauth2/token"), &[], b"", 405);
        add(http, ("POST", "/oauth2/token"), FORM, b"grant_type=x", 400);
        add(http, ("POST", "/oauth2/token"), FOREIGN, b"", 403);
        add(http, ("GET", "/oauth2/userinfo"), &[], b"", 401);
    }
    for http in [operations, operations.h2c()] {
        add(http, ("GET", "/metrics"), &[], b"", 200);
        add(http, ("GET", "/nothing"), &[], b"", 404);
    }
    add(operations, ("GET", "/metrics"), EVIL, b"", 400);
    cases
}

#[tokio::test]
async fn every_answer_tells_the_id_that_was_sent_or_a_new_one() {
    let server = TestServer::start(&ARGS).await;
    let mut made = Vec::new();
    for case in cases(&server) {
        let answer = case.send(case.request().header(HEADER, CHOSEN)).await;
        assert_eq!(id(answer.headers()), CHOSEN, "{} {}", case.method, case.path);
        let answer = case.send(case.request()).await;
        assert_new(id(answer.headers()));
        made.push(id(answer.headers()).to_owned());
    }
    let count = made.len();
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), count, "each is another");
}

#[tokio::test]
async fn every_error_of_grpc_tells_the_id_in_its_details() {
    let server = TestServer::start(&ARGS).await;
    let mut refused = 0;
    for case in cases(&server) {
        let answer = case.send(case.request().header(HEADER, CHOSEN)).await;
        let Some(status) = Status::from_header_map(answer.headers()) else { continue };
        assert_ne!(status.code(), Code::Ok);
        assert_eq!(told(&status), CHOSEN, "{} {}", case.method, case.path);
        // Nothing else is lost by that.
        let has_reason = status.get_details_error_info().is_some();
        assert_eq!(has_reason, status.code() != Code::Unimplemented, "{status:?}");
        refused += 1;
    }
    assert!(refused > 10, "{refused}");
}

#[tokio::test]
async fn calls_of_stubs_are_told_the_id_with_a_success_and_with_an_error() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let request = |password: &str| {
        let (username, password) = ("alice".to_owned(), password.to_owned());
        let mut request = Request::new(SignUpRequest { username, password, ..SignUpRequest::default() });
        request.metadata_mut().insert(HEADER, MetadataValue::from_static(CHOSEN));
        request
    };
    let status =
        assert_refused(client.0.sign_up(request("short")).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!((told(&status).as_str(), said(status.metadata())), (CHOSEN, CHOSEN));
    assert!(status.get_details_bad_request().is_some(), "{status:?}");
    let answer = client.0.sign_up(request(PASSWORD)).await.unwrap();
    assert_eq!(said(answer.metadata()), CHOSEN);

    let token = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let answer = client.0.get_me(with_token(GetMeRequest {}, &token)).await.unwrap();
    assert_new(said(answer.metadata()));
}

/// What may not be an id, as the bytes of a header.
fn unfit() -> Vec<Vec<u8>> {
    let mut unfit: Vec<_> =
        ["", "a b", "a,b", "a;b", "a\"b", "<a>", "%0aa", "a/b", "a\tb", "{a}", "é", "\u{202e}a"]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
    unfit.extend([vec![b'a'; 65], vec![b'a'; 3_000], b"\xff\xfe".to_vec()]);
    unfit
}

#[tokio::test]
async fn an_id_that_may_not_be_is_replaced_by_a_new_one() {
    let server = TestServer::start(&[]).await;
    let addrs = [server.started.grpc_addr, server.started.http_addr, server.started.operations_addr.unwrap()];
    for http in addrs.into_iter().flat_map(|addr| [HttpClient::new(addr), HttpClient::new(addr).h2c()]) {
        let answered = async |request: Builder| http.exchange(request, Bytes::new()).await;
        for unfit in unfit() {
            let value = HeaderValue::from_bytes(&unfit).unwrap();
            let answer = answered(http.request("GET", "/livez").header(HEADER, value)).await;
            assert_new(id(answer.headers()));
            if let Some(status) = Status::from_header_map(answer.headers()) {
                assert_eq!(told(&status), id(answer.headers()));
            }
        }
        // Which of several the sender means, or a proxy in front has looked at, is not known.
        for several in [[CHOSEN, CHOSEN], ["a", "b"], ["a", ""]] {
            let request =
                several.iter().fold(http.request("GET", "/livez"), |request, id| request.header(HEADER, *id));
            assert_new(id(answered(request).await.headers()));
        }
        let longest = "x".repeat(64);
        let answer = answered(http.request("GET", "/livez").header(HEADER, &longest)).await;
        assert_eq!(id(answer.headers()), longest);
    }
}

/// What `addr` answers to `request`, written as it is said.
async fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn no_id_begins_a_line_of_the_answer() {
    let server = TestServer::start(&[]).await;
    for addr in [server.started.grpc_addr, server.started.http_addr, server.started.operations_addr.unwrap()]
    {
        for said in [
            "a\r\n evil: 1",
            "a\r\n\tevil: 1",
            "a\r evil: 1",
            "a\n evil: 1",
            "a\0evil: 1",
            "\r\n evil: 1",
            "a\u{85}evil: 1",
            "a\u{2028}evil: 1",
        ] {
            let request = format!(
                "GET /livez HTTP/1.1\r\nhost: localhost\r\n{HEADER}: {said}\r\nconnection: close\r\n\r\n"
            );
            let answer = raw(addr, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
            assert!(!answer.contains("evil"), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_without_an_id() {
    // The HTTP library answers these before anything of the service is called: docs/OPERATIONS.md names them.
    let server = TestServer::start(&[]).await;
    let many = format!("GET /livez HTTP/1.1\r\n{HEADER}: {CHOSEN}\r\n{}\r\n", "a: b\r\n".repeat(100));
    for addr in [server.started.grpc_addr, server.started.http_addr, server.started.operations_addr.unwrap()]
    {
        let version = format!("GET /livez HTTP/9.9\r\n{HEADER}: {CHOSEN}\r\n\r\n");
        for (request, status) in [("this is no HTTP at all\r\n\r\n", 400), (&version, 400), (&many, 431)] {
            let answer = raw(addr, request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(!answer.contains(HEADER) && answer.ends_with("\r\n\r\n"), "{answer}");
        }
    }
}

#[tokio::test]
async fn who_finds_no_place_is_told_the_id() {
    // One message of each peer may be on its way.
    let server = TestServer::start(&["--max-in-flight-calls=4", "--receive-timeout=1m"]).await;
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let web = "content-type: application/grpc-web\r\n";
    for (addr, path, content_type, listener) in [
        (server.started.http_addr, "/oauth2/token", form, "http"),
        (server.started.grpc_addr, GET_ME, web, "grpc"),
    ] {
        let begun = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\n{HEADER}: {CHOSEN}\r\n{content_type}content-length: 10\r\nconnection: close\r\n\r\na"
        );
        let mut first = TcpStream::connect(addr).await.unwrap();
        first.write_all(begun.as_bytes()).await.unwrap();
        eventually("the place is taken", async || {
            let labels = [("listener", listener), ("lane", "arriving_strangers")];
            server.scrape().await.sum("signet_places_taken", &labels) > 0.5
        })
        .await;
        let answer = raw(addr, begun.as_bytes()).await;
        assert!(answer.contains("OVERLOADED") || answer.contains("grpc-status: 8\r\n"), "{answer}");
        assert!(answer.contains(&format!("\r\n{HEADER}: {CHOSEN}\r\n")), "{answer}");
    }
}

/// What the client of a checked request gets that sends `request_id`: the id among the headers, and in the details of the refusal.
async fn denied(sidecar: &Sidecar, request_id: Option<&str>, is_grpc: bool) -> (String, String) {
    let mut headers = vec![("content-type", if is_grpc { "application/grpc" } else { "text/plain" })];
    headers.extend(request_id.map(|id| (HEADER, id)));
    let request = Some(Checked { http: Some(checked(&headers)) });
    let attributes = Some(AttributeContext { request, ..AttributeContext::default() });
    let mut asked = Request::new(CheckRequest { attributes });
    asked.metadata_mut().insert(HEADER, MetadataValue::from_static("of-the-question"));
    let answer = sidecar.0.clone().check(asked).await.unwrap();
    let said = said(answer.metadata()).to_owned();
    let Some(HttpResponse::DeniedResponse(denied)) = answer.into_inner().http_response else {
        panic!("denied")
    };
    let header = |name: &str| {
        let mut values = denied.headers.iter().filter_map(|option| option.header.as_ref());
        values.find(|header| header.key == name).map(|header| header.value.clone())
    };
    let detail = if is_grpc {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", HeaderValue::from_static("16"));
        let details = header("grpc-status-details-bin").unwrap();
        headers.insert("grpc-status-details-bin", HeaderValue::from_str(&details).unwrap());
        told(&Status::from_header_map(&headers).unwrap())
    } else {
        let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
        assert_eq!(body["details"][1]["@type"], "type.googleapis.com/google.rpc.RequestInfo", "{body}");
        body["details"][1]["requestId"].as_str().unwrap().to_owned()
    };
    let id = header(HEADER).unwrap();
    assert_eq!(said, id, "one id, for Envoy and for its client");
    (id, detail)
}

#[tokio::test]
async fn who_is_refused_by_envoy_is_told_the_id_of_their_own_request() {
    let server = TestServer::start(&["--ext-authz=on"]).await;
    let sidecar = Sidecar::of(&server).await;
    for is_grpc in [false, true] {
        let twice = |id: &str| (id.to_owned(), id.to_owned());
        assert_eq!(denied(&sidecar, Some(CHOSEN), is_grpc).await, twice(CHOSEN));
        for unfit in [None, Some(""), Some("a,b"), Some("a\r\nevil: 1")] {
            assert_eq!(denied(&sidecar, unfit, is_grpc).await, twice("of-the-question"), "{unfit:?}");
        }
    }
}

#[tokio::test]
async fn over_http_the_header_alone_tells_the_id() {
    let server = TestServer::start(&[]).await;
    let http = server.http();
    let answer = http.send(http.form("/oauth2/token").header(HEADER, CHOSEN), "grant_type=x").await;
    answer.assert_refused(400, "unsupported_grant_type", "UNSUPPORTED_GRANT_TYPE");
    assert_eq!(answer.header(HEADER), CHOSEN);
    assert!(!answer.0.body().contains(CHOSEN), "{answer:?}");
}
