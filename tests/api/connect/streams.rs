//! Owns streams: answers in envelopes, and how they end in the last one.

use serde_json::{Value, json};

use super::{Answer, Caller, GET_ME, assert_error};
use crate::harness::TestServer;

const WATCH: &str = "/grpc.health.v1.Health/Watch";
const CHECK: &str = "/grpc.health.v1.Health/Check";

const JSON: (&str, &str) = ("content-type", "application/connect+json");

/// Long enough for the first answer, and so long the stream lives.
const SOON: (&str, &str) = ("connect-timeout-ms", "1000");

fn envelope(flags: u8, message: &[u8]) -> Vec<u8> {
    [&[flags], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// The envelopes of `answer`, each with its flags.
fn envelopes(answer: &Answer) -> Vec<(u8, Vec<u8>)> {
    let (mut rest, mut envelopes) = (answer.0.body().to_vec(), Vec::new());
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_be_bytes(rest[1..5].try_into().unwrap())).unwrap();
        let behind = rest.split_off(5 + length);
        envelopes.push((rest[0], rest[5..].to_vec()));
        rest = behind;
    }
    envelopes
}

/// The messages of a stream, and its end.
fn read(answer: &Answer) -> (Vec<Value>, Value) {
    assert_eq!(
        (answer.status(), answer.header("content-type")),
        (200, "application/connect+json"),
        "{answer:?}"
    );
    let mut envelopes = envelopes(answer);
    let (flags, end) = envelopes.pop().unwrap();
    assert_eq!(flags, 2);
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap();
    let messages = envelopes.iter().map(|(flags, message)| {
        assert_eq!(*flags, 0);
        json(message)
    });
    (messages.collect(), json(&end))
}

#[tokio::test]
async fn a_stream_tells_what_it_has_and_at_its_end_how_it_ended() {
    let server = TestServer::start(&[]).await;
    for caller in Caller::of(&server).by_both() {
        let answer = caller.send("POST", WATCH, &[JSON, SOON], envelope(0, b"{}")).await;
        let (messages, end) = read(&answer);
        assert_eq!(messages, [json!({ "status": "SERVING" })]);
        assert_error(&end["error"], "deadline_exceeded", "DEADLINE_EXCEEDED");
        let proto = [("content-type", "application/connect+proto"), SOON];
        let answer = caller.send("POST", WATCH, &proto, envelope(0, b"")).await;
        assert_eq!((answer.status(), answer.header("content-type")), (200, "application/connect+proto"));
        assert_eq!(envelopes(&answer)[0], (0, vec![8, 1]));
    }
}

#[tokio::test]
async fn a_stream_that_is_refused_ends_before_it_begins() {
    let server = TestServer::start(&[]).await;
    for caller in Caller::of(&server).by_both() {
        for (what, body, code, reason) in [
            ("nothing", vec![], "invalid_argument", "MALFORMED_REQUEST"),
            ("no envelope", b"{}".to_vec(), "invalid_argument", "MALFORMED_REQUEST"),
            ("cut", envelope(0, b"{}")[..6].to_vec(), "invalid_argument", "MALFORMED_REQUEST"),
            ("two", envelope(0, b"{}").repeat(2), "invalid_argument", "MALFORMED_REQUEST"),
            ("an end", envelope(2, b"{}"), "invalid_argument", "MALFORMED_REQUEST"),
            ("compressed by nobody knows what", envelope(1, b"{}"), "invalid_argument", "MALFORMED_REQUEST"),
            ("no JSON", envelope(0, b"{"), "invalid_argument", "MALFORMED_REQUEST"),
            ("another field", envelope(0, br#"{"a": 1}"#), "invalid_argument", "INVALID_FIELDS"),
            ("too large", envelope(0, &vec![b' '; 70_000]), "resource_exhausted", "MESSAGE_TOO_LARGE"),
        ] {
            let answer = caller.send("POST", WATCH, &[JSON, SOON], body).await;
            let (messages, end) = read(&answer);
            assert_eq!(messages, [] as [Value; 0], "{what}");
            assert_error(&end["error"], code, reason);
        }
        let foreign = [JSON, SOON, ("origin", "https://evil.example")];
        let (_, end) = read(&caller.send("POST", WATCH, &foreign, envelope(0, b"{}")).await);
        assert_error(&end["error"], "permission_denied", "ORIGIN_NOT_ALLOWED");
    }
}

#[tokio::test]
async fn an_rpc_has_the_content_types_of_its_kind() {
    let server = TestServer::start(&[]).await;
    for caller in Caller::of(&server).by_both() {
        for path in [GET_ME, CHECK] {
            assert_eq!(caller.send("POST", path, &[JSON], envelope(0, b"{}")).await.status(), 415);
        }
        assert_eq!(caller.post(WATCH, &[], &json!({})).await.status(), 415);
        assert_eq!(caller.post(CHECK, &[], &json!({})).await.ok(), json!({ "status": "SERVING" }));
    }
}
