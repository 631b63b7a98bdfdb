//! Owns whose pages may call by Connect: those of the configured origins, by GET, too.

use bytes::Bytes;
use http::HeaderValue;
use serde_json::json;

use super::{Answer, Caller, GET_JWKS, SIGN_UP};
use crate::harness::{PASSWORD, TestServer};

const ORIGIN: &str = "https://app.example";
const KEYS: &str = "/identity.v1.TokenService/GetJwks?connect=v1&encoding=json&message=%7B%7D";

#[tokio::test]
async fn a_page_of_a_configured_origin_reads_its_answers() {
    let server = TestServer::start(&["--web-origins=https://app.example"]).await;
    for caller in Caller::of(&server).by_both() {
        for method in ["GET", "POST"] {
            let asks = [
                ("origin", ORIGIN),
                ("access-control-request-method", method),
                (
                    "access-control-request-headers",
                    "authorization,connect-protocol-version,connect-timeout-ms",
                ),
            ];
            let preflight = caller.send("OPTIONS", SIGN_UP, &asks, "").await;
            assert_eq!(preflight.status(), 200);
            assert_eq!(preflight.header("access-control-allow-origin"), ORIGIN);
            assert_eq!(preflight.header("access-control-allow-methods"), "GET,POST");
            assert_eq!(preflight.header("access-control-allow-headers"), asks[2].1);
        }
        let read = caller.send("GET", KEYS, &[("origin", ORIGIN)], "").await;
        read.ok();
        let bad = caller.post(SIGN_UP, &[("origin", ORIGIN)], &json!({})).await;
        bad.assert_refused(400, "invalid_argument", "INVALID_FIELDS");
        for answer in [read, bad] {
            assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
            assert!(answer.header("access-control-expose-headers").contains("x-request-id"));
            let varies: Vec<_> =
                answer.0.headers().get_all("vary").iter().map(|it| it.to_str().unwrap()).collect();
            assert!(varies.join(",").contains("origin"), "{varies:?}");
        }
    }
}

#[tokio::test]
async fn a_page_of_a_configured_origin_reads_why_what_it_sends_is_no_call() {
    let server = TestServer::start(&["--web-origins=https://app.example"]).await;
    for caller in Caller::of(&server).by_both() {
        for (origin, allowed) in [(ORIGIN, ORIGIN), ("https://evil.example", "")] {
            for (method, content_type, status) in [
                ("POST", "text/plain", 415),
                ("POST", "application/x-www-form-urlencoded", 415),
                // A stream's, of an RPC that has none.
                ("POST", "application/connect+json", 415),
                ("PUT", "application/json", 405),
            ] {
                let headers = [("origin", origin), ("content-type", content_type)];
                let answer = caller.send(method, SIGN_UP, &headers, "{}").await;
                assert_eq!(answer.status(), status, "{method} {content_type}");
                assert_eq!(answer.header("access-control-allow-origin"), allowed, "{method} {content_type}");
            }
            // Not asked about a method: no preflight.
            let asked = caller.send("OPTIONS", SIGN_UP, &[("origin", origin)], "").await;
            assert_eq!(asked.status(), 405);
        }
    }
}

#[tokio::test]
async fn a_page_of_another_origin_reaches_nothing_by_get_or_post() {
    for args in [&["--web-origins=https://app.example"][..], &[]] {
        let server = TestServer::start(args).await;
        for caller in Caller::of(&server).by_both() {
            for foreign in [
                &[("origin", "https://evil.example")][..],
                &[("origin", "null")],
                &[("origin", "http://app.example")],
                &[("origin", ORIGIN), ("origin", "https://evil.example")],
                // What no script sends: an image, say.
                &[("sec-fetch-site", "cross-site")],
            ] {
                let sign_up = json!({ "username": "mallory", "password": PASSWORD });
                let posted = caller.post(SIGN_UP, foreign, &sign_up).await;
                let read = caller.send("GET", KEYS, foreign, "").await;
                for answer in [posted, read] {
                    answer.assert_refused(403, "permission_denied", "ORIGIN_NOT_ALLOWED");
                    assert_eq!(answer.header("access-control-allow-origin"), "");
                }
                let asks = [foreign, &[("access-control-request-method", "GET")]].concat();
                assert_eq!(caller.send("OPTIONS", GET_JWKS, &asks, "").await.status(), 405);
            }
            let login = caller.log_in("mallory", PASSWORD).await;
            login.assert_refused(401, "unauthenticated", "INVALID_CREDENTIALS");
        }
    }
}

/// The status of a GET of the keys by a page or a program that asks for `host`, and says of its page `more`.
async fn read_at(server: &TestServer, host: &str, more: &[(&str, &str)]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for caller in Caller::of(server).by_both() {
        // Over HTTP/2, `host` stands beside `:authority`, and counts as well.
        let mut request = caller.0.request("GET", KEYS);
        request.headers_mut().unwrap().insert("host", HeaderValue::from_str(host).unwrap());
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let answer = Answer(caller.0.exchange(request, Bytes::new()).await);
        match answer.status() {
            200 => drop(answer.ok()),
            _ => drop(answer.assert_refused(403, "permission_denied", "ORIGIN_NOT_ALLOWED")),
        }
        statuses.push(answer.status());
    }
    statuses
}

#[tokio::test]
async fn a_page_whose_own_name_leads_here_reads_nothing() {
    let server =
        TestServer::start(&["--issuer=https://id.example", "--web-origins=https://app.example"]).await;
    for host in ["127.0.0.1:50051", "[::1]", "localhost:50051", "id.example", "signet.identity.svc:50051"] {
        assert_eq!(read_at(&server, host, &[]).await, [200, 200], "{host}");
        assert_eq!(read_at(&server, host, &[("sec-fetch-site", "none")]).await, [200, 200], "{host}");
        for site in ["same-origin", "same-site", "cross-site"] {
            assert_eq!(
                read_at(&server, host, &[("sec-fetch-site", site)]).await,
                [403, 403],
                "{host} {site}"
            );
        }
    }
    for host in ["evil.example", "evil.example:50051", "id.example.evil.example", "app.example"] {
        assert_eq!(read_at(&server, host, &[]).await, [403, 403], "{host}");
        assert_eq!(read_at(&server, host, &[("sec-fetch-site", "none")]).await, [403, 403], "{host}");
        // A page of a configured origin may ask by any name.
        assert_eq!(read_at(&server, host, &[("origin", ORIGIN)]).await, [200, 200], "{host}");
    }
}
