//! Owns what is told where very much ends at once: all that fits, and a time before which no token counts for the rest.

use std::{collections::HashSet, time::Duration};

use prost::Message;
use signet::{
    base::Timestamp,
    proto::identity::events::v1::{Kind, Snapshot, WatchRequest, watch_response::Part},
};
use uuid::Uuid;

use super::{Mesh, Row, Watcher, of_kinds, tell};
use crate::{harness::Data, support::log};

/// The leeway of clocks, and the bound of the caches: by so much later than the change tokens still end by it.
const LATE: Duration = Duration::from_millis(5_200);

/// The most bytes that a snapshot may have.
const SNAPSHOT_BYTES: usize = 16 * 1_024 * 1_024;

/// How long the scope is that somebody loses.
const LONG: usize = 1_000;

impl Watcher {
    /// The messages of the snapshot, which comes now.
    async fn snapshot_messages(&mut self) -> Vec<Snapshot> {
        let mut messages = Vec::new();
        loop {
            let Some(Part::Snapshot(part)) = self.part().await.unwrap() else { panic!("no snapshot") };
            let is_last = part.is_last;
            messages.push(part);
            if is_last {
                return messages;
            }
        }
    }
}

/// The loss of a long scope at stock by each of `count` users, one each 10 milliseconds from `first` on.
fn losses(count: u32, first: Timestamp) -> Vec<Row<'static>> {
    let row = |number| Row {
        subject: Uuid::now_v7(),
        kind: "scopes",
        effect: "changed",
        audience: Some("stock"),
        scopes: Some("x".repeat(LONG)),
        time: Some(first.after(Duration::from_millis(10) * number)),
        ..Row::default()
    };
    (0..count).map(row).collect()
}

/// How long after it was made a change may have been committed: as long as the server lets a transaction rest, with the tests' settings.
fn longest_transaction(data: &Data) -> Duration {
    Duration::from_secs(if data.is_embedded() { 60 } else { 103 })
}

