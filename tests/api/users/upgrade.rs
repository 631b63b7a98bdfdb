//! Owns what an upgrade makes of users who were there: until their index is built a search says so, and then it finds all of them.

use sea_orm::ConnectionTrait;
use signet::{
    identity::{
        UserSearchUpkeep,
        users::{Span, UserFilter},
    },
    model::Error,
};
use signet_migrations::{Migrator, MigratorTrait};

use super::{Users, minute, prefix, with_profile};
use crate::{
    harness::{START, TestServer, eventually},
    support::database::migrations_from,
};

fn filters() -> [UserFilter; 5] {
    let none = UserFilter::default;
    [
        UserFilter { username: Some(prefix("al")), ..none() },
        UserFilter { email: Some(prefix("AL")), ..none() },
        UserFilter { display_name: Some(prefix("l")), ..none() },
        UserFilter { created: Span { from: Some(START), before: None }, ..none() },
        UserFilter { last_login: Span { from: Some(START), before: None }, ..none() },
    ]
}

#[tokio::test]
async fn users_who_were_there_are_found_as_soon_as_the_indexes_are_built() {
    let (users, data, clock) = Users::empty().await;
    let mut alice = with_profile("Alice", Some("alice@example.com"), Some("Lis"));
    alice.login_time = Some(minute(1));
    users.add(&[alice]).await;
    users.store.close().await;
    let db = data.connect().await;
    Migrator::down(&db, Some(migrations_from("user_search"))).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    db.close().await.unwrap();
    let server = TestServer::start_in(data, clock, &[]).await;
    let users = Users::of(server.store().await, &server.clock);
    // By the service's own job, at its start: alone, since on PostgreSQL two who build the same index at once may wait for each other.
    for filter in filters() {
        let is_built = async || users.directory.search(&filter, None, 10).await.is_ok();
        eventually("its index is built", is_built).await;
        assert_eq!(users.names(&filter).await, ["Alice"], "{filter:?}");
    }
}

#[tokio::test]
async fn until_an_index_is_built_what_needs_it_says_so_and_nothing_else_does() {
    let (users, data, _) = Users::empty().await;
    users.add(&[with_profile("Alice", Some("alice@example.com"), None)]).await;
    let db = data.connect().await;
    Migrator::down(&db, Some(migrations_from("user_search"))).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    for filter in filters() {
        let refused = users.directory.search(&filter, None, 10).await;
        assert!(matches!(refused, Err(Error::IndexBeingBuilt { .. })), "{filter:?}: {refused:?}");
    }
    let email_beside = UserFilter { is_active: Some(true), ..UserFilter::default() };
    assert_eq!(users.names(&email_beside).await, ["Alice"]);
    let upkeep = UserSearchUpkeep::new(users.store.clone());
    upkeep.refresh(START).await.unwrap();
    let filter = UserFilter { email: Some(prefix("alice@")), ..UserFilter::default() };
    assert_eq!(users.names(&filter).await, ["Alice"]);
    // A row as the release before writes it.
    let update = "UPDATE users SET email = 'bob@example.com', email_key = NULL, username_key = NULL";
    db.execute_unprepared(update).await.unwrap();
    let filter = UserFilter { email: Some(prefix("bob@")), ..UserFilter::default() };
    assert!(users.names(&filter).await.is_empty());
    upkeep.refresh(START).await.unwrap();
    assert_eq!(users.names(&filter).await, ["Alice"]);
    db.close().await.unwrap();
}
