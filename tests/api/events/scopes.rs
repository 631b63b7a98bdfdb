//! Owns what is told of scopes that are taken away: from whom, where, and up to when tokens may have been issued with them.

use std::time::Duration;

use signet::{
    model::{Principal, UserId},
    proto::identity::events::v1::TakenScopes,
};

use super::{Mesh, Watcher};
use crate::operator::{applied, by_operator};

impl Watcher {
    /// The scopes that are said to be taken away next.
    pub(super) async fn taken(&mut self) -> Vec<TakenScopes> {
        let mut taken = self.until(|all| !all.taken_scopes.is_empty()).await.taken_scopes;
        taken.sort_unstable_by(|one, other| one.subject.cmp(&other.subject));
        taken
    }
}

pub(super) fn assert_taken(taken: &TakenScopes, subject: &str, scopes: &[&str]) {
    assert_eq!((taken.subject.as_str(), taken.audience.as_str()), (subject, "stock"));
    assert_eq!(taken.scopes, scopes);
}

#[tokio::test]
async fn a_role_that_is_taken_from_somebody_is_told_with_its_time() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.told(&mesh.stock).await;
    let alice = mesh.alice().await;
    let writer = mesh.operator.role("stock", "writer", "stock.write stock.read").await;
    mesh.operator.bind(writer, Principal::User(alice)).await;
    mesh.operator.unbind(writer, Principal::User(alice)).await;
    let taken = watcher.taken().await;
    // Everyone may read, so she may still.
    assert_taken(&taken[0], &alice.to_string(), &["stock.write"]);
    assert_eq!(taken.len(), 1);
    let late = mesh.service.server.clock.now().after(Duration::from_millis(5_200));
    let time = taken[0].time.unwrap();
    assert_eq!((time.seconds, time.nanos), (late.as_secs(), late.subsec_nanos()));
    // It is in the snapshot of whoever begins later, too.
    let first = mesh.watch(&mesh.stock).await.first(|all| !all.taken_scopes.is_empty()).await;
    assert_eq!(first.taken_scopes, taken);
}

#[tokio::test]
async fn what_another_role_still_gives_is_not_told() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.told(&mesh.stock).await;
    let alice = Principal::User(mesh.alice().await);
    let writer = mesh.operator.role("stock", "writer", "stock.write").await;
    let other = mesh.operator.role("stock", "other", "stock.write stock.count").await;
    for role in [writer, other] {
        mesh.operator.bind(role, alice).await;
    }
    mesh.operator.unbind(writer, alice).await;
    mesh.operator.unbind(other, alice).await;
    let taken = watcher.taken().await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_taken(&taken[0], &alice.id().to_string(), &["stock.write", "stock.count"]);
}

#[tokio::test]
async fn a_role_that_gives_less_or_is_deleted_is_told_to_all_who_have_it() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.told(&mesh.stock).await;
    let (bob, carol) = (mesh.user("bob").await, mesh.user("carol").await);
    let writer = mesh.operator.role("stock", "writer", "stock.write stock.count").await;
    let night = mesh.operator.group_of("night", carol).await;
    mesh.operator.bind(writer, Principal::User(bob)).await;
    mesh.operator.bind(writer, Principal::Group(night)).await;
    mesh.operator.change_role(writer, |scopes| scopes.without_name("stock.count")).await;
    let mut both = [bob.to_string(), carol.to_string()];
    both.sort_unstable();
    let taken = watcher.taken().await;
    assert_eq!(taken.len(), 2, "{taken:?}");
    for (taken, subject) in taken.iter().zip(&both) {
        assert_taken(taken, subject, &["stock.count"]);
    }
    let (store, now) = (&mesh.service.store, mesh.service.server.clock.now());
    assert!(applied(store.remove_member(night, carol, by_operator(now)).await.unwrap()));
    let taken = watcher.taken().await;
    assert_taken(&taken[0], &carol.to_string(), &["stock.write"]);
    applied(store.delete_role(writer, None, by_operator(now)).await.unwrap());
    let taken = watcher.taken().await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_taken(&taken[0], &bob.to_string(), &["stock.write"]);
}

#[tokio::test]
async fn more_than_a_hundred_are_not_named() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.told(&mesh.stock).await;
    let writer = mesh.operator.role("stock", "writer", "stock.write").await;
    let mut night = None;
    let (store, now) = (&mesh.service.store, mesh.service.server.clock.now());
    for number in 0..101 {
        let user: UserId = mesh.user(&format!("user{number}")).await;
        match night {
            None => night = Some(mesh.operator.group_of("night", user).await),
            Some(night) => {
                applied(store.add_member(night, user, by_operator(now)).await.unwrap());
            }
        }
    }
    let night = night.unwrap();
    mesh.operator.bind(writer, Principal::Group(night)).await;
    mesh.operator.unbind(writer, Principal::Group(night)).await;
    let taken = watcher.taken().await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_taken(&taken[0], "", &["stock.write"]);
}

#[tokio::test]
async fn what_a_client_may_no_longer_ask_for_is_taken_from_all_its_tokens() {
    let mesh = Mesh::start().await;
    let mut watcher = mesh.told(&mesh.stock).await;
    mesh.service.set_scopes(mesh.app.client_id(), "stock.read profile account").await;
    let taken = watcher.until(|all| all.taken_scopes.len() >= 2).await.taken_scopes;
    for audience in ["stock", "signet"] {
        let at = taken.iter().find(|taken| taken.audience == audience).unwrap();
        assert_eq!((at.subject.as_str(), &at.scopes[..]), ("", &["stock.write".to_owned()][..]));
        assert_eq!(at.client_id, mesh.app.id, "of nobody else's tokens");
    }
}
