//! Owns what becomes of rows that nobody needs any more, however many there are.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, TransactionTrait,
    sea_query::{Expr, ExprTrait, Query, SimpleExpr},
};
use signet::{
    base::{Entropy, Timestamp},
    model::{UserId, id::uuid_v7},
    store::BATCH,
};
use uuid::Uuid;

use crate::harness::{Data, PASSWORD, TestServer, config};

/// Opens `count` sessions of `user` with the client `client_id` behind the service's back, as of `now`. Nobody has their tokens.
pub(crate) async fn insert_sessions(
    data: &Data,
    now: Timestamp,
    count: usize,
    user: UserId,
    client_id: &str,
) {
    let time = now.as_micros();
    let columns = ["id", "user_id", "client_id", "scope", "create_time", "last_use_time"];
    let rows = (0..count).map(|_| {
        let id = uuid_v7(now, &Entropy::system());
        let mut row = vec![id.into(), user.0.into(), client_id.into(), "profile".into()];
        row.extend([time.into(), time.into(), vec![0_u8; 32].into(), vec![0_u8; 32].into()]);
        row
    });
    let columns = columns.into_iter().chain(["refresh_newest", "refresh_salt"]);
    insert(&data.connect().await, "sessions", &columns.collect::<Vec<_>>(), rows).await;
}

async fn insert(
    db: &DatabaseConnection,
    table: &'static str,
    columns: &[&'static str],
    rows: impl Iterator<Item = Vec<SimpleExpr>>,
) {
    let transaction = db.begin().await.unwrap();
    for row in rows {
        let mut insert = Query::insert();
        insert.into_table(table).columns(columns.iter().copied()).values_panic(row);
        transaction.execute(&insert).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// How many rows of `table` satisfy `condition`.
pub(crate) async fn count(db: &DatabaseConnection, table: &'static str, condition: SimpleExpr) -> i64 {
    let mut query = Query::select();
    query.expr(Expr::cust("COUNT(*)")).from(table).and_where(condition);
    db.query_one(&query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn a_sweep_looks_at_all_sessions_a_page_at_a_time_and_deletes_those_that_are_worth_nothing() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let alice = client.sign_up("alice", PASSWORD).await.unwrap();
    let user = UserId(alice.id.parse().unwrap());
    insert_sessions(&server.data, server.clock.now(), 700, user, "signet").await;
    let token = client.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    server.clock.advance(Duration::from_hours(10 * 24));
    client.refresh(&token).await.unwrap();
    // It would sweep, too, when the clock is turned.
    let (data, clock) = server.stop().await;
    insert_sessions(&data, clock.now(), 600, user, "signet").await;
    // A client that there is not.
    let gone = Uuid::now_v7().to_string();
    insert_sessions(&data, clock.now(), 600, user, &gone).await;
    clock.advance(Duration::from_hours(5 * 24));

    let (store, db) = (data.store().await, data.connect().await);
    let lifetime = config(&data, &[]).session_lifetime();
    let (mut pages, mut after) = (0, None);
    loop {
        let before = count(&db, "sessions", Expr::value(true)).await;
        after = store.sweep_sessions(after, lifetime, clock.now()).await.unwrap();
        pages += 1;
        let deleted = before - count(&db, "sessions", Expr::value(true)).await;
        assert!(deleted <= i64::try_from(BATCH).unwrap(), "{deleted}");
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, 1_901_usize.div_ceil(BATCH));
    // Those that were opened later, and the one that was refreshed meanwhile.
    assert_eq!(count(&db, "sessions", Expr::col("client_id").eq("signet")).await, 601);
    assert_eq!(count(&db, "sessions", Expr::col("client_id").eq(gone)).await, 0);
    let server = TestServer::start_in(data, clock, &[]).await;
    assert!(server.client().await.log_in("alice", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn any_number_of_old_changes_goes_from_the_feed_but_never_the_newest_of_them() {
    let server = TestServer::start(&[]).await;
    let (store, db) = (server.store().await, server.data.connect().await);
    let now = server.clock.now();
    let hour = |hours: u64| now.after(Duration::from_hours(hours)).as_micros();
    let row = |time: i64| vec![Uuid::now_v7().into(), time.into()];
    // By another process whose clock is ahead, at the end of a page.
    let times = (0..1_200).map(|place| if place == 499 { hour(2) } else { hour(0) });
    insert(&db, "changes", &["subject", "create_time"], times.chain([hour(2)]).map(row)).await;
    let kept_to = store.delete_changes_before(now.after(Duration::from_hours(1)), 0).await.unwrap();
    // The newest of the old, where a process that has read no further goes on, and the two that are not old.
    assert_eq!(count(&db, "changes", Expr::value(true)).await, 3);
    store.delete_changes_before(now.after(Duration::from_hours(3)), kept_to).await.unwrap();
    assert_eq!(count(&db, "changes", Expr::value(true)).await, 1);
}

#[tokio::test]
async fn any_number_of_expired_assertions_goes_and_no_other() {
    let server = TestServer::start(&[]).await;
    let (store, db) = (server.store().await, server.data.connect().await);
    let now = server.clock.now();
    let rows = (0..1_200).map(|number: i64| {
        let hash = [Uuid::now_v7().into_bytes(); 2].concat();
        vec![hash.into(), (now.as_micros() + number % 2).into()]
    });
    insert(&db, "client_assertions", &["hash", "expire_time"], rows).await;
    store.delete_expired_assertions(now).await.unwrap();
    assert_eq!(count(&db, "client_assertions", Expr::value(true)).await, 600);
}
