//! Owns refusals that come before the request is there: over HTTP/2 its stream is not reset while a little of it is on its way.

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{GET_JWKS, GET_ME, ISSUE_TOKEN};
use crate::harness::TestServer;

/// The status and the body of what a stream answers.
async fn read(response: h2::client::ResponseFuture) -> (u16, Vec<u8>) {
    let (head, mut stream) = response.await.unwrap().into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    (head.status.as_u16(), body)
}

/// As Go does.
#[tokio::test]
async fn a_get_whose_stream_ends_in_a_frame_of_its_own_is_answered() {
    let server = TestServer::start(&[]).await;
    for (data, status) in [("", 200), ("{}", 400)] {
        let request = Request::get(format!("{}{GET_JWKS}?encoding=json&message=%7B%7D", server.uri()))
            .body(())
            .unwrap();
        let tcp = TcpStream::connect(server.started.grpc_addr).await.unwrap();
        let (sender, connection) = h2::client::handshake(tcp).await.unwrap();
        tokio::spawn(connection);
        let (response, mut body) = sender.ready().await.unwrap().send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(data.as_bytes()), true).unwrap();
        assert_eq!(read(response).await.0, status, "{data}");
    }
}

#[tokio::test]
async fn a_small_body_that_comes_after_its_refusal_is_taken() {
    let server = TestServer::start(&[]).await;
    let request = |path: &str, headers: &[(&str, &str)]| {
        let request =
            Request::post(format!("{}{path}", server.uri())).header("content-type", "application/json");
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
    };
    for (refused, status) in [
        (request("/made.up.Service/Method", &[]), 404),
        (request(GET_ME, &[("origin", "https://evil.example")]), 403),
        (request(ISSUE_TOKEN, &[("connect-timeout-ms", "0")]), 504),
        (request(ISSUE_TOKEN, &[("content-encoding", "br")]), 501),
        (request("/oauth2/token", &[("content-type", "application/x-www-form-urlencoded")]), 415),
    ] {
        let tcp = TcpStream::connect(server.started.grpc_addr).await.unwrap();
        let (sender, connection) = h2::client::handshake(tcp).await.unwrap();
        tokio::spawn(connection);
        let mut sender = sender.ready().await.unwrap();
        let (response, mut body) = sender.send_request(refused, false).unwrap();
        // Once a later call is answered, the server has seen the head. It waits for the body for a second, so nothing else is waited for.
        let mut sender = sender.ready().await.unwrap();
        let (other, mut message) = sender.send_request(request(GET_ME, &[]), false).unwrap();
        message.send_data(Bytes::from_static(b"{}"), true).unwrap();
        assert_eq!(read(other).await.0, 401);
        body.send_data(Bytes::from_static(b"{\"password\":"), false).unwrap();
        body.send_data(Bytes::from_static(b"{}}"), true).unwrap();
        let (got, said) = read(response).await;
        assert_eq!(got, status);
        if status != 415 {
            let error: Value = serde_json::from_slice(&said).unwrap();
            assert!(error["code"].is_string(), "{error}");
        }
    }
}

#[tokio::test]
async fn over_http_1_1_the_answer_says_whether_its_connection_ends() {
    let server = TestServer::start(&["--max-message-bytes=200000"]).await;
    let plain = "content-type: application/json\r\n";
    for (head, body, status, ends) in [
        // Too much to be read and forgotten: what is sent next on this connection would not be read.
        (format!("{plain}content-length: 300000\r\n"), "", "429", true),
        (format!("{plain}content-length: 2\r\n"), "{}", "400", false),
        (format!("{plain}content-encoding: br\r\ncontent-length: 2\r\n"), "{}", "501", false),
    ] {
        let mut stream = TcpStream::connect(server.started.grpc_addr).await.unwrap();
        let request = format!("POST {ISSUE_TOKEN} HTTP/1.1\r\nhost: x\r\n{head}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.contains("\r\n\r\n") {
            answer.push(char::from(stream.read_u8().await.unwrap()));
        }
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(answer.contains("\r\nconnection: close\r\n"), ends, "{answer}");
    }
}
