//! Owns messages that are compressed: gzip's are taken, within the limits of all others, and nothing else is; and large answers are, for
//! whoever takes that, if they have nothing secret.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use prost::Message;
use signet::proto::identity::v1::{IssueTokenResponse, ListSessionsResponse};
use tonic::Code;

use super::{GET_ME, ISSUE_TOKEN, Target, frame, frame_that_says};
use crate::harness::{PASSWORD, assert_refused, password_grant};

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

/// What `bytes` were before gzip compressed them.
pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
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

#[tokio::test]
async fn a_large_answer_is_compressed_for_whoever_takes_that_and_no_answer_with_a_token_is() {
    const LIST_SESSIONS: &str = "/identity.v1.IdentityService/ListSessions";
    // Signatures of 256 bytes, and such an issuer, make the answer to a login larger than what is never compressed.
    let issuer = format!("--issuer=https://{}.example", "a-long-name.".repeat(12).trim_end_matches('.'));
    let target = Target::new(&["--signing-alg=RS256", &issuer]).await;
    let bearer = format!("Bearer {}", target.token);
    let list = async |takes: &str| {
        let request = target.request(LIST_SESSIONS).header("authorization", &bearer);
        let answer = target.exchange(request.header("grpc-accept-encoding", takes), &frame(b"")).await;
        assert_eq!(answer.status().code(), Code::Ok, "{answer:?}");
        answer
    };
    // One session is a small answer.
    let small = list("identity,gzip").await;
    assert_eq!((small.body[0], small.headers.get("grpc-encoding")), (0, None));
    for _ in 0..12 {
        let request = target.request(ISSUE_TOKEN).header("grpc-accept-encoding", "gzip");
        let answer = target.exchange(request, &frame(&login())).await;
        assert_eq!((answer.body[0], answer.headers.get("grpc-encoding")), (0, None), "{answer:?}");
        let login = answer.result::<IssueTokenResponse>().unwrap();
        assert!(login.encoded_len() > 1_024, "{} bytes", login.encoded_len());
    }
    let plain = list("identity,deflate").await;
    assert_eq!((plain.body[0], plain.headers.get("grpc-encoding")), (0, None));
    let sessions = plain.result::<ListSessionsResponse>().unwrap();
    assert!(sessions.sessions.len() == 13 && plain.body.len() > 1_024);
    for takes in ["gzip", "identity, deflate, gzip"] {
        let answer = list(takes).await;
        assert_eq!((answer.body[0], &answer.headers["grpc-encoding"]), (1, &"gzip".parse().unwrap()));
        assert!(answer.body.len() < plain.body.len() / 2, "{} of {}", answer.body.len(), plain.body.len());
        assert_eq!(gunzip(&answer.body[5..]), plain.body[5..]);
    }
}
