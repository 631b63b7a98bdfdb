//! Owns what tokens, and introspection, say of roles.

use serde_json::{Value, json};
use signet::{
    model::{GroupName, Principal, RoleName},
    proto::identity::v1::PasswordGrant,
};

use super::{Shop, asking};
use crate::{
    clients::{Registered, Wanted, claims, request},
    harness::PASSWORD,
};

/// A client whose tokens say of roles what `token_claims` names.
async fn client_with(shop: &Shop, name: &str, token_claims: &str) -> Registered {
    let wanted = Wanted { audiences: "stock orders", token_claims, ..Wanted::confidential("stock.read") };
    shop.service.register_alone(name, wanted).await
}

/// What a token says that alice gets with `client` for `audiences`.
async fn said(shop: &Shop, client: &Registered, audiences: &[&str]) -> Value {
    let password = PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() };
    let grant = signet::proto::identity::v1::issue_token_request::Grant::Password(password);
    let asked = asking(request(grant, Some(client.by_secret())), "", audiences);
    claims(&shop.service.issue(asked).await.unwrap().access_token)
}

/// The claims about roles.
fn of_roles(claims: &Value) -> [Value; 4] {
    ["roles", "groups", "roles_omitted", "groups_omitted"].map(|claim| claims[claim].clone())
}

#[tokio::test]
async fn a_token_names_the_roles_at_its_audience_for_clients_that_want_it() {
    let shop = Shop::open().await;
    let (both, roles) =
        (client_with(&shop, "both", "roles groups").await, client_with(&shop, "one", "roles").await);
    let none = client_with(&shop, "none", "").await;
    assert_eq!(
        of_roles(&said(&shop, &both, &["stock"]).await),
        [Value::Null, Value::Null, Value::Null, Value::Null]
    );

    let pickers = shop.operator.group_of("pickers", shop.alice).await;
    for (audience, name) in [("stock", "picker"), ("orders", "clerk")] {
        let role = shop.operator.role(audience, name, "").await;
        shop.operator.bind(role, Principal::Group(pickers)).await;
    }
    let guard = shop.operator.role("stock", "guard", "").await;
    shop.operator.bind(guard, shop.principal()).await;
    let null = Value::Null;
    let told = of_roles(&said(&shop, &both, &["stock"]).await);
    assert_eq!(told, [json!(["guard", "picker"]), json!(["pickers"]), null.clone(), null.clone()]);
    let told = of_roles(&said(&shop, &roles, &["stock"]).await);
    assert_eq!(told, [json!(["guard", "picker"]), null.clone(), null.clone(), null.clone()]);
    for (client, audiences) in [(&none, &["stock"][..]), (&both, &["stock", "orders"])] {
        let told = of_roles(&said(&shop, client, audiences).await);
        assert!(told.iter().all(Value::is_null), "{audiences:?}: {told:?}");
    }
}

#[tokio::test]
async fn introspection_names_the_roles_of_this_moment_whatever_the_token_says() {
    let shop = Shop::open().await;
    let inspector = shop.service.register("inspector", Wanted::confidential("introspect")).await;
    let inspector = shop.service.token_of(&inspector).await;
    let token = shop.log_in("alice", "", &["stock"]).await.unwrap().access_token;
    let several = shop.log_in("alice", "", &["stock", "orders"]).await.unwrap().access_token;
    let picker = shop.operator.role("stock", "picker", "").await;
    shop.operator.bind(picker, shop.principal()).await;
    let told = shop.service.introspect(&token, &inspector).await.unwrap();
    assert_eq!((told.roles, told.groups), (vec!["picker".to_owned()], Vec::<String>::new()));
    assert!(shop.service.introspect(&several, &inspector).await.unwrap().roles.is_empty());
}

#[tokio::test]
async fn no_token_is_too_long_for_its_roles() {
    let shop = Shop::open().await;
    let client = client_with(&shop, "both", "roles groups").await;
    // Some fifty groups alone are too many, beside the roles.
    let mut groups = Vec::new();
    for number in 0..50 {
        let name = format!("{}-{number}", "a-group-with-a-very-long-name-indeed-as-long-as-it-may-be");
        assert!(GroupName::parse(&name).is_ok(), "{name}");
        let group = shop.operator.group_of(&name, shop.alice).await;
        let role = shop.operator.role("stock", &format!("r{number}"), "").await;
        shop.operator.bind(role, Principal::Group(group)).await;
        groups.push(Principal::Group(group));
    }
    let told = said(&shop, &client, &["stock"]).await;
    assert_eq!(told["roles"].as_array().unwrap().len(), 50);
    assert_eq!((&told["groups"], &told["groups_omitted"]), (&Value::Null, &json!(true)));
    assert_eq!(told["roles_omitted"], Value::Null);

    // And so are as many roles with such names.
    for (number, group) in groups.into_iter().enumerate() {
        let name = format!("{}-{number}", "a-role-with-a-very-long-name-indeed-as-long-as-it-may-be");
        assert!(RoleName::parse(&name).is_ok(), "{name}");
        let role = shop.operator.role("stock", &name, "").await;
        shop.operator.bind(role, group).await;
    }
    let told = said(&shop, &client, &["stock"]).await;
    assert_eq!(of_roles(&told), [Value::Null, Value::Null, json!(true), json!(true)]);
    assert_eq!(told["scope"], "stock.read");
}