/// Asserts that each of `rows` is told by `messages`, or so old that the time says it for all, if a transaction may take so `long`; returns
/// how many are told.
#[track_caller]
fn assert_covered(messages: &[Snapshot], rows: &[Row<'_>], long: Duration) -> usize {
    let bytes: usize = messages.iter().map(Message::encoded_len).sum();
    assert!(bytes <= SNAPSHOT_BYTES, "{bytes}");
    let not_before = messages[0].tokens_not_before.expect("not all fits");
    let nanos = Duration::from_nanos(not_before.nanos.unsigned_abs().into());
    let not_before = Timestamp::from_micros(not_before.seconds * 1_000_000).after(nanos);
    let told: HashSet<_> = messages
        .iter()
        .flat_map(|message| &message.changes.as_ref().unwrap().taken_scopes)
        .map(|taken| taken.subject.as_str())
        .collect();
    for row in rows {
        let is_told = told.contains(row.subject.to_string().as_str());
        assert!(is_told || row.time.unwrap().after(LATE) < not_before, "neither told nor covered");
    }
    let last = rows.last().unwrap().time.unwrap().after(long + LATE);
    assert!(not_before < last, "newer tokens go on: {not_before} is not before {last}");
    told.len()
}

#[tokio::test]
async fn a_snapshot_that_cannot_tell_all_says_before_when_no_token_counts_and_a_resume_does_the_same() {
    log::keep_warnings();
    let mesh = Mesh::start().await;
    let server = &mesh.service.server;
    let early = mesh.told(&mesh.stock).await;
    let early = early.token.clone();
    // Somewhat more than fits.
    let rows = losses(17_000, server.clock.now().before(Duration::from_mins(4)));
    tell(&server.data, server.clock.now(), &rows).await;

    // It remembers all of them.
    let other = server.replica(&["--standing-cache-max-age=200ms", "--memory-budget=2GiB"]).await;
    // So that it is told nothing twice.
    other.pass_and_read_the_feed(Duration::from_millis(1)).await;
    let mut watcher = mesh.watch_at(&other, &mesh.stock, WatchRequest::default()).await;
    let told = assert_covered(&watcher.snapshot_messages().await, &rows, longest_transaction(&server.data));
    assert!(told > SNAPSHOT_BYTES / LONG * 7 / 8, "{told}: it is used up to its bound");
    assert!(other.scrape().await.sum("signet_event_snapshots_cut_total", &[]) > 0.0);
    assert!(log::warnings().contains("a snapshot of the event stream"), "{}", log::warnings());

    // What one who was away is to be told does not fit either.
    let request = WatchRequest { resume_token: early, ..WatchRequest::default() };
    let mut resumed = mesh.watch_at(&other, &mesh.stock, request).await;
    resumed.resync().await;
    assert_eq!(
        assert_covered(&resumed.snapshot_messages().await, &rows, longest_transaction(&server.data)),
        told
    );
    // And one who was told up to now goes on.
    let request = WatchRequest { resume_token: watcher.token.clone(), ..WatchRequest::default() };
    let session = mesh.session("alice", "stock").await;
    drop(watcher);
    mesh.end("alice", &session).await;
    let mut again = mesh.watch_at(&other, &mesh.stock, request).await;
    let told = again.until(|all| !all.ended_sessions.is_empty()).await;
    assert_eq!((told.ended_sessions, told.taken_scopes.len()), (vec![session], 0));
}

#[tokio::test]
async fn what_a_replica_with_little_memory_has_forgotten_the_time_says_to_those_whom_it_concerns() {
    let mesh = Mesh::start_with(&["--memory-budget=224MiB"]).await;
    let server = &mesh.service.server;
    // After all that the tests begin with, which nobody deletes yet.
    server.clock.advance(Duration::from_mins(6));
    // It remembers one MiB.
    let rows = losses(3_000, server.clock.now().before(Duration::from_mins(4)));
    tell(&server.data, server.clock.now(), &rows).await;
    server.pass_and_read_the_feed(Duration::from_millis(1)).await;
    for kinds in [&[Kind::Scopes][..], &[]] {
        let mut watcher = mesh.watch_at(server, &mesh.stock, of_kinds(kinds)).await;
        let told =
            assert_covered(&watcher.snapshot_messages().await, &rows, longest_transaction(&server.data));
        assert!(told < rows.len(), "{told}");
    }
    let mut of_keys = mesh.watch_at(server, &mesh.stock, of_kinds(&[Kind::Keys, Kind::Policies])).await;
    assert_eq!(of_keys.snapshot().await.tokens_not_before, None);

    // Who was told up to now goes on all the same.
    let mut watcher = mesh.watch(&mesh.stock).await;
    watcher.snapshot_messages().await;
    let request = WatchRequest { resume_token: watcher.token.clone(), ..WatchRequest::default() };
    drop(watcher);
    let session = mesh.session("alice", "stock").await;
    mesh.end("alice", &session).await;
    let mut again = mesh.watch_at(server, &mesh.stock, request).await;
    let told = again.until(|all| !all.ended_sessions.is_empty()).await;
    assert_eq!((told.ended_sessions, told.taken_scopes.len()), (vec![session], 0));
}

#[tokio::test]
async fn a_large_reading_of_the_feed_drops_nobody_who_reads() {
    let mesh = Mesh::start().await;
    let server = &mesh.service.server;
    let mut watcher = mesh.told(&mesh.stock).await;
    let row = |subject| Row {
        subject,
        kind: "session",
        effect: "ended",
        holder: Some(Uuid::now_v7()),
        audience: Some("stock"),
        ..Row::default()
    };
    let rows: Vec<_> = (0..30_000).map(|_| row(Uuid::now_v7())).collect();
    tell(&server.data, server.clock.now(), &rows).await;
    let told = watcher.until(|all| all.ended_sessions.len() >= rows.len()).await.ended_sessions;
    let told: HashSet<_> = told.into_iter().collect();
    assert!(rows.iter().all(|row| told.contains(&row.subject.to_string())));
    let dropped = server.scrape().await.sum("signet_event_watchers_dropped_total", &[]);
    assert!(dropped < 1.0, "{dropped}");
}
