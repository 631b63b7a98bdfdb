//! Owns what administrators do to groups and their members: each method, and what each refuses.

use signet::{
    model::{BuiltInRole, UserId},
    proto::identity::admin::v1::{
        CreateGroupRequest, CreateMembershipRequest, DeleteGroupRequest, DeleteMembershipRequest,
        GetGroupRequest, Group, ListMembershipsRequest, Membership, get_group_request::Which,
        list_memberships_request::Of,
    },
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{AdminApi, caller::Caller};
use crate::harness::assert_refused;

async fn get(by: &Caller, which: Which) -> Result<Group, Status> {
    let request = by.ask(GetGroupRequest { which: Some(which) });
    Ok(by.groups.clone().get_group(request).await?.into_inner().group.unwrap())
}

async fn memberships(by: &Caller, of: Of) -> Vec<Membership> {
    let request = by.ask(ListMembershipsRequest { of: Some(of), ..Default::default() });
    by.groups.clone().list_memberships(request).await.unwrap().into_inner().memberships
}

#[tokio::test]
async fn a_group_is_made_found_and_deleted_with_its_members() {
    let api = AdminApi::start().await;
    let (root, bob) = (api.caller(BuiltInRole::Admin, "rita").await, api.user("bob").await);
    let group = Some(Group { name: "night".to_owned(), ..Default::default() });
    let request = CreateGroupRequest { group, validate_only: true, ..Default::default() };
    let judged = root.groups.clone().create_group(root.ask(request)).await.unwrap().into_inner();
    assert_eq!(judged.group.unwrap().id, "");
    let night = root.create_group("night").await.unwrap();
    assert_refused(root.create_group("night").await, Code::AlreadyExists, "GROUP_EXISTS");
    assert_refused(root.create_group("Night").await, Code::InvalidArgument, "INVALID_FIELDS");
    for which in [Which::Id(night.id.clone()), Which::Name("night".to_owned())] {
        assert_eq!(get(&root, which).await.unwrap(), night);
    }
    assert_refused(get(&root, Which::Name("day".to_owned())).await, Code::NotFound, "GROUP_NOT_FOUND");

    let joined = root.join(&night.id, bob).await.unwrap();
    assert_eq!((joined.group_name.as_str(), joined.username.as_str()), ("night", "bob"));
    assert_eq!(root.join(&night.id, bob).await.unwrap(), joined, "it is in it");
    assert_eq!(memberships(&root, Of::GroupId(night.id.clone())).await, std::slice::from_ref(&joined));
    assert_eq!(memberships(&root, Of::UserId(bob.to_string())).await, std::slice::from_ref(&joined));
    root.leave(&night.id, bob).await.unwrap();
    assert_refused(root.leave(&night.id, bob).await, Code::NotFound, "MEMBERSHIP_NOT_FOUND");
    let nobody = UserId(Uuid::now_v7());
    assert_refused(root.join(&night.id, nobody).await, Code::NotFound, "USER_NOT_FOUND");
    let nowhere = nobody.to_string();
    assert_refused(root.join(&nowhere, bob).await, Code::NotFound, "GROUP_NOT_FOUND");
    assert!(memberships(&root, Of::GroupId(nowhere.clone())).await.is_empty());
    assert!(memberships(&root, Of::UserId(nowhere.clone())).await.is_empty());

    root.join(&night.id, bob).await.unwrap();
    let stale = DeleteGroupRequest { id: night.id.clone(), etag: "x".to_owned(), ..Default::default() };
    let stale = root.groups.clone().delete_group(root.ask(stale)).await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    root.delete_group(&night.id).await.unwrap();
    assert_refused(root.delete_group(&night.id).await, Code::NotFound, "GROUP_NOT_FOUND");
    assert!(memberships(&root, Of::UserId(bob.to_string())).await.is_empty());
    let told = api.audited("group.member_added", 2).await;
    assert_eq!(
        (&told[0]["user_id"], &told[0]["actor_id"]),
        (&bob.to_string().into(), &root.id.to_string().into())
    );
}

#[tokio::test]
async fn a_repeated_request_adds_and_removes_once() {
    let api = AdminApi::start().await;
    let (root, bob) = (api.caller(BuiltInRole::Admin, "rita").await, api.user("bob").await);
    let night = root.create_group("night").await.unwrap();
    let id = || Uuid::now_v7().to_string();
    let new = Membership { group_id: night.id.clone(), user_id: bob.to_string(), ..Default::default() };
    let joining = CreateMembershipRequest { membership: Some(new), request_id: id(), ..Default::default() };
    let join = async || root.groups.clone().create_membership(root.ask(joining.clone())).await;
    let joined = join().await.unwrap().into_inner();
    assert_eq!(join().await.unwrap().into_inner(), joined);
    let (group_id, user_id) = (night.id.clone(), bob.to_string());
    let leaving = DeleteMembershipRequest { group_id, user_id, request_id: id(), ..Default::default() };
    for _ in 0..2 {
        root.groups.clone().delete_membership(root.ask(leaving.clone())).await.unwrap();
    }
    assert_refused(join().await, Code::NotFound, "MEMBERSHIP_NOT_FOUND");
    api.audited("group.member_removed", 1).await;
}
