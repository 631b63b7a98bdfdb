//! Owns what happens if the feed of changes passes over a change: it is seen all the same, within a bound.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection,
    sea_query::{Expr, ExprTrait, Query},
};
use tonic::Code;
use uuid::Uuid;

use super::session;
use crate::harness::{PASSWORD, TestServer, assert_refused, eventually};

impl TestServer {
    /// Lets `time` pass, and waits until the feed has been read since.
    pub(crate) async fn pass_and_read_the_feed(&self, time: Duration) {
        self.clock.advance(time);
        eventually("the feed is read", || async {
            self.scrape().await.sum("signet_change_feed_lag_seconds", &[]) == 0.0
        })
        .await;
    }

    /// Tells of `subject` in the feed, at the place `id`.
    async fn tell_at(&self, db: &DatabaseConnection, id: i64, subject: Uuid) {
        let mut insert = Query::insert();
        insert.into_table("changes").columns(["id", "subject", "create_time"]);
        insert.values_panic([id.into(), subject.into(), self.clock.now().as_micros().into()]);
        db.execute(&insert).await.unwrap();
    }
}

#[tokio::test]
async fn a_change_that_the_feed_passes_over_is_seen_within_a_quarter_of_an_hour() {
    let server = TestServer::start(&["--access-token-ttl=1h"]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    client.get_me(&token).await.unwrap();
    let db = server.data.connect().await;
    // The feed is read up to a place, and nothing is expected before it any more.
    server.tell_at(&db, 1_000, Uuid::now_v7()).await;
    server.pass_and_read_the_feed(Duration::from_millis(1)).await;
    server.pass_and_read_the_feed(Duration::from_mins(2)).await;
    // Now the session is ended, and told of at an earlier place, as by a node that took its ids long ago.
    let id = session(&token).0;
    let end = Query::delete().from_table("sessions").and_where(Expr::col("id").eq(id)).to_owned();
    db.execute(&end).await.unwrap();
    server.tell_at(&db, 500, id).await;
    client.get_me(&token).await.unwrap();
    // In steps below five minutes (GAP in changes/feed.rs), beyond which everything is forgotten for another reason.
    for _ in 0..3 {
        server.pass_and_read_the_feed(Duration::from_mins(4)).await;
    }
    server.pass_and_read_the_feed(Duration::from_mins(2)).await;
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
    client.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_database_that_went_back_is_followed_from_its_first_change_on() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let db = server.data.connect().await;
    server.tell_at(&db, 1_000, Uuid::now_v7()).await;
    server.pass_and_read_the_feed(Duration::from_millis(1)).await;
    // As after a restore: what was told is gone, and ids are lower again.
    db.execute_unprepared("DELETE FROM changes").await.unwrap();
    server.pass_and_read_the_feed(Duration::from_millis(1)).await;
    client.get_me(&token).await.unwrap();
    let id = session(&token).0;
    let end = Query::delete().from_table("sessions").and_where(Expr::col("id").eq(id)).to_owned();
    db.execute(&end).await.unwrap();
    server.tell_at(&db, 5, id).await;
    // No clock moves: else it would be for its age that the session is read anew.
    eventually("the session is read anew", || {
        let (mut client, token) = (client.clone(), token.clone());
        async move { client.get_me(&token).await.is_err() }
    })
    .await;
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
}
