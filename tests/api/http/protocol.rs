//! Owns what HTTP itself gets wrong: paths, methods, sizes; over both its versions.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{REVOKE, TOKEN, USERINFO};
use crate::harness::{PASSWORD, TestServer};

#[tokio::test]
async fn a_path_where_nothing_is_says_so_in_json() {
    let server = TestServer::start(&[]).await;
    for http in [server.http(), server.http().h2c()] {
        for path in
            ["/", "/oauth2", "/oauth2/token/", "/oauth2//token", "/OAuth2/token", "/%6fauth2/token", "/x?y=z"]
        {
            let answer = http.get(path).await;
            answer.assert_refused(404, "not_found", "");
        }
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_says_which_it_takes() {
    let server = TestServer::start(&[]).await;
    for (method, path, allow) in [
        ("GET", TOKEN, "POST"),
        ("OPTIONS", TOKEN, "POST"),
        ("PUT", REVOKE, "POST"),
        ("DELETE", USERINFO, "GET,HEAD,POST"),
        ("POST", "/.well-known/jwks.json", "GET,HEAD"),
        ("POST", "/.well-known/openid-configuration", "GET,HEAD"),
        ("POST", "/livez", "GET,HEAD"),
    ] {
        for http in [server.http(), server.http().h2c()] {
            let answer = http.send(http.request(method, path), "").await;
            answer.assert_refused(405, "invalid_request", "MALFORMED_REQUEST");
            assert_eq!(answer.header("allow"), allow, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let server = TestServer::start(&["--max-message-bytes=2000"]).await;
    for http in [server.http(), server.http().h2c()] {
        let fits = http.send(http.form(TOKEN), &"a".repeat(2_000)).await;
        fits.assert_refused(400, "invalid_request", "INVALID_FIELDS");
        let answer = http.send(http.form(TOKEN), &"a".repeat(2_001)).await;
        answer.assert_refused(413, "invalid_request", "MESSAGE_TOO_LARGE");
        // Whoever asks for nothing gets no room for it, either.
        let answer = http.send(http.request("POST", USERINFO), &"a".repeat(2_001)).await;
        answer.assert_refused(413, "invalid_request", "MESSAGE_TOO_LARGE");
    }
    // In chunks nothing is announced, and announced is not sent.
    let head = format!(
        "POST {TOKEN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\nconnection: close\r\n"
    );
    let chunk = format!("100\r\n{}\r\n", "a".repeat(0x100));
    for request in [
        format!("{head}transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(8)),
        format!("{head}content-length: 2001\r\n\r\n"),
        format!("{head}content-length: 9007199254740993\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(server.started.http_addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("MESSAGE_TOO_LARGE"), "{answer}");
    }
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused() {
    let server = TestServer::start(&["--max-header-bytes=8192"]).await;
    for http in [server.http(), server.http().h2c()] {
        for path in [TOKEN, USERINFO, "/livez", "/.well-known/jwks.json", "/nothing"] {
            let large = http.request("GET", path).header("x-large", "x".repeat(8_192));
            http.send(large, "").await.assert_refused(431, "invalid_request", "HEADERS_TOO_LARGE");
        }
        // Far beyond, hyper itself refuses, without our words.
        let huge = http.request("GET", USERINFO).header("x-large", "x".repeat(60_000));
        assert_eq!(http.send(huge, "").await.status(), 431);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_takes_nothing_down() {
    let server = TestServer::start(&[]).await;
    let head =
        format!("POST {TOKEN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n");
    for request in [
        format!("{head}content-length: 100\r\n\r\ngrant_type="),
        format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nabc"),
        // Two lengths, or a length and chunks: what a proxy in front believed cannot be known.
        format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef"),
        format!("{head}content-length: -1\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(server.started.http_addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
    }
    assert_eq!(server.http_get("/livez").await.status(), 200);
}

#[tokio::test]
async fn a_request_over_http_1_1_names_one_host_at_every_listener() {
    let server = TestServer::start(&["--ext-authz=on", "--ext-authz-addr=127.0.0.1:0"]).await;
    let started = &server.started;
    let sign_up = format!("{{\"username\":\"mallory\",\"password\":\"{PASSWORD}\"}}");
    let sign_up = format!(
        "POST /identity.v1.IdentityService/SignUp HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        sign_up.len()
    ) + "HOSTS\r\n"
        + &sign_up;
    let live = "GET /livez HTTP/1.1\r\nHOSTS\r\n";
    for (addr, request, is_served) in [
        (started.grpc_addr, &*sign_up, true),
        (started.http_addr, live, true),
        (started.operations_addr.unwrap(), live, true),
        // What is not there is answered otherwise.
        (started.ext_authz_addr.unwrap(), live, false),
        (started.admin_addr.unwrap(), live, false),
    ] {
        for hosts in
            ["", "host: localhost\r\nhost: localhost\r\n", "host: localhost\r\nHost: evil.example\r\n"]
        {
            let answer = raw(addr, &request.replace("HOSTS", &format!("{hosts}connection: close\r\n"))).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{addr} {hosts:?}: {answer}");
            assert!(answer.contains("x-request-id: ") && answer.contains("one `Host`"), "{answer}");
        }
        let answer = raw(addr, &request.replace("HOSTS", "host: localhost\r\nconnection: close\r\n")).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), is_served, "{addr}: {answer}");
        assert!(!answer.starts_with("HTTP/1.1 400 "), "{addr}: {answer}");
    }
    // Probes of load balancers leave it out, by an older HTTP.
    for (hosts, status) in [("", "200"), ("host: a\r\nhost: b\r\n", "400")] {
        let answer = raw(started.http_addr, &format!("GET /livez HTTP/1.0\r\n{hosts}\r\n")).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
}

/// What `addr` answers to `request`, until it ends the connection.
async fn raw(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
