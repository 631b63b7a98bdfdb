//! Owns what administrators do to roles, bindings and audiences: each method, and what each refuses.

use std::time::Duration;

use prost_types::FieldMask;
use signet::{
    model::BuiltInRole,
    proto::identity::admin::v1::{
        Binding, CreateBindingRequest, CreateRoleRequest, DeleteBindingRequest, DeleteRoleRequest,
        GetBindingRequest, GetRoleRequest, ListBindingsRequest, Role, UpdateBindingRequest,
        UpdateRoleRequest, get_role_request::Which,
    },
};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::{
    AdminApi,
    caller::{Caller, client, in_the_future, names, role, told, user},
};
use crate::harness::{assert_refused, details};

#[tokio::test]
async fn a_role_is_made_found_changed_and_deleted() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let new = Role { description: "Picks.".to_owned(), ..role("stock", "picker", "stock.pick stock.look") };
    let request = CreateRoleRequest { role: Some(new), validate_only: true, ..Default::default() };
    let judged = root.roles.clone().create_role(root.ask(request.clone())).await.unwrap();
    let judged = judged.into_inner().role.unwrap();
    assert_eq!((judged.id.as_str(), judged.name.as_str(), judged.create_time), ("", "picker", None));
    assert_refused(root.role("stock", "picker").await, Code::NotFound, "ROLE_NOT_FOUND");

    let request = CreateRoleRequest { validate_only: false, ..request };
    let made = root.roles.clone().create_role(root.ask(request.clone())).await.unwrap();
    let made = made.into_inner().role.unwrap();
    assert_eq!(made.scopes, names("stock.pick stock.look"));
    assert!(!made.is_built_in && made.create_time.is_some() && !made.etag.is_empty(), "{made:?}");
    assert_eq!(root.role("stock", "picker").await.unwrap(), made);
    let by_id = root.ask(GetRoleRequest { which: Some(Which::Id(made.id.clone())) });
    assert_eq!(root.roles.clone().get_role(by_id).await.unwrap().into_inner().role.unwrap(), made);
    let again = root.roles.clone().create_role(root.ask(request)).await;
    assert_refused(again, Code::AlreadyExists, "ROLE_EXISTS");

    // Only what is set, and only what is named.
    let described = Role { id: made.id.clone(), description: "Picks all.".to_owned(), ..Default::default() };
    let request = UpdateRoleRequest { role: Some(described), ..Default::default() };
    let described = root.roles.clone().update_role(root.ask(request)).await.unwrap().into_inner();
    let described = described.role.unwrap();
    assert_eq!((&described.scopes, described.description.as_str()), (&made.scopes, "Picks all."));
    assert_ne!(described.etag, made.etag);
    let stale = root.set_scopes(&made, "stock.pick").await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    let changed = root.set_scopes(&described, "stock.pick stock.pack").await.unwrap();
    assert_eq!(changed.scopes, names("stock.pick stock.pack"));
    assert!(root.set_scopes(&changed, "").await.unwrap().scopes.is_empty(), "named, and empty");
    let told = api.audited("role.updated", 3).await;
    assert_eq!(told[1]["changed"], serde_json::json!(["scopes"]));
    assert_eq!((&told[1]["actor"], &told[1]["actor_id"]), (&"user".into(), &root.id.to_string().into()));

    let stale = DeleteRoleRequest { id: made.id.clone(), etag: made.etag, ..Default::default() };
    let stale = root.roles.clone().delete_role(root.ask(stale)).await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    root.delete_role(&made.id).await.unwrap();
    assert_refused(root.delete_role(&made.id).await, Code::NotFound, "ROLE_NOT_FOUND");
    assert_refused(root.role("stock", "picker").await, Code::NotFound, "ROLE_NOT_FOUND");
}

#[tokio::test]
async fn what_is_wrong_with_a_role_is_told_at_once() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let wrong = Role { description: "a\nb".to_owned(), ..role("", "Picker", "a\" b") };
    let request = CreateRoleRequest { role: Some(wrong), ..Default::default() };
    let refused = root.roles.clone().create_role(root.ask(request)).await;
    let refused = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    let bad = refused.get_details_bad_request().unwrap();
    let fields: Vec<_> = bad.field_violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["role.audience", "role.name", "role.scopes", "role.description"]);
    let picker = root.create_role("stock", "picker", "stock.pick").await.unwrap();
    let update_mask = Some(FieldMask { paths: vec!["name".to_owned()] });
    let request = UpdateRoleRequest { role: Some(picker), update_mask, ..Default::default() };
    let refused = root.roles.clone().update_role(root.ask(request)).await;
    let refused = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    assert!(details(&refused).contains("NOT_UPDATABLE"), "{refused:?}");
    for which in [None, Some(Which::Id("x".to_owned()))] {
        let refused = root.roles.clone().get_role(root.ask(GetRoleRequest { which })).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    }
}

