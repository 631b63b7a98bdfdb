//! Owns what a session gets of what its login asked for, each time that it is refreshed.

use sea_orm::ConnectionTrait;
use tonic::Code;

use super::Shop;
use crate::harness::{PASSWORD, assert_refused};

#[tokio::test]
async fn each_refresh_gives_what_the_roles_give_at_that_moment_of_what_the_login_asked_for() {
    let shop = Shop::open().await;
    let picker = shop.operator.role("stock", "picker", "stock.pick").await;
    let writer = shop.operator.role("stock", "writer", "stock.write").await;
    let all = shop.log_in("alice", "", &["stock"]).await.unwrap();
    let some = shop.log_in("alice", "stock.read stock.pick", &["stock"]).await.unwrap();
    assert_eq!((all.scope.as_str(), some.scope.as_str()), ("stock.read", "stock.read"));

    shop.operator.bind(picker, shop.principal()).await;
    shop.operator.bind(writer, shop.principal()).await;
    let all = shop.refresh(&all.refresh_token.unwrap(), "").await.unwrap();
    let some = shop.refresh(&some.refresh_token.unwrap(), "").await.unwrap();
    assert_eq!(all.scope, "stock.read stock.pick stock.write");
    assert_eq!(some.scope, "stock.read stock.pick", "it did not ask for more");
    let beyond = shop.refresh(some.refresh_token.as_ref().unwrap(), "stock.write").await;
    assert_refused(beyond, Code::InvalidArgument, "INVALID_SCOPE");

    shop.operator.unbind(picker, shop.principal()).await;
    let some = shop.refresh(&some.refresh_token.unwrap(), "").await.unwrap();
    assert_eq!(some.scope, "stock.read");
    let asked = shop.refresh(&some.refresh_token.unwrap(), "stock.pick").await.unwrap();
    assert_eq!(asked.scope, "", "only the user lacks it");
}

#[tokio::test]
async fn what_the_client_may_no_longer_have_no_refresh_gives() {
    let shop = Shop::open().await;
    let login = shop.log_in("alice", "", &["stock", "signet"]).await.unwrap();
    assert_eq!(login.scope, "stock.read profile account");
    shop.service.set_scopes(shop.client_id(), "stock.pick profile").await;
    let refused = shop.refresh(login.refresh_token.as_ref().unwrap(), "account").await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
    let refreshed = shop.refresh(&login.refresh_token.unwrap(), "").await.unwrap();
    assert_eq!(refreshed.scope, "profile");
}

#[tokio::test]
async fn a_session_that_the_release_before_opened_goes_on_with_what_it_had() {
    let shop = Shop::open().await;
    let mut client = shop.service.client.clone();
    let login = client.log_in("alice", PASSWORD).await.unwrap();
    let db = shop.service.server.data.connect().await;
    db.execute_unprepared("UPDATE sessions SET asked_scope = NULL, scope = 'profile'").await.unwrap();
    let asked = crate::clients::request(crate::clients::refresh(&login.refresh_token.unwrap()), None);
    let refreshed = shop.service.issue(asked).await.unwrap();
    assert_eq!(refreshed.scope, "profile account");
}
