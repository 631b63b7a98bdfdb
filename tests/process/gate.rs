//! Owns what stands between a program and its database: it cuts the program off amid what it does, or changes what is said.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{Instant, sleep},
};

use crate::{harness::Place, support::runner::Process};

/// Between a program and its database: passes the program's first messages, and no more.
pub(crate) struct Gate {
    /// Where the program finds it.
    pub(crate) addr: SocketAddr,
    /// How many messages have come.
    pub(crate) passed: Arc<AtomicUsize>,
    /// Notified when a message was kept.
    pub(crate) shut: Arc<Notify>,
}

impl Gate {
    /// Passes the first `messages`.
    pub(crate) async fn before(server: String, messages: usize) -> Self {
        Self::until(server, move |passed, _| passed >= messages).await
    }

    /// Passes all before the first in which `text` stands.
    pub(crate) async fn before_text(server: String, text: String) -> Self {
        let has_text =
            move |message: &[u8]| message.windows(text.len()).any(|window| window == text.as_bytes());
        Self::until(server, move |_, message| has_text(message)).await
    }

    /// Passes messages until one `ends` it, by how many came before it and by what stands in it.
    async fn until(server: String, ends: impl Fn(usize, &[u8]) -> bool + Send + Sync + 'static) -> Self {
        let (shut, passed, is_shut) = (Arc::new(Notify::new()), Arc::default(), AtomicBool::new(false));
        let (told, counted): (_, Arc<AtomicUsize>) = (Arc::clone(&shut), Arc::clone(&passed));
        let addr = way(server, move |message| {
            let before = counted.fetch_add(1, Ordering::Relaxed);
            let is_kept = is_shut.load(Ordering::Relaxed) || ends(before, message);
            if is_kept {
                is_shut.store(true, Ordering::Relaxed);
                told.notify_one();
            }
            !is_kept
        })
        .await;
        Self { addr, passed, shut }
    }

    /// How many messages `program`, which finds its database here, has sent when it has come to its end; none if it was cut off, and
    /// killed (SIGKILL).
    pub(crate) async fn messages_of(self, program: Process) -> Option<usize> {
        tokio::select! {
            () = self.shut.notified() => None,
            finished = program.finish() => {
                finished.succeeded();
                Some(self.passed.load(Ordering::Relaxed))
            }
        }
        // Letting go of the process has killed it.
    }
}

/// Kills the command `args`, each time in another of `places`, after one part of the time that it takes, after two, and so on, as often as
/// `kills` says; then it `goes_on` there. This is for SQLite, which has no messages to count.
pub(crate) async fn killed_at_moments(
    kills: u32,
    args: &[&str],
    places: impl AsyncFn() -> Place,
    goes_on: impl AsyncFn(&Place),
) {
    let begun = Instant::now();
    places().await.run(args).await.succeeded();
    let part = begun.elapsed() / kills;
    for parts in 0..kills {
        let place = places().await;
        let program = place.signet(args).start();
        sleep(part * parts).await;
        drop(program);
        goes_on(&place).await;
    }
}

/// A way to the database `server`: `passes` may change each message of the program, and says whether it goes on. The connection stays
/// until the program has ended.
pub(crate) async fn way(
    server: String,
    passes: impl Fn(&mut [u8]) -> bool + Send + Sync + 'static,
) -> SocketAddr {
    let passes = Arc::new(passes);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((program, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            let (mut requests, mut answers) = program.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { copy(&mut from_server, &mut answers).await });
            let passes = Arc::clone(&passes);
            tokio::spawn(async move {
                let mut message = vec![0; 65536];
                while let Ok(length @ 1..) = requests.read(&mut message).await {
                    let message = &mut message[..length];
                    if passes(message) && to_server.write_all(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}
