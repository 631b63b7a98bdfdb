//! Owns that a signal ends the service whatever hangs around it.

use std::{fs, process::Command};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    client::{Client, PASSWORD},
    harness::Place,
    support::pki::{Authority, Dialer, SERVER},
};

/// A way to the database `server`, on every connection of which nothing passes any more once that is said.
async fn way(server: String) -> (String, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let is_silent = watch::Sender::new(false);
    let silence = is_silent.clone();
    tokio::spawn(async move {
        while let Ok((mut program, _)) = listener.accept().await {
            let (server, mut is_silent) = (server.clone(), silence.subscribe());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                let silent = async { is_silent.wait_for(|silent| *silent).await.is_ok() };
                tokio::select! {
                    _ = copy_bidirectional(&mut program, &mut server) => {}
                    // Both stay open.
                    _ = silent => std::future::pending().await,
                }
            });
        }
    });
    (addr, is_silent)
}

#[tokio::test]
async fn a_signal_ends_who_serves_while_the_database_and_a_file_hang() {
    let place = Place::migrated().await;
    if place.is_embedded() {
        return; // It is no server that could hang.
    }
    let authority = Authority::new("tests");
    authority.issue(&[SERVER]).write(&place.path(""));
    place.create_user("alice").await;
    let (addr, is_silent) = way(place.server()).await;
    let url = format!("--database-url={}", place.url_at(&addr));
    let options = ["--tls-cert=tls.crt", "--tls-key=tls.key", "--drain-timeout=1s", "--request-timeout=5m"];
    let service = place.serve(&[&options[..], &[&url]].concat()).await;
    let client = Client::of(Dialer::new(&authority, None).channel(service.grpc_addr()).await.unwrap());
    client.log_in("alice", PASSWORD).await.unwrap();

    is_silent.send_replace(true);
    // Nobody writes to it: whoever opens it as a file waits.
    assert!(Command::new("mkfifo").arg(place.path("fifo")).status().unwrap().success());
    fs::rename(place.path("fifo"), place.path("tls.crt")).unwrap();
    let in_flight = tokio::spawn(async move { client.log_in("alice", PASSWORD).await });
    tokio::task::yield_now().await;
    service.signal("TERM");
    let finished = service.finish().await;
    assert!(finished.code.is_some(), "it has ended by itself: {finished:?}");
    assert!(in_flight.await.unwrap().is_err());
}
