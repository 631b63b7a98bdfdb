//! Owns what an answer of gRPC-Web in base64 takes while nobody reads it.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Request;
use prost::Message;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};

use super::{
    Target, frame,
    lanes::{Open, connect, open},
};
use crate::harness::eventually;

const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// Asks for the file of a service, with its comments: 17 KB, and 22 KB in base64.
fn question() -> Vec<u8> {
    let symbol = MessageRequest::FileContainingSymbol("identity.v1.IdentityService".to_owned());
    let question = ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
    STANDARD.encode(frame(&question.encode_to_vec())).into_bytes()
}

fn request() -> Request<()> {
    let kind = "application/grpc-web-text";
    Request::post(format!("http://x{REFLECTION}"))
        .header("content-type", kind)
        .header("accept", kind)
        .body(())
        .unwrap()
}

#[tokio::test]
async fn an_answer_in_base64_is_counted_until_it_has_been_read_and_ends_if_it_is_not() {
    let target = Target::new(&["--request-timeout=5s", "--keepalive-timeout=60s"]).await;
    let server = &target.server;
    // A window of one byte: the whole answer waits in the server for the rest of it.
    let sender = connect([127, 4, 0, 1], server.started.grpc_addr, 1).await;
    let Open(response, _stream) = open(&sender, request(), Some(question())).await;
    let unread = response.await.unwrap();
    assert_eq!(unread.status(), 200);
    let taken = async |lane| {
        let labels = [("listener", "grpc"), ("lane", lane)];
        server.scrape().await.sum("signet_places_taken", &labels)
    };
    eventually("its bytes are counted, as base64 has them", async || taken("bytes").await > 20_000.0).await;
    assert!(taken("streams").await >= 1.0);
    eventually("nothing of it is left", async || {
        taken("bytes").await == 0.0 && taken("streams").await == 0.0
    })
    .await;
    target.still_serves().await;
}
