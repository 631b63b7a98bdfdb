//! Owns what a process does that has not read the feed of changes for longer than its rows are kept: it notices.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement, TransactionTrait, sea_query::Query};
use tonic::Code;
use uuid::Uuid;

use crate::{
    harness::{TestServer, assert_refused, eventually},
    own_account::rename,
};

#[tokio::test]
async fn who_missed_changes_that_were_deleted_from_the_feed_forgets_what_it_remembers() {
    let first = TestServer::start(&[]).await;
    let mut client = first.client().await;
    let token = client.token_of_new("alice").await;
    rename(&mut client, &token, "Alice").await.unwrap();
    // The other one begins to read behind that.
    first.clock.advance(Duration::from_mins(7));
    let other = first.replica(&[]).await;
    let mut client = other.client().await;
    client.get_me(&token).await.unwrap();

    // All at once, as it looks to a process that has slept: others disable the user and tell of it; and of somebody else, after
    // which the older changes are deleted.
    let db = first.data.connect().await.begin().await.unwrap();
    db.execute_unprepared("UPDATE users SET is_active = FALSE").await.unwrap();
    for _ in 0..2 {
        let mut insert = Query::insert();
        insert.into_table("changes").columns(["subject", "create_time"]);
        insert.values_panic([Uuid::now_v7().into(), first.clock.now().as_micros().into()]);
        db.execute(&insert).await.unwrap();
    }
    let newest = Statement::from_string(db.get_database_backend(), "SELECT MAX(id) FROM changes");
    let newest: i64 = db.query_one_raw(newest).await.unwrap().unwrap().try_get_by_index(0).unwrap();
    db.execute_unprepared(&format!("DELETE FROM changes WHERE id < {newest}")).await.unwrap();
    db.commit().await.unwrap();

    // No clock moves: else it would be for its age that the user is read anew.
    eventually("the user is read anew", || {
        let (mut client, token) = (client.clone(), token.clone());
        async move { client.get_me(&token).await.is_err() }
    })
    .await;
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
}
