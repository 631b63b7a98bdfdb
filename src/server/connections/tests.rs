//! Owns what the drain says of connections that were asked to end before it began, and who waits while hashes are overdue.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::Empty;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::Notify,
    time::{advance, pause, resume},
};
use tower::service_fn;

use super::*;
use crate::{
    admission::{Overdue, Resources, SetBounds},
    metrics::Metrics,
    model::Timestamp,
};

/// A listener whose connections are asked to end after 100 s, and may take 10 s more.
async fn listening(pacing: Pacing) -> (Arc<Connections>, TcpListener) {
    let limits = LimitConfig::of(&["--max-connection-age=100s", "--drain-timeout=10s"]);
    let resources = Resources {
        memory_budget: 1 << 30,
        reserved_bytes: 0,
        max_header_bytes: limits.max_header_bytes,
        max_message_bytes: limits.max_message_bytes,
        open_files: None,
        listeners: 1,
    };
    let bounds = Bounds::new(&resources, &SetBounds::default());
    let metrics = Metrics::new().connections.listener("grpc");
    let clock = Clock::system();
    let connections = Connections::new(None, Arc::default(), limits, &bounds, pacing, clock, metrics);
    (Arc::new(connections), TcpListener::bind("127.0.0.1:0").await.unwrap())
}

/// Whether the drain says that all calls finished, if it begins when a connection has been asked to end for `waited` and has a call
/// that never ends (or none).
async fn drained(waited: Duration, has_call: bool) -> bool {
    let (connections, listener) = listening(Pacing::new(Overdue::new(Clock::system()))).await;
    let addr = listener.local_addr().unwrap();
    let called = Arc::new(Notify::new());
    let service = {
        let called = Arc::clone(&called);
        service_fn(move |_| {
            let called = Arc::clone(&called);
            async move {
                called.notify_one();
                if has_call {
                    std::future::pending::<()>().await;
                }
                Ok(Response::new(Empty::<&[u8]>::new()))
            }
        })
    };
    let serving = tokio::spawn({
        let connections = Arc::clone(&connections);
        async move { connections.serve(listener, service).await }
    });
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    called.notified().await;
    if !has_call {
        client.read_u8().await.unwrap();
    }
    // From here on nothing comes by the network.
    pause();
    advance(Duration::from_secs(110)).await;
    tokio::task::yield_now().await;
    advance(waited).await;
    let finished = connections.drain(Duration::from_secs(10)).await;
    serving.await.unwrap();
    resume();
    finished
}

#[tokio::test]
async fn a_drain_does_not_say_that_calls_finished_which_their_connections_age_cut() {
    assert!(!drained(Duration::from_secs(5), true).await, "cut while the drain waits");
    assert!(!drained(Duration::ZERO, true).await, "cut when the drain's own time is over");
    assert!(drained(Duration::from_secs(5), false).await, "nothing was in flight");
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// A client at `from` that has said so many requests at once.
async fn pipelined(from: [u8; 4], to: SocketAddr, requests: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut client = socket.connect(to).await.unwrap();
    client.write_all(&REQUEST.repeat(requests)).await.unwrap();
    client
}

#[tokio::test]
async fn who_pipelines_waits_while_hashes_are_overdue_and_others_are_answered() {
    const PIPELINED: usize = 1_000;
    // What a connection may at once: its greeting costs four, each request two, and the last one begins the debt.
    const AT_ONCE: usize = (512 - 4) / 2 + 1;
    let clock = Clock::manual(Timestamp::from_micros(1_000_000));
    let overdue = Overdue::new(clock.clone());
    overdue.expect(Some(clock.monotonic()));
    let pacing = Pacing::with_longest_wait(overdue.clone(), Duration::from_hours(1));
    let (connections, listener) = listening(pacing).await;
    let addr = listener.local_addr().unwrap();
    let (served, called) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let service = {
        let (served, called) = (Arc::clone(&served), Arc::clone(&called));
        service_fn(move |_| {
            served.fetch_add(1, Ordering::SeqCst);
            called.notify_one();
            async { Ok(Response::new(Empty::<&[u8]>::new())) }
        })
    };
    let serving = tokio::spawn({
        let connections = Arc::clone(&connections);
        async move { connections.serve(listener, service).await }
    });
    let until = async |count| {
        while served.load(Ordering::SeqCst) < count {
            called.notified().await;
        }
    };
    let flood = pipelined([127, 1, 0, 1], addr, PIPELINED).await;
    until(AT_ONCE).await;
    let mut other = pipelined([127, 1, 0, 2], addr, 1).await;
    other.read_u8().await.unwrap();
    // Another connection does not help.
    let more = pipelined([127, 1, 0, 1], addr, 1).await;
    let mut third = pipelined([127, 1, 0, 3], addr, 1).await;
    third.read_u8().await.unwrap();
    assert_eq!(served.load(Ordering::SeqCst), AT_ONCE + 2);
    overdue.expect(None);
    until(PIPELINED + 3).await;
    drop((flood, more));
    connections.drain(Duration::from_secs(10)).await;
    serving.await.unwrap();
}
