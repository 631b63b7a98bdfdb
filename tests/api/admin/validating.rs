//! Owns what `validate_only` does (AIP-163): a change is judged as if it were made, and nothing is.

use prost_types::FieldMask;
use signet::{
    model::BuiltInRole,
    proto::identity::admin::v1::{
        Audience, ClearThrottleRequest, Client, CreateClientRequest, CreateMembershipRequest,
        DeleteBindingRequest, DeleteGroupRequest, DeleteMembershipRequest, DeleteRoleRequest,
        DisableClientRequest, DisableUserRequest, EnableClientRequest, EnableUserRequest, EndSessionRequest,
        EndSessionsRequest, EndSessionsResponse, GetUserRequest, ListSessionsRequest, Membership,
        ResetPasswordRequest, ResetPasswordResponse, RotateClientSecretRequest, UpdateAudienceRequest,
        UpdateBindingRequest, User, client_service_client::ClientServiceClient, end_sessions_request::Of,
        get_user_request::Which, list_sessions_request, session_service_client::SessionServiceClient,
        user_service_client::UserServiceClient,
    },
};
use tonic::Code;
use uuid::Uuid;

use super::{
    AdminApi,
    caller::{in_the_future, user},
};
use crate::harness::{PASSWORD, assert_refused};

fn mask(path: &str) -> FieldMask {
    FieldMask { paths: vec![path.to_owned()] }
}

#[tokio::test]
async fn whoever_only_asks_whether_something_could_be_done_changes_nothing() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "boss").await;
    let (alice, bob) = (api.user("alice").await, api.user("bob").await);
    let role = root.create_role("stock", "picker", "stock.pick").await.unwrap();
    let binding = root.bind(&role.id, user(alice)).await.unwrap();
    let group = root.create_group("night").await.unwrap();
    root.join(&group.id, alice).await.unwrap();
    let (mut roles, mut groups) = (root.roles.clone(), root.groups.clone());
    let (id, validate_only) = (binding.id.clone(), true);

    let end = Some(in_the_future(&api, std::time::Duration::from_hours(1)));
    let changed = signet::proto::identity::admin::v1::Binding { expire_time: end, ..binding.clone() };
    let update = UpdateBindingRequest {
        binding: Some(changed),
        update_mask: Some(mask("expire_time")),
        validate_only,
        ..Default::default()
    };
    let judged = roles.update_binding(root.ask(update)).await.unwrap().into_inner().binding.unwrap();
    assert_eq!((judged.expire_time, judged.etag.as_str()), (end, ""));
    let delete = DeleteBindingRequest { id: id.clone(), validate_only, ..Default::default() };
    roles.delete_binding(root.ask(delete)).await.unwrap();
    let audience = Audience {
        name: "stock".to_owned(),
        owners: vec![user(bob)],
        ..root.audience("stock").await.unwrap()
    };
    let update = UpdateAudienceRequest {
        audience: Some(audience),
        update_mask: Some(mask("owners")),
        validate_only,
        ..Default::default()
    };
    let judged = roles.update_audience(root.ask(update)).await.unwrap().into_inner().audience.unwrap();
    assert_eq!((judged.owners, judged.etag.as_str()), (vec![user(bob)], ""));
    let (group_id, user_id) = (group.id.clone(), bob.to_string());
    let membership = Some(Membership { group_id: group_id.clone(), user_id, ..Default::default() });
    let create = CreateMembershipRequest { membership, validate_only, ..Default::default() };
    let judged = groups.create_membership(root.ask(create)).await.unwrap().into_inner().membership.unwrap();
    assert_eq!((judged.user_id, judged.create_time), (bob.to_string(), None));
    let user_id = alice.to_string();
    let delete =
        DeleteMembershipRequest { group_id: group_id.clone(), user_id, validate_only, ..Default::default() };
    groups.delete_membership(root.ask(delete)).await.unwrap();
    let delete = DeleteGroupRequest { id: group_id, validate_only, ..Default::default() };
    groups.delete_group(root.ask(delete)).await.unwrap();

    // All is as it was, and what would be refused is.
    assert_eq!(root.bind(&role.id, user(alice)).await.unwrap_err().code(), Code::AlreadyExists);
    root.unbind(&id).await.unwrap();
    assert_eq!(root.audience("stock").await.unwrap().owners, []);
    root.leave(&group.id, alice).await.unwrap();
    root.delete_group(&group.id).await.unwrap();
    let delete = DeleteRoleRequest { id: role.id.clone(), validate_only, ..Default::default() };
    roles.delete_role(root.ask(delete.clone())).await.unwrap();
    let nobodys = DeleteRoleRequest { id: Uuid::nil().to_string(), ..delete };
    assert_refused(roles.delete_role(root.ask(nobodys)).await, Code::NotFound, "ROLE_NOT_FOUND");
    root.delete_role(&role.id).await.unwrap();
    api.audited("role.unbound", 1).await;
    api.audited("group.deleted", 1).await;
}

