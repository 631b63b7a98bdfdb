//! Owns whose share a call takes: of the client that Envoy or a trusted proxy names, and of networks of IPv6.

use h2::RecvStream;
use http::Response;
use prost::Message;
use signet::proto::envoy::{
    config::core::v3::{Address, SocketAddress, address},
    service::auth::v3::{AttributeContext, CheckRequest, attribute_context::Peer},
};
use tonic::{Code, Status};

use super::{
    Target, frame,
    lanes::{CHECK, FEW, GET_JWKS, OPEN, grpc, head_of},
};
use crate::harness::assert_refused;

/// Whether it is a refusal, which has nothing but a head.
fn is_refused(head: &Response<RecvStream>) -> bool {
    let refused = head.headers().contains_key("grpc-status");
    if refused {
        let status = Status::from_header_map(head.headers()).unwrap();
        assert_refused(Err::<(), _>(status), Code::ResourceExhausted, "OVERLOADED");
    }
    refused
}

/// A question about a request of `client`.
fn question(client: &str) -> Vec<u8> {
    let socket = SocketAddress { address: client.to_owned() };
    let address = Some(Address { address: Some(address::Address::SocketAddress(socket)) });
    let source = Some(Peer { address });
    let attributes = Some(AttributeContext { source, ..AttributeContext::default() });
    frame(&CheckRequest { attributes }.encode_to_vec())
}

#[tokio::test]
async fn a_check_is_counted_for_the_client_that_envoy_names() {
    let target = Target::new(&[&OPEN[..], &[FEW]].concat()).await;
    let to = target.server.started.ext_authz_addr.unwrap();
    let ask = |sidecar: [u8; 4], client: &str| head_of(sidecar, to, grpc(CHECK, None), question(client));
    let (sidecar, other) = ([127, 9, 0, 1], [127, 9, 0, 2]);
    let mut unread = Vec::new();
    for (from, client, refused) in [
        // A client has a quarter of 16 places, and all clients that one sidecar names a half.
        (sidecar, "203.0.113.1", false),
        (sidecar, "203.0.113.1", false),
        (other, "203.0.113.1", false),
        (other, "::ffff:203.0.113.1", false),
        (sidecar, "203.0.113.1", true),
        (other, "203.0.113.1", true),
        (sidecar, "203.0.113.2", false),
        (sidecar, "203.0.113.2", false),
        (sidecar, "203.0.113.2", false),
        (sidecar, "203.0.113.3", false),
        (sidecar, "203.0.113.4", false),
        (sidecar, "203.0.113.5", false),
        (sidecar, "203.0.113.6", true),
        (other, "203.0.113.6", false),
    ] {
        let head = ask(from, client).await;
        assert_eq!(is_refused(&head), refused, "{client} by {from:?}, after {}", unread.len());
        unread.push(head);
    }
}

#[tokio::test]
async fn where_everybody_calls_only_a_trusted_proxy_names_the_client_of_a_check() {
    let [on, _, lasting @ ..] = OPEN;
    let options = [&[on][..], &lasting, &[FEW, "--trusted-proxy-addresses=127.9.0.9/32"]].concat();
    let target = Target::new(&options).await;
    let to = target.server.started.grpc_addr;
    let ask = |from: [u8; 4], forwarded: Option<&str>, client: &str| {
        let mut request = grpc(CHECK, None);
        if let Some(forwarded) = forwarded {
            request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        }
        head_of(from, to, request, question(client))
    };
    let (stranger, other, proxy) = ([127, 9, 0, 1], [127, 9, 0, 2], [127, 9, 0, 9]);
    let mut unread = Vec::new();
    for (from, forwarded, client, refused) in [
        // Whoever a stranger names, it has its own quarter of 16 places.
        (stranger, None, "203.0.113.1", false),
        (stranger, None, "203.0.113.2", false),
        (stranger, None, "127.9.0.2", false),
        (stranger, Some("203.0.113.4"), "127.9.0.2", false),
        (stranger, None, "203.0.113.5", true),
        // So nobody else has less for it.
        (other, None, "203.0.113.1", false),
        (other, None, "203.0.113.1", false),
        // A proxy that brings a question of its client does not ask itself.
        (proxy, Some("127.9.0.1"), "203.0.113.6", true),
        (proxy, None, "127.9.0.1", true),
        (proxy, Some("127.9.0.9"), "127.9.0.1", true),
        (proxy, None, "203.0.113.6", false),
    ] {
        let head = ask(from, forwarded, client).await;
        assert_eq!(is_refused(&head), refused, "{client} by {from:?} for {forwarded:?}");
        unread.push(head);
    }
}

#[tokio::test]
async fn networks_of_ipv6_have_shares_and_so_have_their_sites() {
    let target = Target::new(&[&OPEN[..], &[FEW, "--trusted-proxy-addresses=127.9.0.1/32"]].concat()).await;
    let to = target.server.started.grpc_addr;
    let ask = |client: &str| {
        let mut request = grpc(GET_JWKS, None);
        request.headers_mut().insert("x-forwarded-for", client.parse().unwrap());
        head_of([127, 9, 0, 1], to, request, frame(b""))
    };
    let mut unread = Vec::new();
    for (client, refused) in [
        // A quarter of 16 places for a /64, a half for a /48.
        ("2001:db8:1:1::1", false),
        ("2001:db8:1:1::2", false),
        ("2001:db8:1:1:8000::3", false),
        ("2001:db8:1:1:ffff:ffff:ffff:ffff", false),
        ("2001:db8:1:1::5", true),
        // The first /64 of the site begins as the site does.
        ("2001:db8:1::1", false),
        ("2001:db8:1:3::1", false),
        ("2001:db8:1:4::1", false),
        ("2001:db8:1:5::1", false),
        ("2001:db8:1:6::1", true),
        ("2001:db8:2:1::1", false),
        ("203.0.113.1", false),
    ] {
        let head = ask(client).await;
        assert_eq!(is_refused(&head), refused, "{client}, after {}", unread.len());
        unread.push(head);
    }
}
