//! Owns `UserService`: what administrators see of users, what they change, and whom they do not.

use base64ct::{Base64UrlUnpadded, Encoding};
use prost_types::FieldMask;
use signet::{
    model::{BuiltInRole, UserId},
    proto::identity::admin::v1::{
        BatchDeleteUsersRequest, BatchDisableUsersRequest, BatchGetUsersRequest, ClearThrottleRequest,
        DeleteUserRequest, DisableUserRequest, EnableUserRequest, GetUserRequest, ListUsersRequest,
        UpdateUserRequest, User, get_user_request::Which, user_service_client::UserServiceClient,
    },
    proto::identity::v1::{DeleteMeRequest, IssueTokenRequest},
};
use tempfile::TempDir;
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use super::AdminApi;
use crate::{
    harness::{PASSWORD, TestServer, assert_refused, eventually, password_grant, with_token},
    operator::{applied, by_operator},
};

/// Whoever calls `UserService` by a token.
struct Caller {
    service: UserServiceClient<Channel>,
    token: String,
}

macro_rules! calls {
    ($($method:ident($request:ty) -> $response:ident;)+) => {$(
        async fn $method(&self, request: $request) -> Result<signet::proto::identity::admin::v1::$response, Status> {
            let request = with_token(request, &self.token);
            self.service.clone().$method(request).await.map(tonic::Response::into_inner)
        }
    )+};
}

impl Caller {
    async fn new(api: &AdminApi, token: String) -> Self {
        Self { service: UserServiceClient::new(api.channel().await), token }
    }

    calls! {
        get_user(GetUserRequest) -> GetUserResponse;
        list_users(ListUsersRequest) -> ListUsersResponse;
        update_user(UpdateUserRequest) -> UpdateUserResponse;
        disable_user(DisableUserRequest) -> DisableUserResponse;
        enable_user(EnableUserRequest) -> EnableUserResponse;
        delete_user(DeleteUserRequest) -> DeleteUserResponse;
        batch_get_users(BatchGetUsersRequest) -> BatchGetUsersResponse;
        batch_disable_users(BatchDisableUsersRequest) -> BatchDisableUsersResponse;
        batch_delete_users(BatchDeleteUsersRequest) -> BatchDeleteUsersResponse;
        clear_throttle(ClearThrottleRequest) -> ClearThrottleResponse;
    }

    async fn user(&self, id: UserId) -> User {
        let which = Some(Which::Id(id.to_string()));
        self.get_user(GetUserRequest { which }).await.unwrap().user.unwrap()
    }

    /// Every way to change the user `id`, and what each is answered with.
    async fn changes(&self, id: UserId) -> Vec<(&'static str, Status)> {
        let id = id.to_string();
        let user = User { id: id.clone(), username: "renamed".to_owned(), ..User::default() };
        let ids = vec![id.clone()];
        let refused = |refused: Result<(), Status>| refused.expect_err("must be refused");
        vec![
            ("update", refused(self.update_user(update(user)).await.map(drop))),
            ("disable", refused(self.disable_user(disable(&id)).await.map(drop))),
            (
                "enable",
                refused(
                    self.enable_user(EnableUserRequest { id: id.clone(), ..EnableUserRequest::default() })
                        .await
                        .map(drop),
                ),
            ),
            (
                "delete",
                refused(
                    self.delete_user(DeleteUserRequest { id: id.clone(), ..DeleteUserRequest::default() })
                        .await
                        .map(drop),
                ),
            ),
            (
                "clear",
                refused(
                    self.clear_throttle(ClearThrottleRequest { id, ..Default::default() }).await.map(drop),
                ),
            ),
            (
                "disable all",
                refused(
                    self.batch_disable_users(BatchDisableUsersRequest {
                        ids: ids.clone(),
                        ..BatchDisableUsersRequest::default()
                    })
                    .await
                    .map(drop),
                ),
            ),
            (
                "delete all",
                refused(
                    self.batch_delete_users(BatchDeleteUsersRequest {
                        ids,
                        ..BatchDeleteUsersRequest::default()
                    })
                    .await
                    .map(drop),
                ),
            ),
        ]
    }
}

