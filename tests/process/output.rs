//! Owns what is promised when what the service tells is read slowly or by nobody: it serves on, and it ends in time.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    client::{PASSWORD, reason},
    harness::{PATIENCE, Place, Service},
};

/// As much as a pipe holds.
const PIPE_BYTES: usize = 65_536;

/// No call is in flight for longer.
const SHORT_DRAIN: &str = "--drain-timeout=1s";

/// A pipe that is full: who writes to it waits until somebody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&vec![b'\n'; PIPE_BYTES]).unwrap();
    (reader, writer)
}

/// How many lines `service` has counted in the series `series`.
async fn counted(service: &Service, series: &str) -> u64 {
    let (_, text) = service.operations_get("/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{text}"));
    value.trim().parse().unwrap()
}

async fn still_serves(service: &Service, token: &str) {
    assert_eq!(service.http_status("/livez").await, 200);
    service.client().await.get_me(token).await.unwrap();
}

#[tokio::test]
async fn standard_error_that_nobody_reads_stops_neither_the_service_nor_its_end() {
    let place = Place::new();
    let (reader, writer) = full_pipe();
    let service = place.signet(&["--log-level=trace", SHORT_DRAIN]).stderr(writer).serve().await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    while counted(&service, "signet_log_lines_total{result=\"lost\"}").await == 0 {
        assert_eq!(reason(&client.log_in("alice", "wrong").await), "INVALID_CREDENTIALS");
    }
    still_serves(&service, &token).await;
    service.signal("TERM");
    let finished = service.finish().await;
    assert_eq!(finished.code, Some(0), "every call was finished: {finished:?}");
    drop(reader);
}

#[tokio::test]
async fn lines_that_were_lost_are_told_once_somebody_reads_again() {
    let place = Place::new();
    let (reader, writer) = full_pipe();
    let service = place.signet(&["--log-level=trace", "--log-format=json"]).stderr(writer).serve().await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    while counted(&service, "signet_log_lines_total{result=\"lost\"}").await == 0 {
        assert_eq!(reason(&client.log_in("alice", "wrong").await), "INVALID_CREDENTIALS");
    }
    let told = tokio::task::spawn_blocking(move || {
        let mut events = Vec::new();
        for line in BufReader::new(reader).lines().map_while(Result::ok).filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if line["target"] == "audit"
                || line["message"].as_str().is_some_and(|text| text.contains("were lost"))
            {
                events.push(line);
            }
        }
        events
    });
    service.stop().await;
    let told = told.await.unwrap();
    let lost = told.iter().find(|line| line["lines"].is_u64()).unwrap_or_else(|| panic!("{told:?}"));
    assert!(lost["lines"].as_u64().unwrap() > 0, "{lost}");
    let audited = |event: &str| told.iter().filter(|line| line["event"] == event).count();
    assert_eq!(audited("user.signed_up"), 1, "nothing of the audit log is lost: {told:?}");
    assert!(audited("login") >= 1, "{told:?}");
}

fn fifo(place: &Place, name: &str) -> PathBuf {
    let path = place.path(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[tokio::test]
async fn an_audit_log_whose_reader_hangs_stops_neither_the_service_nor_its_end() {
    let place = Place::new();
    let path = fifo(&place, "audit.fifo");
    let log = format!("--audit-log={}", path.display());
    let refused = place.run(&[&log]).await;
    assert!(refused.failed(2).ends_with("audit.fifo cannot be written: nobody reads from it"), "{refused:?}");

    // Both ends, so that opening does not wait; and full.
    let mut both = File::options().read(true).write(true).open(&path).unwrap();
    both.write_all(&vec![b'\n'; PIPE_BYTES]).unwrap();
    let service = place.serve(&[&log, SHORT_DRAIN]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    still_serves(&service, &token).await;
    service.signal("TERM");
    let finished = service.finish().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(
        finished.stderr.contains("the last events of the audit log could not be written"),
        "{finished:?}"
    );
    assert!(finished.stderr.contains("every call in flight was finished"), "{finished:?}");

    // And one that is slow gets all of it.
    let service = place.serve(&[&log]).await;
    service.client().await.log_in("alice", PASSWORD).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(both).lines().map(Result::unwrap);
        lines.into_iter().find(|line| line.contains(r#""event":"login""#))
    });
    let line = tokio::time::timeout(PATIENCE, read).await.expect("in time").unwrap();
    assert!(line.unwrap().contains(r#""outcome":"success""#));
    service.stop().await;
}

#[tokio::test]
async fn a_full_disk_under_the_audit_log_is_told_once_and_nothing_waits() {
    let place = Place::new();
    // Every write to it fails as on a full disk.
    let service = place.serve(&["--audit-log=/dev/full"]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    while counted(&service, "signet_audit_events_total{result=\"lost\"}").await < 3 {}
    still_serves(&service, &token).await;
    let finished = service.stop().await;
    let told = finished.stderr.lines().filter(|line| line.contains("cannot be written")).count();
    assert_eq!(told, 1, "{finished:?}");
}

#[tokio::test]
async fn the_end_comes_in_time_even_if_a_database_does_not_answer() {
    let place = Place::new();
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url =
        format!("--database-url=postgres://signet@{}/signet?sslmode=disable", silent.local_addr().unwrap());
    let key = "SIGNET_MASTER_KEY";
    let flags = [&url, "--database-wait=10m", "--database-acquire-timeout=1m", "--drain-timeout=0s"];
    let mut process = place.signet(&flags).env(key, crate::support::database::MASTER_KEY).start();
    let (mut asked, _) = silent.accept().await.unwrap();
    // The signals are followed by then.
    asked.read_u8().await.unwrap();
    process.signal("TERM");
    process.error_line_with("since something hangs").await;
    let finished = process.finish().await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
}

/// What a connection sends that answers a PING which nobody has sent, for which h2 writes a warning.
fn unasked() -> Vec<u8> {
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &[0; 4], payload].concat()
    };
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, b""), &frame(6, 1, b"nobody's")].concat()
}

#[tokio::test]
async fn what_connections_have_libraries_say_is_a_bounded_number_of_lines() {
    const CONNECTIONS: usize = 100;
    let place = Place::new();
    let service = place.serve(&[]).await;
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(service.grpc_addr()).await.unwrap();
        stream.write_all(&unasked()).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let left_out = counted(&service, "signet_log_lines_total{result=\"left_out\"}").await;
    let log = service.stop().await.stderr;
    let written = log.lines().filter(|line| line.contains("never sent")).count();
    assert!(written == 10 && left_out > 0, "of {CONNECTIONS}, {left_out} were left out: {log}");
    let told: Vec<_> = log.lines().filter(|line| line.contains("were left out")).collect();
    let how_many = format!("lines={left_out}");
    assert!(told.len() == 1 && told[0].contains(&how_many) && told[0].contains("h2"), "{told:?}");
}
