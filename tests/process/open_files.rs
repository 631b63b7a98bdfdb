//! Owns what holds where the system lets the process open few files: no address, and not the database, suffers from connections to
//! another.

use std::{io::Read, net::SocketAddr, process::Command, time::Duration};

use tokio::{
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::{client::PASSWORD, harness::Place};

/// No more than an upper bound.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long to leave the machine to whoever makes a fact true, before asking for it again.
const PAUSE: Duration = Duration::from_millis(20);

/// Many connections, of so many hosts that none has more than its share.
async fn connections(count: usize, to: SocketAddr) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for number in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("127.0.2.{}:0", number % 40 + 1).parse().unwrap()).unwrap();
        all.push(timeout(PATIENCE, socket.connect(to)).await.unwrap().unwrap());
    }
    all
}

/// Whether the other end has closed `stream`.
fn is_closed(mut stream: &std::net::TcpStream) -> bool {
    let read = stream.read(&mut [0; 100]);
    !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Waits until fewer than `limit` of `streams` are open, and returns how many.
async fn open_of(streams: Vec<TcpStream>, limit: usize) -> usize {
    let mut streams: Vec<_> = streams.into_iter().map(|stream| stream.into_std().unwrap()).collect();
    let closing = async {
        loop {
            streams.retain(|stream| !is_closed(stream));
            if streams.len() < limit {
                return streams.len();
            }
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, closing).await.expect("the others are closed")
}

/// How many files the process `id` has open.
fn files_of(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

#[tokio::test]
async fn with_256_files_400_connections_to_one_address_starve_neither_the_other_nor_the_database() {
    let place = Place::new();
    let few = ["sh", "-c", "ulimit -n 256; exec \"$0\" \"$@\""];
    // Longer than the test takes: no greeting comes.
    let service = place.signet(&["--keepalive-timeout=2m"]).through(&few).serve().await;
    let held = connections(400, service.grpc_addr()).await;
    assert_eq!(service.http_status("/livez").await, 200);
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    client.get_me(&token).await.unwrap();
    for path in ["/livez", "/readyz", "/.well-known/jwks.json"] {
        assert_eq!(service.http_status(path).await, 200, "{path}");
    }
    let open = open_of(held, 128).await;
    assert!(open >= 8, "{open} are open");
    let finished = service.stop().await;
    for what in ["the process may open no more files", "could not be accepted"] {
        assert!(!finished.stderr.contains(what), "{finished:?}");
    }
}

#[tokio::test]
async fn when_there_are_no_more_files_idle_connections_end_and_the_log_is_told_once() {
    let place = Place::new();
    let mut service = place.signet(&["--keepalive-timeout=2m"]).serve().await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    let before = files_of(service.id());
    let mut held = connections(20, service.grpc_addr()).await;
    let taking = async {
        while files_of(service.id()) < before + held.len() - 4 {
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, taking).await.expect("they are taken");
    // As many files as it has open by now, and two more.
    let files = files_of(service.id()) + 2;
    let limit = format!("--nofile={files}:{files}");
    let limited = Command::new("prlimit").args(["--pid", &service.id().to_string(), &limit]).status();
    assert!(limited.unwrap().success());
    held.extend(connections(40, service.grpc_addr()).await);
    service.logs("the process may open no more files").await;
    assert_eq!(timeout(PATIENCE, service.http_status("/livez")).await.unwrap(), 200);
    service.client().await.get_me(&token).await.unwrap();
    let finished = service.stop().await;
    // Each once a minute for each address.
    for (what, least) in [("the process may open no more files", 1), ("could not be accepted", 0)] {
        let told = finished.stderr.matches(what).count();
        assert!((least..=2).contains(&told), "{finished:?}");
    }
    drop(held);
}
