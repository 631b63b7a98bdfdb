//! Owns what goes with whom: nothing is left of somebody who is gone, and nobody who is gone is given anything.

use signet::{
    model::{Error, GroupId, Principal, UserId},
    store::BindingFilter,
};
use uuid::Uuid;

use super::{Roles, applied, audience, binding, by_operator};
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
    roles.add_member(group.id, alice).await;
    let all = [Principal::User(alice), Principal::Group(group.id), Principal::Client(shop.client_id())];
    for principal in all {
        roles.bind(&picker, principal, None).await;
        assert!(roles.add_owner(&stock, principal).await.unwrap());
    }
    let left = async |roles: &Roles| {
        let bindings = roles.store.bindings(&BindingFilter::default(), None, 10).await.unwrap();
        let owners = roles.store.audience(&stock).await.unwrap().unwrap().owners;
        (bindings.len(), owners.len())
    };
    assert_eq!(left(&roles).await, (3, 3));
    let deleted = roles.store.delete_client(shop.client_id(), |_| Ok(()), by_operator(START)).await.unwrap();
    assert!(applied(deleted).is_some());
    assert_eq!(left(&roles).await, (2, 2));
    roles.store.delete_user(alice, None, START).await.unwrap().unwrap();
    assert_eq!(left(&roles).await, (1, 1));
    assert!(roles.store.members(group.id, None, 10).await.unwrap().is_empty());
    applied(roles.store.delete_group(group.id, None, by_operator(START)).await.unwrap());
    assert_eq!(left(&roles).await, (0, 0));
}

#[tokio::test]
async fn a_role_takes_its_bindings_along_and_a_group_its_members() {
    let mut roles = Roles::start().await;
    let alice = roles.user("alice").await;
    let (picker, loader) =
        (roles.role("stock", "picker", "pick").await, roles.role("stock", "loader", "pack").await);
    let group = roles.group("night").await;
    roles.add_member(group.id, alice).await;
    roles.bind(&picker, Principal::User(alice), None).await;
    roles.bind(&loader, Principal::Group(group.id), None).await;
    applied(roles.store.delete_role(picker.id, None, by_operator(START)).await.unwrap());
    let again = roles.store.delete_role(picker.id, None, by_operator(START)).await;
    assert!(matches!(again, Err(Error::RoleNotFound { .. })), "{again:?}");
    let grants = roles.store.grants_of_user(alice).await.unwrap();
    assert!(grants.iter().map(|grant| &grant.role).eq([&loader]));
    applied(roles.store.delete_group(group.id, None, by_operator(START)).await.unwrap());
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
    let bind = async |binding| roles.store.bind(&binding, by_operator(START)).await.map(drop);
    let add = async |group, user| roles.store.add_member(group, user, by_operator(START)).await.map(drop);
    for refused in [
        bind(binding(&picker, Principal::User(nobody), None)).await,
        bind(binding(&gone, Principal::User(alice), None)).await,
        add(group.id, nobody).await,
        add(GroupId(nobody.0), alice).await,
        roles.add_owner(&audience("stock"), Principal::User(nobody)).await.map(drop),
        roles.add_owner(&audience("nowhere"), Principal::User(alice)).await.map(drop),
    ] {
        let is_not_found = matches!(
            refused,
            Err(Error::UserNotFound(_)
                | Error::GroupNotFound(_)
                | Error::RoleNotFound { .. }
                | Error::AudienceNotFound(_))
        );
        assert!(is_not_found, "{refused:?}");
    }
    assert!(roles.store.bindings(&BindingFilter::default(), None, 10).await.unwrap().is_empty());
}
