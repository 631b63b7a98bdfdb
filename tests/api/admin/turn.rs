//! Owns who waits for the turn in which changes of who may do what are made, and whom they have wait.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, TransactionTrait,
    sea_query::{Expr, ExprTrait, Query},
};
use signet::model::{BuiltInRole, GroupId};
use tokio::task::JoinSet;
use tonic::Code;
use uuid::Uuid;

use super::{
    AdminApi,
    caller::{Caller, user},
};
use crate::{harness::assert_refused, operator::by_operator};

/// How many administrators call at once: more than there are connections for ordinary calls.
const AT_ONCE: usize = 32;

/// How many turns were taken.
async fn turns(db: &DatabaseConnection) -> i64 {
    let mut query = Query::select();
    query.column("revision").from("audiences").and_where(Expr::col("name").eq("signet"));
    db.query_one(&query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn who_owns_nothing_takes_no_turn() {
    let api = AdminApi::start().await;
    let (root, bob) = (api.caller(BuiltInRole::Admin, "rita").await, api.nobody("bob").await);
    let picker = root.create_role("stock", "picker", "").await.unwrap();
    let binding = root.bind(&picker.id, root.principal()).await.unwrap();
    root.set_owners("stock", &[root.principal()]).await.unwrap();
    let db = api.server.data.connect().await;
    let before = turns(&db).await;
    for refused in [
        bob.create_role("stock", "packer", "").await.map(drop),
        bob.create_role("new", "packer", "").await.map(drop),
        bob.set_scopes(&picker, "stock.pick").await.map(drop),
        bob.delete_role(&picker.id).await,
        bob.bind(&picker.id, user(bob.id)).await.map(drop),
        bob.unbind(&binding.id).await,
    ] {
        assert_refused(refused, Code::PermissionDenied, "NOT_OWNER");
    }
    let nowhere = Uuid::now_v7().to_string();
    assert_refused(bob.delete_role(&nowhere).await, Code::NotFound, "ROLE_NOT_FOUND");
    assert_refused(bob.unbind(&nowhere).await, Code::NotFound, "BINDING_NOT_FOUND");
    assert_eq!(turns(&db).await, before);
    root.unbind(&binding.id).await.unwrap();
    assert_eq!(turns(&db).await, before + 1);
}

#[tokio::test]
async fn administrators_who_wait_for_their_turn_have_no_other_call_wait() {
    let api = AdminApi::start().await;
    let (root, _) = (api.caller(BuiltInRole::Admin, "rita").await, api.user("alice").await);
    root.create_role("stock", "picker", "").await.unwrap();
    let token = api.log_in("alice", "profile").await.access_token;
    // Somebody has the turn, and keeps it.
    let db = api.server.data.connect().await;
    let turn = db.begin().await.unwrap();
    let mut update = Query::update();
    update.table("audiences").value("revision", Expr::col("revision").add(1));
    update.and_where(Expr::col("name").eq("signet"));
    turn.execute(&update).await.unwrap();
    let mut calls = JoinSet::new();
    for number in 0..AT_ONCE {
        let root: Caller = root.clone();
        calls.spawn(async move { root.create_role("stock", &format!("role-{number}"), "").await });
    }
    // A token that was not seen before is looked up.
    api.server.client().await.get_me(&token).await.unwrap();
    turn.rollback().await.unwrap();
    calls.join_all().await;
}

#[tokio::test]
async fn a_user_who_may_come_to_be_an_admin_by_a_group_waits_to_be_deleted() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let (alice, bob) = (api.user("alice").await, api.user("bob").await);
    let night = root.create_group("night").await.unwrap();
    root.join(&night.id, alice).await.unwrap();
    let (db, now) = (api.server.data.connect().await, api.server.clock.now());
    for (who, takes) in [(bob, 0), (alice, 1)] {
        let before = turns(&db).await;
        assert!(api.store.delete_user(who, None, now).await.unwrap().is_some());
        assert_eq!(turns(&db).await, before + takes, "{who}");
    }
    let night = GroupId(night.id.parse().unwrap());
    assert!(api.store.members(night, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn without_what_changes_wait_by_none_is_made() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let mut delete = Query::delete();
    delete.from_table("audiences").and_where(Expr::col("name").eq("signet"));
    api.server.data.connect().await.execute(&delete).await.unwrap();
    assert_eq!(root.create_role("stock", "picker", "").await.unwrap_err().code(), Code::Internal);
    let disabled = api.store.set_active(root.id, false, by_operator(api.server.clock.now())).await;
    assert!(matches!(disabled, Err(signet::model::Error::Internal(_))), "{disabled:?}");
}
