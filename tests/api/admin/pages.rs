//! Owns that lists are walked to their end, page by page: nothing is missed, and nothing comes twice.

use std::collections::BTreeSet;

use sea_orm::{
    ConnectionTrait,
    sea_query::{Alias, Query},
};
use signet::{
    base::Entropy,
    model::{BuiltInRole, GroupId},
    proto::identity::admin::v1::{
        ListBindingsRequest, ListGroupsRequest, ListMembershipsRequest, ListRolesRequest,
        list_memberships_request::Of,
    },
};
use tonic::Code;
use uuid::Uuid;

use super::{AdminApi, caller::Caller};
use crate::harness::assert_refused;

/// How many groups there are.
const GROUPS: usize = 10_000;

/// How many are written at once.
const AT_ONCE: usize = 500;

/// A page of groups of at most `page_size`, and the token of the next one.
async fn groups(by: &Caller, page_size: i32, page_token: &str) -> (Vec<String>, String) {
    let request = ListGroupsRequest { page_size, page_token: page_token.to_owned() };
    let page = by.groups.clone().list_groups(by.ask(request)).await.unwrap().into_inner();
    (page.groups.into_iter().map(|group| group.name).collect(), page.next_page_token)
}

/// Adds them behind the service's back: one by one each would wait for the disk.
async fn add_groups(api: &AdminApi) {
    let (db, now) = (api.server.data.connect().await, api.server.clock.now());
    let numbers: Vec<_> = (0..GROUPS).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let mut insert = Query::insert();
        let columns = ["organization_id", "id", "name", "create_time"].map(Alias::new);
        insert.into_table(Alias::new("groups")).columns(columns);
        for number in numbers {
            let id = GroupId::new(now, &Entropy::system()).0;
            let name = format!("group-{number}");
            insert.values_panic([Uuid::nil().into(), id.into(), name.into(), now.as_micros().into()]);
        }
        db.execute(&insert).await.unwrap();
    }
}

async fn walk(by: &Caller, page_size: i32) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = groups(by, page_size, &token).await;
        all.extend(page);
        if next.is_empty() {
            return all;
        }
        token = next;
    }
}

#[tokio::test]
async fn every_group_is_on_one_page_whatever_the_size_of_the_pages() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    add_groups(&api).await;
    let all = walk(&root, 500).await;
    assert_eq!(all.len(), GROUPS);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), GROUPS, "none comes twice");
    // Ten thousand pages, of which each is a statement to a server: there, they are fewer.
    let least = if api.server.data.is_embedded() { 1 } else { 7 };
    for page_size in [0, least] {
        assert_eq!(walk(&root, page_size).await, all, "{page_size}");
    }
    assert_eq!(groups(&root, 10_000, "").await.0.len(), 500, "more is taken for the most");
}

#[tokio::test]
async fn a_token_leads_on_in_its_own_list_alone() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    for name in ["picker", "packer", "loader"] {
        root.create_role("stock", name, "stock.see").await.unwrap();
    }
    let list = async |audience: &str, scope: &str, page_token: &str| {
        let (audience, scope) = (audience.to_owned(), scope.to_owned());
        let request = ListRolesRequest { page_size: 2, page_token: page_token.to_owned(), audience, scope };
        Ok(root.roles.clone().list_roles(root.ask(request)).await?.into_inner())
    };
    let of_scope = list("stock", "stock.see", "").await.unwrap();
    assert_eq!(of_scope.roles.len(), 2);
    let rest = list("stock", "stock.see", &of_scope.next_page_token).await.unwrap();
    // All are made at one moment, so in no order.
    let names: BTreeSet<_> =
        of_scope.roles.iter().chain(&rest.roles).map(|role| role.name.as_str()).collect();
    assert_eq!((names, rest.next_page_token.as_str()), (["loader", "packer", "picker"].into(), ""));
    for (audience, scope, token) in [
        ("stock", "", of_scope.next_page_token.as_str()),
        ("", "", &of_scope.next_page_token),
        ("stock", "stock.see", "x"),
        ("", "stock.see", ""),
    ] {
        let refused: Result<_, tonic::Status> = list(audience, scope, token).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    }
    for name in ["night", "day"] {
        root.create_group(name).await.unwrap();
    }
    let (_, page_token) = groups(&root, 1, "").await;
    let request = ListBindingsRequest { page_token, ..Default::default() };
    let refused = root.roles.clone().list_bindings(root.ask(request)).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    let request = ListMembershipsRequest {
        page_token: of_scope.next_page_token,
        of: Some(Of::UserId(root.id.to_string())),
        ..Default::default()
    };
    let refused = root.groups.clone().list_memberships(root.ask(request)).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
}
