//! Owns what other processes hear of roles: of whom to forget what they remember.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use signet::{
    model::{self, NameSet, Principal},
    store::{ChangeEffect, ChangeKind},
};
use uuid::Uuid;

use super::{Roles, applied, by_operator};
use crate::harness::START;

type Told = (ChangeKind, ChangeEffect, Uuid);

impl Roles {
    /// What the feed has said of roles since it was asked last.
    async fn told(&self, after: &mut i64) -> Vec<Told> {
        let changes = self.store.changes(*after, 500).await.unwrap();
        *after = changes.last().map_or(*after, |change| change.id);
        changes
            .iter()
            .map(|change| (change.kind.unwrap(), change.effect.unwrap(), change.subject))
            .filter(|(kind, ..)| !matches!(kind, ChangeKind::SigningKeys | ChangeKind::Scopes))
            .collect()
    }
}

#[tokio::test]
async fn the_feed_names_whom_a_change_concerns() {
    use ChangeEffect::{Changed, Ended};
    use ChangeKind::{Binding, Group, Membership, Role, User};

    let mut roles = Roles::start().await;
    let alice = roles.user("alice").await;
    let mut after = 0;
    let picker = roles.role("stock", "picker", "pick").await;
    assert_eq!(
        roles.told(&mut after).await,
        [(Role, Changed, picker.id.0)],
        "its scopes are known from now on"
    );
    let group = roles.group("night").await;
    assert_eq!(roles.told(&mut after).await, [], "nobody is in it yet");

    roles.bind(&picker, Principal::User(alice), None).await;
    assert_eq!(roles.told(&mut after).await, [(Binding, Changed, alice.0)]);
    roles.bind(&picker, Principal::User(alice), None).await;
    assert_eq!(roles.told(&mut after).await, [], "nothing has changed");
    // An end that has come would have the server's own job delete it meanwhile, and tell so.
    roles.bind(&picker, Principal::User(alice), Some(START.after(Duration::from_hours(24)))).await;
    assert_eq!(roles.told(&mut after).await, [(Binding, Changed, alice.0)]);
    roles.bind(&picker, Principal::Group(group.id), None).await;
    assert_eq!(roles.told(&mut after).await, [(Group, Changed, group.id.0)], "its members, whoever they are");

    assert!(roles.add_member(group.id, alice).await);
    assert!(roles.remove_member(group.id, alice).await);
    let told = [(Membership, Changed, alice.0), (Membership, Ended, alice.0)];
    assert_eq!(roles.told(&mut after).await, told);
    for subject in [Principal::User(alice), Principal::Group(group.id)] {
        assert!(roles.unbind(&picker, subject).await.is_some());
    }
    assert_eq!(roles.told(&mut after).await, [(Binding, Ended, alice.0), (Group, Changed, group.id.0)]);

    let nothing = |role: &model::Role| Ok(model::Role { scopes: NameSet::default(), ..role.clone() });
    let change = by_operator(START);
    roles.store.update_role(picker.id, None, nothing, change).await.unwrap();
    roles.store.delete_role(picker.id, None, change).await.unwrap();
    roles.store.delete_group(group.id, None, change).await.unwrap();
    roles.store.delete_user(alice, None, START).await.unwrap();
    let told = [
        (Role, Changed, picker.id.0),
        (Role, Ended, picker.id.0),
        (Group, Ended, group.id.0),
        (User, Ended, alice.0),
    ];
    assert_eq!(roles.told(&mut after).await, told);
}

/// An import may use the id of whoever is gone.
#[tokio::test]
async fn who_is_gone_is_said_to_have_nothing_left() {
    use ChangeEffect::Ended;
    use ChangeKind::{Binding, User};

    let mut roles = Roles::start().await;
    let (alice, bob, carol) = (roles.user("alice").await, roles.user("bob").await, roles.user("carol").await);
    let (picker, group) = (roles.role("stock", "picker", "pick").await, roles.group("night").await);
    for user in [alice, carol] {
        roles.bind(&picker, Principal::User(user), None).await;
    }
    roles.add_member(group.id, bob).await;
    let kept = roles.store.users_among(&[], &[carol]).await.unwrap();
    let mut after = 0;
    roles.told(&mut after).await;
    roles.store.delete_user(alice, None, START).await.unwrap();
    assert_eq!(roles.told(&mut after).await, [(Binding, Ended, alice.0), (User, Ended, alice.0)]);
    let deleted = roles.store.delete_users(bob, &|_| None, by_operator(START)).await.unwrap();
    assert_eq!(applied(deleted).users.len(), 1);
    assert_eq!(roles.told(&mut after).await, [(Binding, Ended, bob.0), (User, Ended, bob.0)]);
    // The release before leaves the binding, and whoever is added with the id shall not have it.
    let db = roles.server.data.connect().await;
    db.execute_unprepared("DELETE FROM users WHERE username = 'carol'").await.unwrap();
    db.close().await.unwrap();
    roles.store.add_users(&kept, START).await.unwrap().unwrap();
    assert_eq!(roles.told(&mut after).await, [(Binding, Ended, carol.0)]);
    assert_eq!(roles.store.grants_of_user(carol).await.unwrap(), []);
}
