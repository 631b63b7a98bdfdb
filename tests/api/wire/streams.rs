//! Owns how long a stream lives, how it says that it ends, and how much of it may be unread.

use http::Request;
use prost::Message;
use tokio::time::timeout;
use tonic::Code;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};
use tonic_types::StatusExt;

use super::{
    Answer, Target, frame,
    lanes::{Open, PATIENCE, connect, grpc, open},
};
use crate::harness::{assert_refused, eventually};

const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

fn reflection(what: MessageRequest) -> Vec<u8> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(what) };
    frame(&request.encode_to_vec())
}

#[tokio::test]
async fn streams_end_at_their_age_and_say_so() {
    let target = Target::new(&["--max-connection-age=1s", "--drain-timeout=60s"]).await;
    let sender = connect([127, 0, 0, 1], target.server.started.grpc_addr, 65_535).await;
    let watch = open(&sender, grpc(WATCH, None), Some(frame(b""))).await;
    // Its requests do not end.
    let Open(answers, mut requests) = open(&sender, grpc(REFLECTION, None), None).await;
    requests.send_data(reflection(MessageRequest::ListServices(String::new())).into(), false).unwrap();
    for answer in [watch.0, answers] {
        let answer = timeout(PATIENCE, Answer::read(answer)).await.expect("it ends");
        assert!(!answer.body.is_empty(), "what there was to say has been said");
        assert_refused(answer.refusal(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    wait_for_none(&target, "streams").await;
    wait_for_none(&target, "watches").await;
}

#[tokio::test]
async fn a_stream_ends_at_its_clients_deadline_and_says_so() {
    let target = Target::new(&[]).await;
    let sender = connect([127, 0, 0, 1], target.server.started.grpc_addr, 65_535).await;
    let mut request: Request<()> = grpc(WATCH, None);
    request.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());
    let watch = open(&sender, request, Some(frame(b""))).await;
    let answer = timeout(PATIENCE, Answer::read(watch.0)).await.expect("it ends");
    assert!(answer.trailers.is_some() && !answer.body.is_empty(), "{answer:?}");
    let status = assert_refused(answer.refusal(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    let told = status.get_details_request_info().unwrap().request_id;
    assert_eq!(answer.headers["x-request-id"], told, "the trailers tell what the headers did");
    wait_for_none(&target, "watches").await;
}

#[tokio::test]
async fn a_stream_stops_to_answer_while_much_of_it_is_unread() {
    const ASKED: usize = 20;
    let target = Target::new(&["--request-timeout=60s"]).await;
    let (server, to) = (&target.server, target.server.started.grpc_addr);
    // 21 KB each.
    let file = MessageRequest::FileContainingSymbol("identity.v1.IdentityService".to_owned());
    let sender = connect([127, 0, 0, 1], to, 16_384).await;
    let Open(response, _requests) =
        open(&sender, grpc(REFLECTION, None), Some(reflection(file).repeat(ASKED))).await;
    let taken = async || {
        let labels = [("listener", "grpc"), ("lane", "bytes")];
        server.scrape().await.sum("signet_places_taken", &labels)
    };
    eventually("an answer is unread", async || taken().await > 16_384.0).await;
    // 64 KiB, what the connection has room for, and an answer that goes beyond.
    target.still_serves().await;
    assert!(taken().await < 110_000.0, "{}", taken().await);
    let answer = timeout(PATIENCE, Answer::read(response)).await.expect("it goes on with its reader");
    assert_eq!(answer.status().code(), Code::Ok);
    assert!(answer.body.len() > ASKED * 15_000, "{}", answer.body.len());
    wait_for_none(&target, "streams").await;
}

#[tokio::test]
async fn a_stream_that_asks_nothing_has_the_time_of_a_message() {
    let target = Target::new(&["--receive-timeout=1s"]).await;
    let sender = connect([127, 0, 0, 1], target.server.started.grpc_addr, 65_535).await;
    let Open(response, _requests) = open(&sender, grpc(REFLECTION, None), None).await;
    let answer = timeout(PATIENCE, Answer::read(response)).await.expect("it ends");
    assert_refused(answer.refusal(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    wait_for_none(&target, "streams").await;
}

async fn wait_for_none(target: &Target, lane: &str) {
    eventually("its place is free", async || {
        let labels = [("listener", "grpc"), ("lane", lane)];
        target.server.scrape().await.sum("signet_places_taken", &labels) == 0.0
    })
    .await;
}