fn update(user: User) -> UpdateUserRequest {
    UpdateUserRequest { user: Some(user), ..UpdateUserRequest::default() }
}

fn disable(id: &str) -> DisableUserRequest {
    DisableUserRequest { id: id.to_owned(), ..DisableUserRequest::default() }
}

fn by_name(name: &str) -> GetUserRequest {
    GetUserRequest { which: Some(Which::Username(name.to_owned())) }
}

fn starting_with(prefix: &str) -> ListUsersRequest {
    ListUsersRequest { username_prefix: Some(prefix.to_owned()), ..ListUsersRequest::default() }
}

async fn manager(api: &AdminApi) -> Caller {
    let (_, token) = api.administrator(BuiltInRole::UserManager, "manager").await;
    Caller::new(api, token).await
}

#[tokio::test]
async fn a_user_is_found_by_id_and_by_name_in_any_spelling_with_what_is_left_of_its_allowance() {
    let api = AdminApi::start_with(&["--account-failures=10"]).await;
    let (manager, alice) = (manager(&api).await, api.user("Alice").await);
    let found = manager.get_user(by_name("ALICE")).await.unwrap().user.unwrap();
    assert_eq!((found.id.as_str(), found.username.as_str()), (alice.to_string().as_str(), "Alice"));
    assert!(found.is_active && found.last_login_time.is_none() && !found.etag.is_empty());
    let throttle = found.throttle.unwrap();
    assert_eq!((throttle.failures_left, throttle.full_time), (10, None));

    let mut client = api.client.clone();
    for _ in 0..3 {
        client.log_in("alice", "a wrong password").await.unwrap_err();
    }
    client.log_in("alice", PASSWORD).await.unwrap();
    let failed = manager.user(alice).await;
    assert_eq!(failed.etag, found.etag, "a login is no change");
    assert!(failed.last_login_time.is_some());
    let throttle = failed.throttle.unwrap();
    assert!(throttle.failures_left == 7 && throttle.full_time.is_some(), "{throttle:?}");
    for _ in 0..2 {
        manager
            .clear_throttle(ClearThrottleRequest { id: alice.to_string(), ..Default::default() })
            .await
            .unwrap();
    }
    assert_eq!(manager.user(alice).await.throttle.unwrap().failures_left, 10);
    let lines = api.audited("user.throttle_cleared", 1).await;
    assert_eq!((&lines[0]["actor"], &lines[0]["user_id"]), (&"user".into(), &alice.to_string().into()));

    for which in [Some(Which::Username("bob".to_owned())), Some(Which::Id(Uuid::nil().to_string()))] {
        assert_refused(manager.get_user(GetUserRequest { which }).await, Code::NotFound, "USER_NOT_FOUND");
    }
    for which in [None, Some(Which::Username(String::new())), Some(Which::Id("alice".to_owned()))] {
        assert_refused(
            manager.get_user(GetUserRequest { which }).await,
            Code::InvalidArgument,
            "INVALID_FIELDS",
        );
    }
    let ids = vec![Uuid::nil().to_string(), alice.to_string()];
    let got = manager.batch_get_users(BatchGetUsersRequest { ids }).await.unwrap().users;
    assert_eq!(got.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), [alice.to_string()]);
}

