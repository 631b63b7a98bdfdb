//! Owns calls by gRPC-Web: they get what calls by gRPC get, within the same limits.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use signet::proto::identity::v1::{
    GetMeRequest, IssueTokenRequest, IssueTokenResponse, ListSessionsResponse, RefreshTokenGrant,
    issue_token_request::Grant,
};
use tonic::Code;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};
use tonic_types::StatusExt;

use super::{GET_ME, ISSUE_TOKEN, Page, SIGN_UP, WITH_ORIGIN, header};
use crate::{
    harness::{PASSWORD, TestServer, assert_refused, eventually, password_grant},
    wire::{compressed::compressed, frame, frame_that_says},
};

const CONTENT_TYPES: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

fn login() -> Vec<u8> {
    password_grant("alice", PASSWORD).encode_to_vec()
}

#[tokio::test]
async fn a_page_signs_up_logs_in_and_is_recognised_in_every_encoding_over_either_http() {
    let server = TestServer::start(&[WITH_ORIGIN]).await;
    let mut number = 0;
    for content_type in CONTENT_TYPES {
        for http in [Page::of(&server).http, Page::of(&server).http.h2c()] {
            let page = Page { http, content_type, ..Page::of(&server) };
            number += 1;
            let username = format!("alice{number}");
            let user = page.sign_up(&username, PASSWORD).await.unwrap().user.unwrap();
            let issued = page.issue_token(&password_grant(&username, PASSWORD)).await.unwrap();
            let me = page.get_me(&issued.access_token).await.unwrap().user.unwrap();
            assert_eq!((&me, &me.username), (&user, &username));
            let refresh_token = issued.refresh_token.unwrap();
            let grant = Some(Grant::RefreshToken(RefreshTokenGrant { refresh_token }));
            let refresh = IssueTokenRequest { grant, ..IssueTokenRequest::default() };
            let refreshed = page.issue_token(&refresh).await.unwrap();
            assert_ne!(refreshed.access_token, issued.access_token);
        }
    }
    // The status comes in a frame behind the message, since a page sees no trailers.
    for (content_type, answered) in [
        ("application/grpc-web", "application/grpc-web+proto"),
        ("application/grpc-web-text", "application/grpc-web-text+proto"),
    ] {
        let page = Page { content_type, ..Page::of(&server) };
        let login = frame(&password_grant("alice1", PASSWORD).encode_to_vec());
        let answer = page.send(ISSUE_TOKEN, &[], &login).await;
        assert_eq!(header(answer.http.headers(), "content-type"), answered);
        assert_eq!(answer.trailers.as_ref().unwrap()["grpc-status"], "0");
        assert!(!answer.http.headers().contains_key("grpc-status"));
    }
}

