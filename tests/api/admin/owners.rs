//! Owns what the owners of an audience may do with which token, and that none takes anything from the others.

use signet::{
    model::{BuiltInRole, binding::SUBJECT_MAX_BINDINGS},
    proto::identity::{
        admin::v1::{CreateRoleRequest, Role},
        v1::IssueTokenRequest,
    },
};
use tonic::Code;
use uuid::Uuid;

use super::{
    AdminApi,
    caller::{Caller, user},
};
use crate::{
    clients::{Wanted, operator, register},
    harness::{PASSWORD, assert_refused, password_grant},
};

#[tokio::test]
async fn an_owner_decides_by_no_token_that_other_services_see_and_by_none_without_account() {
    let api = AdminApi::start().await;
    let (root, alice) = (api.caller(BuiltInRole::Admin, "rita").await, api.nobody("alice").await);
    let (picker, bob) = (root.create_role("stock", "picker", "").await.unwrap(), api.user("bob").await);
    root.set_owners("stock", &[alice.principal()]).await.unwrap();
    let wanted = Wanted { audiences: "stock signet", ..Wanted::confidential("profile account") };
    let wiki = register(&operator(&api.server).await, "wiki", wanted).await.unwrap();

    let asked = |audiences: &[&str]| IssueTokenRequest {
        client: Some(wiki.by_secret()),
        audiences: audiences.iter().map(|name| (*name).to_owned()).collect(),
        scope: "account".to_owned(),
        ..password_grant("alice", PASSWORD)
    };
    let token = async |request| {
        let issued = api.client.clone().0.issue_token(request).await.unwrap().into_inner();
        alice.by(api.channel().await, &issued.access_token)
    };
    let shared = token(asked(&["stock", "signet"])).await;
    let reader = alice.by(api.channel().await, &api.log_in("alice", "profile").await.access_token);
    let given = alice.bind(&picker.id, user(bob)).await.unwrap();
    let every = async |by: &Caller, reason: &str| {
        for refused in [
            by.create_role("stock", "packer", "").await.map(drop),
            by.set_scopes(&picker, "stock.pick").await.map(drop),
            by.delete_role(&picker.id).await,
            by.bind(&picker.id, user(alice.id)).await.map(drop),
            by.unbind(&given.id).await,
        ] {
            assert_refused(refused, Code::PermissionDenied, reason);
        }
    };
    let refused = shared.unbind(&given.id).await.unwrap_err();
    assert!(refused.message().contains("for this service alone"), "{refused:?}");
    every(&shared, "NOT_OWNER").await;
    every(&reader, "INSUFFICIENT_SCOPE").await;
    // For the service alone it may, whichever client asked for it.
    token(asked(&["signet"])).await.unbind(&given.id).await.unwrap();
}

#[tokio::test]
async fn an_owner_uses_up_no_bindings_of_another_audience() {
    let api = AdminApi::start().await;
    let (root, mallory) = (api.caller(BuiltInRole::Admin, "rita").await, api.nobody("mallory").await);
    let alice = user(api.user("alice").await);
    let night = super::caller::group(&root.create_group("night").await.unwrap().id);
    root.create_role("stock", "picker", "").await.unwrap();
    root.set_owners("stock", &[mallory.principal()]).await.unwrap();
    let mut roles = Vec::new();
    for number in 0..=SUBJECT_MAX_BINDINGS {
        roles.push(mallory.create_role("stock", &format!("role-{number}"), "").await.unwrap().id);
    }
    let reader = root.create_role("orders", "reader", "orders.read").await.unwrap();
    let admin = root.role("signet", "admin").await.unwrap();
    for subject in [alice, night] {
        let (last, others) = roles.split_last().unwrap();
        for role in others {
            mallory.bind(role, subject.clone()).await.unwrap();
        }
        let beyond = mallory.bind(last, subject.clone()).await;
        assert_refused(beyond, Code::FailedPrecondition, "LIMIT_REACHED");
        root.bind(&reader.id, subject.clone()).await.unwrap();
        root.bind(&admin.id, subject).await.unwrap();
    }
}

#[tokio::test]
async fn who_owns_an_audience_no_longer_reads_nothing_of_it_by_a_request_of_before() {
    let api = AdminApi::start().await;
    let (root, olga) = (api.caller(BuiltInRole::Admin, "rita").await, api.nobody("olga").await);
    root.create_role("stock", "picker", "").await.unwrap();
    root.set_owners("stock", &[olga.principal()]).await.unwrap();
    let role = Role { audience: "stock".to_owned(), name: "packer".to_owned(), ..Role::default() };
    let request = CreateRoleRequest {
        role: Some(role),
        request_id: Uuid::from_u128(9).to_string(),
        ..CreateRoleRequest::default()
    };
    let ask = async || olga.roles.clone().create_role(olga.ask(request.clone())).await;
    let made = ask().await.unwrap().into_inner();
    assert_eq!(ask().await.unwrap().into_inner(), made);
    root.set_owners("stock", &[]).await.unwrap();
    assert_refused(ask().await, Code::PermissionDenied, "NOT_OWNER");
}
