//! Owns what a start promises while the database server does not answer yet: it says so, waits as long as it was told to, and no
//! longer.

use std::{future::pending, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    client::PASSWORD,
    gate::way,
    harness::{PATIENCE, Place},
    support::{database::MASTER_KEY, ports::free_addr},
};

/// A proxy that has no server behind it: it closes every connection as soon as the program has spoken, or before.
async fn proxy_without_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut program, _)) = listener.accept().await {
            let _ = program.shutdown().await;
        }
    });
    addr
}

#[tokio::test]
async fn a_start_waits_for_a_database_as_long_as_it_was_told_to_and_says_so() {
    for scheme in ["postgres", "mysql"] {
        for addr in [free_addr().to_string(), proxy_without_server().await] {
            for command in [&["serve"][..], &["migrate", "up"]] {
                let place = Place::new();
                let url = format!("--database-url={scheme}://signet:hunter2@{addr}/signet");
                let key = format!("--master-key={MASTER_KEY}");
                let args = [command, &[&url, &key, "--database-wait=2s", "--audit-log=off"]].concat();
                let start = Instant::now();
                let finished = place.run(&args).await;
                let took = start.elapsed();
                assert_eq!((finished.code, finished.stdout.as_str()), (Some(69), ""), "{finished:?}");
                // Besides the warnings of secrets on the command line.
                let lines: Vec<_> =
                    finished.stderr.lines().filter(|line| !line.contains("signet::cli::exposure")).collect();
                assert_eq!(lines.len(), 2, "it says so once, and why it ends: {lines:?}");
                for part in ["waiting for the database to answer", &addr, "at_most=2s"] {
                    assert!(lines[0].contains(part), "{part}: {lines:?}");
                }
                let refusal = format!("signet: the database {scheme}://{addr}/signet cannot be reached: ");
                assert!(lines[1].starts_with(&refusal), "{lines:?}");
                assert!(!finished.stderr.contains("hunter2"), "{lines:?}");
                // It asks once a second, and not after the time is over.
                assert!(took >= Duration::from_secs(1) && took < PATIENCE, "{took:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_command_of_an_operator_does_not_wait() {
    let place = Place::new();
    let url = format!("--database-url=postgres://signet@{}/signet", free_addr());
    let key = format!("--master-key={MASTER_KEY}");
    let start = Instant::now();
    let finished = place.run(&["users", "list", &url, &key, "--database-wait=1h"]).await;
    assert!(finished.failed(69).contains("cannot be reached: "), "{finished:?}");
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_start_goes_on_when_the_database_is_there() {
    let place = Place::on_database().await;
    if place.is_embedded() {
        return; // It is there.
    }
    let addr = free_addr();
    let url = format!("--database-url={}", place.url_at(&addr.to_string()));
    let mut process = place.signet(&["--json", &url, "--database-wait=1h"]).start();
    process.error_line_with("waiting for the database to answer").await;
    let (listener, server) = (TcpListener::bind(addr).await.unwrap(), place.server());
    tokio::spawn(async move {
        while let Ok((mut program, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut program, &mut server).await });
        }
    });
    let service = timeout(PATIENCE, process.serving()).await.unwrap();
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_refused_at_once() {
    let place = Place::on_database().await;
    if place.is_embedded() {
        return; // It has no name and no password to be wrong.
    }
    let url = place.url_at(&place.server()).replace("/signet_", "/no_such_database_");
    let start = Instant::now();
    let refused =
        place.run(&["serve", "--database-wait=1h", "--database-url", &url, "--audit-log=off"]).await;
    assert!(refused.failed(2).contains("no_such_database"), "{refused:?}");
    assert!(start.elapsed() < PATIENCE);
}

/// A way to the database `server` on which every `READ COMMITTED` comes out as another word of that length.
async fn garbled_way(server: String) -> String {
    const WANTED: &[u8] = b"READ COMMITTED";
    let garbled = way(server, |message| {
        let found = message.windows(WANTED.len()).position(|part| part == WANTED);
        if let Some(at) = found {
            message[at..at + WANTED.len()].copy_from_slice(b"READ COMPACTED");
        }
        true
    });
    garbled.await.to_string()
}

#[tokio::test]
async fn a_server_that_does_not_take_what_sessions_agree_on_is_refused_at_once_and_says_why() {
    let place = Place::on_database().await;
    // PostgreSQL is told of it as it is connected to.
    if place.server_kind() != Some("mysql") {
        return;
    }
    let url = place.url_at(&garbled_way(place.server()).await);
    for command in [&["serve", "--audit-log=off"][..], &["migrate", "status"], &["users", "list"]] {
        let refused = place.run(&[command, &["--database-wait=1h", "--database-url", &url]].concat()).await;
        let sentence = refused.failed(2);
        assert!(sentence.contains("cannot be used: ") && sentence.contains("COMPACTED"), "{sentence}");
    }
}

/// A way to the database `server` that falls silent on every connection, old and new, once `word` has been asked of it.
async fn way_that_falls_silent(server: String, word: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let is_silent = watch::Sender::new(false);
    tokio::spawn(async move {
        while let Ok((mut program, _)) = listener.accept().await {
            let (server, is_silent) = (server.clone(), is_silent.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                let mut silence = is_silent.subscribe();
                let passing = async {
                    let (mut requests, mut answers) = program.split();
                    let (mut from_server, mut to_server) = server.split();
                    let asking = async {
                        let mut message = vec![0; 65536];
                        while let Ok(length @ 1..) = requests.read(&mut message).await {
                            if message[..length].windows(word.len()).any(|part| part == word) {
                                is_silent.send_replace(true);
                                pending::<()>().await;
                            }
                            if to_server.write_all(&message[..length]).await.is_err() {
                                return;
                            }
                        }
                    };
                    tokio::select! {
                        () = asking => {}
                        _ = copy(&mut from_server, &mut answers) => {}
                    }
                };
                tokio::select! {
                    () = passing => return,
                    _ = silence.wait_for(|is_silent| *is_silent) => {}
                }
                // The connection stays, and nothing comes; until the program has ended, which the server then sees.
                let mut message = vec![0; 65536];
                while let Ok(1..) = program.read(&mut message).await {}
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_database_that_takes_connections_and_then_says_nothing_holds_nobody_for_ever() {
    let place = Place::migrated().await;
    if place.is_embedded() {
        return; // It answers or fails.
    }
    let limits =
        ["--database-wait=1s", "--database-acquire-timeout=750ms", "--database-statement-timeout=1s"];
    for command in [
        &["migrate", "status"][..],
        &["migrate", "up"],
        &["serve", "--auto-migrate=off", "--audit-log=off"],
        &["serve", "--auto-migrate=on", "--audit-log=off"],
    ] {
        // The table of the migrations, which is read before anything else.
        let addr = way_that_falls_silent(place.server(), b"seaql_migrations").await;
        let url = place.url_at(&addr);
        let start = Instant::now();
        let finished = place.run(&[command, &["--database-url", &url], &limits].concat()).await;
        let sentence = finished.failed(69);
        assert!(sentence.contains("cannot reach its database"), "{command:?}: {sentence}");
        assert!(start.elapsed() < PATIENCE, "{command:?}");
    }
}
