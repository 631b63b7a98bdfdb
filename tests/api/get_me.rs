//! Owns what `GetMe` promises to the holder of a genuine token.

use std::time::Duration;

use signet::{
    model::UserId,
    proto::identity::v1::{GetMeRequest, User},
};
use tonic::{Code, Request, Status, metadata::MetadataValue};

use crate::harness::{Client, PASSWORD, TestServer, assert_refused};

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
    for good in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER {token}")] {
        get_me_with(&mut client, &[&good]).await.unwrap();
    }
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        &token,
        &format!("Basic {token}"),
        &format!("Bearer  {token}"),
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

    store.set_active(id(&alice), false, server.clock.now()).await.unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
    assert_refused(client.log_in("alice", PASSWORD).await, Code::Unauthenticated, "INVALID_CREDENTIALS");

    store.set_active(id(&alice), true, server.clock.now()).await.unwrap();
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
    server.store().await.set_active(id(&alice), false, server.clock.now()).await.unwrap();
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
