//! Owns malformed connections: other protocols, silence, age, and too many.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use signet::proto::identity::v1::IssueTokenResponse;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Answer, ISSUE_TOKEN, Target, frame,
    frames::{
        CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, header_block,
        hello, http2_frame,
    },
};
use crate::harness::{PASSWORD, eventually, password_grant};

/// No more than an upper bound: far beyond what is promised.
const PATIENCE: Duration = Duration::from_secs(25);

/// Reads until the server closes, which it must do.
async fn closes(mut stream: TcpStream, what: &str) -> Vec<u8> {
    let mut read = Vec::new();
    // A reset is an end as well: the server had not read everything when it closed.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.unwrap_or_else(|_| panic!("open: {what}"));
    read
}

#[tokio::test]
async fn other_protocols_are_shown_the_door_at_once() {
    // Long enough that no timeout can be what closes them.
    let target = Target::new(&["--keepalive-timeout=60s"]).await;
    let noise: Vec<u8> = (0..2_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    let hello = [&[0x16, 0x03, 0x01, 0x00, 0xc8, 0x01, 0x00, 0x00, 0xc4, 0x03, 0x03][..], &[7; 194]].concat();
    for (what, bytes) in [
        ("TLS", hello),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("a line", b"hello\r\n".to_vec()),
        ("noise", noise),
        ("zeroes", vec![0; 100]),
        ("the preface, mistaken at its end", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX".to_vec()),
    ] {
        let mut stream = target.tcp().await;
        let _ = stream.write_all(&bytes).await;
        closes(stream, what).await;
        target.still_serves().await;
    }
}

#[tokio::test]
async fn frames_that_break_http2_end_their_connection_alone() {
    let target = Target::new(&["--keepalive-timeout=60s"]).await;
    let block = header_block(ISSUE_TOKEN);
    for (what, bytes) in [
        ("data on stream 0", http2_frame(DATA, 0, 0, b"x")),
        ("data on a stream that is not open", http2_frame(DATA, 0, 1, b"x")),
        ("headers on an even stream", http2_frame(HEADERS, END_HEADERS, 2, &block)),
        ("headers that are no HPACK", http2_frame(HEADERS, END_HEADERS, 1, &[0xff; 30])),
        (
            "headers before their continuation",
            [http2_frame(HEADERS, 0, 1, &block), http2_frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        ("a continuation of nothing", http2_frame(CONTINUATION, END_HEADERS, 1, &block)),
        (
            "continuations without end",
            [http2_frame(HEADERS, 0, 1, &block), http2_frame(CONTINUATION, 0, 1, b"").repeat(5_000)].concat(),
        ),
        ("a frame beyond the agreed size", vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]),
        ("settings of five bytes", http2_frame(SETTINGS, 0, 0, &[0; 5])),
        ("a ping of seven bytes", http2_frame(PING, 0, 0, &[0; 7])),
        ("a window beyond 2^31", http2_frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
    ] {
        let mut stream = target.tcp().await;
        let _ = stream.write_all(&[hello(), bytes].concat()).await;
        closes(stream, what).await;
        target.still_serves().await;
    }
}

#[tokio::test]
async fn who_connects_and_does_not_say_what_for_is_let_go() {
    let target = Target::new(&["--keepalive-timeout=1s"]).await;
    let mut silent = Vec::new();
    for said in [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n\r\n",
        &PREFACE[..23],
        b"POST / HT",
        b"POST / HTTP/1.1\r\nhost: x\r\n",
    ] {
        for addr in [target.server.started.grpc_addr, target.server.started.http_addr] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(said).await.unwrap();
            silent.push((format!("{said:?} to {addr}"), stream));
        }
    }
    for (what, stream) in silent {
        closes(stream, &what).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn who_trickles_a_greeting_gains_no_time_by_it() {
    let target = Target::new(&["--keepalive-timeout=1s"]).await;
    let mut stream = target.tcp().await;
    let mut interval = tokio::time::interval(Duration::from_millis(300));
    let trickled = timeout(PATIENCE, async {
        for byte in &PREFACE[..23] {
            interval.tick().await;
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    });
    // 23 bytes at that pace take seven seconds: the server's end comes before.
    trickled.await.unwrap();
    let written = stream.write_all(b"\n").await;
    assert!(written.is_err(), "the connection is still open");
}

#[tokio::test]
async fn who_does_not_answer_a_ping_is_let_go() {
    let target = Target::new(&["--keepalive-interval=1s", "--keepalive-timeout=1s"]).await;
    let piece_of_a_frame = http2_frame(HEADERS, END_HEADERS, 1, &[0; 100])[..50].to_vec();
    let mut gone = Vec::new();
    for said in [PREFACE.to_vec(), hello(), [hello(), piece_of_a_frame].concat()] {
        let mut stream = target.tcp().await;
        stream.write_all(&said).await.unwrap();
        gone.push(stream);
    }
    for stream in gone {
        closes(stream, "a client that is gone").await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn who_has_not_greeted_does_not_hold_up_a_stop() {
    let target = Target::new(&["--keepalive-timeout=60s", "--drain-timeout=60s"]).await;
    let mut silent = Vec::new();
    for said in [&b""[..], &PREFACE[..10]] {
        for addr in [target.server.started.grpc_addr, target.server.started.http_addr] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(said).await.unwrap();
            silent.push(stream);
        }
    }
    // Connections are accepted in order: once later ones are served, these are open.
    target.still_serves().await;
    assert_eq!(target.server.http_get("/livez").await.status(), 200);
    timeout(PATIENCE, target.server.stop()).await.unwrap();
    for stream in silent {
        closes(stream, "after the stop").await;
    }
}

#[tokio::test]
async fn beyond_the_most_connections_the_next_is_closed_and_the_others_go_on() {
    let target = Target::new(&["--max-connections=2"]).await;
    // The connection that made the token has gone by now, or is about to.
    let mut first = target.serves_again().await;
    let mut second = target.serves_again().await;
    eventually("two places are taken", || async {
        let mut next = target.tcp().await;
        next.write_all(&hello()).await.is_err() || next.read_u8().await.is_err()
    })
    .await;
    for _ in 0..100 {
        assert!(closes(target.tcp().await, "one too many").await.is_empty());
    }
    first.get_me(&target.token).await.unwrap();
    second.get_me(&target.token).await.unwrap();
    // Probes come by another listener.
    assert_eq!(target.server.http_get("/livez").await.status(), 200);

    drop((first, second));
    target.serves_again().await;
}

#[tokio::test]
async fn a_connection_past_its_age_is_asked_to_close_and_its_calls_finish() {
    let target = Target::new(&["--max-connection-age=1s", "--drain-timeout=60s"]).await;
    let (sender, connection) = h2::client::handshake(target.tcp().await).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let message = frame(&password_grant("alice", PASSWORD).encode_to_vec());
    let (response, mut stream) =
        sender.send_request(target.request(ISSUE_TOKEN).body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::copy_from_slice(&message[..7]), false).unwrap();
    eventually("no new calls are taken", || {
        let sender = sender.clone();
        async move { sender.ready().await.is_err() }
    })
    .await;
    assert!(!connection.is_finished(), "a call is in flight");
    stream.send_data(Bytes::copy_from_slice(&message[7..]), true).unwrap();
    Answer::read(response).await.result::<IssueTokenResponse>().unwrap();
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    target.still_serves().await;
}

#[tokio::test]
async fn who_is_answered_before_it_has_sent_its_body_reads_the_answer() {
    let target = Target::new(&[]).await;
    let mut stream = target.tcp().await;
    let head = "POST /identity.v1.TokenService/GetJwks HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // Up to its end: the service writes no more.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 505 "), "{}", answer.escape_ascii());
    // What comes late is taken nevertheless: a reset would have thrown the answer away, had it not been read.
    for _ in 0..3 {
        stream.write_all(b"5\r\n\0\0\0\0\0\r\n").await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    target.still_serves().await;
}
