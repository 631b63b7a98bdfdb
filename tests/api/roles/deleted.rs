//! Owns what goes with whom: nothing is left of somebody who is gone, and nobody who is gone is given anything.

use signet::{
    model::{Principal, UserId},
    store::{AccessWriteError, BindingFilter},
};
use uuid::Uuid;

use super::{Roles, audience, binding, by_operator};
use crate::{
    clients::{Wanted, operator, register},
    harness::START,
};

#[tokio::test]
async fn whoever_is_deleted_takes_bindings_memberships_and_what_it_owned_along() {
    let mut roles = Roles::start().await;
    let alice = roles.user("alice").await;
    let shop = register(&operator(&roles.server).await, "shop", Wanted::confidential("a")).await.unwrap();
    let (stock, group) = (audience("stock"), roles.group("night").await);
    let picker = roles.role("stock", "picker", "pick").await;
    roles.store.add_member(group.id, alice, START).await.unwrap();
    let all = [Principal::User(alice), Principal::Group(group.id), Principal::Client(shop.client_id())];
    for principal in all {
        roles.bind(&picker, principal, None).await;
        assert!(roles.store.add_audience_owner(&stock, principal, START).await.unwrap());
    }
    let left = async |roles: &Roles| {
        let bindings = roles.store.bindings(&BindingFilter::default(), None, 10).await.unwrap();
        let owners = roles.store.audience(&stock).await.unwrap().unwrap().owners;
        (bindings.len(), owners.len())
    };
    assert_eq!(left(&roles).await, (3, 3));
    assert!(roles.store.delete_client(shop.client_id(), START).await.unwrap());
    assert_eq!(left(&roles).await, (2, 2));
    roles.store.delete_user(alice, None, START).await.unwrap().unwrap();
    assert_eq!(left(&roles).await, (1, 1));
    assert!(roles.store.members(group.id, None, 10).await.unwrap().is_empty());
    assert!(roles.store.delete_group(group.id, START).await.unwrap());
    assert_eq!(left(&roles).await, (0, 0));
}

#[tokio::test]
async fn a_role_takes_its_bindings_along_and_a_group_its_members() {
    let mut roles = Roles::start().await;
    let alice = roles.user("alice").await;
    let (picker, loader) =
        (roles.role("stock", "picker", "pick").await, roles.role("stock", "loader", "pack").await);
    let group = roles.group("night").await;
    roles.store.add_member(group.id, alice, START).await.unwrap();
    roles.bind(&picker, Principal::User(alice), None).await;
    roles.bind(&loader, Principal::Group(group.id), None).await;
    assert!(roles.store.delete_role(picker.id, START).await.unwrap());
    assert!(!roles.store.delete_role(picker.id, START).await.unwrap());
    let grants = roles.store.grants_of_user(alice).await.unwrap();
    assert!(grants.iter().map(|grant| &grant.role).eq([&loader]));
    assert!(roles.store.delete_group(group.id, START).await.unwrap());
    assert!(roles.store.grants_of_user(alice).await.unwrap().is_empty());
    assert!(roles.store.groups_of_user(alice, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn nobody_who_is_gone_is_given_anything_and_nothing_that_is_gone_is_given() {
    let mut roles = Roles::start().await;
    let alice = roles.user("alice").await;
    let nobody = UserId(Uuid::now_v7());
    let (picker, group) = (roles.role("stock", "picker", "pick").await, roles.group("night").await);
    let gone = super::role("stock", "gone", "a");
    for refused in [
        roles
            .store
            .bind(&binding(&picker, Principal::User(nobody), None), by_operator(START))
            .await
            .map(drop),
        roles.store.bind(&binding(&gone, Principal::User(alice), None), by_operator(START)).await.map(drop),
        roles.store.add_member(group.id, nobody, START).await.map(drop),
        roles.store.add_audience_owner(&audience("stock"), Principal::User(nobody), START).await.map(drop),
        roles.store.add_audience_owner(&audience("nowhere"), Principal::User(alice), START).await.map(drop),
    ] {
        assert!(matches!(refused, Err(AccessWriteError::Gone)), "{refused:?}");
    }
    assert!(roles.store.bindings(&BindingFilter::default(), None, 10).await.unwrap().is_empty());
}
