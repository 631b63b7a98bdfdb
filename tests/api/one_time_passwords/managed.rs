//! Owns who may have one made, what a repetition is told, and with whom it goes.

use signet::{
    audit::Actor,
    identity::{
        Administrator, UserRegistry,
        users::{NewUserOf, UserPasswords, UserRef},
    },
    model::{BuiltInRole, Error, NamedAttributes, Origin, RequestKey, UserId, Username},
    store::ReplacedUser,
};
use uuid::Uuid;

use super::{ARGON2, NEW, Resets, user};
use crate::{
    harness::{PASSWORD, unaudited},
    operator::authority_of,
};

impl Resets {
    pub(super) fn passwords(&self) -> UserPasswords {
        let clock = self.server.clock.clone();
        UserPasswords::new(self.store.clone(), ARGON2, clock.clone(), unaudited(&clock))
    }

    async fn id(&self, username: &str) -> UserId {
        self.store.user_named(&Username::parse(username).unwrap()).await.unwrap().unwrap().id
    }

    /// `username`, who has shown a token with `scopes`.
    pub(super) async fn administrator(&self, username: &str, scopes: &str) -> Administrator {
        let id = self.id(username).await;
        self.client.clone().log_in(username, PASSWORD).await.unwrap();
        let authority = authority_of(&self.store, id, scopes, self.server.clock.now()).await;
        Administrator::new(Actor::User(id), authority, Origin::default())
    }
}

