//! Owns cutting a program off from its database amid what it does.

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
};

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
        let (ends, is_shut) = (Arc::new(ends), Arc::new(AtomicBool::new(false)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, shut) = (listener.local_addr().unwrap(), Arc::new(Notify::new()));
        let passed = Arc::new(AtomicUsize::new(0));
        let (counted, told) = (Arc::clone(&passed), Arc::clone(&shut));
        tokio::spawn(async move {
            while let Ok((program, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (mut requests, mut answers) = program.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { copy(&mut from_server, &mut answers).await });
                let (passed, told) = (Arc::clone(&counted), Arc::clone(&told));
                let (ends, is_shut) = (Arc::clone(&ends), Arc::clone(&is_shut));
                tokio::spawn(async move {
                    let mut message = vec![0; 65536];
                    while let Ok(length @ 1..) = requests.read(&mut message).await {
                        // The connection stays until the program has ended.
                        let before = passed.fetch_add(1, Ordering::Relaxed);
                        if is_shut.load(Ordering::Relaxed) || ends(before, &message[..length]) {
                            is_shut.store(true, Ordering::Relaxed);
                            told.notify_one();
                        } else if to_server.write_all(&message[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { addr, passed, shut }
    }
}
