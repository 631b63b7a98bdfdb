//! Owns whose pages may call: those of the configured origins, and no others.

use bytes::Bytes;
use http::StatusCode;
use prost::Message;
use signet::proto::identity::v1::{SignUpRequest, SignUpResponse};
use tonic::Code;

use super::{Answer, GET_ME, ISSUE_TOKEN, ORIGIN, Page, SIGN_UP, WITH_ORIGIN, cors, header};
use crate::{
    harness::{PASSWORD, TestServer, assert_refused, password_grant},
    wire::frame,
};

/// What an attacker's page, or its browser, may say of where it comes from.
const FOREIGN: [&str; 14] = [
    "https://evil.example",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example:443",
    "https://app.example.evil.example",
    "https://evil.app.example",
    "https://app.example/",
    "https://App.Example",
    "https://app.exampl",
    "https://evil.example,https://app.example",
    "https://app.example https://evil.example",
    "*",
    "null",
    "",
];

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_page_of_a_configured_origin_is_told_that_it_may() {
    let server = TestServer::start(&["--web-origins=https://app.example,http://localhost:3000"]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    for origin in [ORIGIN, "http://localhost:3000"] {
        for http in [Page::of(&server).http, Page::of(&server).http.h2c()] {
            let page = Page { http, ..Page::of(&server).from(Some(origin)) };
            let preflight = page.preflight(GET_ME).await;
            assert_eq!((preflight.status(), preflight.body()), (StatusCode::OK, &Bytes::new()));
            let said = pairs(&[
                (
                    "access-control-allow-headers",
                    "authorization,content-type,x-grpc-web,traceparent,baggage,sentry-trace",
                ),
                ("access-control-allow-methods", "GET,POST"),
                ("access-control-allow-origin", origin),
                ("access-control-max-age", "7200"),
            ]);
            assert_eq!(cors(preflight.headers()), said);
            assert!(header(preflight.headers(), "vary").contains("origin"), "caches tell origins apart");
            // Of a refusal and of a success alike.
            for password in ["wrong", PASSWORD] {
                let grant = frame(&password_grant("alice", password).encode_to_vec());
                let answer = page.send(ISSUE_TOKEN, &[], &grant).await;
                assert_eq!(answer.status().code() == Code::Ok, password == PASSWORD);
                let said = pairs(&[
                    ("access-control-allow-origin", origin),
                    (
                        "access-control-expose-headers",
                        "grpc-encoding,grpc-status,grpc-message,grpc-status-details-bin,grpc-retry-pushback-ms,retry-after,x-request-id",
                    ),
                ]);
                assert_eq!(cors(answer.http.headers()), said);
                assert!(header(answer.http.headers(), "vary").contains("origin"));
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_nothing_and_reaches_nothing() {
    for (args, foreign) in [(&[WITH_ORIGIN][..], &FOREIGN[..]), (&[], &[ORIGIN, "null", "*"])] {
        let server = TestServer::start(args).await;
        for origin in foreign {
            for http in [Page::of(&server).http, Page::of(&server).http.h2c()] {
                let page = Page { http, ..Page::of(&server).from(Some(origin)) };
                let preflight = page.preflight(SIGN_UP).await;
                assert_eq!(cors(preflight.headers()), [], "{origin}");
                assert_eq!(preflight.status(), StatusCode::METHOD_NOT_ALLOWED, "{origin}");
                let answer = page.send(SIGN_UP, &[], &sign_up_of_mallory()).await;
                assert_eq!(cors(answer.http.headers()), [], "{origin}");
                assert_eq!(answer.http.status(), StatusCode::FORBIDDEN, "{origin}");
                assert_refused(answer.refusal(), Code::PermissionDenied, "ORIGIN_NOT_ALLOWED");
            }
        }
        // Not even under cover of gRPC itself, for which HTTP/1.1 does not do.
        let page = Page { content_type: "application/grpc", ..Page::of(&server).from(Some(foreign[0])) };
        let answer = page.send(SIGN_UP, &[], &sign_up_of_mallory()).await;
        assert_eq!(answer.http.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        let login = server.client().await.log_in("mallory", PASSWORD).await;
        assert_refused(login, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
}

#[tokio::test]
async fn what_is_no_browser_needs_no_origin_and_hears_of_none() {
    for args in [&[][..], &[WITH_ORIGIN]] {
        let server = TestServer::start(args).await;
        let program = Page::of(&server).from(None);
        let answer = program.send(SIGN_UP, &[], &sign_up_of_mallory()).await;
        answer.result::<SignUpResponse>().unwrap();
        let said = answer.http.headers();
        assert!(
            !said.contains_key("access-control-allow-origin")
                && !said.contains_key("access-control-allow-credentials")
        );
        // A preflight always has one.
        let answer = program.preflight(SIGN_UP).await;
        assert_eq!((answer.status(), cors(answer.headers())), (StatusCode::METHOD_NOT_ALLOWED, vec![]));
    }
}

#[tokio::test]
async fn a_question_that_is_no_preflight_is_refused_as_any_method_but_post() {
    let server = TestServer::start(&[WITH_ORIGIN]).await;
    let page = Page::of(&server);
    for (method, headers) in [
        ("OPTIONS", &[][..]),
        ("GET", &[("access-control-request-method", "POST")]),
        ("PUT", &[("content-type", "application/grpc-web")]),
    ] {
        let mut request = page.http.request(method, GET_ME).header("origin", ORIGIN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::read(page.http.exchange(request, Bytes::new()).await);
        assert_eq!(answer.http.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        // But the page reads why, which no question of a browser's is for.
        assert_eq!(cors(answer.http.headers()).is_empty(), method == "OPTIONS", "{method}");
        assert_refused(answer.refusal(), Code::InvalidArgument, "MALFORMED_REQUEST");
    }
}

fn sign_up_of_mallory() -> Vec<u8> {
    let username = "mallory".to_owned();
    let password = PASSWORD.to_owned();
    frame(&SignUpRequest { username, password, ..SignUpRequest::default() }.encode_to_vec())
}
