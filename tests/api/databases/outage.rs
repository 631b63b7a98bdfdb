//! Owns what callers see while the database server is away, and afterwards: the server's place is taken by a relay that can be cut.

use std::time::Duration;

use sea_orm::{ConnectionTrait, TransactionTrait};
use signet::{
    base::Clock,
    proto::identity::v1::{ChangePasswordRequest, DeleteMeRequest},
};
use tokio::{task::JoinSet, time::timeout};
use tonic::Code;
use tonic_types::StatusExt;

use super::{
    locks::Lock,
    relay::{LIMITS, Line, Relay, behind_relay},
};
use crate::{
    ext_authz::Sidecar,
    harness::{Data, PASSWORD, TestServer, assert_refused, eventually, with_token},
};

/// How long a refusal may take: docs/OPERATIONS.md promises 2 s, and a busy machine gets what calls that wait behind one another's
/// failures would not do with.
const PATIENCE: Duration = Duration::from_secs(8);

/// A server whose database may go away, and a token of its user `alice`; none if the tests run on the embedded one.
async fn server() -> Option<(TestServer, Relay, String)> {
    let (server, relay) = behind_relay(Duration::ZERO, &["--ext-authz=on"]).await?;
    // By another, which has time: how busy the machine is decides nothing here.
    let unhurried = TestServer::start_in(server.data.clone(), Clock::system(), &[]).await;
    let token = unhurried.client().await.token_of_new("alice").await;
    let client = server.client().await;
    eventually("the token is known", || {
        let (mut client, token) = (client.clone(), token.clone());
        async move { client.get_me(&token).await.is_ok() }
    })
    .await;
    Some((server, relay, token))
}

#[tokio::test]
async fn calls_are_refused_in_time_while_the_database_is_away_and_served_when_it_is_back() {
    let Some((server, relay, token)) = server().await else { return };
    let mut client = server.client().await;
    let clock = Clock::system();
    for (round, line) in [Line::Cut, Line::Silent].into_iter().enumerate() {
        relay.set(line);
        for call in 0..3 {
            let started = clock.monotonic();
            let name = format!("user-{round}-{call}");
            let status = client.sign_up(&name, PASSWORD).await;
            let took = clock.monotonic().saturating_sub(started);
            let status = assert_refused(status, Code::Unavailable, "UNAVAILABLE");
            assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
            assert!(took < PATIENCE, "{line:?}: {took:?}");
        }
        eventually("not ready", || async { server.http_get("/readyz").await.status() == 503 }).await;
        assert_eq!(server.http_get("/livez").await.status(), 200, "a restart would not help");
        // What was known of the session has grown older than the bound: nothing is taken for granted.
        assert_refused(client.get_me(&token).await, Code::Unavailable, "UNAVAILABLE");
        // Envoy is told neither yes nor no, also of a token that is none.
        for token in [&*token, "none"] {
            let asked = Sidecar::of(&server).await.ask_of(token).await;
            assert_refused(asked, Code::Unavailable, "UNAVAILABLE");
        }

        relay.set(Line::Open);
        eventually("ready again", || async { server.http_get("/readyz").await.status() == 200 }).await;
        client.get_me(&token).await.unwrap();
        Sidecar::of(&server).await.ask_of(&token).await.unwrap();
        client.sign_up(&format!("user-{round}-0"), PASSWORD).await.unwrap();
    }
}

/// None waits for another: neither those who bring a good token, nor those whose token is none.
#[tokio::test]
async fn any_number_of_calls_at_once_are_refused_in_time_while_the_database_is_away() {
    let Some((server, relay, token)) = server().await else { return };
    let client = server.client().await;
    for line in [Line::Cut, Line::Silent] {
        relay.set(line);
        for token in [&*token, "none"] {
            eventually("nothing is remembered any more, and no key counts", || {
                let mut client = client.clone();
                async move { client.get_me(token).await.is_err_and(|status| status.code() == Code::Unavailable) }
            })
            .await;
        }
        let mut calls = JoinSet::new();
        for number in 0..50 {
            let mut client = client.clone();
            let token = if number % 2 == 0 { token.clone() } else { format!("{number}") };
            calls.spawn(async move { timeout(PATIENCE, client.get_me(&token)).await });
        }
        for call in calls.join_all().await {
            let status = call.unwrap_or_else(|_| panic!("{line:?}: a call is not answered in time"));
            let status = assert_refused(status, Code::Unavailable, "UNAVAILABLE");
            assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
        }
        relay.set(Line::Open);
        eventually("served again", || {
            let (mut client, token) = (client.clone(), token.clone());
            async move { client.get_me(&token).await.is_ok() }
        })
        .await;
    }
}

/// Before the session is added an outdated hash is replaced: what the one did not get done the other is not left to wait for, too.
#[tokio::test]
async fn a_login_whose_outdated_hash_cannot_be_replaced_is_refused_in_time() {
    let data = Data::new().await;
    if data.is_embedded() {
        return;
    }
    let first = TestServer::start_in(data.clone(), Clock::system(), &[]).await;
    first.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let args = [LIMITS[0], LIMITS[1], "--argon2-iterations=2"];
    let mut client = TestServer::start_in(data.clone(), Clock::system(), &args).await.client().await;

    // The user can be read, and not be written.
    let db = data.connect().await;
    let transaction = db.begin().await.unwrap();
    transaction.execute_unprepared("UPDATE users SET display_name = 'Alice'").await.unwrap();
    let login = timeout(PATIENCE, client.log_in("alice", PASSWORD)).await.expect("in time");
    assert_refused(login, Code::Unavailable, "UNAVAILABLE");
    transaction.rollback().await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
}

/// What an account has failed is read with its credentials: whoever keeps the one from being read has no guess judged by the other.
#[tokio::test]
async fn no_password_is_judged_while_it_cannot_be_read_what_its_account_has_failed() {
    let Some((server, relay, token)) = server().await else { return };
    let mut client = server.client().await;
    let lock = Lock::all(&server, "password_failures").await;
    for (name, password) in [("alice", PASSWORD), ("alice", "wrong staple battery"), ("nobody", PASSWORD)] {
        let refused = timeout(PATIENCE, client.log_in(name, password)).await.expect("in time");
        assert_refused(refused, Code::Unavailable, "UNAVAILABLE");
    }
    for password in [PASSWORD, "wrong staple battery"] {
        let new_password = "another horse battery".to_owned();
        let change = ChangePasswordRequest { current_password: password.to_owned(), new_password };
        let changed = timeout(PATIENCE, client.0.change_password(with_token(change, &token))).await;
        assert_refused(changed.expect("in time"), Code::Unavailable, "UNAVAILABLE");
        let delete = DeleteMeRequest { password: password.to_owned() };
        let deleted = timeout(PATIENCE, client.0.delete_me(with_token(delete, &token))).await;
        assert_refused(deleted.expect("in time"), Code::Unavailable, "UNAVAILABLE");
    }
    lock.release().await;
    client.log_in("alice", PASSWORD).await.unwrap();
    relay.set(Line::Cut);
    assert_refused(client.log_in("alice", PASSWORD).await, Code::Unavailable, "UNAVAILABLE");
    relay.set(Line::Open);
    client.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn connections_that_died_unnoticed_cost_no_call() {
    let Some((server, relay, _)) = server().await else { return };
    let mut client = server.client().await;
    for round in 0..5 {
        // As when a standby takes over behind a proxy.
        relay.cut();
        client.log_in("alice", PASSWORD).await.unwrap();
        client.sign_up(&format!("user-{round}"), PASSWORD).await.unwrap();
    }
}
