//! Owns the relay between a service and its database server: it can be cut, fall silent, or take its time.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use signet::{base::Clock, store::DatabaseClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::harness::{Data, TestServer};

/// The defaults, where the tests' own are generous.
pub(crate) const LIMITS: [&str; 2] = ["--database-acquire-timeout=750ms", "--database-statement-timeout=1s"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Open,
    /// Every connection is closed, and new ones are closed at once.
    Cut,
    /// Connections stay, and nothing passes.
    Silent,
}

/// Between the service and the database: how the line is, and how often all connections have been cut.
pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    state: Arc<watch::Sender<(Line, usize)>>,
}

impl Relay {
    /// To `server`, which is reached only after `delay`: by so much longer takes each round trip.
    async fn to(server: String, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(watch::Sender::new((Line::Open, 0)));
        let states = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server.clone(), delay, states.subscribe()));
            }
        });
        Self { addr, state }
    }

    pub(crate) fn set(&self, line: Line) {
        self.state.send_modify(|state| state.0 = line);
    }

    /// Closes every connection, once.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.1 += 1);
    }
}

async fn relay(
    mut client: TcpStream,
    server: String,
    delay: Duration,
    mut state: watch::Receiver<(Line, usize)>,
) {
    let (_, cuts) = *state.borrow();
    let _ = state.wait_for(|(line, _)| *line != Line::Silent).await;
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    loop {
        let now = *state.borrow_and_update();
        if now.0 == Line::Cut || now.1 != cuts {
            return;
        }
        let passing = async {
            match now.0 {
                Line::Silent => std::future::pending().await,
                _ => pass(&mut client, &mut server, delay).await,
            }
        };
        tokio::select! {
            () = passing => return,
            _ = state.changed() => {}
        }
    }
}

/// Passes everything on, the client's requests after `delay`, until one of the two has ended.
async fn pass(client: &mut TcpStream, server: &mut TcpStream, delay: Duration) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let requests = async {
        let mut request = vec![0; 65_536];
        while let Ok(length @ 1..) = from_client.read(&mut request).await {
            // The way, not a wait for something to become true.
            tokio::time::sleep(delay).await;
            if to_server.write_all(&request[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}

/// A server whose database is behind a relay, `delay` away; none if the tests run on the embedded one.
pub(crate) async fn behind_relay(delay: Duration, args: &[&str]) -> Option<(TestServer, Relay)> {
    let data = Data::new().await;
    let url = data.url()?;
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, rest) = rest.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let relay = Relay::to(server.to_owned(), delay).await;
    let url = format!("--database-url={scheme}://{user}@{}/{name}", relay.addr);
    let args = [&[url.as_str()], &LIMITS[..], args].concat();
    let server = TestServer::start_with(data, Clock::system(), DatabaseClock::Own, &args).await;
    Some((server, relay))
}
