//! Owns going on after a stream has ended: at the same replica or another, soon or after hours.

use std::time::Duration;

use signet::{
    identity::{
        Administrator,
        clients::{ClientChange, SetChange},
    },
    model::NameSet,
    proto::identity::events::v1::{Kind, WatchRequest, watch_response::Part},
};

use super::{Mesh, Watcher, of_kinds};

fn resuming(watcher: &Watcher) -> WatchRequest {
    WatchRequest { resume_token: watcher.token.clone(), ..WatchRequest::default() }
}

#[tokio::test]
async fn what_came_meanwhile_is_told_by_the_same_replica_and_nothing_before() {
    let mesh = Mesh::start().await;
    let mut first = mesh.told(&mesh.stock).await;
    let [one, other] = [mesh.session("alice", "stock").await, mesh.session("alice", "stock").await];
    mesh.end("alice", &one).await;
    first.until(|all| !all.ended_sessions.is_empty()).await;
    let request = resuming(&first);
    drop(first);
    mesh.end("alice", &other).await;
    let mut again = mesh.watch_at(&mesh.service.server, &mesh.stock, request).await;
    let told = again.until(|all| !all.ended_sessions.is_empty()).await;
    assert_eq!(told.ended_sessions, [other]);
}

#[tokio::test]
async fn another_replica_goes_on_and_has_keys_and_policies_read_anew() {
    let mesh = Mesh::start().await;
    let other = mesh.service.server.replica(&["--standing-cache-max-age=200ms"]).await;
    let first = mesh.told(&mesh.stock).await;
    let session = mesh.session("alice", "stock").await;
    let request = resuming(&first);
    mesh.end("alice", &session).await;
    let mut again = mesh.watch_at(&other, &mesh.stock, request).await;
    let told = again.until(|all| !all.ended_sessions.is_empty()).await;
    assert!(told.ended_sessions.contains(&session));
    assert!(told.keys_changed, "how far another had told of keys is not known");
    assert_eq!(told.changed_policies.len(), 2, "{told:?}");
}

#[tokio::test]
async fn what_is_ended_at_one_replica_is_told_by_the_other_through_a_restart() {
    let mesh = Mesh::start().await;
    let args = ["--standing-cache-max-age=200ms"];
    let other = mesh.service.server.replica(&args).await;
    let mut watcher = mesh.watch_at(&other, &mesh.stock, WatchRequest::default()).await;
    watcher.snapshot().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(mesh.session("alice", "stock").await);
    }
    mesh.end("alice", &sessions[0]).await;
    let told = watcher.until(|all| !all.ended_sessions.is_empty()).await;
    assert_eq!(told.ended_sessions, [sessions[0].clone()]);
    // The stream ends well, and what happens until it goes on is not lost.
    other.begin_stop();
    watcher.end().await.unwrap();
    mesh.end("alice", &sessions[1]).await;
    let third = mesh.service.server.replica(&args).await;
    let mut again = mesh.watch_at(&third, &mesh.stock, resuming(&watcher)).await;
    let told = again.until(|all| all.ended_sessions.contains(&sessions[1])).await;
    assert!(!told.ended_sessions.contains(&sessions[2]));
    mesh.end("alice", &sessions[2]).await;
    again.until(|all| all.ended_sessions.contains(&sessions[2])).await;
}

#[tokio::test]
async fn a_token_that_is_too_old_made_up_or_of_the_future_is_answered_by_a_resync_and_a_snapshot() {
    let mesh = Mesh::start().await;
    let server = &mesh.service.server;
    let first = mesh.told(&mesh.stock).await;
    let old = first.token.clone();
    let mut future = old.clone();
    future[17] = 0x7f;
    future[1] ^= 1;
    let mut later_form = old.clone();
    later_form[0] = 9;
    server.clock.advance(Duration::from_hours(3));
    let replica = server.replica(&["--standing-cache-max-age=200ms"]).await;
    let session = mesh.session("alice", "stock").await;
    mesh.end("alice", &session).await;
    let tokens = [
        ("old", old),
        ("future", future),
        ("later form", later_form),
        ("made up", b"x".to_vec()),
        ("longer", vec![9; 1_000]),
    ];
    for (what, token) in tokens {
        let request = WatchRequest { resume_token: token, ..WatchRequest::default() };
        let mut again = mesh.watch_at(&replica, &mesh.stock, request).await;
        let part = again.part().await.unwrap();
        assert!(matches!(part, Some(Part::Resync(_))), "{what}: {part:?}");
        let snapshot = again.snapshot().await.changes.unwrap();
        assert_eq!(snapshot.ended_sessions, [&*session], "{what}");
    }
}

#[tokio::test]
async fn a_token_of_other_kinds_or_other_audiences_is_answered_by_a_resync_and_a_snapshot() {
    let mesh = Mesh::start().await;
    let server = &mesh.service.server;
    let [at_stock, at_orders] = [mesh.session("alice", "stock").await, mesh.session("alice", "orders").await];
    mesh.end("alice", &at_stock).await;
    mesh.end("alice", &at_orders).await;
    let mut first = mesh.watch_at(server, &mesh.stock, of_kinds(&[Kind::Keys])).await;
    first.snapshot().await;
    // It was told of keys alone so far.
    let mut all = mesh.watch_at(server, &mesh.stock, resuming(&first)).await;
    all.resync().await;
    assert_eq!(all.snapshot().await.changes.unwrap().ended_sessions, [&*at_stock]);

    let audiences = SetChange::To(NameSet::parse("stock orders signet").unwrap());
    let change = ClientChange { audiences, ..ClientChange::default() };
    let (client, by) = (mesh.stock.client_id(), Administrator::operator());
    mesh.service.operator.update(&client.into(), &change, &by).await.unwrap();
    all.end().await.unwrap();
    let mut both = mesh.watch_at(server, &mesh.stock, resuming(&all)).await;
    both.resync().await;
    let mut told = both.snapshot().await.changes.unwrap().ended_sessions;
    told.sort_unstable();
    let mut ended = [at_stock, at_orders];
    ended.sort_unstable();
    assert_eq!(told, ended);
}

#[tokio::test]
async fn who_was_told_to_keep_it_for_another_time_begins_anew() {
    let mesh = Mesh::start().await;
    let mut short = mesh.watch(&mesh.stock).await;
    let keep_for = short.snapshot().await.keep_for.unwrap();
    let replica =
        mesh.service.server.replica(&["--access-token-ttl=1h", "--standing-cache-max-age=200ms"]).await;
    let mut long = mesh.watch_at(&replica, &mesh.stock, resuming(&short)).await;
    long.resync().await;
    let longer = long.snapshot().await.keep_for.unwrap();
    assert_eq!(longer.seconds - keep_for.seconds, 45 * 60);
}
