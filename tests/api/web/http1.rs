//! Owns HTTP/1.1 on the address of gRPC: gRPC-Web alone is served, and nobody holds a place by being slow.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;

use super::{Answer, GET_ME, Page};
use crate::{
    harness::{PASSWORD, TestServer, assert_refused, eventually},
    http::client::HttpClient,
};

/// No more than an upper bound: far beyond what is promised.
const PATIENCE: Duration = Duration::from_secs(20);

/// The head of a call by gRPC-Web, with what else is to stand in it.
fn head(more: &str) -> String {
    format!("POST {GET_ME} HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\n{more}\r\n")
}

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.started.grpc_addr).await.unwrap()
}

/// Reads until the server closes, which it must do.
async fn closes(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("it is still open");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn what_is_no_grpc_web_is_refused_in_words() {
    let server = TestServer::start(&[]).await;
    let http = HttpClient::new(server.started.grpc_addr);
    for (method, path, content_type, status) in [
        ("GET", "/", None, 405),
        ("GET", "/livez", None, 405),
        ("POST", "/oauth2/token", Some("application/x-www-form-urlencoded"), 415),
        ("POST", GET_ME, Some("application/grpc-web+json"), 415),
        ("POST", GET_ME, None, 415),
        ("POST", GET_ME, Some("application/grpc"), 505),
        ("POST", GET_ME, Some("application/grpc+proto"), 505),
    ] {
        let mut request = http.request(method, path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = Answer::read(http.exchange(request, Bytes::new()).await);
        assert_eq!(answer.http.status().as_u16(), status, "{method} {path} {content_type:?}");
        assert_refused(answer.refusal(), Code::InvalidArgument, "MALFORMED_REQUEST");
        let text = str::from_utf8(answer.http.body()).unwrap();
        assert!(text.starts_with("the request is malformed: ") && text.contains("--http-addr"), "{text}");
        assert_eq!(answer.http.headers()["content-type"], "text/plain; charset=utf-8");
    }
}

#[tokio::test]
async fn nobody_is_switched_to_another_protocol() {
    let server = TestServer::start(&[]).await;
    for upgrade in ["h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA", "websocket"] {
        let mut stream = connect(&server).await;
        let asked =
            format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: {upgrade}\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let answer = closes(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
}

#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_are_not_read() {
    let server = TestServer::start(&[]).await;
    for more in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: -5\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "bad name: x\r\n",
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(format!("{}\0\0\0\0\0", head(more)).as_bytes()).await.unwrap();
        let answer = closes(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{more:?}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_ends_with_the_servers_deadline() {
    let server = TestServer::start(&["--request-timeout=1s"]).await;
    let token = server.client().await.token_of_new("alice").await;
    let with_token = format!("authorization: Bearer {token}\r\n");
    let mut slow = Vec::new();
    for (more, piece) in [
        ("content-length: 5\r\n", &b""[..]),
        ("content-length: 5\r\n", b"\0\0"),
        ("transfer-encoding: chunked\r\n", b"2\r\n\0\0\r\n"),
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(head(&format!("{with_token}{more}")).as_bytes()).await.unwrap();
        stream.write_all(piece).await.unwrap();
        slow.push(stream);
    }
    Page::of(&server).from(None).get_me(&token).await.unwrap();
    for mut stream in slow {
        let answer = closes(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("grpc-status: 4\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn who_says_nothing_more_after_an_answer_is_let_go() {
    let server = TestServer::start(&["--keepalive-timeout=1s"]).await;
    let mut stream = connect(&server).await;
    stream.write_all(format!("{}\0\0\0\0\0", head("content-length: 5\r\n")).as_bytes()).await.unwrap();
    let answer = closes(&mut stream).await;
    assert!(answer.contains("grpc-status: 16\r\n"), "{answer}");
}

#[tokio::test]
async fn a_stop_waits_for_calls_and_not_for_idle_connections() {
    let slow = ["--argon2-memory-kib=65536", "--argon2-iterations=8", "--drain-timeout=60s"];
    let server = TestServer::start(&slow).await;
    let mut idle = connect(&server).await;
    idle.write_all(format!("{}\0\0\0\0\0", head("content-length: 5\r\n")).as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    let page = Page::of(&server).from(None);
    let signing_up = tokio::spawn(async move { page.sign_up("alice", PASSWORD).await });
    eventually("the call is in flight", async || {
        server.scrape().await.sum("signet_grpc_calls_in_flight", &[]) == 1.0
    })
    .await;
    timeout(PATIENCE, server.stop()).await.expect("the idle connection holds up the stop");
    signing_up.await.unwrap().unwrap();
    closes(&mut idle).await;
}

#[tokio::test]
async fn a_page_that_goes_away_ends_its_call() {
    let slow =
        ["--argon2-memory-kib=65536", "--argon2-iterations=8", "--hash-threads=1", "--request-timeout=60s"];
    let server = TestServer::start(&slow).await;
    let page = Page::of(&server).from(None);
    let going = tokio::spawn(async move { page.sign_up("alice", PASSWORD).await });
    let in_flight = async || server.scrape().await.sum("signet_grpc_calls_in_flight", &[]);
    eventually("the call is in flight", async || in_flight().await == 1.0).await;
    going.abort();
    let canceled = [("grpc_method", "SignUp"), ("grpc_code", "Canceled")];
    eventually("the call has ended", async || {
        in_flight().await == 0.0 && server.scrape().await.sum("grpc_server_handled_total", &canceled) == 1.0
    })
    .await;
    assert_eq!(server.http_get("/livez").await.status(), StatusCode::OK);
}
