//! Owns that what was taken away is gone on the next call: at Signet's own RPCs, at introspection, and for Envoy.

use std::time::Duration;

use signet::{
    model::{NameSet, Principal, UserId},
    proto::identity::v1::{UpdateMeRequest, User},
};
use tonic::Code;

use super::Shop;
use crate::{
    clients::Wanted,
    ext_authz::Sidecar,
    harness::{PASSWORD, assert_refused, eventually, with_token},
    operator::{applied, by_operator},
};

/// What introspection, and then the service behind Envoy, are told of the scope of `token`, which is meant for the stock.
async fn told(shop: &Shop, inspector: &str, token: &str) -> [String; 2] {
    let told = shop.service.introspect(token, inspector).await.unwrap().scope.unwrap();
    let sidecar = Sidecar::of(&shop.service.server).await;
    let mut headers = sidecar.headers(token, &[("signet.require_audience", "stock")]).await;
    [told, headers.remove("x-signet-scope").unwrap_or_default()]
}

/// A token of alice's for the stock, once she gets `scope` there, and what asks about it.
async fn token_and_inspector(shop: &Shop, scope: &str) -> (String, String) {
    let inspector = shop.service.register("inspector", Wanted::confidential("introspect")).await;
    let inspector = shop.service.token_of(&inspector).await;
    let log_in = async || shop.log_in("alice", "", &["stock"]).await.unwrap();
    eventually("the server has heard of the roles", async || log_in().await.scope == scope).await;
    let token = log_in().await.access_token;
    assert_eq!(told(shop, &inspector, &token).await, [scope; 2]);
    (token, inspector)
}

#[tokio::test]
async fn each_way_of_losing_a_scope_counts_on_the_next_call() {
    let shop = Shop::open_with(&["--standing-cache-max-age=0s", "--ext-authz=on"]).await;
    let operator = &shop.operator;
    let picker = operator.role("stock", "picker", "stock.pick").await;
    let writer = operator.role("stock", "writer", "stock.write").await;
    let pickers = operator.group_of("pickers", shop.alice).await;
    operator.bind(picker, Principal::Group(pickers)).await;
    operator.bind(writer, shop.principal()).await;
    let (token, inspector) = token_and_inspector(&shop, "stock.read stock.pick stock.write").await;
    let scope = async || told(&shop, &inspector, &token).await;
    let (store, now) = (&shop.service.store, shop.service.server.clock.now());

    operator.unbind(writer, shop.principal()).await;
    assert_eq!(scope().await, ["stock.read stock.pick"; 2], "a binding of the user");
    operator.bind(writer, shop.principal()).await;
    assert_eq!(scope().await, ["stock.read stock.pick stock.write"; 2], "what the token says counts again");
    operator.unbind(picker, Principal::Group(pickers)).await;
    assert_eq!(scope().await, ["stock.read stock.write"; 2], "a binding of a group");
    operator.bind(picker, Principal::Group(pickers)).await;
    assert!(applied(store.remove_member(pickers, shop.alice, by_operator(now)).await.unwrap()));
    assert_eq!(scope().await, ["stock.read stock.write"; 2], "a membership");
    operator.change_role(writer, |scopes| scopes.without_name("stock.write")).await;
    assert_eq!(scope().await, ["stock.read"; 2], "a scope of a role");
    operator.take_from_everyone("stock", "stock.read").await;
    assert_eq!(scope().await, [""; 2], "what everyone has");
    operator.give_everyone("stock", "stock.read stock.write").await;
    assert_eq!(scope().await, ["stock.read stock.write"; 2]);
    shop.service.set_scopes(shop.client_id(), "stock.write").await;
    assert_eq!(scope().await, ["stock.write"; 2], "a scope of the client");
}

#[tokio::test]
async fn a_binding_counts_until_it_ends() {
    let shop = Shop::open_with(&["--ext-authz=on"]).await;
    let picker = shop.operator.role("stock", "picker", "stock.pick").await;
    let loader = shop.operator.role("stock", "loader", "stock.pick").await;
    shop.operator.bind(loader, shop.principal()).await;
    let (token, inspector) = token_and_inspector(&shop, "stock.read stock.pick").await;
    // Another binding takes over, and ends.
    shop.operator.bind_for(picker, shop.principal(), Duration::from_mins(2)).await;
    shop.operator.unbind(loader, shop.principal()).await;
    shop.service.server.clock.advance(Duration::from_secs(119));
    assert_eq!(told(&shop, &inspector, &token).await, ["stock.read stock.pick"; 2]);
    shop.service.server.clock.advance(Duration::from_secs(1));
    assert_eq!(told(&shop, &inspector, &token).await, ["stock.read"; 2]);
}

