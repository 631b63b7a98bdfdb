//! Owns that a watcher hears of its own audiences alone.

use signet::{
    model::Principal,
    proto::identity::events::v1::{Changes, WatchRequest},
};

use super::Mesh;
use crate::clients::Wanted;

#[tokio::test]
async fn what_happens_at_one_audience_is_not_told_to_another() {
    let mesh = Mesh::start().await;
    let (mut stock, mut orders) = (mesh.watch(&mesh.stock).await, mesh.watch(&mesh.orders).await);
    stock.snapshot().await;
    orders.snapshot().await;
    let alice = mesh.alice().await;
    let at_stock = mesh.session("alice", "stock").await;
    mesh.end("alice", &at_stock).await;
    let writer = mesh.operator.role("stock", "writer", "stock.write").await;
    mesh.operator.bind(writer, Principal::User(alice)).await;
    mesh.operator.unbind(writer, Principal::User(alice)).await;
    let wanted = Wanted { audiences: "stock", ..Wanted::confidential("stock.read") };
    let gone = mesh.service.register_alone("gone", wanted).await;
    mesh.service.delete(&gone).await;
    let told = stock.until(|all| !all.ended_clients.is_empty()).await;
    assert_eq!((told.ended_sessions, told.taken_scopes.len()), (vec![at_stock], 1));
    // The next that is told to the other is of its own.
    let at_orders = mesh.session("alice", "orders").await;
    mesh.end("alice", &at_orders).await;
    let told = orders.changes().await;
    assert_eq!(told.ended_sessions, [&*at_orders]);
    assert!(told.taken_scopes.is_empty() && told.ended_clients.is_empty(), "{told:?}");
    let first = mesh.watch(&mesh.orders).await.first(|all| !all.ended_sessions.is_empty()).await;
    assert_eq!(first.ended_sessions, [&*at_orders]);
    assert!(first.taken_scopes.is_empty() && first.ended_clients.is_empty(), "{first:?}");
    // And of one replica more, who asks it for the first time.
    let other = mesh.service.server.replica(&[]).await;
    let mut orders = mesh.watch_at(&other, &mesh.orders, WatchRequest::default()).await;
    let snapshot = orders.snapshot().await.changes.unwrap();
    assert_eq!(snapshot.ended_sessions, [at_orders]);
    assert!(snapshot.taken_scopes.is_empty() && snapshot.ended_clients.is_empty(), "{snapshot:?}");
}

#[tokio::test]
async fn a_resume_token_of_another_tells_nothing_of_its_audiences() {
    let mesh = Mesh::start().await;
    let mut stock = mesh.told(&mesh.stock).await;
    let at_stock = mesh.session("alice", "stock").await;
    mesh.end("alice", &at_stock).await;
    let request = WatchRequest { resume_token: stock.token.clone(), ..WatchRequest::default() };
    stock.until(|all| !all.ended_sessions.is_empty()).await;
    let mut orders = mesh.watch_at(&mesh.service.server, &mesh.orders, request).await;
    orders.resync().await;
    assert_eq!(orders.snapshot().await.changes, Some(Changes::default()));
    let at_orders = mesh.session("alice", "orders").await;
    mesh.end("alice", &at_orders).await;
    let told = orders.until(|all| !all.ended_sessions.is_empty()).await;
    assert_eq!(told.ended_sessions, [at_orders]);
}
