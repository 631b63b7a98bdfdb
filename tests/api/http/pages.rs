//! Owns what scripts of web pages may call over HTTP, and read.

use http::{HeaderMap, StatusCode};

use super::{
    TOKEN, USERINFO,
    client::{Answer, encoded},
    log_in_new, password_form, text,
};
use crate::harness::{PASSWORD, TestServer};

const ORIGIN: &str = "https://app.example";
const WITH_ORIGIN: &str = "--web-origins=https://app.example,http://localhost:3000";
const INTROSPECT: &str = "/oauth2/introspect";
const REVOKE: &str = "/oauth2/revoke";
const DOCUMENTS: [&str; 3] = [
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

/// What is said of CORS.
fn cors(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let said = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let mut said: Vec<_> = said.filter(|(name, _)| name.starts_with("access-control-")).collect();
    said.sort_unstable();
    said
}

/// What the browser hears that asks for a page of `origin` whether its script may `POST` to `path` with headers of its own.
async fn preflight(server: &TestServer, path: &str, origin: &str) -> Answer {
    let http = server.http();
    let request = http
        .request("OPTIONS", path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,traceparent,sentry-trace,x-requested-with")
        .header("sec-fetch-site", "cross-site");
    http.send(request, "").await
}

#[tokio::test]
async fn a_script_of_a_page_that_is_named_logs_in_and_reads_every_answer() {
    let server = TestServer::start(&[WITH_ORIGIN]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    for origin in [ORIGIN, "http://localhost:3000"] {
        for path in [TOKEN, REVOKE, USERINFO] {
            let answer = preflight(&server, path, origin).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            let expected = [
                ("access-control-allow-headers", "authorization,traceparent,sentry-trace,x-requested-with"),
                ("access-control-allow-methods", "GET,POST"),
                ("access-control-allow-origin", origin),
                ("access-control-max-age", "7200"),
            ];
            assert_eq!(cors(answer.headers()), expected, "{path}");
            assert!(answer.header("vary").contains("origin"), "{path}");
        }
        let expected = [
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", "retry-after,x-request-id"),
        ];
        let http = server.http();
        let from_page = |method: &str, path: &str| {
            let request = http.request(method, path).header("origin", origin);
            request.header("sec-fetch-site", "cross-site").header("traceparent", "00-1-1-00")
        };
        let form =
            |path: &str| from_page("POST", path).header("content-type", "application/x-www-form-urlencoded");
        // Of a success and of a refusal alike.
        let refused = http.send(form(TOKEN), &encoded(&password_form("alice", "wrong"))).await;
        refused.assert_refused(400, "invalid_grant", "INVALID_CREDENTIALS");
        let login = http.send(form(TOKEN), &encoded(&password_form("alice", PASSWORD))).await;
        let token = text(&login.ok(), "access_token").to_owned();
        let request = from_page("GET", USERINFO).header("authorization", format!("Bearer {token}"));
        let me = http.send(request, "").await;
        assert_eq!(me.ok()["preferred_username"], "alice");
        let stranger = http.send(from_page("GET", USERINFO), "").await;
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
        let wrong_method = http.send(from_page("PUT", TOKEN), "").await;
        assert_eq!(wrong_method.status(), StatusCode::METHOD_NOT_ALLOWED);
        let revoked = http.send(form(REVOKE), &encoded(&[("token", &token)])).await;
        assert_eq!(revoked.status(), StatusCode::OK);
        for answer in [refused, login, me, stranger, wrong_method, revoked] {
            assert_eq!(cors(answer.headers()), expected, "{answer:?}");
            assert!(answer.header("vary").contains("origin"), "{answer:?}");
            assert!(!answer.header("x-request-id").is_empty());
        }
    }
}

#[tokio::test]
async fn another_page_is_told_nothing_and_reaches_nothing() {
    for args in [&[WITH_ORIGIN][..], &[]] {
        let server = TestServer::start(args).await;
        log_in_new(&server, "alice").await;
        let http = server.http();
        for origin in ["https://evil.example", "https://app.example.evil.example", "null", "*", ""] {
            for path in [TOKEN, REVOKE, USERINFO, INTROSPECT] {
                let answer = preflight(&server, path, origin).await;
                answer.assert_refused(403, "access_denied", "ORIGIN_NOT_ALLOWED");
                let request = http.form(path).header("origin", origin);
                let posted = http.send(request, &encoded(&password_form("alice", PASSWORD))).await;
                posted.assert_refused(403, "access_denied", "ORIGIN_NOT_ALLOWED");
                for answer in [answer, posted] {
                    assert_eq!(cors(answer.headers()), [], "{origin} {path}");
                }
            }
        }
        // One that may and one that may not, in one request.
        let two = http.form(TOKEN).header("origin", ORIGIN).header("origin", "https://evil.example");
        let answer = http.send(two, &encoded(&password_form("alice", PASSWORD))).await;
        answer.assert_refused(403, "access_denied", "ORIGIN_NOT_ALLOWED");
        // What is no page hears of none, and caches are told that a page would hear something else.
        let answer = http.post(TOKEN, &password_form("alice", PASSWORD)).await;
        answer.ok();
        assert_eq!((cors(answer.headers()), answer.header("vary")), (vec![], "origin"));
    }
}

#[tokio::test]
async fn introspection_is_for_no_script() {
    let server = TestServer::start(&[WITH_ORIGIN]).await;
    let answer = preflight(&server, INTROSPECT, ORIGIN).await;
    answer.assert_refused(405, "invalid_request", "MALFORMED_REQUEST");
    assert_eq!(cors(answer.headers()), []);
}

#[tokio::test]
async fn keys_and_discovery_are_for_every_page() {
    let server = TestServer::start(&[]).await;
    let http = server.http();
    for path in DOCUMENTS {
        let answer =
            http.send(http.request("GET", path).header("origin", "https://anybody.example"), "").await;
        assert_eq!(answer.status(), StatusCode::OK);
        let expected = [
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", "retry-after,x-request-id"),
        ];
        assert_eq!(cors(answer.headers()), expected, "{path}");
        assert_eq!(answer.header("vary"), "", "one answer for all, which caches may share");
        let answer = preflight(&server, path, "https://anybody.example").await;
        let said = cors(answer.headers());
        assert!(said.contains(&("access-control-allow-origin", "*")), "{said:?}");
        assert!(said.iter().any(|(_, value)| value.contains("traceparent")), "{said:?}");
    }
}
