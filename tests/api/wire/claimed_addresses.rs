//! Owns for whom a call is counted whose client tells the address of its user.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::HeaderMap;
use prost::Message;
use signet::proto::identity::v1::IssueTokenRequest;
use tonic::{Code, Status};

use super::{
    Answer, ISSUE_TOKEN, frame,
    lanes::{FEW, GET_JWKS, OPEN, TOKEN, connect, form, grpc, head_of, open},
};
use crate::{
    clients::{Service, Wanted, alice, request},
    harness::{PASSWORD, assert_refused},
};

/// Two users, and a third.
const USERS: [[u8; 4]; 3] = [[127, 8, 0, 1], [127, 8, 0, 2], [127, 8, 0, 3]];

/// Whether a stranger's call from `address` finds a place.
async fn finds_a_place(address: [u8; 4], to: SocketAddr) -> bool {
    let sender = connect(address, to, 65_535).await;
    let answer = open(&sender, grpc(GET_JWKS, None), Some(frame(b""))).await;
    Answer::read(answer.0).await.status().code() == Code::Ok
}

fn status(headers: &HeaderMap) -> Result<(), Status> {
    Err(Status::from_header_map(headers).expect("a refusal has no message"))
}

#[tokio::test]
async fn a_call_is_counted_for_the_address_that_its_client_tells() {
    let service = Service::start_with(&[&OPEN[..], &[FEW, "--standing-cache-max-age=0s"]].concat()).await;
    let wanted = Wanted { may_claim_address: true, ..Wanted::confidential("profile") };
    let gateway = service.register("gateway", wanted).await;
    let to = service.server.started.grpc_addr;
    let for_user = |user: [u8; 4]| {
        let user_address = Ipv4Addr::from(user).to_string();
        let login = IssueTokenRequest { user_address, ..request(alice(), Some(gateway.by_secret())) };
        head_of([127, 8, 1, 1], to, grpc(ISSUE_TOKEN, None), frame(&login.encode_to_vec()))
    };
    // A quarter of the places is one user's, and a half what the client has for all of them.
    let mut unread = Vec::new();
    for user in [USERS[0], USERS[1]] {
        for _ in 0..4 {
            let head = for_user(user).await;
            assert!(head.headers().get("grpc-status").is_none(), "{head:?}");
            unread.push(head);
        }
    }
    for user in [USERS[0], USERS[2]] {
        let refused = for_user(user).await;
        assert_refused(status(refused.headers()), Code::ResourceExhausted, "OVERLOADED");
    }
    assert!(!finds_a_place(USERS[0], to).await, "it has none left, whoever takes them");
    assert!(finds_a_place(USERS[2], to).await);
    assert!(finds_a_place([127, 8, 1, 1], to).await, "the client's own share is untouched");
    unread.clear();
}

#[tokio::test]
async fn over_http_too() {
    let service = Service::start_with(&[&OPEN[..], &[FEW, "--standing-cache-max-age=0s"]].concat()).await;
    let wanted = Wanted { may_claim_address: true, ..Wanted::confidential("profile") };
    let gateway = service.register("gateway", wanted).await;
    let to = service.server.started.http_addr;
    let for_user = |user: [u8; 4]| {
        let body = format!(
            "grant_type=password&username=alice&password={}&client_id={}&client_secret={}&user_address={}",
            PASSWORD.replace(' ', "+"),
            gateway.id,
            gateway.secret,
            Ipv4Addr::from(user)
        );
        head_of([127, 8, 1, 1], to, form(TOKEN), Bytes::from(body).to_vec())
    };
    let mut unread = Vec::new();
    for _ in 0..4 {
        let head = for_user(USERS[0]).await;
        assert_eq!(head.status(), 200);
        unread.push(head);
    }
    assert_eq!(for_user(USERS[0]).await.status(), 429);
    assert_eq!(for_user(USERS[1]).await.status(), 200);
    unread.clear();
}
