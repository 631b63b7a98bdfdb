//! Owns how long connections live, and what the drain says of those that were asked to end before it began.

use std::sync::Arc;

use http_body_util::Empty;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::{advance, pause, resume},
};
use tower::service_fn;

use super::*;
use crate::{admission::Resources, admission::SetBounds, metrics::Metrics};

/// A listener whose connections are asked to end after 100 s, and may take 10 s more.
async fn listening(entropy: Entropy) -> (Arc<Connections>, TcpListener) {
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
    let connections =
        Connections::new(None, Arc::default(), limits, &bounds, Clock::system(), entropy, metrics);
    (Arc::new(connections), TcpListener::bind("127.0.0.1:0").await.unwrap())
}

#[tokio::test]
async fn ages_are_spread_and_repeat_by_a_seed() {
    let ages = async |seed| {
        let (connections, _) = listening(Entropy::seeded(seed)).await;
        (0..10).map(|_| connections.life().age).collect::<Vec<_>>()
    };
    let first = ages(1).await;
    assert_eq!(ages(1).await, first);
    assert_ne!(ages(2).await, first);
    assert!(first.iter().all(|age| (90..=110).contains(&age.as_secs())), "{first:?}");
}

/// Whether the drain says that all calls finished, if it begins when a connection has been asked to end for `waited` and has a call
/// that never ends (or none).
async fn drained(waited: Duration, has_call: bool) -> bool {
    let (connections, listener) = listening(Entropy::system()).await;
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
                Ok(Response::new(Empty::<Bytes>::new()))
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
