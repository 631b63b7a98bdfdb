//! Owns what happens at once: a role is given once, nobody has more than the bound, and nothing is left of whoever is deleted meanwhile.

use signet::{
    model::{Error, Principal, binding::SUBJECT_MAX_BINDINGS},
    store::{BindingFilter, Bound},
};
use tokio::task::JoinSet;

use super::{Roles, binding};
use crate::{
    harness::START,
    operator::{applied, by_operator},
};

/// How many do it at once.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn of_those_who_give_one_role_at_once_one_makes_the_binding() {
    let mut roles = Roles::start().await;
    let alice = Principal::User(roles.user("alice").await);
    let picker = roles.role("stock", "picker", "pick").await;
    let mut calls = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (store, binding) = (roles.store.clone(), binding(&picker, alice, None));
        calls.spawn(async move { applied(store.bind(&binding, by_operator(START)).await.unwrap()) });
    }
    let bound = calls.join_all().await;
    let made = bound.iter().filter(|bound| matches!(bound, Bound::Made(_)));
    assert_eq!(made.count(), 1, "{bound:?}");
    assert_eq!(roles.store.bindings(&BindingFilter::default(), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn those_who_give_roles_at_once_do_not_pass_the_bound_together() {
    let mut roles = Roles::start().await;
    let alice = Principal::User(roles.user("alice").await);
    for number in 1..SUBJECT_MAX_BINDINGS {
        let role = roles.role("stock", &format!("role-{number}"), "a").await;
        roles.bind(&role, alice, None).await;
    }
    let mut calls = JoinSet::new();
    for number in 0..AT_ONCE {
        let last = roles.role("stock", &format!("last-{number}"), "a").await;
        let (store, binding) = (roles.store.clone(), binding(&last, alice, None));
        calls.spawn(async move { store.bind(&binding, by_operator(START)).await });
    }
    let bound = calls.join_all().await;
    assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1, "{bound:?}");
    let is_refused = |bound: &&Result<_, _>| matches!(bound, Err(Error::LimitReached { .. }));
    assert_eq!(bound.iter().filter(is_refused).count(), AT_ONCE - 1, "{bound:?}");
}

#[tokio::test]
async fn nothing_is_left_of_a_user_who_is_deleted_while_it_is_given_roles_and_groups() {
    let mut roles = Roles::start().await;
    let user = roles.user("alice").await;
    let mut calls = JoinSet::new();
    for number in 0..AT_ONCE {
        let role = roles.role("stock", &format!("role-{number}"), "a").await;
        let group = roles.group(&format!("group-{number}")).await.id;
        let (store, binding) = (roles.store.clone(), binding(&role, Principal::User(user), None));
        let deleting = roles.store.clone();
        calls.spawn(async move {
            let given = store.bind(&binding, by_operator(START)).await.map(drop);
            let added = store.add_member(group, user, by_operator(START)).await.map(drop);
            for refused in [given, added].into_iter().filter_map(Result::err) {
                assert!(matches!(refused, Error::UserNotFound(_)), "{refused:?}");
            }
        });
        if number == AT_ONCE / 2 {
            calls.spawn(async move { drop(deleting.delete_user(user, None, START).await.unwrap()) });
        }
    }
    calls.join_all().await;
    assert!(roles.store.bindings(&BindingFilter::default(), None, 10).await.unwrap().is_empty());
    assert!(roles.store.groups_of_user(user, None, 10).await.unwrap().is_empty());
}
