//! Owns who is named when scopes are taken away, by each change that takes some.

use std::time::Duration;

use signet::{
    model::{AudienceName, Binding, BindingId, Principal, RoleId},
    proto::identity::events::v1::TakenScopes,
};

use super::{Mesh, Watcher, scopes::assert_taken};
use crate::{
    clients::Wanted,
    operator::{applied, by_operator},
};

impl Mesh {
    /// What is told to the stock from now on.
    async fn stock_watcher(&self) -> Watcher {
        let mut watcher = self.watch(&self.stock).await;
        watcher.snapshot().await;
        watcher
    }

    /// Gives `subject` the role; until `end` has passed, if one is said. If it has it already, that changes when it ends.
    async fn bind_until(&self, role: RoleId, subject: Principal, end: Option<Duration>) {
        let (store, now) = (&self.service.store, self.service.server.clock.now());
        let id = BindingId::new(now, store.entropy());
        let expire_time = end.map(|end| now.after(end));
        let binding = Binding { id, role, subject, expire_time, create_time: now };
        applied(store.bind(&binding, by_operator(now)).await.unwrap());
    }
}

/// Asserts that exactly `subjects` are named, each of whom has lost `scopes`.
#[track_caller]
fn assert_named(taken: &[TakenScopes], mut subjects: Vec<String>, scopes: &[&str]) {
    subjects.sort_unstable();
    let named: Vec<_> = taken.iter().map(|taken| taken.subject.as_str()).collect();
    assert_eq!(named, subjects, "{taken:?}");
    for taken in taken {
        assert_taken(taken, &taken.subject, scopes);
        assert_eq!(taken.client_id, "");
    }
}

/// Whoever signs up while another replica still gives it would be missing.
#[tokio::test]
async fn of_what_everyone_has_nobody_is_named() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.stock_watcher().await;
    let stock = AudienceName::parse("stock").unwrap();
    let everyone = mesh.service.store.everyone(&[stock]).await.unwrap().remove(0);
    mesh.operator.change_role(everyone.id, |scopes| scopes.without_name("stock.read")).await;
    assert_named(&watcher.taken().await, vec![String::new()], &["stock.read"]);
}

#[tokio::test]
async fn of_a_group_that_is_deleted_its_members_are_named_and_of_one_who_leaves_the_user() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.stock_watcher().await;
    let [bob, carol, dave] = [mesh.user("bob").await, mesh.user("carol").await, mesh.user("dave").await];
    let writer = mesh.operator.role("stock", "writer", "stock.write").await;
    mesh.operator.bind(writer, Principal::User(mesh.alice().await)).await;
    let (store, now) = (&mesh.service.store, mesh.service.server.clock.now());
    let [day, night] =
        [mesh.operator.group_of("day", bob).await, mesh.operator.group_of("night", dave).await];
    for (group, user) in [(day, carol), (day, dave), (night, carol)] {
        assert!(applied(store.add_member(group, user, by_operator(now)).await.unwrap()).1);
    }
    for group in [day, night] {
        mesh.operator.bind(writer, Principal::Group(group)).await;
    }
    // By the other group dave has it still.
    assert!(applied(store.remove_member(day, dave, by_operator(now)).await.unwrap()));
    assert!(applied(store.remove_member(night, dave, by_operator(now)).await.unwrap()));
    assert_named(&watcher.taken().await, vec![dave.to_string()], &["stock.write"]);
    // What another group gives is not asked for: too much is refused, and never too little.
    applied(store.delete_group(day, None, by_operator(now)).await.unwrap());
    assert_named(&watcher.taken().await, vec![bob.to_string(), carol.to_string()], &["stock.write"]);
}

#[tokio::test]
async fn of_a_role_that_is_deleted_all_who_have_it_are_named_users_members_and_clients() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.stock_watcher().await;
    let (alice, bob) = (mesh.alice().await, mesh.user("bob").await);
    let writer = mesh.operator.role("stock", "writer", "stock.write").await;
    let night = mesh.operator.group_of("night", bob).await;
    let wanted = Wanted { audiences: "stock", ..Wanted::confidential("report") };
    let machine = mesh.service.register_alone("machine", wanted).await;
    for subject in [Principal::User(alice), Principal::Group(night), Principal::Client(machine.client_id())] {
        mesh.operator.bind(writer, subject).await;
    }
    let by = by_operator(mesh.service.server.clock.now());
    applied(mesh.service.store.delete_role(writer, None, by).await.unwrap());
    let all = vec![alice.to_string(), bob.to_string(), machine.id];
    assert_named(&watcher.taken().await, all, &["stock.write"]);
}

#[tokio::test]
async fn of_a_binding_that_ends_earlier_while_tokens_live_its_subject_is_named() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.stock_watcher().await;
    let alice = Principal::User(mesh.alice().await);
    let writer = mesh.operator.role("stock", "writer", "stock.write stock.count").await;
    mesh.operator.bind(writer, alice).await;
    // No token lives so long.
    mesh.bind_until(writer, alice, Some(Duration::from_hours(30 * 24))).await;
    mesh.bind_until(writer, alice, Some(Duration::from_mins(5))).await;
    let named = vec![alice.id().to_string()];
    assert_named(&watcher.taken().await, named.clone(), &["stock.write", "stock.count"]);
    // Later is nothing that anybody loses; and what another role gives stays.
    mesh.bind_until(writer, alice, None).await;
    let counter = mesh.operator.role("stock", "counter", "stock.count").await;
    mesh.operator.bind(counter, alice).await;
    mesh.bind_until(writer, alice, Some(Duration::from_mins(5))).await;
    assert_named(&watcher.taken().await, named, &["stock.write"]);
}

#[tokio::test]
async fn of_a_clients_binding_the_client_is_named_and_keeps_what_it_is_registered_with() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.stock_watcher().await;
    let wanted = Wanted { audiences: "stock", ..Wanted::confidential("report") };
    let machine = mesh.service.register_alone("machine", wanted).await;
    let subject = Principal::Client(machine.client_id());
    let counter = mesh.operator.role("stock", "counter", "stock.count report").await;
    mesh.operator.bind(counter, subject).await;
    mesh.operator.unbind(counter, subject).await;
    assert_named(&watcher.taken().await, vec![machine.id], &["stock.count"]);
}
