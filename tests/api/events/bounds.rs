//! Owns what watchers may take, and what becomes of those who read nothing.

use signet::{
    model::{NameSet, Principal},
    proto::identity::events::v1::{WatchRequest, watch_response::Part},
};
use tonic::{Code, transport::Channel};

use super::{Mesh, Watcher};
use crate::{
    harness::{assert_refused, eventually},
    operator::{applied, by_operator},
};

#[tokio::test]
async fn watchers_have_places_of_their_own_and_one_peer_a_quarter_of_them() {
    let mesh = Mesh::start_with(&["--max-watchers=8"]).await;
    let server = &mesh.service.server;
    let token = mesh.watch_token(&mesh.stock).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut watcher = Watcher::begin(server, &token, WatchRequest::default()).await.unwrap();
        watcher.snapshot().await;
        open.push(watcher);
    }
    let refused = Watcher::begin(server, &token, WatchRequest::default()).await.map(drop);
    assert_refused(refused, Code::ResourceExhausted, "OVERLOADED");
    let places =
        server.scrape().await.sum("signet_places_taken", &[("listener", "grpc"), ("lane", "watchers")]);
    assert!((places - 2.0).abs() < f64::EPSILON, "{places}");
    // Nobody else is refused for that.
    mesh.session("alice", "stock").await;
    drop(open);
    eventually("the places are free", async || {
        Watcher::begin(server, &token, WatchRequest::default()).await.is_ok()
    })
    .await;
}

/// Of a stream whose client reads nothing but what its small window lets in.
#[tokio::test]
async fn who_reads_nothing_is_dropped_with_a_resync_and_holds_up_nobody() {
    let mesh = Mesh::start().await;
    let server = &mesh.service.server;
    let token = mesh.watch_token(&mesh.stock).await;
    let endpoint = Channel::from_shared(server.uri()).unwrap().initial_stream_window_size(Some(1_024));
    let channel = endpoint.connect().await.unwrap();
    let mut sleeping = Watcher::begin_by(channel, &token, WatchRequest::default()).await.unwrap();
    let mut awake = mesh.told(&mesh.stock).await;
    // A change of what many have is large.
    let big = "x".repeat(900);
    let role = mesh.operator.role("stock", "big", &big).await;
    let first = mesh.user("user0").await;
    let group = mesh.operator.group_of("night", first).await;
    for number in 1..60 {
        let user = mesh.user(&format!("user{number}")).await;
        let change = by_operator(server.clock.now());
        applied(mesh.service.store.add_member(group, user, change).await.unwrap());
    }
    mesh.operator.bind(role, Principal::Group(group)).await;
    let mut dropped = 0.0;
    for _ in 0..60 {
        mesh.operator.change_role(role, |_| NameSet::default()).await;
        let told = awake.until(|all| all.taken_scopes.len() >= 60).await;
        assert_eq!(told.taken_scopes.len(), 60);
        mesh.operator.change_role(role, |_| NameSet::parse(&big).unwrap()).await;
        dropped = server.scrape().await.sum("signet_event_watchers_dropped_total", &[]);
        if dropped > 0.0 {
            break;
        }
    }
    assert!(dropped > 0.0, "the sleeping one");
    let mut last = None;
    while let Some(part) = sleeping.part().await.unwrap() {
        last = Some(part);
    }
    assert!(matches!(last, Some(Part::Resync(_))), "{last:?}");
}

#[tokio::test]
async fn a_burst_is_told_in_few_messages_and_whole() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.told(&mesh.stock).await;
    let mut sessions = Vec::new();
    for number in 0..10 {
        let user = mesh.user(&format!("user{number}")).await;
        for _ in 0..20 {
            sessions.push(mesh.session(&format!("user{number}"), "stock").await);
        }
        let now = mesh.service.server.clock.now();
        mesh.service.store.delete_sessions(user, None, now).await.unwrap();
    }
    let told = watcher.until(|all| all.ended_sessions.len() >= sessions.len()).await;
    let mut told = told.ended_sessions;
    told.sort_unstable();
    sessions.sort_unstable();
    assert_eq!(told, sessions);
    let messages = mesh.service.server.scrape().await.sum("signet_event_messages_total", &[]);
    assert!(messages < 100.0, "{messages}");
}
