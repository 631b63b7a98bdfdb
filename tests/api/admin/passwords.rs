//! Owns what administrators do to passwords: they have the server make one that works once, and see no other.

use sea_orm::ConnectionTrait;
use signet::{
    model::{AudienceName, BuiltInRole, Error, Principal, UserId},
    proto::{
        identity::admin::v1::{
            CreateUserRequest, DeleteUserRequest, GetUserRequest, ResetPasswordRequest,
            ResetPasswordResponse, UpdateUserRequest, User, get_user_request::Which, user::PasswordState,
            user_service_client::UserServiceClient,
        },
        identity::v1::{IssueTokenRequest, SetNewPasswordRequest},
    },
};
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use super::AdminApi;
use crate::{
    clients::{Wanted, operator, register},
    harness::{assert_refused, with_token},
    operator::{authority_of, by, by_operator, owned},
};

struct Users {
    client: UserServiceClient<Channel>,
    token: String,
}

impl Users {
    async fn of(api: &AdminApi, token: &str) -> Self {
        Self { client: UserServiceClient::new(api.channel().await), token: token.to_owned() }
    }

    async fn reset(
        &mut self,
        id: UserId,
        etag: &str,
        request_id: &str,
    ) -> Result<ResetPasswordResponse, Status> {
        let request = ResetPasswordRequest {
            id: id.to_string(),
            etag: etag.to_owned(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        Ok(self.client.reset_password(with_token(request, &self.token)).await?.into_inner())
    }

    async fn get(&mut self, id: UserId) -> User {
        let request = GetUserRequest { which: Some(Which::Id(id.to_string())) };
        self.client.get_user(with_token(request, &self.token)).await.unwrap().into_inner().user.unwrap()
    }

    async fn rename(&mut self, id: UserId, username: &str) -> Result<(), Status> {
        let user = User { id: id.to_string(), username: username.to_owned(), ..User::default() };
        let request = UpdateUserRequest { user: Some(user), ..UpdateUserRequest::default() };
        self.client.update_user(with_token(request, &self.token)).await.map(drop)
    }

    async fn create(&mut self, request: CreateUserRequest) -> Result<(User, String), Status> {
        let made = self.client.create_user(with_token(request, &self.token)).await?.into_inner();
        Ok((made.user.unwrap(), made.one_time_password))
    }
}

#[tokio::test]
async fn an_admin_who_cannot_log_in_is_not_the_one_who_stays() {
    let api = AdminApi::start().await;
    let (root, token) = api.administrator(BuiltInRole::Admin, "rita").await;
    let request = CreateUserRequest {
        user: Some(User { username: "carol".to_owned(), ..User::default() }),
        ..CreateUserRequest::default()
    };
    let (carol, one_time) = Users::of(&api, &token).await.create(request).await.unwrap();
    let carol = UserId(carol.id.parse().unwrap());
    // That makes void what she could have logged in with.
    api.give(BuiltInRole::Admin, carol).await;
    choose(&api, "carol", &one_time).await.unwrap_err();
    // Who has lost what she was shown could not log in, and nobody else could.
    for only_asked in [true, false] {
        let request =
            ResetPasswordRequest { id: root.to_string(), validate_only: only_asked, ..Default::default() };
        let refused = Users::of(&api, &token).await.client.reset_password(with_token(request, &token)).await;
        assert_refused(refused, Code::FailedPrecondition, "LAST_ADMIN");
    }
    let now = api.server.clock.now();
    let authority = authority_of(&api.store, root, BuiltInRole::Admin.scopes().as_str(), now).await;
    let refused = api.store.set_active(root, false, by(&authority, now)).await;
    assert!(matches!(refused, Err(Error::LastAdmin)), "{refused:?}");
    let refused = api.store.delete_user(root, None, now).await;
    assert!(matches!(refused, Err(Error::LastAdmin)), "{refused:?}");
    api.store.set_password(carol, "of another system", by_operator(now)).await.unwrap();
    // A one-time password can be used for a day, and then nobody could log in.
    Users::of(&api, &token).await.reset(carol, "", "").await.unwrap();
    let refused = api.store.set_active(root, false, by(&authority, now)).await;
    assert!(matches!(refused, Err(Error::LastAdmin)), "{refused:?}");
    api.store.set_password(carol, "of another system", by_operator(now)).await.unwrap();
    api.store.set_active(root, false, by(&authority, now)).await.unwrap();
}

/// A client that administers from the first start has the first admins made.
#[tokio::test]
async fn an_admin_who_has_no_password_is_given_one_though_no_other_admin_has_any() {
    let api = AdminApi::start().await;
    let scopes = BuiltInRole::Admin.scopes();
    let scopes = scopes.as_str();
    let provisioner =
        register(&operator(&api.server).await, "provisioner", Wanted::confidential(scopes)).await.unwrap();
    let asked = IssueTokenRequest { scope: scopes.to_owned(), ..provisioner.own_token() };
    let token = api.client.clone().0.issue_token(asked).await.unwrap().into_inner().access_token;
    let mut users = Users::of(&api, &token).await;
    let request = CreateUserRequest {
        user: Some(User { username: "carol".to_owned(), ..User::default() }),
        ..CreateUserRequest::default()
    };
    let (carol, _) = users.create(request).await.unwrap();
    let carol = UserId(carol.id.parse().unwrap());
    api.give(BuiltInRole::Admin, carol).await;
    for _ in 0..2 {
        users.reset(carol, "", "").await.unwrap();
    }
    let shown = users.reset(carol, "", "").await.unwrap().one_time_password;
    choose(&api, "carol", &shown).await.unwrap();
    assert_refused(users.reset(carol, "", "").await, Code::FailedPrecondition, "LAST_ADMIN");
}

async fn choose(api: &AdminApi, username: &str, one_time: &str) -> Result<(), Status> {
    let request = SetNewPasswordRequest {
        username: username.to_owned(),
        one_time_password: one_time.to_owned(),
        new_password: "one of my own".to_owned(),
    };
    api.server.client().await.0.set_new_password(request).await.map(drop)
}

#[tokio::test]
async fn a_reset_is_shown_once_and_the_state_of_the_password_after_it() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::UserManager, "manager").await;
    let (mut users, alice) = (Users::of(&api, &token).await, api.user("alice").await);
    let before = users.get(alice).await;
    assert_eq!(before.password_state(), PasswordState::Set);
    api.server.clock.advance(std::time::Duration::from_secs(1));
    let request_id = Uuid::from_u128(7).to_string();
    let first = users.reset(alice, &before.etag, &request_id).await.unwrap();
    let again = users.reset(alice, &before.etag, &request_id).await.unwrap();
    assert_eq!((again.one_time_password.as_str(), again.expire_time), ("", first.expire_time));
    let stale = users.reset(alice, &before.etag, "").await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    let after = users.get(alice).await;
    assert_eq!(after.password_state(), PasswordState::OneTime);
    assert_eq!(after.one_time_password_expire_time, first.expire_time);
    let refused = api.server.client().await.log_in("alice", &first.one_time_password).await;
    assert_refused(refused, Code::Unauthenticated, "PASSWORD_CHANGE_REQUIRED");
    choose(&api, "alice", &first.one_time_password).await.unwrap();
    assert_eq!(users.get(alice).await.password_state(), PasswordState::Set);
    // Void once she administers; and then nobody resets her who holds less.
    let second = users.reset(alice, "", "").await.unwrap().one_time_password;
    api.give(BuiltInRole::Admin, alice).await;
    assert_eq!(users.get(alice).await.password_state(), PasswordState::None);
    assert_refused(choose(&api, "alice", &second).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    assert_refused(users.reset(alice, "", "").await, Code::PermissionDenied, "HOLDS_MORE");
    let nobody = users.reset(UserId(Uuid::nil()), "", "").await;
    assert_refused(nobody, Code::NotFound, "USER_NOT_FOUND");
    api.audited("password.reset", 2).await;
}

#[tokio::test]
async fn a_new_user_has_no_password_that_anybody_chose_for_it() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::UserManager, "manager").await;
    let mut users = Users::of(&api, &token).await;
    let user =
        User { username: "ruth".to_owned(), email: Some("r@example.com".to_owned()), ..User::default() };
    let asked = CreateUserRequest { user: Some(user), ..CreateUserRequest::default() };
    let judged = users.create(CreateUserRequest { validate_only: true, ..asked.clone() }).await.unwrap();
    assert_eq!(judged.1, "");
    let asked = CreateUserRequest { request_id: Uuid::from_u128(7).to_string(), ..asked };
    let (made, one_time) = users.create(asked.clone()).await.unwrap();
    assert_eq!(
        (made.password_state(), made.email.as_deref()),
        (PasswordState::OneTime, Some("r@example.com"))
    );
    assert_eq!(users.create(asked.clone()).await.unwrap(), (made.clone(), String::new()));
    choose(&api, "ruth", &one_time).await.unwrap();
    api.server.client().await.log_in("ruth", "one of my own").await.unwrap();
    let again = users.create(CreateUserRequest { request_id: String::new(), ..asked }).await;
    assert_refused(again, Code::AlreadyExists, "USERNAME_TAKEN");
    assert_refused(users.create(CreateUserRequest::default()).await, Code::InvalidArgument, "INVALID_FIELDS");
}

