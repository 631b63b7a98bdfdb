//! Owns what `GetMe` promises to the holder of a genuine token.

use std::time::Duration;

use signet::{
    model::UserId,
    proto::identity::v1::{GetMeRequest, User},
};
use tonic::{Code, Request, Status, metadata::MetadataValue};

use crate::{
    clients::{Service, Wanted},
    ext_authz::Sidecar,
    harness::{Client, PASSWORD, TestServer, assert_refused},
};

fn id(user: &User) -> UserId {
    UserId(user.id.parse().unwrap())
}

#[tokio::test]
async fn the_holder_of_a_token_is_recognised() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let alice = client.sign_up("Alice", PASSWORD).await.unwrap();
    let bob = client.token_of_new("bob").await;
    let token = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_eq!(client.get_me(&token).await.unwrap(), alice);
    assert_eq!(client.get_me(&bob).await.unwrap().username, "bob");
    assert_eq!(client.get_me(&token).await.unwrap(), alice, "a token seen before");
}

async fn get_me_with(client: &mut Client, authorization: &[&str]) -> Result<User, Status> {
    let mut request = Request::new(GetMeRequest {});
    for value in authorization {
        request.metadata_mut().append("authorization", MetadataValue::try_from(*value).unwrap());
    }
    Ok(client.0.get_me(request).await?.into_inner().user.unwrap())
}

#[tokio::test]
async fn the_bearer_scheme_is_read_as_rfc_6750_says() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    assert_refused(get_me_with(&mut client, &[]).await, Code::Unauthenticated, "TOKEN_MISSING");
    // Behind the scheme there is one space or more (RFC 9110 section 11.4).
    for good in ["Bearer ", "bearer ", "BEARER ", "Bearer  ", "Bearer     "] {
        get_me_with(&mut client, &[&format!("{good}{token}")]).await.unwrap();
    }
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        &token,
        &format!("Basic {token}"),
        &format!("Bearer\t{token}"),
        &format!("Bearer {token} x"),
    ] {
        assert_refused(get_me_with(&mut client, &[bad]).await, Code::Unauthenticated, "TOKEN_INVALID");
    }
    let bearer = format!("Bearer {token}");
    let twice = get_me_with(&mut client, &[&bearer, &bearer]).await;
    assert_refused(twice, Code::Unauthenticated, "TOKEN_INVALID");
}

#[tokio::test]
async fn a_token_lives_until_its_expiry_and_the_leeway_whether_it_was_seen_or_not() {
    let server = TestServer::start(&["--access-token-ttl=15m", "--clock-leeway=5s"]).await;
    let mut client = server.client().await;
    let seen = client.token_of_new("alice").await;
    let unseen = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    client.get_me(&seen).await.unwrap();
    server.clock.advance(Duration::from_secs(15 * 60 + 4));
    client.get_me(&seen).await.unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert_refused(client.get_me(&seen).await, Code::Unauthenticated, "TOKEN_EXPIRED");
    assert_refused(client.get_me(&unseen).await, Code::Unauthenticated, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_user_that_another_process_disables_or_deletes_is_refused_within_the_bound() {
    let server = TestServer::start(&["--standing-cache-max-age=1s"]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let alice = client.get_me(&token).await.unwrap();
    let store = server.store().await;

    store.set_active(id(&alice), false, crate::operator::by_operator(server.clock.now())).await.unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
    assert_refused(client.log_in("alice", PASSWORD).await, Code::Unauthenticated, "INVALID_CREDENTIALS");

    store.set_active(id(&alice), true, crate::operator::by_operator(server.clock.now())).await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    server.clock.advance(Duration::from_secs(1));
    assert!(client.get_me(&token).await.unwrap().is_active);

    store.delete_user(id(&alice), None, server.clock.now()).await.unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn without_a_cache_a_change_is_seen_by_the_next_call() {
    let server = TestServer::start(&["--standing-cache-max-age=0s"]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let alice = client.get_me(&token).await.unwrap();
    server
        .store()
        .await
        .set_active(id(&alice), false, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn a_name_that_is_used_again_does_not_inherit_tokens() {
    let server = TestServer::start(&["--standing-cache-max-age=0s"]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let alice = client.get_me(&token).await.unwrap();
    server.store().await.delete_user(id(&alice), None, server.clock.now()).await.unwrap();
    client.sign_up("alice", PASSWORD).await.unwrap();
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn of_whoever_is_recognised_the_user_is_asked_for_once() {
    let service = Service::start_with(&["--ext-authz=on"]).await;
    let inspector = service.register("inspector", Wanted::confidential("introspect")).await;
    let inspector = service.token_of(&inspector).await;
    let (server, mut client) = (&service.server, service.client.clone());
    let alice = client.log_in("alice", PASSWORD).await.unwrap();
    let (token, refresh_token) = (alice.access_token, alice.refresh_token.unwrap());
    let sidecar = Sidecar::of(server).await;
    let asked = async || server.scrape().await.sum("signet_cache_lookups_total", &[("cache", "users")]);

    let mut told = vec![asked().await];
    client.get_me(&token).await.unwrap();
    told.push(asked().await);
    sidecar.ask_of(&token).await.unwrap();
    told.push(asked().await);
    server.http().get_with_token("/oauth2/userinfo", &token).await.ok();
    told.push(asked().await);
    for token in [&token, &refresh_token] {
        assert_eq!(service.introspect(token, &inspector).await.unwrap().username.as_deref(), Some("alice"));
        told.push(asked().await);
    }
    let each: Vec<_> = told.windows(2).map(|pair| format!("{:.0}", pair[1] - pair[0])).collect();
    assert_eq!(each, ["1"; 5], "by GetMe, Check, userinfo, and introspection of both tokens");
}
