//! Owns what gzip compresses: requests within the limits of all others, and large answers without secrets.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{Caller, ISSUE_TOKEN, LIST_SESSIONS, login};
use crate::{
    harness::{PASSWORD, TestServer},
    wire::compressed::gunzip,
};

const GZIP: [(&str, &str); 2] = [("content-type", "application/json"), ("content-encoding", "gzip")];

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_request_is_taken_within_the_limits_of_any_other() {
    let server = TestServer::start(&[]).await;
    Caller::of(&server).token_of_new("alice").await;
    let good = login("alice", PASSWORD).to_string();
    for caller in Caller::of(&server).by_both() {
        for name in ["gzip", "GZIP"] {
            let headers = [GZIP[0], ("content-encoding", name)];
            caller.send("POST", ISSUE_TOKEN, &headers, gzip(good.as_bytes())).await.ok();
        }
        let plain = [("content-encoding", "Identity")];
        caller.post(ISSUE_TOKEN, &plain, &login("alice", PASSWORD)).await.ok();
        let bomb = caller.send("POST", ISSUE_TOKEN, &GZIP, gzip(&vec![b' '; 10_000_000])).await;
        bomb.assert_refused(429, "resource_exhausted", "MESSAGE_TOO_LARGE");
        for bad in [good.clone().into_bytes(), gzip(good.as_bytes())[..20].to_vec()] {
            let answer = caller.send("POST", ISSUE_TOKEN, &GZIP, bad).await;
            answer.assert_refused(400, "invalid_argument", "MALFORMED_REQUEST");
        }
        let answer = caller.post(ISSUE_TOKEN, &[("content-encoding", "br")], &login("alice", PASSWORD)).await;
        answer.assert_refused(501, "unimplemented", "");
        assert_eq!(answer.header("accept-encoding"), "gzip,identity");
    }
}

#[tokio::test]
async fn a_large_answer_is_compressed_unless_it_has_a_token() {
    let issuer = format!("--issuer=https://{}.example", "a-long-name.".repeat(12).trim_end_matches('.'));
    let server = TestServer::start(&["--signing-alg=RS256", &issuer]).await;
    let caller = Caller::of(&server);
    let token = caller.token_of_new("alice").await;
    let takes = [("accept-encoding", "gzip, br"), ("authorization", &*token)];
    for _ in 0..12 {
        let answer = caller.post(ISSUE_TOKEN, &takes[..1], &login("alice", PASSWORD)).await;
        answer.ok();
        assert!(answer.0.body().len() > 1_024);
        assert_eq!(answer.header("content-encoding"), "");
    }
    for caller in caller.by_both() {
        let plain = caller.post(LIST_SESSIONS, &takes[1..], &json!({})).await;
        assert_eq!(plain.header("content-encoding"), "");
        let answer = caller.post(LIST_SESSIONS, &takes, &json!({})).await;
        assert_eq!((answer.status(), answer.header("content-encoding")), (200, "gzip"));
        assert_eq!(answer.header("vary"), "accept-encoding", "{answer:?}");
        assert!(answer.0.body().len() < plain.0.body().len() / 2);
        let read: Value = serde_json::from_slice(&gunzip(answer.0.body())).unwrap();
        assert_eq!(read, plain.ok());
        let any_case = [("accept-encoding", "br, GZip"), takes[1]];
        let answer = caller.post(LIST_SESSIONS, &any_case, &json!({})).await;
        assert_eq!(answer.header("content-encoding"), "gzip");
        let refuses = [("accept-encoding", "gzip;q=0"), takes[1]];
        assert_eq!(caller.post(LIST_SESSIONS, &refuses, &json!({})).await.header("content-encoding"), "");
    }
}