#[tokio::test]
async fn what_follows_from_the_program_nobody_changes_and_what_everyone_has_nobody_is_given() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    root.create_role("stock", "picker", "stock.pick").await.unwrap();
    let everyone = root.role("stock", "everyone").await.unwrap();
    let built_in = [
        root.create_role("signet", "admin", "").await.map(drop),
        root.delete_role(&everyone.id).await,
        root.bind(&everyone.id, root.principal()).await.map(drop),
    ];
    for refused in built_in {
        assert_refused(refused, Code::FailedPrecondition, "BUILT_IN_ROLE");
    }
    for role in BuiltInRole::ALL {
        let found = root.role("signet", role.name()).await.unwrap();
        assert!(found.is_built_in && found.create_time.is_none(), "{found:?}");
        assert_eq!(found.scopes, names(role.scopes().as_str()));
        for refused in [root.delete_role(&found.id).await, root.set_scopes(&found, "x").await.map(drop)] {
            assert_refused(refused, Code::FailedPrecondition, "BUILT_IN_ROLE");
        }
    }
    assert_eq!(root.set_scopes(&everyone, "stock.see").await.unwrap().scopes, ["stock.see"]);
}

#[tokio::test]
async fn a_role_is_given_for_a_time_and_taken_away() {
    let api = AdminApi::start().await;
    let (root, bob) = (api.caller(BuiltInRole::Admin, "rita").await, api.user("bob").await);
    let picker = root.create_role("stock", "picker", "stock.pick").await.unwrap();
    let end = in_the_future(&api, Duration::from_hours(8));
    let binding = Binding {
        role_id: picker.id.clone(),
        subject: Some(user(bob)),
        expire_time: Some(end),
        ..Default::default()
    };
    let request = CreateBindingRequest { binding: Some(binding), ..Default::default() };
    let made = root.roles.clone().create_binding(root.ask(request)).await.unwrap().into_inner();
    let made = made.binding.unwrap();
    assert_eq!((made.role_name.as_str(), made.role_audience.as_str()), ("picker", "stock"));
    assert_eq!((&made.subject, made.expire_time), (&Some(user(bob)), Some(end)));
    let again = root.bind(&picker.id, user(bob)).await;
    let again = assert_refused(again, Code::AlreadyExists, "BINDING_EXISTS");
    assert_eq!(told(&again, "binding_id"), made.id);
    let found = root.roles.clone().get_binding(root.ask(GetBindingRequest { id: made.id.clone() })).await;
    assert_eq!(found.unwrap().into_inner().binding.unwrap(), made);

    let endless = Binding { expire_time: None, ..made.clone() };
    let update_mask = Some(FieldMask { paths: vec!["expire_time".to_owned()] });
    let request = UpdateBindingRequest { binding: Some(endless), update_mask, ..Default::default() };
    let updated = root.roles.clone().update_binding(root.ask(request.clone())).await.unwrap().into_inner();
    let updated = updated.binding.unwrap();
    assert_eq!((updated.expire_time, &updated.id), (None, &made.id));
    let stale = root.roles.clone().update_binding(root.ask(request.clone())).await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    let unmasked = UpdateBindingRequest { update_mask: None, ..request };
    let refused = root.roles.clone().update_binding(root.ask(unmasked)).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");

    let stale = DeleteBindingRequest { id: made.id.clone(), etag: made.etag, ..Default::default() };
    let stale = root.roles.clone().delete_binding(root.ask(stale)).await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    root.unbind(&made.id).await.unwrap();
    assert_refused(root.unbind(&made.id).await, Code::NotFound, "BINDING_NOT_FOUND");
    let (nowhere, nobody) = (Uuid::now_v7().to_string(), user(signet::model::UserId(Uuid::now_v7())));
    for (refused, reason) in [
        (root.bind(&nowhere, user(bob)).await, "ROLE_NOT_FOUND"),
        (root.bind(&picker.id, nobody).await, "USER_NOT_FOUND"),
        (root.bind(&picker.id, client(&nowhere)).await, "CLIENT_NOT_FOUND"),
        (root.bind(&picker.id, super::caller::group(&nowhere)).await, "GROUP_NOT_FOUND"),
    ] {
        assert_refused(refused, Code::NotFound, reason);
    }
}

