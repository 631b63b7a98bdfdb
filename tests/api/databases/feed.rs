//! Owns what the feed of changes says: what kind of thing was changed, and what became of it.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait,
    sea_query::{Expr, ExprTrait, Order, Query},
};
use signet::{
    model::UserId,
    proto::identity::v1::{ChangePasswordRequest, RevokeSessionRequest},
};
use uuid::Uuid;

use crate::{
    harness::{PASSWORD, TestServer, eventually, with_token},
    own_account::rename,
};

impl TestServer {
    /// What the feed says of `subject`, in the order of its rows.
    async fn feed_of(&self, subject: Uuid) -> Vec<(String, String)> {
        let mut query = Query::select();
        query.columns(["kind", "effect"]).from("changes").and_where(Expr::col("subject").eq(subject));
        query.order_by("id", Order::Asc);
        let rows = self.data.connect().await.query_all(&query).await.unwrap();
        let text = |row: &sea_orm::QueryResult, column: &str| row.try_get::<String>("", column).unwrap();
        rows.iter().map(|row| (text(row, "kind"), text(row, "effect"))).collect()
    }
}

fn owned(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(kind, effect)| ((*kind).to_owned(), (*effect).to_owned())).collect()
}

#[tokio::test]
async fn the_feed_says_what_was_changed_and_what_became_of_it() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let user: Uuid = client.sign_up("alice", PASSWORD).await.unwrap().id.parse().unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let other = super::session(&client.log_in("alice", PASSWORD).await.unwrap().access_token);
    assert_eq!(server.feed_of(user).await, owned(&[]), "nobody has a copy of what is new");

    let revoke = RevokeSessionRequest { session_id: other.to_string() };
    client.0.revoke_session(with_token(revoke, &token)).await.unwrap();
    assert_eq!(server.feed_of(other.0).await, owned(&[("session", "ended")]));
    rename(&mut client, &token, "Alice").await.unwrap();
    // It changes when the user was last changed, which others show.
    let change = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: format!("{PASSWORD} 2"),
    };
    client.0.change_password(with_token(change, &token)).await.unwrap();
    let store = server.store().await;
    store.delete_user(UserId(user), None, server.clock.now()).await.unwrap();
    let told = [("user", "changed"), ("user", "changed"), ("user", "ended")];
    assert_eq!(server.feed_of(user).await, owned(&told));
    assert_eq!(server.feed_of(super::session(&token).0).await, owned(&[("session", "ended")]));
    // The first key was made when the database was.
    assert_eq!(server.feed_of(signet::store::SIGNING_KEYS).await, owned(&[("signing_keys", "changed")]));
}

#[tokio::test]
async fn what_a_change_of_the_password_changes_is_shown_by_other_replicas() {
    let one = TestServer::start(&[]).await;
    let other = one.replica(&[]).await;
    let (mut client, mut elsewhere) = (one.client().await, other.client().await);
    client.token_of_new("alice").await;
    one.clock.advance(Duration::from_millis(1));
    let token = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    elsewhere.get_me(&token).await.unwrap();
    let change = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: format!("{PASSWORD} 2"),
    };
    let changed = client.0.change_password(with_token(change, &token)).await.unwrap().into_inner();
    let token = changed.access_token.unwrap();
    let now = client.get_me(&token).await.unwrap();
    // No clock moves: nothing but the feed makes the other replica read the user again.
    eventually("the user is read again", || {
        let (mut elsewhere, token, now) = (elsewhere.clone(), token.clone(), now.clone());
        async move { elsewhere.get_me(&token).await.unwrap() == now }
    })
    .await;
}
