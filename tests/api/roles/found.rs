//! Owns what is found: what a user has by itself and by its groups, in which order, and within which bounds.

use std::{collections::BTreeSet, time::Duration};

use signet::{
    model::{
        Error, NameSet, Principal, Role, RoleName, audience::AUDIENCE_MAX_OWNERS,
        binding::SUBJECT_MAX_BINDINGS,
    },
    store::{BindingFilter, Bound},
};

use super::{Roles, applied, audience, binding, by_operator, role};
use crate::{
    clients::{Wanted, operator, register},
    harness::START,
};

#[tokio::test]
async fn a_user_has_what_it_is_bound_to_and_what_its_groups_are_and_nobody_else_has_it() {
    let mut roles = Roles::start().await;
    let (alice, bob) = (roles.user("alice").await, roles.user("bob").await);
    let (picker, loader) =
        (roles.role("stock", "picker", "pick look").await, roles.role("stock", "loader", "pack").await);
    let reader = roles.role("orders", "picker", "read").await;
    let (night, day) = (roles.group("night").await, roles.group("day").await);
    let end = START.after(Duration::from_hours(8));
    let own = roles.bind(&picker, Principal::User(alice), Some(end)).await;
    roles.bind(&loader, Principal::Group(night.id), None).await;
    roles.bind(&picker, Principal::Group(day.id), None).await;
    roles.bind(&reader, Principal::User(bob), None).await;
    for group in [&night, &day] {
        assert!(roles.add_member(group.id, alice).await);
    }
    assert!(!roles.add_member(day.id, alice).await, "it is in it");

    let grants = roles.store.grants_of_user(alice).await.unwrap();
    let mut ways: Vec<_> =
        grants.iter().map(|grant| (&grant.role, grant.group.as_ref(), grant.expire_time)).collect();
    ways.sort_by_key(|(role, group, _)| (role.name.as_str(), group.map(|group| group.name.as_str())));
    assert_eq!(
        ways,
        [(&loader, Some(&night), None), (&picker, None, Some(end)), (&picker, Some(&day), None)]
    );
    let Bound::Made(own) = own else { panic!("{own:?}") };
    let mine = grants.iter().find(|grant| grant.group.is_none()).unwrap();
    assert_eq!(mine.binding, own.id);
    assert!(mine.holds_at(START) && !mine.holds_at(end), "it gives nothing from its end on");
    let of_bob = roles.store.grants_of_user(bob).await.unwrap();
    assert!(of_bob.iter().map(|grant| &grant.role).eq([&reader]));

    assert!(roles.remove_member(night.id, alice).await);
    assert!(!roles.remove_member(night.id, alice).await);
    assert_eq!(roles.unbind(&picker, Principal::User(alice)).await, Some(own));
    let left = roles.store.grants_of_user(alice).await.unwrap();
    assert!(left.iter().map(|grant| grant.group.as_ref()).eq([Some(&day)]));
}

#[tokio::test]
async fn a_client_has_its_own_bindings_alone() {
    let mut roles = Roles::start().await;
    let alice = roles.user("alice").await;
    let shop = register(&operator(&roles.server).await, "shop", Wanted::confidential("a")).await.unwrap();
    let writer = roles.role("stock", "writer", "write").await;
    roles.bind(&writer, Principal::Client(shop.client_id()), None).await;
    let grants = roles.store.grants_of_client(shop.client_id()).await.unwrap();
    assert!(grants.iter().map(|grant| &grant.role).eq([&writer]));
    assert!(roles.store.grants_of_user(alice).await.unwrap().is_empty());
}

#[tokio::test]
async fn giving_a_role_again_changes_its_end_and_nothing_else() {
    let mut roles = Roles::start().await;
    let alice = Principal::User(roles.user("alice").await);
    let picker = roles.role("stock", "picker", "pick").await;
    let Bound::Made(made) = roles.bind(&picker, alice, None).await else { panic!("it is new") };
    assert_eq!(roles.bind(&picker, alice, None).await, Bound::AsItWas(made));
    let end = Some(START.after(Duration::from_hours(1)));
    let Bound::Changed(changed) = roles.bind(&picker, alice, end).await else { panic!("another end") };
    assert_eq!((changed.id, changed.expire_time), (made.id, end));
    let listed = roles.store.bindings(&BindingFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed, [(changed, picker)]);
}

#[tokio::test]
async fn names_are_taken_once_of_an_audience_and_an_audience_has_a_role_for_everybody() {
    let roles = Roles::start().await;
    let picker = roles.role("stock", "picker", "pick").await;
    let again = roles.store.add_role(&role("stock", "picker", "other"), by_operator(START)).await;
    assert!(matches!(again, Err(Error::RoleExists { .. })), "{again:?}");
    roles.role("orders", "picker", "pick").await;
    roles.group("night").await;
    let everyone = roles.store.role_named(&audience("stock"), &RoleName::everyone()).await.unwrap().unwrap();
    assert!(everyone.scopes.is_empty());
    assert_eq!(roles.store.role(picker.id).await.unwrap().unwrap(), picker, "as it was written");
    let names = roles.store.audiences(None, 10).await.unwrap();
    let names: Vec<_> = names.iter().map(|audience| audience.name.as_str()).collect();
    assert_eq!(names, ["orders", "signet", "stock"]);
    let own = roles.store.everyone(&[audience("signet"), audience("nowhere")]).await.unwrap();
    let own: Vec<BTreeSet<_>> = own.iter().map(|role| role.scopes.iter().collect()).collect();
    assert_eq!(own, [BTreeSet::from(["account", "profile"])]);
}