#[tokio::test]
async fn a_throttle_is_cleared_once_by_one_request() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "boss").await;
    let alice = api.user("alice").await;
    let mut users = UserServiceClient::new(api.channel().await);
    let fail = async || api.server.client().await.log_in("alice", "wrong").await.unwrap_err();
    let request = |number| ClearThrottleRequest {
        id: alice.to_string(),
        request_id: Uuid::from_u128(number).to_string(),
        validate_only: false,
    };
    fail().await;
    let judged = ClearThrottleRequest { validate_only: true, ..request(1) };
    users.clear_throttle(root.ask(judged)).await.unwrap();
    users.clear_throttle(root.ask(request(1))).await.unwrap();
    fail().await;
    users.clear_throttle(root.ask(request(1))).await.unwrap();
    api.audited("user.throttle_cleared", 1).await;
    users.clear_throttle(root.ask(request(2))).await.unwrap();
    api.audited("user.throttle_cleared", 2).await;
}

#[tokio::test]
async fn whoever_only_asks_whether_a_user_could_be_disabled_or_reset_has_neither_done() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "boss").await;
    let desk = api.caller(BuiltInRole::UserManager, "desk").await;
    let id = api.user("alice").await.to_string();
    api.log_in("alice", "").await;
    let mut users = UserServiceClient::new(api.channel().await);
    let get = GetUserRequest { which: Some(Which::Id(id.clone())) };
    let before = users.get_user(root.ask(get.clone())).await.unwrap().into_inner().user.unwrap();
    let judged =
        |is_active| Some(User { is_active, update_time: None, etag: String::new(), ..before.clone() });

    let disable = DisableUserRequest { id: id.clone(), validate_only: true, ..Default::default() };
    let user = users.disable_user(root.ask(disable.clone())).await.unwrap().into_inner().user;
    assert_eq!(user, judged(false));
    let enable = EnableUserRequest { id: id.clone(), validate_only: true, ..Default::default() };
    let user = users.enable_user(root.ask(enable)).await.unwrap().into_inner().user;
    assert_eq!(user, judged(true));
    let reset = ResetPasswordRequest { id: id.clone(), validate_only: true, ..Default::default() };
    let answer = users.reset_password(root.ask(reset.clone())).await.unwrap().into_inner();
    assert_eq!(answer, ResetPasswordResponse::default());

    // What would be refused is.
    let boss = root.id.to_string();
    let disable = DisableUserRequest { id: boss.clone(), ..disable };
    let refused = users.disable_user(root.ask(disable.clone())).await;
    assert_refused(refused, Code::FailedPrecondition, "LAST_ADMIN");
    assert_refused(users.disable_user(desk.ask(disable)).await, Code::PermissionDenied, "HOLDS_MORE");
    let reset = ResetPasswordRequest { id: boss, ..reset };
    assert_refused(users.reset_password(desk.ask(reset)).await, Code::PermissionDenied, "HOLDS_MORE");

    let after = users.get_user(root.ask(get)).await.unwrap().into_inner().user.unwrap();
    assert_eq!(after, before);
    api.server.client().await.log_in("alice", PASSWORD).await.unwrap();
    api.audited("user.disabled", 0).await;
    api.audited("password.reset", 0).await;
}

