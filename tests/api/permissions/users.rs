//! Owns what of what was asked for a user's token gets.

use std::time::Duration;

use signet::model::Principal;
use tonic::Code;

use super::Shop;
use crate::{
    clients::claims,
    harness::{PASSWORD, assert_refused},
};

#[tokio::test]
async fn a_user_gets_what_everyone_has_and_what_roles_give_and_is_told_of_it() {
    let shop = Shop::open().await;
    shop.service.client.clone().sign_up("bob", PASSWORD).await.unwrap();
    let picker = shop.operator.role("stock", "picker", "stock.pick").await;
    shop.operator.bind(picker, shop.principal()).await;

    let alices = shop.log_in("alice", "", &["stock"]).await.unwrap();
    assert_eq!(alices.scope, "stock.read stock.pick");
    assert_eq!(claims(&alices.access_token)["scope"], "stock.read stock.pick");
    assert_eq!(shop.log_in("bob", "", &["stock"]).await.unwrap().scope, "stock.read");
    // What only the user lacks is left out, also if it was asked for by name; what the client may not have is refused.
    let asked = shop.log_in("bob", "stock.pick stock.read", &["stock"]).await.unwrap();
    assert_eq!(asked.scope, "stock.read");
    assert_eq!(shop.log_in("bob", "stock.pick", &["stock"]).await.unwrap().scope, "");
    for beyond in ["stock.count", "introspect", "stock.read signet.users.read"] {
        let refused = shop.log_in("alice", beyond, &["stock"]).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
    }
    // At another audience the role gives nothing, and at Signet itself everyone has an account.
    assert_eq!(shop.log_in("alice", "", &["orders"]).await.unwrap().scope, "");
    assert_eq!(shop.log_in("alice", "", &["signet"]).await.unwrap().scope, "profile account");
}

#[tokio::test]
async fn a_role_comes_by_a_group_too() {
    let shop = Shop::open().await;
    let pickers = shop.operator.group_of("pickers", shop.alice).await;
    let picker = shop.operator.role("stock", "picker", "stock.pick").await;
    assert_eq!(shop.log_in("alice", "", &["stock"]).await.unwrap().scope, "stock.read");
    shop.operator.bind(picker, Principal::Group(pickers)).await;
    assert_eq!(shop.log_in("alice", "", &["stock"]).await.unwrap().scope, "stock.read stock.pick");
}

#[tokio::test]
async fn a_name_that_two_services_know_comes_by_neither_alone() {
    let shop = Shop::open().await;
    let at_stock = shop.operator.role("stock", "writer", "stock.write").await;
    shop.operator.bind(at_stock, shop.principal()).await;
    let both = async || shop.log_in("alice", "stock.write", &["stock", "orders"]).await.unwrap().scope;
    assert_eq!(both().await, "stock.write", "at orders no role has it, so there it means nothing");

    let at_orders = shop.operator.role("orders", "writer", "stock.write").await;
    assert_eq!(both().await, "", "at orders it means something that alice may not do");
    assert_eq!(shop.log_in("alice", "stock.write", &["stock"]).await.unwrap().scope, "stock.write");
    shop.operator.bind(at_orders, shop.principal()).await;
    assert_eq!(both().await, "stock.write");
    shop.operator.unbind(at_orders, shop.principal()).await;
    assert_eq!(both().await, "", "whether or not somebody has it there at the moment");
}

#[tokio::test]
async fn a_token_does_not_outlive_the_binding_that_gave_it_something() {
    let shop = Shop::open().await;
    let picker = shop.operator.role("stock", "picker", "stock.pick").await;
    let lifetime = async |scope| {
        let issued = shop.log_in("alice", scope, &["stock"]).await.unwrap();
        let claims = claims(&issued.access_token);
        let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(lifetime, i64::from(issued.expires_in));
        (issued.scope, lifetime)
    };
    for (left, scope, expected) in
        [(3_600, "stock.pick", 900), (300, "stock.pick", 300), (60, "stock.pick", 60), (59, "", 900)]
    {
        shop.operator.bind_for(picker, shop.principal(), Duration::from_secs(left)).await;
        assert_eq!(lifetime("stock.pick").await, (scope.to_owned(), expected), "{left} s");
        assert_eq!(
            lifetime("stock.read").await,
            ("stock.read".to_owned(), 900),
            "it gave this token nothing"
        );
    }
}
