//! Owns whose pages may call by Connect: those of the configured origins, by GET, too.

use serde_json::json;

use super::{Caller, GET_JWKS, SIGN_UP};
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
