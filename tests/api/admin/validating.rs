//! Owns what `validate_only` does (AIP-163): a change is judged as if it were made, and nothing is.

use prost_types::FieldMask;
use signet::{
    model::BuiltInRole,
    proto::identity::admin::v1::{
        Audience, ClearThrottleRequest, CreateMembershipRequest, DeleteBindingRequest, DeleteGroupRequest,
        DeleteMembershipRequest, DeleteRoleRequest, Membership, UpdateAudienceRequest, UpdateBindingRequest,
        user_service_client::UserServiceClient,
    },
};
use tonic::Code;
use uuid::Uuid;

use super::{
    AdminApi,
    caller::{in_the_future, user},
};
use crate::harness::assert_refused;

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