#[tokio::test]
async fn nobody_becomes_by_a_reset_who_holds_more() {
    let resets = Resets::start(&[]).await;
    let mut client = resets.client.clone();
    for name in ["manager", "boss", "retired"] {
        client.sign_up(name, PASSWORD).await.unwrap();
    }
    resets.bind(BuiltInRole::UserManager.name(), &user("manager"), true).await;
    for name in ["boss", "retired"] {
        resets.bind(BuiltInRole::Admin.name(), &user(name), true).await;
    }
    let retired = UserRef::Name("retired".to_owned());
    let clock = &resets.server.clock;
    let registry = UserRegistry::new(resets.store.clone(), clock.clone(), unaudited(clock));
    registry.set_active(&retired, false, None, &Administrator::operator()).await.unwrap();
    let manager = resets.administrator("manager", BuiltInRole::UserManager.scopes().as_str()).await;
    let passwords = resets.passwords();
    for name in ["boss", "retired"] {
        let refused = passwords.reset(&UserRef::Name(name.to_owned()), None, &manager).await;
        assert!(matches!(refused, Err(Error::HoldsMore(_))), "{name}: {refused:?}");
    }
    client.log_in("boss", PASSWORD).await.unwrap();
    // Without the scope, or with one that the token shows and its holder has lost.
    let alice = UserRef::Name("alice".to_owned());
    let without = resets.administrator("manager", "signet.users.read signet.users.write").await;
    let refused = passwords.reset(&alice, None, &without).await;
    assert!(matches!(&refused, Err(Error::InsufficientScope(scope)) if scope == "signet.users.reset"));
    // The one of whom the manager may become anybody tomorrow: no longer once she administers.
    let reset = passwords.reset(&alice, None, &manager).await.unwrap();
    let one_time = reset.one_time_password.unwrap().text().to_string();
    resets.bind(BuiltInRole::Admin.name(), &user("alice"), true).await;
    resets.must_not_fit("alice", &one_time).await;
    let refused = passwords.reset(&alice, None, &manager).await;
    assert!(matches!(refused, Err(Error::HoldsMore(_))), "{refused:?}");
    resets.bind(BuiltInRole::UserManager.name(), &user("manager"), false).await;
    let bob = client.sign_up("bob", PASSWORD).await.unwrap();
    let refused = passwords.reset(&UserRef::Id(UserId(bob.id.parse().unwrap())), None, &manager).await;
    assert!(matches!(refused, Err(Error::InsufficientScope(_))), "{refused:?}");
    client.log_in("bob", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_repeated_request_is_answered_without_the_secret_and_changes_nothing() {
    let resets = Resets::start(&[]).await;
    resets.client.clone().sign_up("manager", PASSWORD).await.unwrap();
    resets.bind(BuiltInRole::UserManager.name(), &user("manager"), true).await;
    let manager = resets.administrator("manager", BuiltInRole::UserManager.scopes().as_str()).await;
    let key = |id: u128, asked: u8| RequestKey {
        caller: manager.principal().unwrap(),
        id: Uuid::from_u128(id),
        sha256: [asked; 32],
    };
    let (passwords, alice) = (resets.passwords(), UserRef::Name("alice".to_owned()));
    let asked = manager.clone().repeatable(Some(key(1, 1)));
    let first = passwords.reset(&alice, None, &asked).await.unwrap();
    let again = passwords.reset(&alice, None, &asked).await.unwrap();
    assert!(again.one_time_password.is_none());
    assert_eq!((&again.user, again.expire_time), (&first.user, first.expire_time));
    resets.set("alice", &first.one_time_password.unwrap().text(), NEW).await.unwrap();
    let other = passwords.reset(&alice, None, &manager.clone().repeatable(Some(key(1, 2)))).await;
    assert!(matches!(other, Err(Error::RequestIdReused)), "{other:?}");
    // The same of a new user, who may have a name that is reserved. Who only asks whether it could be done makes nobody.
    let new = NewUserOf {
        username: "root",
        email: Some("root@example.com"),
        display_name: None,
        attributes: NamedAttributes::new(),
    };
    let judged = passwords.create(new.clone(), &manager.clone().validating(true)).await.unwrap();
    assert!(judged.one_time_password.is_none());
    let asked = manager.clone().repeatable(Some(key(2, 1)));
    let made = passwords.create(new.clone(), &asked).await.unwrap();
    let again = passwords.create(new.clone(), &asked).await.unwrap();
    assert_eq!((again.user, again.one_time_password.is_none()), (made.user, true));
    let one_time = made.one_time_password.unwrap().text();
    resets.must_change("root", &one_time).await;
    resets.set("root", &one_time, NEW).await.unwrap();
    resets.client.clone().log_in("root", NEW).await.unwrap();
    let taken = passwords.create(new, &manager).await;
    assert!(matches!(taken, Err(Error::UsernameTaken)), "{taken:?}");
    let (email, display_name) = (Some("nobody"), Some(" "));
    let bad = NewUserOf { username: "no spaces", email, display_name, attributes: NamedAttributes::new() };
    let refused = passwords.create(bad, &manager).await;
    assert!(matches!(&refused, Err(Error::InvalidFields(all)) if all.len() == 3), "{refused:?}");
}

#[tokio::test]
async fn whoever_is_deleted_or_brought_over_anew_has_none() {
    let resets = Resets::start(&[]).await;
    let one_time = resets.reset("alice").await;
    let (id, now) = (resets.id("alice").await, resets.server.clock.now());
    resets.store.delete_user(id, None, now).await.unwrap();
    assert_eq!(resets.store.one_time_password(id).await.unwrap(), None);
    resets.must_not_fit("alice", &one_time).await;
    resets.client.clone().sign_up("alice", PASSWORD).await.unwrap();
    resets.must_not_fit("alice", &one_time).await;
    resets.reset("alice").await;
    let id = resets.id("alice").await;
    let stored = resets.store.users_among(&[], &[id]).await.unwrap().remove(0);
    let mut new = stored.clone();
    new.password_hash = bcrypt::hash("brought over", 4).unwrap();
    let replaced = ReplacedUser { old: stored, new, attributes: Vec::new() };
    assert!(resets.store.replace_users(&[replaced], &Actor::Service, now).await.unwrap().is_some());
    assert_eq!(resets.store.one_time_password(id).await.unwrap(), None);
    resets.client.clone().log_in("alice", "brought over").await.unwrap();
}
