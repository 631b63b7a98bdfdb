//! Owns malformed requests: methods, headers, deadlines, and bodies that never come.

use bytes::Bytes;
use http::{Method, Request, header::HeaderName};
use prost::Message;
use signet::proto::identity::v1::IssueTokenResponse;
use tonic::Code;

use super::{Answer, GET_ME, ISSUE_TOKEN, Target, frame};
use crate::harness::{PASSWORD, assert_refused, password_grant};

fn login() -> Vec<u8> {
    frame(&password_grant("alice", PASSWORD).encode_to_vec())
}

#[tokio::test]
async fn what_is_not_grpc_by_its_content_type_is_refused_as_http_and_as_grpc() {
    let target = Target::new(&[]).await;
    let bare = || Request::post(format!("{}{ISSUE_TOKEN}", target.server.uri())).header("te", "trailers");
    let mut requests = vec![("none", bare())];
    for content_type in [
        "",
        "application/json; charset=latin1",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/grpcx",
        "application/grpc-web+json",
        "application/grpc-web; charset=utf-8",
        "multipart/form-data; boundary=application/grpc",
    ] {
        requests.push((content_type, bare().header("content-type", content_type)));
    }
    for (content_type, request) in requests {
        let answer = target.exchange(request, &login()).await;
        // Clients of HTTP alone must not take a refusal for a success (gRPC over HTTP/2, Requests).
        assert_eq!(answer.http, 415, "{content_type}");
        assert_refused(answer.refusal(), Code::InvalidArgument, "MALFORMED_REQUEST");
    }
    for content_type in
        ["application/grpc", "application/grpc+proto", "application/grpc;x=y", "Application/GRPC"]
    {
        let answer = target.exchange(bare().header("content-type", content_type), &login()).await;
        assert_eq!(answer.http, 200, "{content_type}");
        answer.result::<IssueTokenResponse>().unwrap();
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_method_other_than_post_is_refused_as_http_and_as_grpc() {
    let target = Target::new(&[]).await;
    let custom = Method::from_bytes(b"BREW").unwrap();
    for method in
        [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH, Method::TRACE, custom]
    {
        for body in [Vec::new(), login()] {
            let request = target.request(ISSUE_TOKEN).method(method.clone());
            let answer = target.exchange(request, &body).await;
            assert_eq!(answer.http, 405, "{method}");
            assert_eq!(answer.headers["allow"], "POST", "{method}");
            assert_refused(answer.refusal(), Code::InvalidArgument, "MALFORMED_REQUEST");
        }
    }
    let answer = target.exchange(target.request(ISSUE_TOKEN).method(Method::HEAD), b"").await;
    assert_eq!(answer.http, 405);
    target.still_serves().await;
}

#[tokio::test]
async fn a_client_that_does_not_say_te_is_served() {
    let target = Target::new(&[]).await;
    let request = Request::post(format!("{}{ISSUE_TOKEN}", target.server.uri()))
        .header("content-type", "application/grpc");
    target.exchange(request, &login()).await.result::<IssueTokenResponse>().unwrap();
}

#[tokio::test]
async fn an_encoding_that_the_server_does_not_know_is_unimplemented() {
    let target = Target::new(&[]).await;
    for encoding in ["zstd", "deflate", "snappy", "br", "", "gzip, identity", "\u{7f}x"] {
        let Ok(value) = http::HeaderValue::from_bytes(encoding.as_bytes()) else { continue };
        let request = target.request(ISSUE_TOKEN).header("grpc-encoding", value);
        let answer = target.exchange(request, &login()).await;
        assert_eq!(answer.refusal().unwrap_err().code(), Code::Unimplemented, "{encoding:?}");
        assert_eq!(answer.headers["grpc-accept-encoding"], "gzip,identity", "{encoding:?}");
    }
    let request = target.request(ISSUE_TOKEN).header("grpc-encoding", "identity");
    target.exchange(request, &login()).await.result::<IssueTokenResponse>().unwrap();
    target.still_serves().await;
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_malformed() {
    let target = Target::new(&[]).await;
    for timeout in [
        "",
        "S",
        "1",
        "1s",
        "-1S",
        "+1S",
        "1.5S",
        "0x1S",
        "1 S",
        "999999999S",
        "1S,2S",
        "infinity",
        "\u{661}S",
    ] {
        let value = http::HeaderValue::from_bytes(timeout.as_bytes()).unwrap();
        let request = target.request(ISSUE_TOKEN).header("grpc-timeout", value);
        let answer = target.exchange(request, &login()).await;
        assert_refused(answer.refusal(), Code::InvalidArgument, "MALFORMED_REQUEST");
    }
    for timeout in ["99999999H", "1H", "9999999u"] {
        let request = target.request(ISSUE_TOKEN).header("grpc-timeout", timeout);
        target.exchange(request, &login()).await.result::<IssueTokenResponse>().unwrap();
    }
    for timeout in ["0S", "0n", "1n"] {
        let request = target.request(ISSUE_TOKEN).header("grpc-timeout", timeout);
        let answer = target.exchange(request, &login()).await;
        assert_refused(answer.refusal(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    target.still_serves().await;
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused_with_the_limit() {
    let target = Target::new(&["--max-header-bytes=8192"]).await;
    let with = |name: &'static str, count: usize, length: usize| {
        let mut request = target.request(ISSUE_TOKEN);
        for _ in 0..count {
            request = request.header(HeaderName::from_static(name), "x".repeat(length));
        }
        request
    };
    for (what, request) in [
        ("one long", with("x-long", 1, 8_192)),
        ("many short", with("x-short", 200, 10)),
        ("an authorization", with("authorization", 1, 10_000)),
        ("a cookie", with("cookie", 1, 30_000)),
    ] {
        let answer = target.exchange(request, &login()).await;
        let status = assert_refused(answer.refusal(), Code::ResourceExhausted, "HEADERS_TOO_LARGE");
        let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
        assert_eq!(info.metadata["max_header_bytes"], "8192", "{what}");
        target.still_serves().await;
    }
    let answer = target.exchange(with("x-long", 1, 7_000), &login()).await;
    answer.result::<IssueTokenResponse>().unwrap();
    // Far beyond, where HTTP/2 itself refuses: by a status that no client takes for a success.
    let answer = target.exchange(with("x-long", 1, 50_000), &login()).await;
    assert_eq!(answer.http, 431);
    target.still_serves().await;
}

#[tokio::test]
async fn a_body_that_never_comes_ends_with_the_servers_deadline() {
    let target = Target::new(&["--request-timeout=1s"]).await;
    let mut sender = target.http2().await.ready().await.unwrap();
    let mut answers = Vec::new();
    let head_alone = b"".to_vec();
    let piece_of_a_frame = login()[..3].to_vec();
    let piece_of_a_message = login()[..12].to_vec();
    for sent in [head_alone, piece_of_a_frame, piece_of_a_message] {
        let (response, mut stream) =
            sender.send_request(target.request(ISSUE_TOKEN).body(()).unwrap(), false).unwrap();
        stream.send_data(Bytes::from(sent), false).unwrap();
        answers.push((response, stream));
    }
    // Meanwhile others are served, on this connection too.
    let request = target.request(ISSUE_TOKEN).body(()).unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    stream.send_data(Bytes::from(login()), true).unwrap();
    Answer::read(response).await.result::<IssueTokenResponse>().unwrap();
    for (response, _stream) in answers {
        let answer = Answer::read(response).await;
        assert_refused(answer.refusal(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_path_that_is_no_method_is_unimplemented_whatever_comes_with_it() {
    let target = Target::new(&[]).await;
    for path in ["/", "/%00", "/identity.v1.IdentityService", "/..%2f..", "/%F0%9F%94%91/x", "/a?b#c"] {
        for body in [Vec::new(), login(), vec![0xff; 100]] {
            let answer = target.send(path, &body).await;
            assert_eq!(answer.refusal().unwrap_err().code(), Code::Unimplemented, "{path}");
        }
    }
    let long = format!("/{}/GetMe", "x".repeat(10_000));
    let answer = target.send(&long, b"").await;
    assert_eq!(answer.refusal().unwrap_err().code(), Code::Unimplemented);
    assert_refused(target.send(GET_ME, b"").await.refusal(), Code::Unauthenticated, "TOKEN_MISSING");
}