#[tokio::test]
async fn an_error_reaches_a_page_with_its_details() {
    let server = TestServer::start(&[WITH_ORIGIN]).await;
    for content_type in CONTENT_TYPES {
        let page = Page { content_type, ..Page::of(&server) };
        let refused = page.sign_up("al ice", "short").await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["username", "password"]);
        let missing = page.call::<()>(GET_ME, &[], &GetMeRequest {}).await;
        assert_refused(missing, Code::Unauthenticated, "TOKEN_MISSING");
        assert_refused(page.get_me("a.b.c").await, Code::Unauthenticated, "TOKEN_INVALID");
        let nowhere = page.call::<()>("/identity.v1.IdentityService/Nothing", &[], &GetMeRequest {}).await;
        assert_eq!(nowhere.unwrap_err().code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn a_page_signs_nobody_up_where_that_is_off() {
    let server = TestServer::start(&[WITH_ORIGIN, "--sign-up=off"]).await;
    for content_type in CONTENT_TYPES {
        let page = Page { content_type, ..Page::of(&server) };
        let refused = page.sign_up("alice", PASSWORD).await;
        assert_refused(refused, Code::PermissionDenied, "SIGN_UP_OFF");
    }
}

#[tokio::test]
async fn an_error_behind_messages_comes_in_the_trailers_frame() {
    let server = TestServer::start(&[]).await;
    let message = Some(MessageRequest::FileContainingSymbol("identity.v1.IdentityService".to_owned()));
    let ask = ServerReflectionRequest { host: String::new(), message_request: message };
    let page = Page::of(&server).from(None);
    let asked = [frame(&ask.encode_to_vec()), frame(&[0xff; 8])].concat();
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let answer = page.send(path, &[], &asked).await;
    assert!(answer.message.is_some());
    assert_eq!(answer.trailers.as_ref().unwrap()["grpc-status"], "3", "{answer:?}");
    let handled = [("grpc_method", "ServerReflectionInfo"), ("grpc_code", "InvalidArgument")];
    assert_eq!(server.scrape().await.sum("grpc_server_handled_total", &handled), 1.0);
}

#[tokio::test]
async fn a_large_answer_is_compressed_for_a_page_that_takes_that() {
    let server = TestServer::start(&[WITH_ORIGIN]).await;
    for content_type in CONTENT_TYPES {
        let page = Page { content_type, ..Page::of(&server) };
        let username = format!("alice{}", content_type.len());
        let token = page.token_of_new(&username).await;
        for _ in 0..12 {
            page.issue_token(&password_grant(&username, PASSWORD)).await.unwrap();
        }
        let (bearer, list) = (format!("Bearer {token}"), "/identity.v1.IdentityService/ListSessions");
        let plain = page.send(list, &[("authorization", &bearer)], &frame(b"")).await;
        let takes = [("authorization", &*bearer), ("grpc-accept-encoding", "gzip")];
        let smaller = page.send(list, &takes, &frame(b"")).await;
        assert_eq!(header(smaller.http.headers(), "grpc-encoding"), "gzip");
        assert_eq!(header(plain.http.headers(), "grpc-encoding"), "");
        assert_eq!(plain.result::<ListSessionsResponse>().unwrap().sessions.len(), 13);
        assert_eq!(smaller.message, plain.message);
        assert!(smaller.http.body().len() < plain.http.body().len() / 2, "{content_type}");
        // The browser lets its script read how.
        assert!(header(smaller.http.headers(), "access-control-expose-headers").contains("grpc-encoding"));
    }
}

#[tokio::test]
async fn calls_are_counted_with_the_code_that_the_page_gets() {
    let server = TestServer::start(&[WITH_ORIGIN]).await;
    let page = Page::of(&server);
    let token = page.token_of_new("alice").await;
    for _ in 0..3 {
        page.get_me(&token).await.unwrap();
    }
    page.get_me("a.b.c").await.unwrap_err();
    let foreign = Page::of(&server).from(Some("https://evil.example"));
    foreign.get_me(&token).await.unwrap_err();
    for _ in 0..10 {
        page.preflight(GET_ME).await;
    }
    let scrape = server.scrape().await;
    let handled =
        |code| scrape.sum("grpc_server_handled_total", &[("grpc_method", "GetMe"), ("grpc_code", code)]);
    let counted = (handled("OK"), handled("Unauthenticated"), handled("PermissionDenied"));
    assert_eq!(counted, (3.0, 1.0, 1.0));
    let started = scrape.sum("grpc_server_started_total", &[("grpc_method", "GetMe")]);
    assert_eq!(started, 5.0, "what a browser asks before it calls is no call");
    assert_eq!(scrape.sum("signet_grpc_calls_in_flight", &[]), 0.0);
}

#[tokio::test]
async fn a_page_has_the_limits_that_everybody_has() {
    let server = TestServer::start(&[WITH_ORIGIN, "--max-header-bytes=8192"]).await;
    Page::of(&server).sign_up("alice", PASSWORD).await.unwrap();
    for content_type in CONTENT_TYPES {
        let page = Page { content_type, ..Page::of(&server) };
        for body in [frame(&vec![0; 65_537]), frame(&vec![0; 1 << 20]), frame_that_says(0, u32::MAX, b"")] {
            let answer = page.send(ISSUE_TOKEN, &[], &body).await;
            assert_refused(answer.refusal(), Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        }
        let long = "x".repeat(8_192);
        let answer = page.send(ISSUE_TOKEN, &[("x-user-agent", &long)], &frame(&login())).await;
        assert_refused(answer.refusal(), Code::ResourceExhausted, "HEADERS_TOO_LARGE");
        for (timeout, code, reason) in [
            ("0n", Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            ("soon", Code::InvalidArgument, "MALFORMED_REQUEST"),
        ] {
            let answer = page.send(ISSUE_TOKEN, &[("grpc-timeout", timeout)], &frame(&login())).await;
            assert_refused(answer.refusal(), code, reason);
        }
        let answer = page.send(ISSUE_TOKEN, &[("grpc-timeout", "10S")], &frame(&login())).await;
        answer.result::<IssueTokenResponse>().unwrap();
    }
}

#[tokio::test]
async fn calls_beyond_those_in_flight_are_refused() {
    let slow = ["--argon2-memory-kib=65536", "--argon2-iterations=8", "--hash-threads=1"];
    let server =
        TestServer::start(&[&slow[..], &["--max-in-flight-calls=1", "--request-timeout=60s"]].concat()).await;
    let page = Page::of(&server).from(None);
    let busy = page.clone();
    let busy = tokio::spawn(async move { busy.issue_token(&password_grant("nobody", PASSWORD)).await });
    eventually("the one place is taken", || async {
        let answer = page.send(GET_ME, &[], &frame(b"")).await;
        let is_full = answer.status().code() == Code::ResourceExhausted;
        if is_full {
            let status = assert_refused(answer.refusal(), Code::ResourceExhausted, "OVERLOADED");
            assert!(status.get_details_retry_info().is_some());
        }
        is_full
    })
    .await;
    assert_refused(busy.await.unwrap(), Code::Unauthenticated, "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn bytes_that_are_no_grpc_web_are_malformed() {
    let server = TestServer::start(&[]).await;
    let page = Page::of(&server).from(None);
    page.sign_up("alice", PASSWORD).await.unwrap();
    let binary = Page { content_type: "application/grpc-web", ..page.clone() };
    let text = Page { content_type: "application/grpc-web-text", ..page.clone() };
    let good = STANDARD.encode(frame(&login()));
    let length = u32::try_from(login().len()).unwrap();
    for (what, page, body) in [
        ("nothing", &binary, Vec::new()),
        ("nothing, as text", &text, Vec::new()),
        ("text where bytes belong", &binary, good.clone().into_bytes()),
        ("bytes where text belongs", &text, frame(&login())),
        ("text that is cut", &text, good.as_bytes()[..good.len() - 3].to_vec()),
        ("text that goes on", &text, format!("{good}!!!!").into_bytes()),
        ("text with a line break", &text, format!("{}\n{}", &good[..8], &good[8..]).into_bytes()),
        ("trailers, which a page must not send", &binary, frame_that_says(0x80, length, &login())),
        (
            "trailers behind the message",
            &binary,
            [frame(&login()), frame_that_says(0x80, 3, b"a:b")].concat(),
        ),
        ("compressed, but as what?", &binary, frame_that_says(1, length, &login())),
        ("a piece of a frame", &binary, frame(&login())[..9].to_vec()),
        ("JSON", &binary, br#"{"password":{}}"#.to_vec()),
    ] {
        let answer = page.send_as_it_is(ISSUE_TOKEN, &[], body).await;
        assert_eq!(answer.status().code(), Code::InvalidArgument, "{what}: {answer:?}");
        assert_refused(answer.refusal(), Code::InvalidArgument, "MALFORMED_REQUEST");
    }
    // A password that is not UTF-8, and is not repeated.
    let message = [&[0x12, 9][..], b"hunter2\xff\xfe"].concat();
    let answer = page.send(SIGN_UP, &[], &frame(&message)).await;
    assert!(!format!("{answer:?}").contains("hunter2"));
    page.issue_token(&password_grant("alice", PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn a_page_may_compress_its_messages_by_gzip_within_the_same_limits() {
    let server = TestServer::start(&[]).await;
    let page = Page { content_type: "application/grpc-web", ..Page::of(&server) }.from(None);
    page.sign_up("alice", PASSWORD).await.unwrap();
    let says_gzip = [("grpc-encoding", "gzip")];
    let answer = page.send_as_it_is(ISSUE_TOKEN, &says_gzip, compressed(&login())).await;
    answer.result::<IssueTokenResponse>().unwrap();
    let bomb = compressed(&vec![0; 10_000_000]);
    let answer = page.send_as_it_is(ISSUE_TOKEN, &says_gzip, bomb).await;
    assert_refused(answer.refusal(), Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}