#[tokio::test]
async fn users_are_listed_page_by_page_by_tokens_of_one_filter() {
    let api = AdminApi::start().await;
    let manager = manager(&api).await;
    for name in ["anna", "alice", "Albert", "bob"] {
        api.user(name).await;
    }
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListUsersRequest { page_size: 1, page_token: token, ..starting_with("A") };
        let page = manager.list_users(request).await.unwrap();
        assert!(page.users.len() <= 1);
        names.extend(page.users.into_iter().map(|user| user.username));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["Albert", "alice", "anna"]);
    let first = manager.list_users(ListUsersRequest { page_size: 1, ..starting_with("a") }).await.unwrap();
    let page_token = first.next_page_token;
    // For the same list, but with a time in the place of a name.
    let mut forged = Base64UrlUnpadded::decode_vec(&page_token).unwrap();
    forged.truncate(24);
    forged.extend([&[2][..], &0_i64.to_be_bytes()].concat());
    let forged = Base64UrlUnpadded::encode_string(&forged);
    for other in [
        ListUsersRequest { page_token: page_token.clone(), ..starting_with("al") },
        ListUsersRequest { page_token: page_token.clone(), ..ListUsersRequest::default() },
        ListUsersRequest { page_token: page_token.clone(), is_active: Some(true), ..starting_with("a") },
        ListUsersRequest { page_token: page_token[1..].to_owned(), ..starting_with("a") },
        ListUsersRequest { page_token: forged, ..starting_with("a") },
        ListUsersRequest { page_token: "x".repeat(4_096), ..starting_with("a") },
        ListUsersRequest { page_size: -1, ..ListUsersRequest::default() },
        starting_with(&"a".repeat(4_096)),
        ListUsersRequest { group_id: "night".to_owned(), ..ListUsersRequest::default() },
    ] {
        assert_refused(manager.list_users(other).await, Code::InvalidArgument, "INVALID_FIELDS");
    }
    for nobody in ["%", "_", "a\0", "\u{10ffff}", &"a".repeat(512)] {
        assert!(manager.list_users(starting_with(nobody)).await.unwrap().users.is_empty(), "{nobody:?}");
    }
}