#[tokio::test]
async fn bindings_are_found_by_whatever_is_known_of_them() {
    let api = AdminApi::start().await;
    let (root, bob) = (api.caller(BuiltInRole::Admin, "rita").await, api.user("bob").await);
    let picker = root.create_role("stock", "picker", "stock.pick stock.look").await.unwrap();
    let second = root.create_role("stock", "packer", "stock.pack").await.unwrap();
    let reader = root.create_role("orders", "reader", "orders.read").await.unwrap();
    for (role, who) in [(&picker, bob), (&second, bob), (&reader, bob), (&picker, root.id)] {
        root.bind(&role.id, user(who)).await.unwrap();
    }
    let find = async |request: ListBindingsRequest| -> Result<Vec<String>, Status> {
        let listed = root.roles.clone().list_bindings(root.ask(request)).await?.into_inner();
        let mut names: Vec<_> = listed.bindings.into_iter().map(|binding| binding.role_name).collect();
        names.sort_unstable();
        Ok(names)
    };
    let (stock, none) = ("stock".to_owned(), ListBindingsRequest::default);
    for (request, expected) in [
        (ListBindingsRequest { role_id: picker.id.clone(), ..none() }, &["picker", "picker"][..]),
        (ListBindingsRequest { subject: Some(user(bob)), ..none() }, &["packer", "picker", "reader"]),
        (ListBindingsRequest { audience: "orders".to_owned(), ..none() }, &["reader"]),
        (
            ListBindingsRequest { audience: stock.clone(), scope: "stock.pack".to_owned(), ..none() },
            &["packer"],
        ),
        (ListBindingsRequest { expire_time_until: Some(in_the_future(&api, Duration::ZERO)), ..none() }, &[]),
        (
            ListBindingsRequest {
                audience: stock,
                scope: "stock.pack".to_owned(),
                role_id: picker.id.clone(),
                ..none()
            },
            &[],
        ),
    ] {
        assert_eq!(find(request.clone()).await.unwrap(), expected, "{request:?}");
    }
    let without_audience = ListBindingsRequest { scope: "stock.pack".to_owned(), ..none() };
    assert_refused(find(without_audience).await, Code::InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn an_audience_has_the_owners_that_are_named() {
    let api = AdminApi::start().await;
    let (root, bob) = (api.caller(BuiltInRole::Admin, "rita").await, api.user("bob").await);
    root.create_role("stock", "picker", "stock.pick").await.unwrap();
    let stock = root.audience("stock").await.unwrap();
    assert!(stock.owners.is_empty());
    let night = root.create_group("night").await.unwrap();
    let owned = root.set_owners("stock", &[super::caller::group(&night.id), user(bob)]).await.unwrap();
    assert_eq!(owned.owners.len(), 2);
    assert_ne!(owned.etag, stock.etag);
    assert_eq!(root.audience("stock").await.unwrap(), owned);
    assert!(root.set_owners("stock", &[]).await.unwrap().owners.is_empty());
    assert_refused(root.set_owners("nowhere", &[]).await, Code::NotFound, "AUDIENCE_NOT_FOUND");
    assert_refused(root.audience("nowhere").await, Code::NotFound, "AUDIENCE_NOT_FOUND");
    let nobody = user(signet::model::UserId(Uuid::now_v7()));
    assert_refused(root.set_owners("stock", &[nobody]).await, Code::NotFound, "USER_NOT_FOUND");
    let told = api.audited("audience.owners_changed", 2).await;
    assert_eq!(told[0]["audience"], "stock");
}

/// What creates the role `name` under `request_id`.
fn creating(name: &str, request_id: Uuid) -> CreateRoleRequest {
    let role = Some(role("stock", name, "stock.pick"));
    CreateRoleRequest { role, request_id: request_id.to_string(), validate_only: false }
}

async fn create(by: &Caller, request: CreateRoleRequest) -> Result<Role, Status> {
    Ok(by.roles.clone().create_role(by.ask(request)).await?.into_inner().role.unwrap())
}

#[tokio::test]
async fn a_repeated_request_changes_nothing_on_another_replica_either() {
    let api = AdminApi::start().await;
    let (root, other) =
        (api.caller(BuiltInRole::Admin, "rita").await, api.caller(BuiltInRole::Admin, "eve").await);
    let replica = api.server.replica(&["--standing-cache-max-age=0s"]).await;
    let token = api.log_in("rita", BuiltInRole::Admin.scopes().as_str()).await.access_token;
    let there = root.by(replica.admin_channel().await, &token);
    let id = Uuid::now_v7();
    let made = create(&root, creating("picker", id)).await.unwrap();
    for by in [&root, &there] {
        assert_eq!(create(by, creating("picker", id)).await.unwrap(), made);
        let another = create(by, creating("packer", id)).await;
        assert_refused(another, Code::InvalidArgument, "REQUEST_ID_REUSED");
    }
    // Another caller's is another one.
    create(&other, creating("packer", id)).await.unwrap();
    let changed = root.set_scopes(&made, "stock.look").await.unwrap();
    assert_eq!(create(&there, creating("picker", id)).await.unwrap(), changed, "as it is now");

    let id = Uuid::now_v7().to_string();
    let deletion = DeleteRoleRequest { id: made.id.clone(), request_id: id, ..Default::default() };
    for by in [&root, &there, &root] {
        by.roles.clone().delete_role(by.ask(deletion.clone())).await.unwrap();
    }
    api.audited("role.deleted", 1).await;
    let malformed = CreateRoleRequest { request_id: "x".to_owned(), ..creating("loader", Uuid::nil()) };
    assert_refused(create(&root, malformed).await, Code::InvalidArgument, "INVALID_FIELDS");
}
