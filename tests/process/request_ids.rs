//! Owns what operators find by a request's id: the lines of the log and of the audit log that it has caused.

use std::net::SocketAddr;

use prost::Message;
use sea_orm::ConnectionTrait;
use serde_json::Value;
use signet::proto::{
    envoy::service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Request as Checked},
    },
    identity::v1::SignUpRequest,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Status;
use tonic_types::StatusExt;

use crate::{
    client::PASSWORD,
    harness::{Place, Service},
};

const SIGN_UP: &str = "/identity.v1.IdentityService/SignUp";
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// What `addr` answers to a POST with the id `request_id`, written as it is said.
async fn post(addr: SocketAddr, path: &str, content_type: &str, request_id: &[u8], body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nx-request-id: ",
        body.len()
    );
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&[head.as_bytes(), request_id, b"\r\n\r\n", body].concat()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// Calls the method at `path` by gRPC-Web.
async fn call(service: &Service, path: &str, request_id: &[u8], message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let body = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    post(service.grpc_addr(), path, "application/grpc-web+proto", request_id, &body).await
}

/// Signs up by gRPC-Web.
async fn sign_up(service: &Service, username: &str, request_id: &[u8]) -> Vec<u8> {
    let (username, password) = (username.to_owned(), PASSWORD.to_owned());
    let message = SignUpRequest { username, password, ..SignUpRequest::default() };
    call(service, SIGN_UP, request_id, &message).await
}

/// Fails to log in over HTTP.
async fn log_in(service: &Service, username: &str, request_id: &[u8]) -> Vec<u8> {
    log_in_with(service, username, "wrong-staple-battery", request_id).await
}

async fn log_in_with(service: &Service, username: &str, password: &str, request_id: &[u8]) -> Vec<u8> {
    let form = format!("grant_type=password&username={username}&password={password}");
    let content_type = "application/x-www-form-urlencoded";
    post(service.http_addr(), "/oauth2/token", content_type, request_id, form.as_bytes()).await
}

fn lines(stderr: &str) -> Vec<Value> {
    stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[tokio::test]
async fn a_failed_call_is_told_with_its_method_and_its_id() {
    for format in ["json", "text"] {
        let place = Place::new();
        let service = place.serve(&["--log-level=warn,signet=debug", "--log-format", format]).await;
        sign_up(&service, "alice", b"before").await;
        // Behind the service's back: what it asks for is not there.
        place.connect().await.execute_unprepared("ALTER TABLE users RENAME TO others").await.unwrap();
        let answer = sign_up(&service, "bob", b"by-grpc").await;
        assert!(String::from_utf8_lossy(&answer).contains("grpc-status: 13\r\n"), "{answer:?}");
        let answer = log_in(&service, "alice", b"by-http").await;
        assert!(answer.starts_with(b"HTTP/1.1 500 "), "{answer:?}");
        let log = service.stop().await.stderr;
        for (listener, method, id) in [("grpc", SIGN_UP, "by-grpc"), ("http", "/oauth2/token", "by-http")] {
            if format == "json" {
                let lines = lines(&log);
                let is_of = |line: &&Value| line["message"] == "call failed" && line["listener"] == listener;
                let failed = lines.iter().find(is_of).unwrap_or_else(|| panic!("{log}"));
                assert_eq!(
                    (&failed["method"], &failed["request_id"]),
                    (&method.into(), &id.into()),
                    "{failed}"
                );
                assert_eq!((&failed["level"], &failed["reason"]), (&"ERROR".into(), &"INTERNAL".into()));
            } else {
                let is_of = |line: &&str| line.contains("call failed") && line.contains(listener);
                let failed = log.lines().find(is_of).unwrap_or_else(|| panic!("{log}"));
                let method = format!("method=\"{method}\"");
                assert!(
                    failed.contains(&method) && failed.ends_with(&format!(" request_id={id}")),
                    "{failed}"
                );
            }
        }
        // No call has caused what the service does by itself.
        let own = log.lines().find(|line| line.contains("ready: the database answers")).unwrap();
        assert!(!own.contains("request_id"), "{own}");
    }
}

/// What Envoy asks about a request with the bearer token `token` and the id `request_id`.
fn question(token: &str, request_id: &str) -> CheckRequest {
    let headers = [("authorization", format!("Bearer {token}")), ("x-request-id", request_id.to_owned())];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let request = Some(Checked { http: Some(HttpRequest { headers, ..HttpRequest::default() }) });
    CheckRequest { attributes: Some(AttributeContext { request, ..AttributeContext::default() }) }
}

#[tokio::test]
async fn a_question_that_fails_is_told_everywhere_under_the_id_of_the_request_asked_about() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    sign_up(&service, "alice", b"before").await;
    let answer = String::from_utf8(log_in_with(&service, "alice", PASSWORD, b"login").await).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    service.stop().await;
    // A process that remembers nobody, and behind whose back the users go.
    let service = place.serve(&["--log-format=json", "--ext-authz=on"]).await;
    place.connect().await.execute_unprepared("ALTER TABLE users RENAME TO others").await.unwrap();
    let question = question(body["access_token"].as_str().unwrap(), "of-the-request");
    let answer = call(&service, CHECK, b"of-the-question", &question).await;
    let answer = String::from_utf8_lossy(&answer);
    let mut headers = http::HeaderMap::new();
    for (name, value) in answer.lines().filter_map(|line| line.split_once(": ")) {
        let name = http::HeaderName::try_from(name).unwrap();
        headers.insert(name, http::HeaderValue::try_from(value).unwrap());
    }
    let status = Status::from_header_map(&headers).unwrap();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{answer}");
    assert_eq!(headers["x-request-id"], "of-the-request");
    assert_eq!(status.get_details_request_info().unwrap().request_id, "of-the-request");
    let log = service.stop().await.stderr;
    let is_of = |line: &&Value| line["message"] == "call failed" && line["method"] == CHECK;
    let lines = lines(&log);
    let failed = lines.iter().find(is_of).unwrap_or_else(|| panic!("{log}"));
    assert_eq!(failed["request_id"], "of-the-request", "{failed}");
    assert!(!log.contains("of-the-question"), "{log}");
}