#[tokio::test]
async fn a_user_is_changed_by_mask_and_etag_once_however_often_it_is_asked() {
    let api = AdminApi::start().await;
    let (manager, alice) = (manager(&api).await, api.user("alice").await);
    api.user("bob").await;
    let before = manager.user(alice).await;
    let wanted =
        User { username: "Greta".to_owned(), email: Some("g@example.com".to_owned()), ..before.clone() };
    let only_checked = UpdateUserRequest { validate_only: true, ..update(wanted.clone()) };
    let checked = manager.update_user(only_checked).await.unwrap().user.unwrap();
    assert_eq!(checked.username, "Greta");
    assert_eq!(manager.user(alice).await, before, "nothing is written");

    let request = UpdateUserRequest { request_id: Uuid::from_u128(1).to_string(), ..update(wanted.clone()) };
    let changed = manager.update_user(request.clone()).await.unwrap().user.unwrap();
    assert_eq!((changed.username.as_str(), changed.email.as_deref()), ("Greta", Some("g@example.com")));
    // Its etag is that of before, and all the same the repetition is no conflict.
    assert_eq!(manager.update_user(request.clone()).await.unwrap().user.unwrap(), changed);
    let reused =
        UpdateUserRequest { update_mask: Some(FieldMask { paths: vec!["email".to_owned()] }), ..request };
    assert_refused(manager.update_user(reused).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_refused(manager.update_user(update(wanted)).await, Code::Aborted, "ETAG_MISMATCH");

    let masked = |paths: &[&str], user: User| UpdateUserRequest {
        update_mask: Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        ..update(user)
    };
    let bare = || User { id: alice.to_string(), ..User::default() };
    let cleared = manager.update_user(masked(&["email"], bare())).await.unwrap().user.unwrap();
    assert_eq!((cleared.username.as_str(), cleared.email), ("Greta", None));
    for (refused, code, reason) in [
        (masked(&["*"], bare()), Code::InvalidArgument, "INVALID_FIELDS"),
        (masked(&["is_active"], bare()), Code::InvalidArgument, "INVALID_FIELDS"),
        (masked(&["email"; 65], bare()), Code::InvalidArgument, "INVALID_FIELDS"),
        (UpdateUserRequest::default(), Code::InvalidArgument, "INVALID_FIELDS"),
        (
            update(User { username: "two words".to_owned(), ..bare() }),
            Code::InvalidArgument,
            "INVALID_FIELDS",
        ),
        (update(User { username: "BOB".to_owned(), ..bare() }), Code::AlreadyExists, "USERNAME_TAKEN"),
        (update(User { id: Uuid::nil().to_string(), ..bare() }), Code::NotFound, "USER_NOT_FOUND"),
    ] {
        assert_refused(manager.update_user(refused).await, code, reason);
    }
    let renamed = User { username: "gretel".to_owned(), ..bare() };
    assert_eq!(manager.update_user(update(renamed)).await.unwrap().user.unwrap().username, "gretel");
    let lines = api.audited("user.updated", 3).await;
    assert_eq!(lines[0]["changed"], serde_json::json!(["username", "email"]));
    assert!(lines.iter().all(|line| !line.to_string().contains("Greta")), "{lines:#?}");
}

#[tokio::test]
async fn who_is_disabled_or_deleted_is_out_at_once() {
    // It remembers users and sessions, as by default.
    let (server, audit) = (TestServer::start(&[]).await, TempDir::new().unwrap());
    let (store, client) = (server.store().await, server.client().await);
    let api = AdminApi { server, store, client, audit };
    let manager = manager(&api).await;
    let mut client = api.client.clone();
    for number in 0..4 {
        let alice = api.user(&format!("alice{number}")).await;
        let id = alice.to_string();
        let token = client.log_in(&format!("alice{number}"), PASSWORD).await.unwrap().access_token;
        client.get_me(&token).await.unwrap();
        match number {
            0 => assert!(!manager.disable_user(disable(&id)).await.unwrap().user.unwrap().is_active),
            1 => {
                let request = DeleteUserRequest { id: id.clone(), ..DeleteUserRequest::default() };
                let checked = DeleteUserRequest { validate_only: true, ..request.clone() };
                manager.delete_user(checked).await.unwrap();
                client.get_me(&token).await.unwrap();
                let request = DeleteUserRequest { request_id: Uuid::from_u128(7).to_string(), ..request };
                for _ in 0..2 {
                    manager.delete_user(request.clone()).await.unwrap();
                }
            }
            2 => {
                let ids = vec![id.clone()];
                let request = BatchDisableUsersRequest { ids, ..BatchDisableUsersRequest::default() };
                manager.batch_disable_users(request).await.unwrap();
            }
            _ => {
                let ids = vec![id.clone()];
                let request = BatchDeleteUsersRequest { ids, ..BatchDeleteUsersRequest::default() };
                manager.batch_delete_users(request).await.unwrap();
            }
        }
        assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
        if number % 2 == 0 {
            let request = EnableUserRequest { id, ..EnableUserRequest::default() };
            assert!(manager.enable_user(request).await.unwrap().user.unwrap().is_active);
            assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
        }
    }
}

#[tokio::test]
async fn a_user_manager_changes_nobody_who_holds_more_active_or_not() {
    let api = AdminApi::start().await;
    let manager = manager(&api).await;
    let (admin, auditor) = (api.user("ruth").await, api.user("reader").await);
    api.give(BuiltInRole::Admin, admin).await;
    api.give(BuiltInRole::Auditor, auditor).await;
    let change = crate::operator::by_operator(api.server.clock.now());
    api.store.set_active(auditor, false, change).await.unwrap();
    for id in [admin, auditor] {
        let before = manager.user(id).await;
        for (how, refused) in manager.changes(id).await {
            assert_refused::<()>(Err(refused), Code::PermissionDenied, "HOLDS_MORE");
            assert_eq!(manager.user(id).await, before, "{how}");
        }
    }
    // Among others, all of them stay what they are.
    let alice = api.user("alice").await;
    let ids = vec![alice.to_string(), admin.to_string()];
    let request = BatchDeleteUsersRequest { ids, ..BatchDeleteUsersRequest::default() };
    assert_refused(manager.batch_delete_users(request).await, Code::PermissionDenied, "HOLDS_MORE");
    assert!(manager.user(alice).await.is_active);
}

#[tokio::test]
async fn the_last_admin_stays_whoever_asks() {
    let api = AdminApi::start().await;
    let (root, token) = api.administrator(BuiltInRole::Admin, "ruth").await;
    let admin = Caller::new(&api, token.clone()).await;
    let id = root.to_string();
    let delete = || DeleteUserRequest { id: id.clone(), ..DeleteUserRequest::default() };
    let delete_me = || with_token(DeleteMeRequest { password: PASSWORD.to_owned() }, &token);
    let mut client = api.client.clone();
    assert_refused(admin.disable_user(disable(&id)).await, Code::FailedPrecondition, "LAST_ADMIN");
    assert_refused(admin.delete_user(delete()).await, Code::FailedPrecondition, "LAST_ADMIN");
    assert_refused(client.0.delete_me(delete_me()).await, Code::FailedPrecondition, "LAST_ADMIN");
    let second = api.user("second").await;
    api.give(BuiltInRole::Admin, second).await;
    admin.disable_user(disable(&second.to_string())).await.unwrap();
    assert_refused(client.0.delete_me(delete_me()).await, Code::FailedPrecondition, "LAST_ADMIN");
    let enable = EnableUserRequest { id: second.to_string(), ..EnableUserRequest::default() };
    admin.enable_user(enable).await.unwrap();
    client.0.delete_me(delete_me()).await.unwrap();
    assert!(api.store.user(root).await.unwrap().is_none());
}

#[tokio::test]
async fn a_batch_has_bounds_and_is_done_to_all_or_to_none() {
    let api = AdminApi::start().await;
    let (manager, alice) = (manager(&api).await, api.user("alice").await);
    let of = |count: usize| vec![alice.to_string(); count];
    for ids in [of(0), of(501), vec!["alice".to_owned()]] {
        let refused = manager.batch_get_users(BatchGetUsersRequest { ids }).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    }
    for ids in [of(0), of(101)] {
        let request = BatchDisableUsersRequest { ids: ids.clone(), ..BatchDisableUsersRequest::default() };
        assert_refused(manager.batch_disable_users(request).await, Code::InvalidArgument, "INVALID_FIELDS");
        let request = BatchDeleteUsersRequest { ids, ..BatchDeleteUsersRequest::default() };
        assert_refused(manager.batch_delete_users(request).await, Code::InvalidArgument, "INVALID_FIELDS");
    }
    let ids = vec![alice.to_string(), Uuid::max().to_string()];
    let request = BatchDisableUsersRequest { ids, ..BatchDisableUsersRequest::default() };
    assert_refused(manager.batch_disable_users(request).await, Code::NotFound, "USER_NOT_FOUND");
    assert!(manager.user(alice).await.is_active);
    let request = BatchDisableUsersRequest { ids: of(100), ..BatchDisableUsersRequest::default() };
    manager.batch_disable_users(request).await.unwrap();
    assert!(!manager.user(alice).await.is_active);
    api.audited("user.disabled", 1).await;
}

/// A replica remembers who has which roles, and an import uses the ids of an export again.
#[tokio::test]
async fn whoever_is_deleted_and_imported_again_has_no_role_of_before() {
    let api = AdminApi::start_as(&[]).await;
    let alice = api.user("alice").await;
    api.give(BuiltInRole::Auditor, alice).await;
    let given = async || {
        let scope = "profile signet.users.read".to_owned();
        let asked = IssueTokenRequest { scope, ..password_grant("alice", PASSWORD) };
        let login = api.server.client().await.0.issue_token(asked).await.ok()?;
        Some(login.into_inner().scope)
    };
    let both = Some("profile signet.users.read".to_owned());
    eventually("the role is heard of", async || given().await == both).await;
    let (kept, now) = (api.store.users_among(&[], &[alice]).await.unwrap(), api.server.clock.now());
    applied(api.store.delete_users(alice, &|_| None, by_operator(now)).await.unwrap());
    api.store.add_users(&kept, now).await.unwrap().unwrap();
    eventually("nothing is left of the role", async || given().await.as_deref() == Some("profile")).await;
}
