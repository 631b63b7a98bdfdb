//! Owns calls by GET: of what only reads, and kept by no cache but for the keys.

use serde_json::json;

use super::{Caller, GET_JWKS, GET_ME, LIST_SESSIONS, SIGN_UP};
use crate::harness::TestServer;

#[tokio::test]
async fn what_only_reads_is_called_by_get_and_kept_by_no_cache() {
    let server = TestServer::start(&[]).await;
    let token = Caller::of(&server).token_of_new("alice").await;
    let headers = [("authorization", &*token)];
    for caller in Caller::of(&server).by_both() {
        for query in [
            "encoding=json&message=%7B%7D",
            "connect=v1&encoding=json&base64=1&message=e30",
            "connect=v1&encoding=json&base64=1&message=e30=",
        ] {
            let answer = caller.send("GET", &format!("{GET_ME}?{query}"), &headers, "").await;
            assert_eq!(answer.ok()["user"]["username"], "alice");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        let path = format!("{LIST_SESSIONS}?connect=v1&encoding=json&message=%7B%22pageSize%22%3A1%7D");
        assert_eq!(
            caller.send("GET", &path, &headers, "").await.ok()["sessions"].as_array().unwrap().len(),
            1
        );
        let path = format!("{GET_ME}?connect=v1&encoding=proto&message=");
        let answer = caller.send("GET", &path, &headers, "").await;
        assert_eq!((answer.status(), answer.header("content-type")), (200, "application/proto"));
        let path = format!("{GET_ME}?encoding=json&message=%7B%7D");
        caller.send("GET", &path, &[], "").await.assert_refused(401, "unauthenticated", "TOKEN_MISSING");
    }
}

#[tokio::test]
async fn the_keys_are_kept_by_caches_as_long_as_those_of_http() {
    let server = TestServer::start(&[]).await;
    let jwks = server.http().get("/.well-known/jwks.json").await;
    for caller in Caller::of(&server).by_both() {
        let path = format!("{GET_JWKS}?connect=v1&encoding=json&message=%7B%7D");
        let answer = caller.send("GET", &path, &[], "").await;
        assert_eq!(answer.ok()["keys"].as_array().unwrap().len(), 1);
        assert!(answer.header("cache-control").starts_with("public, max-age="), "{answer:?}");
        assert_eq!(answer.header("cache-control"), jwks.header("cache-control"));
        let posted = caller.post(GET_JWKS, &[], &json!({})).await;
        assert_eq!((posted.status(), posted.header("cache-control")), (200, "no-store"));
    }
}

#[tokio::test]
async fn a_get_that_is_no_call_is_refused() {
    let server = TestServer::start(&[]).await;
    for caller in Caller::of(&server).by_both() {
        for query in [
            "encoding=json",
            "encoding=xml&message=%7B%7D",
            "encoding=json&message=%7B%7D&message=%7B%7D",
            "encoding=json&message=%7B%7D&base64=2",
            "encoding=json&message=!&base64=1",
            "encoding=json&message=%7B%7D&connect=v2",
            "encoding=json&message=%7B",
            "encoding=json&message=%7B%7D&%6dessage=%7B%7D",
        ] {
            let answer = caller.send("GET", &format!("{GET_JWKS}?{query}"), &[], "").await;
            answer.assert_refused(400, "invalid_argument", "MALFORMED_REQUEST");
        }
        let path = format!("{GET_JWKS}?encoding=json&message=%7B%7D");
        let answer = caller.send("GET", &path, &[], "{}").await;
        answer.assert_refused(400, "invalid_argument", "MALFORMED_REQUEST");
        let answer =
            caller.send("GET", &format!("{GET_JWKS}?encoding=json&message=a&compression=br"), &[], "").await;
        answer.assert_refused(501, "unimplemented", "");
        // What changes something is a POST; and so is what names nothing.
        for (path, allowed) in [
            (&*format!("{SIGN_UP}?encoding=json&message=%7B%7D"), "POST"),
            (GET_ME, "GET, POST"),
            ("/", "POST"),
        ] {
            let answer = caller.send("GET", path, &[], "").await;
            assert_eq!((answer.status(), answer.header("allow")), (405, allowed), "{path}");
        }
    }
}
