//! Owns malformed messages: the gRPC frame, and the protobuf in it.

use prost::Message;
use signet::proto::identity::v1::{IssueTokenResponse, SignUpRequest, SignUpResponse};
use tonic::Code;
use tonic_types::StatusExt;

use super::{GET_ME, ISSUE_TOKEN, SIGN_UP, Target, frame, frame_that_says};
use crate::harness::{PASSWORD, assert_refused, password_grant};

async fn refuses_as_malformed(target: &Target, what: &str, body: &[u8]) {
    let answer = target.send(ISSUE_TOKEN, body).await;
    assert_eq!((answer.http.as_u16(), answer.status().code()), (200, Code::InvalidArgument), "{what}");
    assert_refused(answer.refusal(), Code::InvalidArgument, "MALFORMED_REQUEST");
    target.still_serves().await;
}

fn login() -> Vec<u8> {
    password_grant("alice", PASSWORD).encode_to_vec()
}

/// A field of a message: its number, its wire type, and its bytes.
fn field(number: u8, wire_type: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | wire_type][..], bytes].concat()
}

#[tokio::test]
async fn a_body_that_is_no_grpc_frame_is_malformed() {
    let target = Target::new(&[]).await;
    let message = login();
    let length = u32::try_from(message.len()).unwrap();
    for (what, body) in [
        ("an empty body", Vec::new()),
        ("a piece of a frame's head", vec![0, 0, 0]),
        ("a head without its message", frame_that_says(0, length, b"")),
        ("a length longer than the body", frame_that_says(0, length + 1, &message)),
        ("a length much longer than the body", frame_that_says(0, 65_536, &message)),
        ("a length shorter than the body", frame_that_says(0, length - 1, &message)),
        ("a length of none", frame_that_says(0, 0, &message)),
        ("a byte behind the message", [frame(&message), vec![0]].concat()),
        ("four bytes behind the message", [frame(&message), vec![0; 4]].concat()),
        ("text behind the message", [frame(&message), b"trailing bytes".to_vec()].concat()),
        ("compressed, but as what?", frame_that_says(1, length, &message)),
        ("compression flag 2", frame_that_says(2, length, &message)),
        ("compression flag 255", frame_that_says(255, length, &message)),
        ("the frame of a gRPC-Web trailer", frame_that_says(0x80, length, &message)),
        ("no frame at all", message.clone()),
        ("JSON", br#"{"password":{"username":"alice"}}"#.to_vec()),
        ("a form", b"grant_type=password&username=alice".to_vec()),
    ] {
        refuses_as_malformed(&target, what, &body).await;
    }
    target.send(ISSUE_TOKEN, &frame(&message)).await.result::<IssueTokenResponse>().unwrap();
}

#[tokio::test]
async fn of_several_messages_in_a_unary_call_the_first_counts_and_none_may_be_malformed() {
    let target = Target::new(&[]).await;
    let (login, other) = (frame(&login()), frame(&password_grant("bob", "guess").encode_to_vec()));
    for (what, behind) in [
        ("the same", login.clone()),
        ("another", other.clone()),
        ("an empty one", frame(b"")),
        ("a thousand", login.repeat(1_000)),
    ] {
        let answer = target.send(ISSUE_TOKEN, &[&login[..], &behind].concat()).await;
        answer.result::<IssueTokenResponse>().unwrap_or_else(|status| panic!("{what}: {status:?}"));
    }
    let answer = target.send(ISSUE_TOKEN, &[other, login.clone()].concat()).await;
    assert_refused(answer.refusal(), Code::Unauthenticated, "INVALID_CREDENTIALS");
    refuses_as_malformed(&target, "a malformed one behind", &[login, frame(&[0xff; 8])].concat()).await;
}

#[tokio::test]
async fn a_message_that_is_no_protobuf_is_malformed() {
    let target = Target::new(&[]).await;
    let grant = |inner: &[u8]| field(1, 2, &[&[u8::try_from(inner.len()).unwrap()][..], inner].concat());
    let nested_groups = [[0x0b; 1_000], [0x0c; 1_000]].concat();
    for (what, message) in [
        ("noise", vec![0xff; 64]),
        ("a varint for a message", field(1, 0, &[1])),
        ("a fixed64 for a message", field(1, 1, &[0; 8])),
        ("a fixed32 for a message", field(1, 5, &[0; 4])),
        ("a varint for a string", grant(&field(1, 0, &[1]))),
        ("a fixed64 for a string", grant(&field(1, 1, &[0; 8]))),
        ("wire type 6", field(1, 6, &[0; 8])),
        ("wire type 7", field(1, 7, &[0; 8])),
        ("field number 0", field(0, 2, &[0])),
        ("a length beyond the end", field(1, 2, &[100, 1, 2, 3])),
        ("a length beyond an inner end", grant(&field(1, 2, &[100, b'a']))),
        ("a length of 2^63", field(1, 2, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        ("a varint of eleven bytes", field(9, 0, &[0xff; 11])),
        ("a varint without an end", field(9, 0, &[0x80])),
        ("not UTF-8: a lone continuation byte", grant(&field(1, 2, &[1, 0x80]))),
        ("not UTF-8: overlong", grant(&field(1, 2, &[2, 0xc0, 0x80]))),
        ("not UTF-8: a surrogate", grant(&field(1, 2, &[3, 0xed, 0xa0, 0x80]))),
        ("not UTF-8: cut", grant(&field(2, 2, &[2, 0xe2, 0x82]))),
        ("groups that never end", vec![0x0b; 200]),
        ("groups, a thousand deep", nested_groups.clone()),
        ("groups of an unknown field, a thousand deep", [vec![0x7b; 1_000], vec![0x7c; 1_000]].concat()),
        ("the end of a group that never began", vec![0x0c]),
    ] {
        refuses_as_malformed(&target, what, &frame(&message)).await;
    }
}

#[tokio::test]
async fn a_refusal_of_malformed_bytes_repeats_nothing_of_them() {
    let target = Target::new(&[]).await;
    // The password itself is not UTF-8.
    let message = [&[0x12, 9][..], b"hunter2\xff\xfe"].concat();
    let answer = target.send(SIGN_UP, &frame(&message)).await;
    let status = assert_refused(answer.refusal(), Code::InvalidArgument, "MALFORMED_REQUEST");
    assert!(!format!("{status:?}{answer:?}").contains("hunter2"));
}

#[tokio::test]
async fn fields_of_a_newer_client_are_passed_over() {
    let target = Target::new(&[]).await;
    let known = SignUpRequest {
        username: "bob".to_owned(),
        password: PASSWORD.to_owned(),
        ..SignUpRequest::default()
    };
    let deep = (0..60).fold(Vec::new(), |inner: Vec<u8>, _| {
        [&[0x7a][..], &[u8::try_from(inner.len() % 128).unwrap()], &inner].concat()
    });
    let unknown = [
        field(15, 0, &[0xff, 0x01]),
        field(14, 1, &[1; 8]),
        field(13, 2, b"\x05\xff\xfe\xfd\xfc\xfb"),
        field(12, 5, &[1; 4]),
        // A group, which proto3 has no word for.
        vec![0x5b, 0x08, 0x01, 0x5c],
        // The number 536,870,911: the highest there is.
        vec![0xf8, 0xff, 0xff, 0xff, 0x0f, 0x01],
        field(15, 2, &[&[120][..], &deep[..120]].concat()),
    ]
    .concat();
    let body = frame(&[&unknown[..], &known.encode_to_vec(), &unknown].concat());
    let response = target.send(SIGN_UP, &body).await.result::<SignUpResponse>().unwrap();
    assert_eq!(response.user.unwrap().username, "bob");
}

#[tokio::test]
async fn of_a_field_that_stands_twice_the_last_one_counts() {
    let target = Target::new(&[]).await;
    let named = |username: &str, password: &str| {
        SignUpRequest {
            username: username.to_owned(),
            password: password.to_owned(),
            ..SignUpRequest::default()
        }
        .encode_to_vec()
    };
    let body = frame(&[named("first", "x"), named("second", PASSWORD)].concat());
    let response = target.send(SIGN_UP, &body).await.result::<SignUpResponse>().unwrap();
    assert_eq!(response.user.unwrap().username, "second");
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_with_the_limit() {
    let target = Target::new(&[]).await;
    let largest = frame(&field(15, 2, &[&[0xfc, 0xff, 0x03][..], &vec![0; 65_532]].concat()));
    assert_eq!(largest.len(), 5 + 65_536);
    assert_refused(
        target.send(ISSUE_TOKEN, &largest).await.refusal(),
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
    for (what, body) in [
        ("one byte more", frame(&vec![0; 65_537])),
        ("much more", frame(&vec![0; 1 << 20])),
        ("4 GiB, it says", frame_that_says(0, u32::MAX, b"")),
        ("2 GiB, it says", frame_that_says(0, 1 << 31, &[0; 100])),
    ] {
        let answer = target.send(ISSUE_TOKEN, &body).await;
        assert_eq!(answer.status().code(), Code::ResourceExhausted, "{what}");
        let status = assert_refused(answer.refusal(), Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["max_message_bytes"], "65536");
        assert!(status.get_details_retry_info().is_none(), "a retry would not help");
        target.still_serves().await;
    }
}

#[tokio::test]
async fn who_calls_is_asked_before_what_is_read() {
    let target = Target::new(&[]).await;
    for body in [frame(&[0xff; 8]), frame_that_says(7, u32::MAX, b""), Vec::new()] {
        let answer = target.send(GET_ME, &body).await;
        assert_refused(answer.refusal(), Code::Unauthenticated, "TOKEN_MISSING");
    }
}

#[tokio::test]
async fn malformed_messages_do_no_harm_to_reflection_and_health() {
    let target = Target::new(&[]).await;
    for path in [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        for body in [frame(&[0xff; 8]), frame_that_says(7, 3, b"abc"), frame_that_says(0, u32::MAX, b"")] {
            let answer = target.send(path, &body).await;
            let code = answer.status().code();
            assert!(![Code::Internal, Code::Unknown].contains(&code), "{path}: {code:?}");
        }
        target.still_serves().await;
    }
}

#[tokio::test]
async fn a_question_to_reflection_that_cannot_be_read_is_refused() {
    let target = Target::new(&[]).await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let answer = target.send(&path, &frame(&[0xff; 8])).await;
        assert_refused(answer.refusal(), Code::InvalidArgument, "MALFORMED_REQUEST");
        let answer = target.send(&path, &frame(&vec![0x0a; 70_000])).await;
        assert_refused(answer.refusal(), Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    }
}
