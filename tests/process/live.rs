//! Owns what a command promises to a service that runs: it takes effect there. How soon is told in tests/api, by a clock that is turned.

use tokio::time::timeout;

use crate::{
    client::{Client, PASSWORD, reason},
    harness::{PATIENCE, Place},
};

async fn becomes(client: &Client, token: &str, expected: &str) {
    let waiting = async { while reason(&client.get_me(token).await) != expected {} };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("GetMe does not become {expected}"));
}

#[tokio::test]
async fn a_user_that_is_disabled_or_deleted_on_the_command_line_is_refused_by_the_running_service() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    place.create_user("alice").await;
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    client.get_me(&token).await.unwrap();

    place.run(&["users", "disable", "alice"]).await.succeeded();
    becomes(&client, &token, "TOKEN_REVOKED").await;
    assert_eq!(reason(&client.log_in("alice", PASSWORD).await), "INVALID_CREDENTIALS");

    place.run(&["users", "enable", "alice"]).await.succeeded();
    assert_eq!(reason(&client.get_me(&token).await), "TOKEN_REVOKED", "its session has ended");
    let token = client.log_in("alice", PASSWORD).await.unwrap();

    place.run(&["users", "delete", "alice"]).await.succeeded();
    becomes(&client, &token, "TOKEN_REVOKED").await;
    assert_eq!(reason(&client.log_in("alice", PASSWORD).await), "INVALID_CREDENTIALS");
    let again = client.sign_up("alice").await.unwrap();
    assert_eq!(
        reason(&client.get_me(&token).await),
        "TOKEN_REVOKED",
        "the name is another user's now: {again:?}"
    );
}
