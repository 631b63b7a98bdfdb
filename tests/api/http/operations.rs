//! Owns what operators are promised at their own address: metrics and probes, for nobody's web page, and whatever callers do.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{TOKEN, client::HttpClient, password_form, text};
use crate::harness::{PASSWORD, TestServer};

/// The status and the body that `addr` answers to `head`, written as it is said.
async fn ask(addr: SocketAddr, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn metrics_are_at_the_operators_address_alone_and_probes_at_both() {
    let server = TestServer::start(&[]).await;
    let (http, operations) = (server.http(), server.operations());
    for path in ["/livez", "/readyz"] {
        for client in [http, operations, http.h2c(), operations.h2c()] {
            assert_eq!(client.get(path).await.status(), 200, "{path}");
        }
    }
    assert_eq!(operations.get("/metrics").await.status(), 200);
    let refused = http.get("/metrics").await;
    refused.assert_refused(404, "not_found", "");
    let addr = server.started.operations_addr.unwrap().to_string();
    let said = refused.json();
    let said = text(&said, "error_description");
    assert!(said.contains("--operations-addr") && said.ends_with(&addr), "{said}");

    // Nothing else is there.
    for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/oauth2/userinfo", "/"] {
        operations.get(path).await.assert_refused(404, "not_found", "");
    }
    operations.post(TOKEN, &password_form("alice", PASSWORD)).await.assert_refused(404, "not_found", "");
    let refused = operations.send(operations.request("POST", "/metrics"), "").await;
    refused.assert_refused(405, "invalid_request", "MALFORMED_REQUEST");

    let without = TestServer::start(&["--operations-addr=off"]).await;
    assert_eq!(without.started.operations_addr, None);
    let refused = without.http().get("/metrics").await;
    refused.assert_refused(404, "not_found", "");
    assert!(text(&refused.json(), "error_description").ends_with("where nothing listens"));
}

#[tokio::test]
async fn no_web_page_reads_the_operators_address_under_a_name_of_its_own() {
    let args = ["--issuer=https://id.example:8443/auth", "--operations-hosts=signet,*.internal.example"];
    let server = TestServer::start(&args).await;
    let addr = server.started.operations_addr.unwrap();
    let (status, port) = (async |head: &str| ask(addr, head).await.0, addr.port());
    let hosts = [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]", 200),
        ("LOCALHOST.", 200),
        ("id.example", 200),
        ("signet.identity.svc", 200),
        ("signet.identity.svc.cluster.local.", 200),
        ("signet", 200),
        ("a.b.internal.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("a.id.example", 421),
        ("internal.example", 421),
        ("svc", 421),
        ("localhost..", 421),
        ("::1", 421),
        ("[::1", 421),
        ("evil.example@localhost", 421),
        ("localhost@evil.example", 421),
        ("localhost,evil.example", 421),
        ("localhost evil.example", 421),
        ("", 421),
    ];
    for path in ["/metrics", "/livez", "/readyz", "/nothing"] {
        for (host, expected) in hosts {
            let expected = if path == "/nothing" && expected == 200 { 404 } else { expected };
            let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n");
            assert_eq!(status(&head).await, expected, "{path} {host:?}");
        }
    }
    for (head, expected) in [
        (format!("GET /livez HTTP/1.1\r\nhost: localhost:{port}\r\n"), 200),
        ("GET /livez HTTP/1.1\r\nhost: localhost:99999\r\n".to_owned(), 421),
        ("GET /livez HTTP/1.1\r\nHOST: evil.example\r\n".to_owned(), 421),
        // Each place that names a host counts.
        ("GET http://localhost/livez HTTP/1.1\r\nhost: localhost\r\n".to_owned(), 200),
        ("GET http://evil.example/livez HTTP/1.1\r\nhost: localhost\r\n".to_owned(), 421),
        ("GET http://localhost/livez HTTP/1.1\r\nhost: evil.example\r\n".to_owned(), 421),
        ("GET http://localhost@evil.example/livez HTTP/1.1\r\nhost: localhost\r\n".to_owned(), 421),
        ("GET http://x@localhost/livez HTTP/1.1\r\nhost: localhost\r\n".to_owned(), 421),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n".to_owned(), 400),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\nHost: evil.example\r\n".to_owned(), 400),
        // Probes of load balancers name no host; browsers always do.
        ("GET /livez HTTP/1.1\r\n".to_owned(), 400),
        ("GET /livez HTTP/1.0\r\n".to_owned(), 200),
        ("GET /livez HTTP/1.0\r\nhost: evil.example\r\n".to_owned(), 421),
    ] {
        assert_eq!(status(&head).await, expected, "{head:?}");
    }
    let (_, said) = ask(addr, "GET /metrics HTTP/1.1\r\nhost: evil.example\r\n").await;
    assert!(said.contains("HOST_NOT_ALLOWED") && said.contains("--operations-hosts"), "{said}");
    assert!(!said.contains("signet_"), "{said}");
}