#[tokio::test]
async fn what_another_process_takes_away_the_feed_tells_of() {
    // No time passes: what was read stays good until the feed names it.
    let shop = Shop::open_with(&["--ext-authz=on"]).await;
    let picker = shop.operator.role("stock", "picker", "stock.pick").await;
    let pickers = shop.operator.group_of("pickers", shop.alice).await;
    shop.operator.bind(picker, Principal::Group(pickers)).await;
    let (token, inspector) = token_and_inspector(&shop, "stock.read stock.pick").await;
    let becomes = async |scope: &str| {
        eventually(scope, async || told(&shop, &inspector, &token).await == [scope; 2]).await;
    };
    shop.operator.unbind(picker, Principal::Group(pickers)).await;
    becomes("stock.read").await;
    shop.operator.bind(picker, shop.principal()).await;
    becomes("stock.read stock.pick").await;
    shop.operator.change_role(picker, |_| NameSet::default()).await;
    becomes("stock.read").await;
    shop.operator.change_role(picker, |_| NameSet::parse("stock.pick").unwrap()).await;
    becomes("stock.read stock.pick").await;
    shop.operator.unbind(picker, shop.principal()).await;
    becomes("stock.read").await;
    shop.operator.take_from_everyone("stock", "stock.read").await;
    becomes("").await;
}

#[tokio::test]
async fn a_group_gives_its_members_what_it_is_bound_to_while_they_are_remembered() {
    let shop = Shop::open_with(&["--ext-authz=on"]).await;
    let picker = shop.operator.role("stock", "picker", "stock.pick").await;
    let writer = shop.operator.role("stock", "writer", "stock.write").await;
    // It gives nothing yet, and others change, of which hers is none.
    let pickers = shop.operator.group_of("pickers", shop.alice).await;
    let bob = shop.service.client.clone().sign_up("bob", PASSWORD).await.unwrap();
    let writers = shop.operator.group_of("writers", UserId(bob.id.parse().unwrap())).await;
    let scope = async |username| shop.log_in(username, "", &["stock"]).await.unwrap().scope;
    assert_eq!(scope("alice").await, "stock.read");
    shop.operator.bind(writer, Principal::Group(writers)).await;
    eventually("the server has heard of it", async || scope("bob").await == "stock.read stock.write").await;
    assert_eq!(scope("alice").await, "stock.read");
    shop.operator.bind(picker, Principal::Group(pickers)).await;
    eventually("and of that", async || scope("alice").await == "stock.read stock.pick").await;
    assert_eq!(scope("bob").await, "stock.read stock.write");
    // As more changes than are remembered come in between.
    for _ in 0..600 {
        shop.operator.unbind(writer, Principal::Group(writers)).await;
        shop.operator.bind(writer, Principal::Group(writers)).await;
    }
    shop.operator.unbind(picker, Principal::Group(pickers)).await;
    eventually("the last one", async || scope("alice").await == "stock.read").await;
}

#[tokio::test]
async fn signets_own_methods_ask_what_the_user_has_now() {
    let shop = Shop::open().await;
    let mut client = shop.service.client.clone();
    let token = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let update = async || {
        let request =
            with_token(UpdateMeRequest { user: Some(User::default()), ..UpdateMeRequest::default() }, &token);
        shop.service.client.clone().0.update_me(request).await.map(drop)
    };
    update().await.unwrap();
    shop.operator.take_from_everyone("signet", "account").await;
    assert_refused(update().await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
    client.get_me(&token).await.unwrap();
    shop.operator.give_everyone("signet", "account").await;
    update().await.unwrap();
}

#[tokio::test]
async fn what_a_client_lost_its_own_token_has_no_longer() {
    let shop = Shop::open().await;
    let (operator, service) = (&shop.operator, &shop.service);
    let inspector = service.register("inspector", Wanted::confidential("")).await;
    let role = operator.role("signet", "inspector", "introspect").await;
    let subject = Principal::Client(inspector.client_id());
    operator.bind(role, subject).await;
    let token = service.token_of(&inspector).await;
    assert!(service.introspect(&token, &token).await.unwrap().active);
    operator.unbind(role, subject).await;
    let refused = service.introspect(&token, &token).await;
    assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
}

#[tokio::test]
async fn introspection_tells_of_a_refresh_token_what_it_would_give() {
    let shop = Shop::open().await;
    let inspector = shop.service.register("inspector", Wanted::confidential("introspect")).await;
    let inspector = shop.service.token_of(&inspector).await;
    let login = shop.log_in("alice", "", &["stock"]).await.unwrap();
    let picker = shop.operator.role("stock", "picker", "stock.pick").await;
    shop.operator.bind(picker, shop.principal()).await;
    let told = shop.service.introspect(login.refresh_token.as_ref().unwrap(), &inspector).await.unwrap();
    assert_eq!(told.scope.as_deref(), Some("stock.read stock.pick"));
    assert_eq!(shop.refresh(&login.refresh_token.unwrap(), "").await.unwrap().scope, "stock.read stock.pick");
}
