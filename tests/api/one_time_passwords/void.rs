//! Owns that whoever has a one-time password for somebody does not come to administer by it.

use sea_orm::{
    ConnectionTrait,
    sea_query::{Expr, ExprTrait, Query},
};
use signet::{
    identity::{
        Administrator,
        access::{GroupRef, PrincipalRef},
        users::UserRef,
    },
    model::{BuiltInRole, GroupName},
};
use uuid::Uuid;

use super::{NEW, Resets, user};
use crate::harness::PASSWORD;

/// Each way to give somebody a scope that administers the service.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Binding,
    Member,
    RoleScope,
    GroupBinding,
}

impl Resets {
    /// Makes a group with `username` in it, or without.
    async fn group(&self, name: &str, username: Option<&str>) -> PrincipalRef {
        let (access, operator) = (self.access(), Administrator::operator());
        access.create_group(GroupName::parse(name).unwrap(), &operator).await.unwrap();
        let group = GroupRef(name.to_owned());
        if let Some(username) = username {
            access.add_member(&group, &UserRef::Name(username.to_owned()), &operator).await.unwrap();
        }
        PrincipalRef::Group(group)
    }

    /// Adds the role `helper` to the service's own audience.
    async fn add_helper(&self) {
        let columns = [
            "organization_id",
            "id",
            "audience",
            "name",
            "scopes",
            "description",
            "create_time",
            "update_time",
        ];
        let (nil, id) = (Uuid::nil().into(), Uuid::from_u128(7).into());
        let values =
            [nil, id, "signet".into(), "helper".into(), "help".into(), "".into(), 0.into(), 0.into()];
        let insert = Query::insert().into_table("roles").columns(columns).values_panic(values).to_owned();
        self.server.data.connect().await.execute(&insert).await.unwrap();
    }

    /// Gives `username` such a scope.
    pub(super) async fn give(&self, way: Way, username: &str) {
        let (access, operator) = (self.access(), Administrator::operator());
        let auditor = BuiltInRole::Auditor.name();
        match way {
            Way::Binding => self.bind(auditor, &user(username), true).await,
            Way::Member => {
                let group = self.group("auditors", None).await;
                self.bind(auditor, &group, true).await;
                let PrincipalRef::Group(group) = group else { unreachable!("it is a group") };
                access.add_member(&group, &UserRef::Name(username.to_owned()), &operator).await.unwrap();
            }
            Way::RoleScope => {
                let update = Query::update()
                    .table("roles")
                    .value("scopes", "help signet.users.read")
                    .and_where(Expr::col("name").eq("helper"))
                    .to_owned();
                self.server.data.connect().await.execute(&update).await.unwrap();
            }
            Way::GroupBinding => {
                let group = self.group("reviewers", Some(username)).await;
                self.bind(auditor, &group, true).await;
            }
        }
    }
}

#[tokio::test]
async fn it_is_void_once_its_user_has_a_scope_that_administers_the_service_however_it_comes() {
    for way in [Way::Binding, Way::Member, Way::RoleScope, Way::GroupBinding] {
        let resets = Resets::start(&[]).await;
        resets.add_helper().await;
        resets.bind("helper", &user("alice"), true).await;
        let one_time = resets.reset("alice").await;
        resets.must_change("alice", &one_time).await;
        resets.give(way, "alice").await;
        resets.must_not_fit("alice", &one_time).await;
        assert_eq!(resets.reasons("password.set", 1).await, ["one_time_password_void"], "{way:?}");
        assert_eq!(resets.reasons("login", 2).await.last().unwrap(), "one_time_password_void", "{way:?}");
        // Whoever has the scope gets another one, made beside it.
        let again = resets.reset("alice").await;
        resets.set("alice", &again, NEW).await.unwrap();
    }
}

#[tokio::test]
async fn it_does_not_come_back_when_the_scope_is_taken_away() {
    let resets = Resets::start(&[]).await;
    let auditor = BuiltInRole::Auditor.name();
    let reviewers = resets.group("reviewers", Some("alice")).await;
    for who in [user("alice"), reviewers] {
        let one_time = resets.reset("alice").await;
        resets.bind(auditor, &who, true).await;
        resets.bind(auditor, &who, false).await;
        resets.must_not_fit("alice", &one_time).await;
    }
    // What others are given, and what does not administer the service, is no reason.
    resets.client.clone().sign_up("bob", PASSWORD).await.unwrap();
    let one_time = resets.reset("alice").await;
    resets.bind(auditor, &user("bob"), true).await;
    resets.set("alice", &one_time, NEW).await.unwrap();
}

/// Somebody who administers and has lost the password is helped like anybody else.
#[tokio::test]
async fn what_its_user_had_when_it_was_made_does_not_end_it_and_more_does() {
    let resets = Resets::start(&[]).await;
    let auditor = BuiltInRole::Auditor.name();
    resets.bind(auditor, &user("alice"), true).await;
    let one_time = resets.reset("alice").await;
    resets.bind(BuiltInRole::UserManager.name(), &user("alice"), true).await;
    resets.must_not_fit("alice", &one_time).await;
    let one_time = resets.reset("alice").await;
    resets.bind(auditor, &user("alice"), false).await;
    resets.set("alice", &one_time, NEW).await.unwrap();
}
