//! Owns what happens at once, over several replicas on one database.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, TransactionTrait,
    sea_query::{Expr, ExprTrait, Query},
};
use signet::{
    model::UserId,
    proto::identity::v1::{
        ChangePasswordRequest, IssueTokenRequest, IssueTokenResponse, RefreshTokenGrant,
        RevokeSessionRequest, issue_token_request::Grant,
    },
};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::session;
use crate::harness::{Client, PASSWORD, TestServer, assert_refused, config, eventually, with_token};

/// Two replicas, and a client of each.
async fn replicas() -> ([TestServer; 2], [Client; 2]) {
    let one = TestServer::start(&[]).await;
    let other = one.replica(&[]).await;
    let clients = [one.client().await, other.client().await];
    ([one, other], clients)
}

async fn refresh(mut client: Client, token: String) -> Result<IssueTokenResponse, Status> {
    let grant = Some(Grant::RefreshToken(RefreshTokenGrant { refresh_token: token }));
    let request = IssueTokenRequest { grant, ..IssueTokenRequest::default() };
    Ok(client.0.issue_token(request).await?.into_inner())
}

#[tokio::test]
async fn of_a_hundred_sign_ups_of_one_name_one_wins() {
    let (servers, clients) = replicas().await;
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let mut client = clients[number % 2].clone();
        let name = ["alice", "Alice"][number / 50];
        calls.spawn(async move { client.sign_up_in_the_end(name, PASSWORD).await });
    }
    let mut won = 0;
    while let Some(call) = calls.join_next().await {
        match call.unwrap() {
            Ok(_) => won += 1,
            Err(status) => {
                assert_refused(Err::<(), _>(status), Code::AlreadyExists, "USERNAME_TAKEN");
            }
        }
    }
    assert_eq!((won, servers[0].store().await.users(None, 10).await.unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_refresh_token_exchanged_on_all_replicas_at_once_has_one_successor_and_a_replay_is_found_out() {
    let (_servers, mut clients) = replicas().await;
    clients[0].sign_up("alice", PASSWORD).await.unwrap();
    let first = clients[0].log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    let mut calls = JoinSet::new();
    for number in 0..50 {
        calls.spawn(refresh(clients[number % 2].clone(), first.clone()));
    }
    let mut next = Vec::new();
    for call in calls.join_all().await {
        match call {
            Ok(answer) => next.push(answer.refresh_token.unwrap()),
            // More than are repeated, beside those that were in flight together.
            refused => drop(assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_REPEATS")),
        }
    }
    next.dedup();
    assert_eq!(next.len(), 1);
    refresh(clients[1].clone(), next[0].clone()).await.unwrap();
    // Whoever has the first one now has a copy of it: the session ends, once, whichever replicas are asked.
    let mut calls = JoinSet::new();
    for number in 0..10 {
        calls.spawn(refresh(clients[number % 2].clone(), first.clone()));
    }
    for call in calls.join_all().await {
        assert_eq!(call.unwrap_err().code(), Code::Unauthenticated);
    }
    let refused = refresh(clients[0].clone(), next[0].clone()).await;
    assert_refused(refused, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
}

#[tokio::test]
async fn no_login_with_a_password_outlives_its_change() {
    let (servers, mut clients) = replicas().await;
    let user = clients[0].sign_up("alice", PASSWORD).await.unwrap();
    let id = UserId(user.id.parse().unwrap());
    let mut current = PASSWORD.to_owned();
    for round in 0..8 {
        let mine = clients[0].log_in("alice", &current).await.unwrap().access_token;
        let mut logins = JoinSet::new();
        for number in 0..8 {
            let (mut client, password) = (clients[number % 2].clone(), current.clone());
            logins.spawn(async move { client.log_in("alice", &password).await });
        }
        let next = format!("{PASSWORD} {round}");
        let change = ChangePasswordRequest { current_password: current, new_password: next.clone() };
        let changed = clients[0].0.change_password(with_token(change, &mine)).await.unwrap().into_inner();
        // Each login came before the change, and its session has ended with it, or after, and was refused.
        for login in logins.join_all().await {
            if let Err(status) = login {
                assert_refused(Err::<(), _>(status), Code::Unauthenticated, "INVALID_CREDENTIALS");
            }
        }
        let lifetime = config(&servers[1].data, &[]).session_lifetime();
        let now = servers[1].clock.now();
        let sessions = servers[1].store().await.sessions(id, None, 100, lifetime, now).await.unwrap();
        let ids: Vec<_> = sessions.into_iter().map(|session| session.id).collect();
        assert_eq!(ids, [session(&changed.access_token.unwrap())], "round {round}");
        current = next;
    }
}

/// Ends the session of a token behind the service's back, and tells of it as the service does, in a transaction that is not
/// committed yet.
async fn end_without_commit(server: &TestServer, token: &str) -> DatabaseTransaction {
    let db = server.data.connect().await;
    let transaction = db.begin().await.unwrap();
    let (id, now) = (session(token).0, server.clock.now().as_micros());
    let delete = Query::delete().from_table("sessions").and_where(Expr::col("id").eq(id)).to_owned();
    transaction.execute(&delete).await.unwrap();
    let mut tell = Query::insert();
    tell.into_table("changes").columns(["subject", "create_time"]).values_panic([id.into(), now.into()]);
    transaction.execute(&tell).await.unwrap();
    transaction
}

/// The feed of changes is read in the order of its ids, and on a server a transaction that was given an earlier id may be
/// committed after one that was given a later id. The clocks stand: nothing but the feed makes a replica forget.
#[tokio::test]
async fn a_change_that_is_committed_late_is_not_missed() {
    let (servers, mut clients) = replicas().await;
    if servers[0].data.is_embedded() {
        // SQLite's writers take turns.
        return;
    }
    clients[0].sign_up("alice", PASSWORD).await.unwrap();
    // First the other replica reads on at once, then it pauses for longer than a change may be late.
    for pause in [Duration::ZERO, Duration::from_secs(50)] {
        let late = clients[0].log_in("alice", PASSWORD).await.unwrap().access_token;
        let early = clients[0].log_in("alice", PASSWORD).await.unwrap().access_token;
        for token in [&late, &early] {
            clients[1].get_me(token).await.unwrap();
        }
        let transaction = end_without_commit(&servers[0], &late).await;
        // The later id is committed, and read by the other replica.
        let revoke = RevokeSessionRequest { session_id: session(&early).to_string() };
        clients[0].0.revoke_session(with_token(revoke, &late)).await.unwrap();
        eventually("the early change is seen", || {
            let (mut client, early) = (clients[1].clone(), early.clone());
            async move { client.get_me(&early).await.is_err() }
        })
        .await;
        clients[1].get_me(&late).await.unwrap();
        transaction.commit().await.unwrap();
        // Until the feed has been read again nothing that is remembered counts, and a call would see the end by itself.
        servers[1].clock.advance(pause);
        eventually("the feed is read again", || async {
            servers[1].scrape().await.sum("signet_change_feed_lag_seconds", &[]) == 0.0
        })
        .await;
        eventually("the late change is seen", || {
            let (mut client, late) = (clients[1].clone(), late.clone());
            async move { client.get_me(&late).await.is_err() }
        })
        .await;
    }
}
