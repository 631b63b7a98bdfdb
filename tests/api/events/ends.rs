//! Owns what is told of sessions and clients that end, and of keys and policies that change.

use std::time::Duration;

use signet::proto::identity::events::v1::{Changes, Kind, WatchRequest, watch_response::Part};
use tonic::Code;

use super::{Mesh, Watcher, of_kinds};
use crate::{
    clients::Wanted,
    harness::{PASSWORD, assert_refused},
    operator::{applied, by_operator},
};

#[tokio::test]
async fn a_session_that_ends_is_told_by_its_id_and_is_in_the_next_snapshot() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.watch(&mesh.stock).await;
    let snapshot = watcher.snapshot().await;
    assert_eq!(snapshot.changes, Some(Changes::default()));
    // A quarter of an hour, the bound of the caches, and the leeway twice.
    assert_eq!(snapshot.keep_for.unwrap().seconds, 15 * 60 + 10);
    let session = mesh.session("alice", "stock").await;
    mesh.end("alice", &session).await;
    let changes = watcher.until(|all| !all.ended_sessions.is_empty()).await;
    assert_eq!(changes.ended_sessions, [&*session]);
    let again = mesh.watch(&mesh.stock).await.first(|all| !all.ended_sessions.is_empty()).await;
    assert_eq!(again.ended_sessions, [&*session]);
    let other = mesh.service.server.replica(&[]).await;
    let mut other = mesh.watch_at(&other, &mesh.stock, WatchRequest::default()).await;
    assert_eq!(other.snapshot().await.changes.unwrap().ended_sessions, [session]);
}

#[tokio::test]
async fn each_session_of_a_user_who_is_disabled_or_deleted_is_told() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.told(&mesh.stock).await;
    for (name, is_deleted) in [("bob", false), ("carol", true)] {
        let id = mesh.user(name).await;
        let mut sessions = Vec::new();
        for _ in 0..3 {
            sessions.push(mesh.session(name, "stock").await);
        }
        let (store, now) = (&mesh.service.store, mesh.service.server.clock.now());
        if is_deleted {
            store.delete_user(id, None, now).await.unwrap();
        } else {
            applied(store.set_active(id, false, by_operator(now)).await.unwrap());
        }
        let mut told = watcher.until(|all| all.ended_sessions.len() == 3).await.ended_sessions;
        told.sort_unstable();
        sessions.sort_unstable();
        assert_eq!(told, sessions);
    }
}

#[tokio::test]
async fn a_client_that_is_disabled_or_deleted_is_told_with_a_time() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.told(&mesh.stock).await;
    let wanted = Wanted { audiences: "stock", ..Wanted::confidential("stock.read") };
    let gone = mesh.service.register_alone("gone", wanted).await;
    mesh.set_active(gone.client_id(), false).await;
    let told = watcher.until(|all| !all.ended_clients.is_empty()).await.ended_clients;
    assert_eq!(told[0].client_id, gone.id);
    let now = mesh.service.server.clock.now();
    // The leeway of clocks, and the bound of the caches.
    let late = now.after(Duration::from_millis(5_200));
    let time = told[0].time.unwrap();
    assert_eq!((time.seconds, time.nanos), (late.as_secs(), late.subsec_nanos()));
    mesh.service.delete(&gone).await;
    watcher.until(|all| !all.ended_clients.is_empty()).await;
}

#[tokio::test]
async fn only_the_kinds_are_told_that_were_asked_for() {
    let mesh = Mesh::start().await;
    let server = &mesh.service.server;
    let mut clients = mesh.watch_at(server, &mesh.stock, of_kinds(&[Kind::Clients])).await;
    clients.snapshot().await;
    let session = mesh.session("alice", "stock").await;
    mesh.end("alice", &session).await;
    let wanted = Wanted { audiences: "stock", ..Wanted::confidential("stock.read") };
    let gone = mesh.service.register_alone("gone", wanted).await;
    mesh.service.delete(&gone).await;
    let told = clients.changes().await;
    assert!(told.ended_sessions.is_empty() && told.ended_clients[0].client_id == gone.id, "{told:?}");
}

#[tokio::test]
async fn of_the_ended_sessions_of_a_user_the_latest_twenty_are_named_and_the_others_are_a_time() {
    let mesh = Mesh::start().await;
    let bob = mesh.user("bob").await;
    for _ in 0..21 {
        mesh.session("bob", "stock").await;
    }
    let kept = mesh.session("alice", "stock").await;
    let now = mesh.service.server.clock.now();
    let ended = mesh.service.store.delete_sessions(bob, None, now).await.unwrap();
    assert_eq!(ended.len(), 21);
    mesh.end("alice", &kept).await;
    let changes = mesh.watch(&mesh.stock).await.snapshot().await.changes.unwrap();
    assert!(changes.ended_sessions.len() == 21 && changes.ended_sessions.contains(&kept), "{changes:?}");
    assert_eq!(changes.ended_user_sessions.len(), 1);
    assert_eq!(changes.ended_user_sessions[0].subject, bob.to_string());
}

#[tokio::test]
async fn what_no_living_token_was_issued_before_is_in_no_snapshot() {
    let mesh = Mesh::start().await;
    let session = mesh.session("alice", "stock").await;
    mesh.end("alice", &session).await;
    assert_eq!(mesh.watch(&mesh.stock).await.snapshot().await.changes.unwrap().ended_sessions.len(), 1);
    mesh.service.server.clock.advance(Duration::from_mins(20));
    let later = mesh.service.server.replica(&[]).await;
    let mut watcher = mesh.watch_at(&later, &mesh.stock, WatchRequest::default()).await;
    assert_eq!(watcher.snapshot().await.changes.unwrap().ended_sessions, [""; 0]);
}

#[tokio::test]
async fn nobody_watches_but_clients_with_the_scope() {
    let mesh = Mesh::start().await;
    let server = &mesh.service.server;
    let watch = async |token: &str| Watcher::begin(server, token, WatchRequest::default()).await.map(drop);
    let user = mesh.service.client.clone().log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_refused(watch(&user).await, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    assert_refused(watch("not a token").await, Code::Unauthenticated, "TOKEN_INVALID");
    let other = mesh.own_token(&mesh.stock, "signet.events.watch", "signet").await;
    assert!(watch(&other).await.is_ok());
    let odd = WatchRequest { kinds: vec![99], ..WatchRequest::default() };
    let odd = Watcher::begin(server, &other, odd).await;
    assert_refused(odd.map(drop), Code::InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn a_stream_ends_when_something_about_its_client_changes_and_with_its_token() {
    // No longer than the feed may go unread.
    let mesh = Mesh::start_with(&["--access-token-ttl=2m"]).await;
    let (mut stock, mut orders) = (mesh.watch(&mesh.stock).await, mesh.watch(&mesh.orders).await);
    stock.snapshot().await;
    orders.snapshot().await;
    mesh.service.set_scopes(mesh.stock.client_id(), "").await;
    stock.end().await.unwrap();
    // And as far as clocks may be apart.
    mesh.service.server.clock.advance(Duration::from_secs(126));
    assert_refused(orders.end().await, Code::Unauthenticated, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_heartbeat_comes_when_nothing_changes_and_says_where_to_go_on() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.told(&mesh.stock).await;
    watcher.token.clear();
    mesh.service.server.clock.advance(Duration::from_secs(10));
    let part = watcher.part().await.unwrap().unwrap();
    assert!(matches!(part, Part::Heartbeat(_)));
    assert!(!watcher.token.is_empty());
}
