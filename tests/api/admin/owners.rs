//! Owns that no owner of an audience takes anything from the others.

use signet::model::{BuiltInRole, binding::SUBJECT_MAX_BINDINGS};
use tonic::Code;

use super::{AdminApi, caller::user};
use crate::harness::assert_refused;

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