#[tokio::test]
async fn whoever_only_asks_which_sessions_would_end_is_told_how_many_and_ends_none() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "boss").await;
    let desk = api.caller(BuiltInRole::UserManager, "desk").await;
    let alice = api.user("alice").await.to_string();
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(api.log_in("alice", "").await);
    }
    let mut sessions = SessionServiceClient::new(api.channel().await);
    let all = |of| EndSessionsRequest { of: Some(of), validate_only: true, ..Default::default() };
    let of_alice = all(Of::UserId(alice.clone()));
    let answer = sessions.end_sessions(desk.ask(of_alice)).await.unwrap().into_inner();
    assert_eq!(answer, EndSessionsResponse { ended: 2, left: 0 });
    // The one of the admin is left.
    let answer = sessions.end_sessions(desk.ask(all(Of::Everybody(true)))).await.unwrap().into_inner();
    assert_eq!(answer, EndSessionsResponse { ended: 3, left: 1 });
    let of_boss = all(Of::UserId(root.id.to_string()));
    assert_refused(sessions.end_sessions(desk.ask(of_boss)).await, Code::PermissionDenied, "HOLDS_MORE");

    let list =
        ListSessionsRequest { of: Some(list_sessions_request::Of::UserId(alice)), ..Default::default() };
    let mut listed = sessions.list_sessions(desk.ask(list)).await.unwrap().into_inner().sessions;
    let id = listed.remove(0).id;
    let one = EndSessionRequest { id, validate_only: true, ..Default::default() };
    sessions.end_session(desk.ask(one.clone())).await.unwrap();
    let nobodys = EndSessionRequest { id: Uuid::nil().to_string(), ..one };
    assert_refused(sessions.end_session(desk.ask(nobodys)).await, Code::NotFound, "SESSION_NOT_FOUND");

    for login in open {
        api.server.client().await.get_me(&login.access_token).await.unwrap();
    }
    api.audited("session.revoked", 0).await;
    api.audited("session.all_revoked", 0).await;
}

#[tokio::test]
async fn whoever_only_asks_whether_a_client_could_be_changed_gets_no_secret_and_changes_nothing() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "boss").await;
    let mut clients = ClientServiceClient::new(api.channel().await);
    let client = Some(Client { name: "billing".to_owned(), ..Client::default() });
    let create = CreateClientRequest { client, ..Default::default() };
    let before = clients.create_client(root.ask(create)).await.unwrap().into_inner().client.unwrap();
    let (id, validate_only) = (before.id.clone(), true);
    let judged =
        |is_active| Some(Client { is_active, update_time: None, etag: String::new(), ..before.clone() });

    let rotate = RotateClientSecretRequest { id: id.clone(), validate_only, ..Default::default() };
    let answer = clients.rotate_client_secret(root.ask(rotate)).await.unwrap().into_inner();
    let with_two = judged(true).map(|client| Client { secrets: 2, ..client });
    assert_eq!((answer.client, &*answer.client_secret), (with_two, ""));
    let disable = DisableClientRequest { id: id.clone(), validate_only, ..Default::default() };
    let answer = clients.disable_client(root.ask(disable.clone())).await.unwrap().into_inner();
    assert_eq!(answer.client, judged(false));
    let stale = DisableClientRequest { etag: "stale".to_owned(), ..disable };
    assert_refused(clients.disable_client(root.ask(stale)).await, Code::Aborted, "ETAG_MISMATCH");
    // It is active still.
    let enable = EnableClientRequest { id, ..Default::default() };
    let answer = clients.enable_client(root.ask(enable)).await.unwrap().into_inner();
    assert_eq!(answer.client, Some(before));
    api.audited("client.secret_rotated", 0).await;
    api.audited("client.disabled", 0).await;
}
