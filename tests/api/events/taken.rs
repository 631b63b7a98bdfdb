//! Owns where it is told that a client has ended or lost scopes: wherever it may have tokens.

use signet::{
    identity::{
        Administrator,
        clients::{ClientChange, SetChange},
    },
    model::{ClientId, NameSet},
    proto::identity::events::v1::WatchRequest,
};
use tonic::Code;

use super::{Mesh, Watcher};
use crate::{
    clients::Wanted,
    harness::{PASSWORD, assert_refused},
};

impl Mesh {
    async fn change_client(&self, id: ClientId, change: ClientChange) {
        let by = Administrator::operator();
        self.service.operator.update(&id.into(), &change, &by).await.unwrap();
    }

    async fn set_audiences(&self, id: ClientId, audiences: &str) {
        let audiences = SetChange::To(NameSet::parse(audiences).unwrap());
        self.change_client(id, ClientChange { audiences, ..ClientChange::default() }).await;
    }
}

/// Its sessions have the audience for life with which they were opened.
#[tokio::test]
async fn the_audiences_that_a_client_had_before_are_told_of_it() {
    let mesh = Mesh::start().await;
    let wanted = Wanted { audiences: "parts signet", ..Wanted::confidential("signet.events.watch") };
    let parts = mesh.service.register_alone("parts", wanted).await;
    let mut others = mesh.told(&parts).await;
    let mut orders = mesh.told(&mesh.orders).await;
    let app = mesh.app.client_id();
    mesh.set_audiences(app, "stock").await;
    mesh.service.set_scopes(app, "stock.read profile account").await;
    let taken = orders.until(|all| all.taken_scopes.iter().any(|taken| taken.audience == "orders")).await;
    let at_orders = taken.taken_scopes.iter().find(|taken| taken.audience == "orders").unwrap();
    assert_eq!(at_orders.client_id, mesh.app.id);
    assert_eq!(at_orders.scopes, ["stock.write"]);
    mesh.service.set_active(&mesh.app, false).await;
    let ended = orders.until(|all| !all.ended_clients.is_empty()).await.ended_clients;
    assert_eq!(ended[0].client_id, mesh.app.id);
    // It was registered with the service's own, too, but never with this one.
    let told = others.until(|all| !all.ended_clients.is_empty()).await;
    assert!(told.taken_scopes.iter().all(|taken| taken.audience == "signet"), "{told:?}");
    let wanted = Wanted { audiences: "stock", ..Wanted::confidential("stock.read") };
    let of_stock = mesh.service.register_alone("of-stock", wanted).await;
    let wanted = Wanted { audiences: "parts", ..Wanted::confidential("stock.read") };
    let of_parts = mesh.service.register_alone("of-parts", wanted).await;
    mesh.service.delete(&of_stock).await;
    mesh.service.delete(&of_parts).await;
    let told = others.until(|all| !all.ended_clients.is_empty()).await.ended_clients;
    assert_eq!(told.iter().map(|ended| &ended.client_id).collect::<Vec<_>>(), [&of_parts.id]);
}

/// Whatever it is registered with beside.
#[tokio::test]
async fn scopes_of_the_built_in_client_are_taken_at_the_services_own_audience() {
    let mesh = Mesh::start().await;
    let wanted = Wanted { audiences: "", ..Wanted::confidential("signet.events.watch") };
    let own = mesh.service.register_alone("own", wanted).await;
    let mut own = mesh.told(&own).await;
    let mut orders = mesh.told(&mesh.orders).await;
    mesh.set_audiences(ClientId::BUILT_IN, "stock").await;
    mesh.service.set_scopes(ClientId::BUILT_IN, "account").await;
    let taken = own.until(|all| !all.taken_scopes.is_empty()).await.taken_scopes;
    assert_eq!(taken[0].client_id, "signet");
    assert_eq!(taken[0].scopes, ["profile"]);
    let taken = orders.until(|all| !all.taken_scopes.is_empty()).await.taken_scopes;
    assert!(taken.iter().all(|taken| taken.audience == "signet"), "{taken:?}");
}

/// Who may not watch is refused, and takes no place from those who may.
#[tokio::test]
async fn a_token_for_something_else_takes_no_place_of_a_watcher() {
    let mesh = Mesh::start_with(&["--max-watchers=4"]).await;
    let server = &mesh.service.server;
    let mut watcher = mesh.told(&mesh.stock).await;
    // The one place of this peer is taken: it is told what is amiss, and not that there is none.
    let token = mesh.service.client.clone().log_in("alice", PASSWORD).await.unwrap().access_token;
    let refused = Watcher::begin(server, &token, WatchRequest::default()).await.map(drop);
    assert_refused(refused, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    let watching = mesh.watch_token(&mesh.orders).await;
    let refused = Watcher::begin(server, &watching, WatchRequest::default()).await.map(drop);
    assert_refused(refused, Code::ResourceExhausted, "OVERLOADED");
    let session = mesh.session("alice", "stock").await;
    mesh.end("alice", &session).await;
    watcher.until(|all| all.ended_sessions.contains(&session)).await;
}
