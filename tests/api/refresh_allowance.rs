//! Owns how often a user refreshes: who does it without end waits, is told for how long, and loses no session.

use std::time::Duration;

use signet::proto::identity::v1::IssueTokenResponse;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{Client, PASSWORD, TestServer, assert_refused};

const SECOND: Duration = Duration::from_secs(1);

/// How many refreshes a user has at once, and one session.
const OF_USER: usize = 20;
const OF_SESSION: usize = OF_USER / 2;

async fn start() -> (TestServer, Client) {
    let server = TestServer::start(&["--account-refreshes=20"]).await;
    let mut client = server.client().await;
    for name in ["alice", "bob"] {
        client.sign_up(name, PASSWORD).await.unwrap();
    }
    (server, client)
}

impl Client {
    async fn new_token(&mut self, username: &str) -> String {
        self.log_in(username, PASSWORD).await.unwrap().refresh_token.unwrap()
    }

    /// Exchanges `token` for the next.
    async fn exchange(&mut self, token: &mut String) {
        *token = self.refresh(token).await.unwrap().refresh_token.unwrap();
    }
}

#[track_caller]
fn assert_told_to_wait(answer: Result<IssueTokenResponse, Status>, retry_after: Duration) {
    let status = assert_refused(answer, Code::ResourceExhausted, "TOO_MANY_REFRESHES");
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(retry_after));
}

#[tokio::test]
async fn a_user_refreshes_so_often_at_once_and_then_once_a_second_and_loses_nothing() {
    let (server, mut client) = start().await;
    let mut tokens = [client.new_token("alice").await, client.new_token("alice").await];
    let [first, second] = &mut tokens;
    for _ in 0..OF_SESSION {
        client.exchange(first).await;
    }
    // One session has half: who has stolen it does not use up what the others have.
    assert_told_to_wait(client.refresh(first).await, SECOND * 2);
    for _ in 0..OF_USER - OF_SESSION {
        client.exchange(second).await;
    }
    let mut third = client.new_token("alice").await;
    assert_told_to_wait(client.refresh(&third).await, SECOND);
    // Others are not concerned.
    let mut of_bob = client.new_token("bob").await;
    client.exchange(&mut of_bob).await;
    // One comes back, for whichever session is first.
    server.clock.advance(SECOND);
    client.exchange(&mut third).await;
    assert_told_to_wait(client.refresh(&third).await, SECOND);
    server.clock.advance(SECOND * 10);
    for token in [first, second, &mut third] {
        client.exchange(token).await;
    }
}

#[tokio::test]
async fn repeats_count_as_refreshes_do() {
    let (_server, mut client) = start().await;
    let mut token = client.new_token("alice").await;
    let used = token.clone();
    client.exchange(&mut token).await;
    for _ in 1..OF_SESSION {
        client.refresh(&used).await.unwrap();
    }
    assert_told_to_wait(client.refresh(&used).await, SECOND * 2);
}

#[tokio::test]
async fn a_thief_is_found_out_all_the_same() {
    let (_server, mut client) = start().await;
    let mut token = client.new_token("alice").await;
    let stolen = token.clone();
    for _ in 0..OF_SESSION {
        client.exchange(&mut token).await;
    }
    assert_told_to_wait(client.refresh(&token).await, SECOND * 2);
    assert_refused(client.refresh(&stolen).await, Code::Unauthenticated, "REFRESH_TOKEN_REUSED");
    assert_refused(client.refresh(&token).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
}
