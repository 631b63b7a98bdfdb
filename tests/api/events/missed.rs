//! Owns what watchers are told by a replica that cannot know all: it missed changes, its database is away, or another release wrote them.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement, TransactionTrait};
use signet::{
    base::Clock,
    proto::identity::{
        events::v1::WatchRequest,
        v1::{IssueTokenRequest, RevokeSessionRequest},
    },
};
use tonic::Code;
use uuid::Uuid;

use super::{Mesh, Row, Watcher, sid, tell};
use crate::{
    clients::{Wanted, operator, register},
    databases::relay::{Line, behind_relay},
    harness::{PASSWORD, TestServer, assert_refused, eventually, with_token},
};

/// A row of a session that ended, as a release wrote it that knew no audiences.
fn ended(kind: &str, subject: Uuid) -> Row<'_> {
    Row { subject, kind, effect: "ended", ..Row::default() }
}

#[tokio::test]
async fn what_a_replica_of_the_release_before_ends_is_told_to_every_watcher() {
    let mesh = Mesh::start().await;
    let (mut stock, mut orders) = (mesh.watch(&mesh.stock).await, mesh.watch(&mesh.orders).await);
    stock.snapshot().await;
    orders.snapshot().await;
    let [session, client] = [Uuid::now_v7(), Uuid::now_v7()];
    let server = &mesh.service.server;
    let rows = [ended("session", session), ended("client", client)];
    tell(&server.data, server.clock.now(), &rows).await;
    for watcher in [&mut stock, &mut orders] {
        let told = watcher.until(|all| !all.ended_clients.is_empty()).await;
        assert_eq!(told.ended_sessions, [session.to_string()]);
        assert_eq!(told.ended_clients[0].client_id, client.to_string());
    }
    // To whoever begins at another replica, too.
    let other = server.replica(&[]).await;
    for who in [&mesh.stock, &mesh.orders] {
        let mut watcher = mesh.watch_at(&other, who, WatchRequest::default()).await;
        let snapshot = watcher.snapshot().await.changes.unwrap();
        assert_eq!(snapshot.ended_sessions, [session.to_string()]);
        assert_eq!(snapshot.ended_clients[0].client_id, client.to_string());
    }
}

#[tokio::test]
async fn who_watches_a_replica_that_missed_changes_is_told_so_and_begins_anew() {
    let mesh = Mesh::start().await;
    // The other one begins to read behind what there is.
    let clock = &mesh.service.server.clock;
    clock.advance(Duration::from_mins(7));
    let other = mesh.service.server.replica(&["--standing-cache-max-age=200ms"]).await;
    let mut watcher = mesh.watch_at(&other, &mesh.stock, WatchRequest::default()).await;
    watcher.snapshot().await;
    let known = mesh.session("alice", "stock").await;
    mesh.end("alice", &known).await;
    watcher.until(|all| all.ended_sessions.contains(&known)).await;

    // As it looks to a process that has slept: all that it has read is gone, and something was added.
    let added = Uuid::now_v7();
    tell_and_delete_the_rest(&mesh, added).await;
    watcher.resync().await;
    watcher.end().await.unwrap();

    let mut again = mesh.watch_at(&other, &mesh.stock, WatchRequest::default()).await;
    let snapshot = again.snapshot().await.changes.unwrap();
    assert_eq!(snapshot.ended_sessions, [added.to_string()]);
    let next = mesh.session("alice", "stock").await;
    mesh.end("alice", &next).await;
    again.until(|all| all.ended_sessions.contains(&next)).await;
}

/// Adds the end of the session `added` to the feed, and deletes all that was there before, at once.
async fn tell_and_delete_the_rest(mesh: &Mesh, added: Uuid) {
    let server = &mesh.service.server;
    let db = server.data.connect().await.begin().await.unwrap();
    let mut insert = sea_orm::sea_query::Query::insert();
    insert.into_table("changes").columns(["subject", "kind", "effect", "audience", "create_time"]);
    let now = server.clock.now().as_micros();
    insert.values_panic([added.into(), "session".into(), "ended".into(), "stock".into(), now.into()]);
    db.execute(&insert).await.unwrap();
    let newest = Statement::from_string(db.get_database_backend(), "SELECT MAX(id) FROM changes");
    let newest: i64 = db.query_one_raw(newest).await.unwrap().unwrap().try_get_by_index(0).unwrap();
    db.execute_unprepared(&format!("DELETE FROM changes WHERE id < {newest}")).await.unwrap();
    db.commit().await.unwrap();
}

#[tokio::test]
async fn nobody_watches_a_replica_whose_database_is_away_and_nothing_is_lost_when_it_is_back() {
    let args = ["--standing-cache-max-age=200ms"];
    let Some((server, relay)) = behind_relay(Duration::ZERO, &args).await else { return };
    // By another, whose database stays.
    let steady = TestServer::start_in(server.data.clone(), Clock::system(), &[]).await;
    let mut client = steady.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let [session, by] = [client.log_in("alice", PASSWORD).await, client.log_in("alice", PASSWORD).await];
    let [session, by] = [session.unwrap(), by.unwrap()].map(|login| login.access_token);
    let watching = Wanted::confidential("signet.events.watch");
    let watching = register(&operator(&steady).await, "watching", watching).await.unwrap();
    let scope = "signet.events.watch".to_owned();
    let token = IssueTokenRequest { scope, ..watching.own_token() };
    let token = client.0.issue_token(token).await.unwrap().into_inner().access_token;
    let begin = async |resume_token: Vec<u8>| {
        let request = WatchRequest { resume_token, ..WatchRequest::default() };
        Watcher::begin(&server, &token, request).await
    };
    let mut watcher = begin(Vec::new()).await.unwrap();
    watcher.snapshot().await;

    relay.set(Line::Cut);
    // Nobody is left to believe that nothing has changed.
    match watcher.end().await {
        Ok(()) => {}
        ended @ Err(_) => drop(assert_refused(ended, Code::Unavailable, "UNAVAILABLE")),
    }
    let refused = begin(watcher.token.clone()).await.map(drop);
    assert_refused(refused, Code::Unavailable, "UNAVAILABLE");
    let revoke = RevokeSessionRequest { session_id: sid(&session) };
    client.0.revoke_session(with_token(revoke, &by)).await.unwrap();

    relay.set(Line::Open);
    eventually("it may be watched again", async || begin(watcher.token.clone()).await.is_ok()).await;
    let mut again = begin(watcher.token.clone()).await.unwrap();
    again.until(|all| all.ended_sessions.contains(&sid(&session))).await;
}
