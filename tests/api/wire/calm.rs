//! Owns that a client which sends frames and is good for nothing is sent away, told why, and that no other is.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    ISSUE_TOKEN, Target,
    frames::{
        END_HEADERS, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, header_block,
        hello, http2_frame,
    },
};
use crate::harness::eventually;

/// No more than an upper bound.
const PATIENCE: Duration = Duration::from_secs(30);

/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// What is known by nobody.
const UNKNOWN: u8 = 0x55;

/// Sends `bytes` on a connection of its own, and reads until the server closes it. Returns the code of its GOAWAY, if it said any.
async fn sent_away(target: &Target, bytes: &[u8]) -> Option<u32> {
    let mut stream = target.tcp().await;
    let (mut read, mut write) = stream.split();
    let write = async {
        // The server may have closed before it has read everything.
        let _ = write.write_all(&[&hello(), bytes].concat()).await;
    };
    let read = async {
        let mut seen = Vec::new();
        let _ = read.read_to_end(&mut seen).await;
        seen
    };
    let (seen, ()) = timeout(PATIENCE, async { tokio::join!(read, write) }).await.expect("the server closes");
    let mut rest = &seen[..];
    while rest.len() >= 9 {
        let length = usize::try_from(u32::from_be_bytes([0, rest[0], rest[1], rest[2]])).unwrap();
        let (kind, payload) = (rest[3], rest.get(9..9 + length)?);
        if kind == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        rest = &rest[9 + length..];
    }
    None
}

/// The window of every stream, as SETTINGS say it.
fn window(bytes: u32) -> Vec<u8> {
    http2_frame(SETTINGS, 0, 0, &[&[0, 4][..], &bytes.to_be_bytes()].concat())
}

#[tokio::test]
async fn who_sends_frames_and_no_calls_is_told_to_be_calm() {
    let target = Target::new(&["--keepalive-timeout=60s"]).await;
    let block = header_block(ISSUE_TOKEN);
    // Calls whose messages never come.
    let streams: Vec<u8> =
        (0..200).flat_map(|number| http2_frame(HEADERS, END_HEADERS, 2 * number + 1, &block)).collect();
    let toggled = [window(0), window(65_535)].concat();
    for (what, before, frame, count) in [
        ("pings", &b""[..], http2_frame(PING, 0, 0, &[0; 8]), 2_000),
        ("settings", b"", http2_frame(SETTINGS, 0, 0, b""), 200),
        ("windows of 200 streams that open and close", &streams, toggled, 100),
        ("windows", b"", http2_frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), 2_000),
        ("windows of a stream", &streams, http2_frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), 2_000),
        ("priorities", b"", http2_frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), 2_000),
        ("frames that nobody knows", b"", http2_frame(UNKNOWN, 0, 0, &[0; 100]), 2_000),
        ("resets of a stream that has gone", &streams, http2_frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), 2_000),
    ] {
        let flood = [before, &frame.repeat(count)].concat();
        assert_eq!(sent_away(&target, &flood).await, Some(ENHANCE_YOUR_CALM), "{what}");
        target.still_serves().await;
    }
    let scrape = target.server.scrape().await;
    let ended = scrape.sum("signet_connections_ended_early_total", &[("reason", "frames")]);
    assert!((ended - 8.0).abs() < 0.5, "{ended}");
}

#[tokio::test]
async fn calls_earn_the_frames_that_they_take() {
    let target = Target::new(&[]).await;
    let (sender, mut connection) = h2::client::handshake(target.tcp().await).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    // Many more frames than any client may send without calls: no time passes by the server's clock.
    for _ in 0..600 {
        let request =
            target.request(super::GET_ME).header("authorization", format!("Bearer {}", target.token));
        let (response, mut stream) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        stream.send_data(Bytes::copy_from_slice(&super::frame(b"")), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        while let Some(data) = body.data().await {
            let count = data.unwrap().len();
            body.flow_control().release_capacity(count).unwrap();
        }
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        pings.ping(h2::Ping::opaque()).await.unwrap();
    }
    assert!(!connection.is_finished());
}

#[tokio::test]
async fn who_does_not_read_answers_is_let_go() {
    let target = Target::new(&["--keepalive-timeout=1s"]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream: TcpStream = socket.connect(target.server.started.http_addr).await.unwrap();
    let requests = b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let writing = async { while stream.write_all(&requests).await.is_ok() {} };
    timeout(PATIENCE, writing).await.expect("the server closes");
    eventually("it is counted", || async {
        let scrape = target.server.scrape().await;
        scrape.sum("signet_connections_ended_early_total", &[("listener", "http"), ("reason", "unread")])
            > 0.5
    })
    .await;
    target.still_serves().await;
}