/// A name is what people go by who bind roles, and who take a message for somebody's.
#[tokio::test]
async fn nobody_is_given_the_name_of_whom_the_manager_could_not_become() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::UserManager, "manager").await;
    let (_, root) = api.administrator(BuiltInRole::Admin, "boss").await;
    let (mut manager, mut boss) = (Users::of(&api, &token).await, Users::of(&api, &root).await);
    let (alice, retired, carol) =
        (api.user("alice").await, api.user("retired").await, api.user("carol").await);
    let (former, owner) = (api.user("former").await, api.user("owner").await);
    let owners = owned(|_| vec![Principal::User(owner)]);
    let change = by_operator(api.server.clock.now());
    api.store.update_audience(&AudienceName::signet(), None, owners, change).await.unwrap();
    for user in [retired, former] {
        api.give(BuiltInRole::Auditor, user).await;
    }
    // As an upgrade leaves it: the release before has noted nobody.
    let db = api.server.data.connect().await;
    db.execute_unprepared("DELETE FROM administrators").await.unwrap();
    db.close().await.unwrap();
    // What it had is taken away before the account is.
    api.take(BuiltInRole::Auditor, former).await;
    // Old enough to be known by their names; and the tokens are new.
    api.server.clock.advance(std::time::Duration::from_hours(25));
    let all = BuiltInRole::UserManager.scopes().as_str().to_owned();
    manager.token = api.log_in("manager", &all).await.access_token;
    boss.token = api.log_in("boss", BuiltInRole::Admin.scopes().as_str()).await.access_token;
    let mut less = Users::of(&api, &api.log_in("manager", "signet.users.write").await.access_token).await;
    for gone in [alice, retired, former, owner] {
        let request = DeleteUserRequest { id: gone.to_string(), ..DeleteUserRequest::default() };
        boss.client.delete_user(with_token(request, &boss.token)).await.unwrap();
    }
    let named = |name: &str| CreateUserRequest {
        user: Some(User { username: name.to_owned(), ..User::default() }),
        ..CreateUserRequest::default()
    };
    // Reserved, of one who administered or owned an audience, and, for whoever resets nobody, of anybody.
    for name in ["root", "R00T", "retired", "Retired", "former", "owner"] {
        assert_refused(boss.create(named(name)).await, Code::AlreadyExists, "USERNAME_TAKEN");
        assert_refused(manager.rename(carol, name).await, Code::AlreadyExists, "USERNAME_TAKEN");
    }
    assert_refused(less.create(named("alice")).await, Code::AlreadyExists, "USERNAME_TAKEN");
    assert_refused(less.rename(carol, "alice").await, Code::AlreadyExists, "USERNAME_TAKEN");
    // Nor by renaming whoever it is, whose password the manager may know.
    assert_refused(manager.rename(carol, "alice").await, Code::AlreadyExists, "USERNAME_TAKEN");
    assert_refused(boss.rename(carol, "alice").await, Code::AlreadyExists, "USERNAME_TAKEN");
    manager.create(named("alice")).await.unwrap();
    // Only while it rests; and a name that is given up does.
    manager.rename(carol, "karla").await.unwrap();
    assert_refused(less.create(named("carol")).await, Code::AlreadyExists, "USERNAME_TAKEN");
    assert_refused(manager.rename(carol, "carol").await, Code::AlreadyExists, "USERNAME_TAKEN");
    api.server.clock.advance(std::time::Duration::from_hours(31 * 24));
    let less_again = api.log_in("manager", "signet.users.write").await.access_token;
    less.token = less_again;
    for name in ["retired", "former"] {
        less.create(named(name)).await.unwrap();
    }
}
