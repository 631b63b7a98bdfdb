//! Owns who gets a connection, and what nobody can do to those of others.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion, version};

use super::Secured;
use crate::{
    harness::{PASSWORD, eventually},
    support::pki::{Authority, Dialer, Issued, SERVER},
};

/// No more than an upper bound: far beyond what is promised.
const PATIENCE: Duration = Duration::from_secs(25);

#[tokio::test]
async fn both_addresses_speak_tls_1_2_and_1_3_and_say_by_alpn_what_else() {
    let secured = Secured::plain(&[]).await;
    let (grpc, http) = (secured.server.started.grpc_addr, secured.server.started.http_addr);
    for (versions, spoken) in [
        (&[&version::TLS12][..], ProtocolVersion::TLSv1_2),
        (&[&version::TLS13][..], ProtocolVersion::TLSv1_3),
        (&[&version::TLS12, &version::TLS13][..], ProtocolVersion::TLSv1_3),
    ] {
        for (addr, offered, chosen) in [
            (grpc, &["h2"][..], Some("h2")),
            (grpc, &["http/1.1", "h2"][..], Some("h2")),
            (http, &["h2"][..], Some("h2")),
            (http, &["http/1.1"][..], Some("http/1.1")),
            // Who offers nothing says it in its first bytes.
            (http, &[][..], None),
        ] {
            let dialer = Dialer::speaking(&secured.authority, None, versions, offered);
            let stream = dialer.dial(addr).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(spoken));
            assert_eq!(session.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
        }
        let dialer = Dialer::speaking(&secured.authority, None, versions, &["h2"]);
        let channel = dialer.channel(grpc).await.unwrap();
        let mut client = crate::harness::Client(
            signet::proto::identity::v1::identity_service_client::IdentityServiceClient::new(channel),
        );
        client.log_in("nobody", PASSWORD).await.unwrap_err();
        let dialer = Dialer::speaking(&secured.authority, None, versions, &["spdy/3"]);
        assert!(dialer.dial(http).await.is_err(), "a protocol that is not spoken (RFC 7301 section 3.2)");
    }
    assert_eq!(secured.get("/livez").await.status(), 200);
    assert_eq!(secured.operations_get("/livez").await.status(), 200);
}

#[tokio::test]
async fn who_does_not_shake_hands_is_cut_in_time_and_keeps_nobody_waiting() {
    let secured = Secured::plain(&["--keepalive-timeout=1s"]).await;
    let addr = secured.server.started.grpc_addr;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    // One that begins and does not go on: the head of a record that never comes.
    let mut half = TcpStream::connect(addr).await.unwrap();
    half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
    silent.push(half);
    // Others are served all the while.
    secured.dialer(None).channel(addr).await.unwrap();
    let mut plain = TcpStream::connect(addr).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    silent.push(plain);
    for mut stream in silent {
        let mut said = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it is cut");
        assert!(said.first().is_none_or(|kind| *kind == 0x15), "nothing but an alert: {said:?}");
    }
    let failed = r#"signet_tls_handshakes_total{listener="grpc",result="failed"} 22"#;
    eventually("they are counted", async || {
        secured.operations_get("/metrics").await.0.body().contains(failed)
    })
    .await;
    let text = secured.operations_get("/metrics").await.0.into_body();
    assert!(text.contains(r#"signet_tls_handshakes_total{listener="grpc",result="succeeded"} 1"#), "{text}");
    assert!(text.contains("signet_tls_certificate_expiry_timestamp_seconds 64060588800"), "{text}");
}

/// Whether `dialer` gets as far as an answer: in TLS 1.3 a client is let in before the server has seen its certificate.
async fn is_let_in(secured: &Secured, dialer: &Dialer, is_grpc: bool) -> bool {
    let started = &secured.server.started;
    let addr = if is_grpc { started.grpc_addr } else { started.http_addr };
    let Ok(mut stream) = dialer.dial(addr).await else { return false };
    // The preface, and empty settings: the server sends its own.
    if stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.is_err() {
        return false;
    }
    let read = timeout(PATIENCE, stream.read_u8()).await.expect("an answer, or the end");
    read.is_ok()
}

#[tokio::test]
async fn grpc_takes_nobody_without_a_certificate_of_the_authority_and_http_nobody_with_another() {
    let secured = Secured::mutual(&[]).await;
    let stranger = Authority::new("tests").issue(&["spiffe://example.org/billing"]);
    let expired = secured.authority.issue_until(&["spiffe://example.org/billing"], (2026, 1, 1));
    let good = secured.authority.issue(&["spiffe://example.org/billing"]);
    let stolen = Issued { key: stranger.key.clone(), ..good.clone() };
    for (what, own, by_grpc, by_http) in [
        ("none", None, false, true),
        ("another authority's", Some(&stranger), false, false),
        ("one that has expired", Some(&expired), false, false),
        ("one that was seen, without its key", Some(&stolen), false, false),
        ("a good one", Some(&good), true, true),
    ] {
        for versions in [&[&version::TLS12][..], &[&version::TLS13][..]] {
            let dialer = Dialer::speaking(&secured.authority, own, versions, &["h2"]);
            assert_eq!(is_let_in(&secured, &dialer, true).await, by_grpc, "{what} by gRPC");
            assert_eq!(is_let_in(&secured, &dialer, false).await, by_http, "{what} by HTTP");
        }
    }
}

#[tokio::test]
async fn a_certificate_has_no_more_names_than_are_looked_at() {
    let secured = Secured::mutual(&[]).await;
    let issue = |count: usize, length: usize| {
        let name = |number| format!("spiffe://example.org/{number:0length$}");
        let names: Vec<String> = (0..count).map(name).collect();
        secured.authority.issue(&names.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for (count, length, is_taken) in [(256, 8, true), (257, 8, false), (40, 1_000, false), (2, 1_000, true)] {
        let certificate = issue(count, length);
        let dialer = Dialer::new(&secured.authority, Some(&certificate));
        assert_eq!(is_let_in(&secured, &dialer, true).await, is_taken, "{count} names of {length}");
    }
}

#[tokio::test]
async fn a_session_with_a_certificate_is_not_taken_up_again() {
    for (is_mutual, kind) in [(true, HandshakeKind::Full), (false, HandshakeKind::Resumed)] {
        let secured = Secured::start(&[], is_mutual).await;
        let own = secured.authority.issue(&["spiffe://example.org/billing"]);
        for versions in [&[&version::TLS12][..], &[&version::TLS13][..]] {
            let dialer = Dialer::speaking(&secured.authority, Some(&own), versions, &["h2"]);
            assert!(is_let_in(&secured, &dialer, true).await);
            let stream = dialer.dial(secured.server.started.grpc_addr).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind), "mutual: {is_mutual}");
        }
    }
}

#[tokio::test]
async fn the_name_that_a_client_asks_for_does_not_matter() {
    let secured = Secured::plain(&[]).await;
    let other = Authority::new("other");
    assert!(
        Dialer::new(&other, None).dial(secured.server.started.grpc_addr).await.is_err(),
        "clients do verify"
    );
    let stream = secured.dialer(None).dial(secured.server.started.grpc_addr).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().map(<[_]>::len), Some(1), "{SERVER}");
}