#[tokio::test]
async fn an_event_of_the_audit_log_has_the_id_of_its_request() {
    let place = Place::new();
    let service = place.serve(&["--log-format=json"]).await;
    sign_up(&service, "alice", b"sign-up-1").await;
    log_in(&service, "alice", b"login-1").await;
    // The same again: it is counted, and nothing is merged or kept apart by the id.
    log_in(&service, "alice", b"login-2").await;
    let lines = lines(&service.stop().await.stderr);
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<_>>();
    let ids = |event: &str| of(event).into_iter().map(|line| line["request_id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids("user.signed_up"), ["sign-up-1"]);
    assert_eq!(ids("login"), [Value::from("login-1"), Value::Null]);
    assert_eq!(of("login")[1]["repeats"], 1, "it stands for requests of other ids");
    // What no request has caused has none.
    assert_eq!(ids("signing_key.published"), [Value::Null]);
}

#[tokio::test]
async fn what_may_not_be_an_id_never_reaches_a_log() {
    let place = Place::new();
    let service = place.serve(&["--log-level=debug", "--log-format=json"]).await;
    for (number, unfit) in [
        &b"evil\r\n {\"event\":\"evil\"}"[..],
        b"evil\n{\"event\":\"evil\"}",
        b"evil\",\"level\":\"ERROR",
        "evil\u{202e}".as_bytes(),
        b"evil\x1b[2J",
        b"evil\xff",
        &b"evil".repeat(17),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = log_in(&service, &format!("user-{number}"), unfit).await;
        assert!(!String::from_utf8_lossy(&answer).contains("evil"), "{answer:?}");
    }
    let log = service.stop().await.stderr;
    assert!(!log.contains("evil"), "{log}");
    // They were told all the same, by ids that were made here.
    let logins: Vec<_> = lines(&log).into_iter().filter(|line| line["event"] == "login").collect();
    assert!(!logins.is_empty());
    for login in logins {
        assert!(login["repeats"].is_u64() || login["request_id"].as_str().unwrap().len() == 36, "{login}");
    }
}
