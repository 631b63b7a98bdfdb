//! Owns that whoever has used a one-time password made for somebody else does not come to administer by what it chose.

use std::time::Duration;

use signet::{
    identity::{
        Administrator,
        access::{NewRole, PrincipalRef, RoleChange, ScopeChange},
        users::UserRef,
    },
    model::{AudienceName, BuiltInRole, Description, NameSet, RoleName},
    proto::identity::v1::{
        ChangePasswordRequest, IssueTokenRequest, RefreshTokenGrant, issue_token_request::Grant,
    },
};
use tonic::Code;

use super::{NEW, Resets, of_signet, user, void::Way};
use crate::harness::{PASSWORD, assert_refused, with_token};

impl Resets {
    /// A server where `manager` manages users, and `helper` is a role of the service's own audience.
    async fn managed() -> (Self, Administrator) {
        let resets = Self::start(&[]).await;
        resets.client.clone().sign_up("manager", PASSWORD).await.unwrap();
        resets.bind(BuiltInRole::UserManager.name(), &user("manager"), true).await;
        let manager = resets.administrator("manager", BuiltInRole::UserManager.scopes().as_str()).await;
        (resets, manager)
    }

    /// Has `by` reset alice's password, and choose the next one itself.
    async fn take_over(&self, by: &Administrator) {
        let alice = UserRef::Name("alice".to_owned());
        let reset = self.passwords().reset(&alice, None, by).await.unwrap();
        self.set("alice", &reset.one_time_password.unwrap().text(), NEW).await.unwrap();
    }

    async fn must_not_log_in(&self, password: &str) {
        let refused = self.client.clone().log_in("alice", password).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }

    async fn refresh(&self, refresh_token: String) -> Result<String, tonic::Status> {
        let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token });
        let request = IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() };
        let issued = self.client.clone().0.issue_token(request).await?.into_inner();
        Ok(issued.refresh_token.unwrap())
    }

    /// Gives alice a scope that administers the service by a role that she has.
    async fn widen_helper(&self) {
        let operator = Administrator::operator();
        let scopes = ScopeChange::All(NameSet::parse("signet.keys.read").unwrap());
        let change = RoleChange { scopes: Some(scopes), ..RoleChange::default() };
        self.access().update_role(&of_signet("helper"), &change, &operator).await.unwrap();
    }

    async fn add_empty_helper(&self) {
        let new = NewRole {
            audience: AudienceName::signet(),
            name: RoleName::parse("helper").unwrap(),
            scopes: NameSet::default(),
            description: Description::default(),
        };
        self.access().create_role(new, &Administrator::operator()).await.unwrap();
        self.bind("helper", &user("alice"), true).await;
    }
}

#[tokio::test]
async fn the_password_that_it_chose_ends_once_its_user_gains_what_its_maker_lacked() {
    for way in [Way::Binding, Way::Member, Way::GroupBinding, Way::RoleScope] {
        let (resets, manager) = Resets::managed().await;
        resets.add_empty_helper().await;
        resets.take_over(&manager).await;
        // Days later, and after a change of the password that whoever knows it can make as well.
        resets.server.clock.advance(Duration::from_hours(48));
        let token = resets.client.clone().log_in("alice", NEW).await.unwrap().access_token;
        let chosen = "another of my own";
        let change =
            ChangePasswordRequest { current_password: NEW.to_owned(), new_password: chosen.to_owned() };
        resets.client.clone().0.change_password(with_token(change, &token)).await.unwrap();
        let login = resets.client.clone().log_in("alice", chosen).await.unwrap();
        let refreshed = resets.refresh(login.refresh_token.unwrap()).await.unwrap();
        match way {
            Way::RoleScope => resets.widen_helper().await,
            other => resets.give(other, "alice").await,
        }
        resets.must_not_log_in(chosen).await;
        resets.must_not_log_in(NEW).await;
        let refused = resets.refresh(refreshed).await;
        assert_refused(refused, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
        // Whoever has as much gives another one, which stays.
        let again = resets.reset("alice").await;
        resets.set("alice", &again, NEW).await.unwrap();
        resets.bind(BuiltInRole::Admin.name(), &user("alice"), true).await;
        resets.client.clone().log_in("alice", NEW).await.unwrap();
    }
}

#[tokio::test]
async fn it_stays_if_its_maker_had_as_much_or_nothing_is_gained() {
    let (resets, manager) = Resets::managed().await;
    resets.client.clone().sign_up("boss", PASSWORD).await.unwrap();
    resets.bind(BuiltInRole::Admin.name(), &user("boss"), true).await;
    let all = resets.administrator("boss", BuiltInRole::Admin.scopes().as_str()).await;
    // What the manager has as well is nothing to gain for it; and what others are given is not alice's.
    resets.take_over(&manager).await;
    resets.bind(BuiltInRole::UserManager.name(), &user("alice"), true).await;
    resets.client.clone().sign_up("bob", PASSWORD).await.unwrap();
    resets.bind(BuiltInRole::Admin.name(), &user("bob"), true).await;
    resets.client.clone().log_in("alice", NEW).await.unwrap();
    // An admin who shows all it has, and the operator.
    resets.take_over(&all).await;
    resets.bind(BuiltInRole::Admin.name(), &user("alice"), true).await;
    resets.client.clone().log_in("alice", NEW).await.unwrap();
    resets.bind(BuiltInRole::Admin.name(), &user("alice"), false).await;
    // One who shows less lacks the rest.
    let less = resets.administrator("boss", BuiltInRole::UserManager.scopes().as_str()).await;
    resets.take_over(&less).await;
    resets.bind(BuiltInRole::Admin.name(), &user("alice"), true).await;
    resets.must_not_log_in(NEW).await;
    // Nor does it come back when the scope is taken away.
    resets.bind(BuiltInRole::Admin.name(), &user("alice"), false).await;
    resets.must_not_log_in(NEW).await;
    let PrincipalRef::User(alice) = user("alice") else { unreachable!("it is a user") };
    let again = resets.passwords().reset(&alice, None, &manager).await.unwrap().one_time_password.unwrap();
    resets.must_change("alice", &again.text()).await;
}
