//! Owns messages that are compressed: gzip's are taken, within the limits of all others, and nothing else is.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use prost::Message;
use signet::proto::identity::v1::IssueTokenResponse;
use tonic::Code;

use super::{GET_ME, ISSUE_TOKEN, Target, frame, frame_that_says};
use crate::harness::{PASSWORD, assert_refused, password_grant};

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

/// A frame of what gzip makes of `message`.
pub(crate) fn compressed(message: &[u8]) -> Vec<u8> {
    let message = gzip(message);
    frame_that_says(1, u32::try_from(message.len()).unwrap(), &message)
}

fn login() -> Vec<u8> {
    password_grant("alice", PASSWORD).encode_to_vec()
}

#[tokio::test]
async fn a_call_whose_messages_gzip_compresses_is_answered_like_any_other() {
    let target = Target::new(&[]).await;
    for (what, body) in
        [("compressed", compressed(&login())), ("not compressed, though it could be", frame(&login()))]
    {
        let request = target.request(ISSUE_TOKEN).header("grpc-encoding", "gzip");
        let answer = target.exchange(request, &body).await;
        answer.result::<IssueTokenResponse>().unwrap_or_else(|status| panic!("{what}: {status:?}"));
    }
    let request = target.request(ISSUE_TOKEN).header("grpc-encoding", "identity");
    target.exchange(request, &frame(&login())).await.result::<IssueTokenResponse>().unwrap();
    // An empty message, as libraries send it.
    let bearer = format!("Bearer {}", target.token);
    let request = target.request(GET_ME).header("grpc-encoding", "gzip").header("authorization", bearer);
    assert_eq!(target.exchange(request, &compressed(b"")).await.status().code(), Code::Ok);
}

#[tokio::test]
async fn a_message_that_becomes_too_large_or_is_no_gzip_is_refused() {
    let target = Target::new(&[]).await;
    let good = gzip(&login());
    let says_gzip = || target.request(ISSUE_TOKEN).header("grpc-encoding", "gzip");
    for (what, body, reason) in [
        ("a bomb", compressed(&vec![0; 10_000_000]), "MESSAGE_TOO_LARGE"),
        ("many small ones", compressed(b"").repeat(2_000), "MALFORMED_REQUEST"),
        ("not compressed, though it says so", frame_that_says(1, 5, b"alice"), "MALFORMED_REQUEST"),
        (
            "cut",
            frame_that_says(1, u32::try_from(good.len() - 9).unwrap(), &good[..good.len() - 9]),
            "MALFORMED_REQUEST",
        ),
        ("no message in it", frame_that_says(1, 0, b""), "MALFORMED_REQUEST"),
        ("noise in it", compressed(&[0xff; 64]), "MALFORMED_REQUEST"),
        ("compressed twice", compressed(&gzip(&login())), "MALFORMED_REQUEST"),
    ] {
        let answer = target.exchange(says_gzip(), &body).await;
        let code =
            if reason == "MESSAGE_TOO_LARGE" { Code::ResourceExhausted } else { Code::InvalidArgument };
        assert_eq!(answer.status().code(), code, "{what}");
        assert_refused(answer.refusal(), code, reason);
    }
    target.still_serves().await;
}