#[tokio::test]
async fn a_scope_is_known_where_a_role_has_it_and_given_once_somebody_may_have_it() {
    let mut roles = Roles::start().await;
    let alice = roles.user("alice").await;
    let stock = audience("stock");
    let given = async |roles: &Roles| roles.store.given_scopes(&stock).await.unwrap();
    let picker = roles.role("stock", "picker", "pick look").await;
    roles.role("stock", "loader", "pack").await;
    roles.role("orders", "reader", "read").await;
    assert!(given(&roles).await.is_empty(), "nobody has either");
    roles.bind(&picker, Principal::User(alice), Some(START)).await;
    assert!(given(&roles).await.iter().eq(["look", "pick"]), "whether or not it has ended");
    let everyone = roles.store.role_named(&stock, &RoleName::everyone()).await.unwrap().unwrap();
    let see = NameSet::parse("see").unwrap();
    let sees = |role: &Role| Ok(Role { scopes: see.clone(), ..role.clone() });
    applied(roles.store.update_role(everyone.id, None, sees, by_operator(START)).await.unwrap());
    assert!(given(&roles).await.iter().eq(["look", "pick", "see"]));

    let known = roles.store.known_scopes(&[stock.clone(), audience("orders"), audience("nowhere")]).await;
    let known = known.unwrap();
    assert!(known[&stock].iter().eq(["look", "pack", "pick", "see"]));
    assert!(known[&audience("orders")].iter().eq(["read"]) && known.len() == 2, "{known:?}");
}

#[tokio::test]
async fn bindings_are_found_page_by_page_by_whatever_is_known_of_them() {
    let mut roles = Roles::start().await;
    let (alice, bob) = (Principal::User(roles.user("alice").await), Principal::User(roles.user("bob").await));
    let (picker, reader) =
        (roles.role("stock", "picker", "pick").await, roles.role("orders", "reader", "read").await);
    let end = START.after(Duration::from_mins(1));
    for (role, subject, end) in [(&picker, alice, None), (&picker, bob, Some(end)), (&reader, bob, None)] {
        roles.bind(role, subject, end).await;
    }
    let count = async |filter: BindingFilter| {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = roles.store.bindings(&filter, after, 1).await.unwrap();
            let Some((last, _)) = page.last() else { return found };
            after = Some(last.id);
            found.extend(
                page.into_iter().map(|(binding, role)| (role.name.as_str().to_owned(), binding.subject)),
            );
        }
    };
    assert_eq!(count(BindingFilter::default()).await.len(), 3);
    let of = |role: &str, subject| (role.to_owned(), subject);
    let filter = BindingFilter { subject: Some(bob), ..BindingFilter::default() };
    assert_eq!(
        count(filter).await.into_iter().collect::<BTreeSet<_>>(),
        [of("picker", bob), of("reader", bob)].into()
    );
    let filter = BindingFilter { roles: Some(vec![picker.id]), ..BindingFilter::default() };
    assert_eq!(
        count(filter).await.into_iter().collect::<BTreeSet<_>>(),
        [of("picker", alice), of("picker", bob)].into()
    );
    let filter = BindingFilter { audience: Some(audience("orders")), ..BindingFilter::default() };
    assert_eq!(count(filter).await, [of("reader", bob)]);
    let filter = BindingFilter { end_by: Some(end), ..BindingFilter::default() };
    assert_eq!(count(filter).await, [of("picker", bob)]);
}

#[tokio::test]
async fn nobody_has_more_than_the_bound_and_what_has_ended_does_not_count() {
    let mut roles = Roles::start().await;
    let alice = Principal::User(roles.user("alice").await);
    for number in 0..SUBJECT_MAX_BINDINGS {
        let role = roles.role("stock", &format!("role-{number}"), "a").await;
        // The first one has ended.
        roles.bind(&role, alice, (number == 0).then_some(START)).await;
    }
    let (last, beyond) = (roles.role("stock", "last", "a").await, roles.role("stock", "beyond", "a").await);
    roles.bind(&last, alice, None).await;
    let refused = roles.store.bind(&binding(&beyond, alice, None), by_operator(START)).await;
    assert!(matches!(refused, Err(Error::LimitReached { most: SUBJECT_MAX_BINDINGS, .. })), "{refused:?}");
    let stock = audience("stock");
    for number in 0..AUDIENCE_MAX_OWNERS {
        let owner = Principal::Group(roles.group(&format!("group-{number}")).await.id);
        assert!(roles.add_owner(&stock, owner).await.unwrap());
        assert!(!roles.add_owner(&stock, owner).await.unwrap());
    }
    let refused = roles.add_owner(&stock, alice).await;
    assert!(matches!(refused, Err(Error::LimitReached { most: AUDIENCE_MAX_OWNERS, .. })), "{refused:?}");
}
