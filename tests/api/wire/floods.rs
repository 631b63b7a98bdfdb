//! Owns floods: more connections, more resets, more of everything than anybody needs.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    GET_ME, ISSUE_TOKEN, Target,
    frames::{
        END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, header_block, hello, http2_frame,
    },
};

/// No more than an upper bound.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn thousands_of_idle_connections_are_held_while_calls_are_served() {
    const IDLE: usize = 3_000;
    let target = Target::new(&["--max-connections=4000", "--max-connections-per-peer=4000"]).await;
    // Both ends of each are in this process.
    let limit = rlimit::increase_nofile_limit(2 * 4_000 + 1_000).unwrap();
    assert!(limit >= 9_000, "the system allows this process {limit} open files only");
    let mut client = target.server.client().await;
    let mut idle = Vec::with_capacity(IDLE);
    for count in 0..IDLE {
        let mut stream = target.tcp().await;
        stream.write_all(&hello()).await.unwrap();
        idle.push(stream);
        if count % 100 == 0 {
            client.get_me(&target.token).await.unwrap();
        }
    }
    for stream in &mut idle {
        // The server has accepted it and says its settings.
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], SETTINGS);
    }
    client.get_me(&target.token).await.unwrap();
    target.still_serves().await;
    assert_eq!(idle.len(), IDLE);
}

/// Sends `flood` on a connection of its own and waits until the server has dealt with it: it closes, or answers a ping.
async fn flood(target: &Target, flood: &[u8]) {
    let mut stream = target.tcp().await;
    let ping = http2_frame(PING, 0, 0, b"are you?");
    let (mut read, mut write) = stream.split();
    let write = async {
        let _ = write.write_all(&[&hello(), flood, &ping].concat()).await;
    };
    let read = async {
        let mut seen = Vec::new();
        while read.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
            if seen.windows(8).any(|window| window == b"are you?") {
                break;
            }
            seen.drain(..seen.len().saturating_sub(7));
        }
    };
    timeout(PATIENCE, async { tokio::join!(write, read) }).await.unwrap();
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_in_a_flood_slow_nobody_down() {
    let target = Target::new(&[]).await;
    let mut other = target.server.client().await;
    for (path, flags) in
        [(GET_ME, END_HEADERS), (ISSUE_TOKEN, END_HEADERS), (ISSUE_TOKEN, END_HEADERS | END_STREAM)]
    {
        let block = header_block(path);
        let resets: Vec<u8> = (0..2_000)
            .flat_map(|number| {
                let stream = 2 * number + 1;
                let open = http2_frame(HEADERS, flags, stream, &block);
                [open, http2_frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
            })
            .collect();
        flood(&target, &resets).await;
        other.get_me(&target.token).await.unwrap();
        target.still_serves().await;
    }
}

#[tokio::test]
async fn pings_settings_and_streams_in_a_flood_slow_nobody_down() {
    let target = Target::new(&[]).await;
    let mut other = target.server.client().await;
    let block = header_block(ISSUE_TOKEN);
    let streams: Vec<u8> =
        (0..2_000).flat_map(|number| http2_frame(HEADERS, END_HEADERS, 2 * number + 1, &block)).collect();
    for bytes in [
        http2_frame(PING, 0, 0, &[0; 8]).repeat(5_000),
        http2_frame(SETTINGS, 0, 0, b"").repeat(5_000),
        streams,
    ] {
        flood(&target, &bytes).await;
        other.get_me(&target.token).await.unwrap();
        target.still_serves().await;
    }
}

#[tokio::test]
async fn connections_that_are_opened_and_reset_in_a_flood_slow_nobody_down() {
    let target = Target::new(&["--max-connections=50"]).await;
    for _ in 0..500 {
        let socket = TcpSocket::new_v4().unwrap();
        // Closing sends a reset, with no goodbye.
        socket.set_zero_linger().unwrap();
        let mut stream: TcpStream = socket.connect(target.server.started.grpc_addr).await.unwrap();
        let _ = stream.write_all(&hello()).await;
    }
    target.serves_again().await;
}