#[tokio::test]
async fn the_same_holds_over_http_2() {
    let server = TestServer::start(&[]).await;
    let client = server.operations().h2c();
    for (authority, host, expected) in [
        ("localhost", None, 200),
        ("LocalHost.:1", Some("127.0.0.1"), 200),
        ("evil.example", None, 421),
        ("evil.example:8089", Some("localhost"), 421),
        ("localhost", Some("evil.example"), 421),
    ] {
        let mut request = Request::get(format!("http://{authority}/metrics"));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let answer = client.send(request, "").await;
        assert_eq!(answer.status(), expected, "{authority} {host:?}");
    }
}

#[tokio::test]
async fn keys_discovery_and_tokens_are_had_under_any_name() {
    let server = TestServer::start(&[]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let addr = server.started.http_addr;
    for host in ["signet", "evil.example", "signet.identity.svc"] {
        for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/livez"] {
            let (status, _) = ask(addr, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n")).await;
            assert_eq!(status, 200, "{host} {path}");
        }
        let http = server.http();
        let form = super::client::encoded(&password_form("alice", PASSWORD));
        let request = Request::post(TOKEN)
            .header("host", host)
            .header("content-type", "application/x-www-form-urlencoded");
        http.send(request, &form).await.ok();
    }
}

#[tokio::test]
async fn metrics_for_many_who_ask_at_once_are_whole() {
    let server = TestServer::start(&[]).await;
    let addr = server.started.operations_addr.unwrap();
    // On one connection, as many as it may have open: the connections of operators are few.
    let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let mut askers = JoinSet::new();
    for _ in 0..16 {
        let request = Request::get(format!("http://{addr}/metrics")).body(Empty::<Bytes>::new()).unwrap();
        let mut sender = sender.clone();
        askers.spawn(async move {
            let answer = sender.send_request(request).await.unwrap();
            (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
        });
    }
    while let Some(answer) = askers.join_next().await {
        let (status, body) = answer.unwrap();
        assert_eq!(status, 200);
        assert!(String::from_utf8_lossy(&body).contains("\nsignet_build_info{"));
    }
    // Who asks after something has happened is told of it.
    for count in 1..5 {
        assert_eq!(server.http_get("/made/up").await.status(), 404);
        let unknown = format!("signet_http_requests_total{{route=\"unknown\",status=\"404\"}} {count}\n");
        assert!(server.operations_get("/metrics").await.body().contains(&unknown));
    }
}

#[tokio::test]
async fn callers_take_no_connection_from_operators_nor_these_from_them() {
    const CONNECTIONS: usize = 8;
    let server = TestServer::start(&[&format!("--max-connections={CONNECTIONS}")]).await;
    let (http, operations) = (server.started.http_addr, server.started.operations_addr.unwrap());
    for (flooded, other) in [(http, operations), (operations, http)] {
        let mut idle = Vec::new();
        for _ in 0..3 * CONNECTIONS {
            idle.push(TcpStream::connect(flooded).await.unwrap());
        }
        assert_eq!(HttpClient::new(other).get("/livez").await.status(), 200, "{flooded} is flooded");
    }
}
