//! Owns who waits for the turn in which changes of who may do what are made, and whom they have wait.

use sea_orm::{
    ConnectionTrait, DatabaseConnection,
    sea_query::{Expr, ExprTrait, Query},
};
use signet::model::{BuiltInRole, GroupId};
use tonic::Code;

use super::AdminApi;
use crate::operator::by_operator;

/// How many turns were taken.
async fn turns(db: &DatabaseConnection) -> i64 {
    let mut query = Query::select();
    query.column("revision").from("audiences").and_where(Expr::col("name").eq("signet"));
    db.query_one(&query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
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
