//! Owns what login sessions promise: refresh, replay, lifetimes, listing and ending.

use std::time::Duration;

use signet::{
    base::Clock,
    model::UserId,
    proto::identity::v1::{
        ChangePasswordRequest, IssueTokenRequest, IssueTokenResponse, ListSessionsRequest, RefreshTokenGrant,
        RevokeAllSessionsRequest, RevokeSessionRequest, RevokeTokenRequest, Session,
        issue_token_request::Grant,
    },
};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    harness::{Client, Data, PASSWORD, START, TestServer, assert_refused, eventually, with_token},
    sweeping::insert_sessions,
};

const DAY: Duration = Duration::from_hours(24);

impl Client {
    pub(crate) async fn refresh(&mut self, token: &str) -> Result<IssueTokenResponse, Status> {
        let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.to_owned() });
        Ok(self
            .0
            .issue_token(IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() })
            .await?
            .into_inner())
    }

    pub(crate) async fn sessions(&mut self, token: &str) -> Vec<Session> {
        let request = with_token(ListSessionsRequest::default(), token);
        self.0.list_sessions(request).await.unwrap().into_inner().sessions
    }

    /// Logs in, and returns the access and the refresh token.
    async fn pair(&mut self, username: &str) -> (String, String) {
        tokens(&self.log_in(username, PASSWORD).await.unwrap())
    }
}

fn tokens(response: &IssueTokenResponse) -> (String, String) {
    (response.access_token.clone(), response.refresh_token.clone().unwrap())
}

async fn server_with_alice(args: &[&str]) -> (TestServer, Client) {
    let server = TestServer::start(args).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    (server, client)
}

#[tokio::test]
async fn a_refresh_gives_a_new_pair_and_the_old_access_token_lives_on() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let (access, refresh) = client.pair("alice").await;
    assert_eq!(refresh.len(), 86);
    let (new_access, new_refresh) = tokens(&client.refresh(&refresh).await.unwrap());
    assert!(new_access != access && new_refresh != refresh);
    for token in [&access, &new_access] {
        assert_eq!(client.get_me(token).await.unwrap().username, "alice");
    }
    assert_eq!(client.sessions(&new_access).await.len(), 1, "it is the same session");
}

#[tokio::test]
async fn an_exchange_whose_answer_was_lost_can_be_repeated() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let (_, first) = client.pair("alice").await;
    let (_, second) = tokens(&client.refresh(&first).await.unwrap());
    let (_, again) = tokens(&client.refresh(&first).await.unwrap());
    assert_eq!(second, again, "there is one living branch");
    client.refresh(&second).await.unwrap();
}

#[tokio::test]
async fn a_copy_that_is_used_after_its_owner_went_on_ends_the_session() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let (access, stolen) = client.pair("alice").await;
    let (other_access, _) = client.pair("alice").await;
    let (_, second) = tokens(&client.refresh(&stolen).await.unwrap());
    let (_, third) = tokens(&client.refresh(&second).await.unwrap());
    assert_refused(client.refresh(&stolen).await, Code::Unauthenticated, "REFRESH_TOKEN_REUSED");
    for token in [&stolen, &second, &third] {
        assert_refused(client.refresh(token).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
    assert_refused(client.get_me(&access).await, Code::Unauthenticated, "TOKEN_REVOKED");
    client.get_me(&other_access).await.unwrap();
}

#[tokio::test]
async fn a_thief_who_is_first_is_found_out_when_the_owner_comes() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let (_, stolen) = client.pair("alice").await;
    let (_, of_thief) = tokens(&client.refresh(&stolen).await.unwrap());
    let (thief_access, of_thief) = tokens(&client.refresh(&of_thief).await.unwrap());
    assert_refused(client.refresh(&stolen).await, Code::Unauthenticated, "REFRESH_TOKEN_REUSED");
    assert_refused(client.refresh(&of_thief).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    assert_refused(client.get_me(&thief_access).await, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let (access, refresh) = client.pair("alice").await;
    for bad in ["", "x", &access, &refresh[1..], &format!("{refresh}="), &"A".repeat(86), &"x".repeat(60_000)]
    {
        assert_refused(client.refresh(bad).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
    client.refresh(&refresh).await.unwrap();
}

#[tokio::test]
async fn a_session_is_refreshed_on_one_replica_after_the_other_and_a_replay_is_found_out_on_any() {
    let (server, mut here) = server_with_alice(&[]).await;
    let other = server.replica(&[]).await;
    let mut there = other.client().await;
    let (_, first) = here.pair("alice").await;
    // Each replica remembers the session as it was when it exchanged a token of it itself.
    let mut tokens_in_turn = vec![first];
    for turn in 0..6 {
        let client = if turn % 2 == 0 { &mut here } else { &mut there };
        let newest = tokens_in_turn.last().unwrap().clone();
        let (_, next) = tokens(&client.refresh(&newest).await.unwrap());
        assert_eq!(tokens(&client.refresh(&newest).await.unwrap()).1, next, "a repeat gives the same");
        tokens_in_turn.push(next);
    }
    let (access, last) = tokens(&there.refresh(tokens_in_turn.last().unwrap()).await.unwrap());
    here.get_me(&access).await.unwrap();
    // What this replica exchanged last, and so remembers as used just before the newest.
    assert_refused(here.refresh(&tokens_in_turn[5]).await, Code::Unauthenticated, "REFRESH_TOKEN_REUSED");
    for client in [&mut here, &mut there] {
        assert_refused(client.refresh(&last).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
}

/// As a node of a cluster does that is behind: what another one has just made the newest is not, and then it is.
#[tokio::test]
async fn a_database_that_contradicts_itself_logs_nobody_out() {
    let server = TestServer::start_in(Data::embedded().await, Clock::manual(START), &[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let (_, refresh) = client.pair("alice").await;
    let db = server.data.connect().await;
    let change = async |sql: &str| sea_orm::ConnectionTrait::execute_unprepared(&db, sql).await.unwrap();
    change("CREATE TRIGGER behind BEFORE UPDATE ON sessions BEGIN SELECT RAISE(IGNORE); END").await;
    let status = assert_refused(client.refresh(&refresh).await, Code::Unavailable, "UNAVAILABLE");
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    change("DROP TRIGGER behind").await;
    client.refresh(&refresh).await.unwrap();
}

#[tokio::test]
async fn an_invented_token_of_a_session_does_not_end_it() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let (_, first) = client.pair("alice").await;
    let (_, other) = client.pair("alice").await;
    let (access, second) = tokens(&client.refresh(&first).await.unwrap());
    client.refresh(&second).await.unwrap();
    // The session's id is in its first 21 characters, and every access token tells it; the rest is of another session.
    let invented = format!("{}{}", &first[..24], &other[24..]);
    assert_refused(client.refresh(&invented).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    client.0.revoke_token(RevokeTokenRequest { token: invented, client: None }).await.unwrap();
    client.get_me(&access).await.unwrap();
    // A genuine old one does.
    assert_refused(client.refresh(&first).await, Code::Unauthenticated, "REFRESH_TOKEN_REUSED");
    assert_refused(client.get_me(&access).await, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn a_session_left_unused_ends_and_a_used_one_ends_in_the_end() {
    let (server, mut client) =
        server_with_alice(&["--session-idle-timeout=14days", "--session-max-age=30days"]).await;
    let (_, unused) = client.pair("alice").await;
    let (_, mut used) = client.pair("alice").await;
    server.clock.advance(DAY * 13);
    used = tokens(&client.refresh(&used).await.unwrap()).1;
    server.clock.advance(DAY);
    assert_refused(client.refresh(&unused).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    server.clock.advance(DAY * 12);
    used = tokens(&client.refresh(&used).await.unwrap()).1;
    server.clock.advance(DAY * 4);
    assert_refused(client.refresh(&used).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
}

#[tokio::test]
async fn a_user_sees_their_own_sessions_and_where_they_came_from() {
    let (server, mut client) = server_with_alice(&[]).await;
    let bob = client.token_of_new("bob").await;
    let (first, _) = client.pair("alice").await;
    server.clock.advance(Duration::from_mins(1));
    let (second, refresh) = client.pair("alice").await;
    server.clock.advance(Duration::from_mins(1));
    client.refresh(&refresh).await.unwrap();

    let sessions = client.sessions(&second).await;
    assert_eq!(sessions.iter().map(|session| session.is_current).collect::<Vec<_>>(), [false, true]);
    let (oldest, newest) = (&sessions[0], &sessions[1]);
    assert_eq!(oldest.create_time, oldest.last_use_time);
    assert_eq!(newest.last_use_time.unwrap().seconds - newest.create_time.unwrap().seconds, 60);
    assert_eq!(newest.expire_time.unwrap().seconds - newest.last_use_time.unwrap().seconds, 14 * 86_400);
    assert_eq!((newest.client_id.as_str(), newest.address.as_deref()), ("signet", Some("127.0.0.1")));
    assert!(newest.user_agent.as_ref().unwrap().starts_with("tonic/"));
    assert_eq!(client.sessions(&first).await.len(), 2);
    assert_eq!(client.sessions(&bob).await.len(), 1);
}

#[tokio::test]
async fn pages_of_sessions_follow_each_other() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let mut access = String::new();
    for _ in 0..5 {
        access = client.pair("alice").await.0;
    }
    let all: Vec<String> = client.sessions(&access).await.into_iter().map(|session| session.id).collect();
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = with_token(ListSessionsRequest { page_size: 2, page_token }, &access);
        let page = client.0.list_sessions(request).await.unwrap().into_inner();
        pages.push(page.sessions.into_iter().map(|session| session.id).collect::<Vec<_>>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(pages.concat(), all);
    for (page_size, page_token, field) in [(-1, "", "page_size"), (2, "nonsense", "page_token")] {
        let request = ListSessionsRequest { page_size, page_token: page_token.to_owned() };
        let refused = client.0.list_sessions(with_token(request, &access)).await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
}

#[tokio::test]
async fn a_session_that_has_expired_is_not_listed_and_takes_no_place_on_a_page() {
    let args = ["--session-idle-timeout=14days", "--session-max-age=30days"];
    let (server, mut client) = server_with_alice(&args).await;
    // One that is refreshed until its age ends it, and two that are left alone.
    let (_, mut aged) = client.pair("alice").await;
    client.pair("alice").await;
    server.clock.advance(DAY * 13);
    aged = tokens(&client.refresh(&aged).await.unwrap()).1;
    let (access, mut kept) = client.pair("alice").await;
    client.pair("alice").await;
    assert_eq!(client.sessions(&access).await.len(), 4);
    server.clock.advance(DAY.checked_sub(Duration::from_millis(1)).unwrap());
    let (access, _) = client.pair("alice").await;
    assert_eq!(client.sessions(&access).await.len(), 5, "nothing has expired yet");
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(client.sessions(&access).await.len(), 4, "the one that was left alone for 14 days");

    server.clock.advance(DAY * 12);
    aged = tokens(&client.refresh(&aged).await.unwrap()).1;
    kept = tokens(&client.refresh(&kept).await.unwrap()).1;
    server.clock.advance(DAY * 4);
    let access = tokens(&client.refresh(&kept).await.unwrap()).0;
    assert_refused(client.refresh(&aged).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    client.pair("alice").await;
    // Those left: the one that was kept, and the newest. Rows of expired ones lie before and between them.
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = with_token(ListSessionsRequest { page_size: 1, page_token }, &access);
        let page = client.0.list_sessions(request).await.unwrap().into_inner();
        assert_eq!(page.sessions.len(), 1, "no page is empty");
        pages.extend(page.sessions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let now = server.clock.now().as_secs();
    assert_eq!(pages.iter().map(|session| session.is_current).collect::<Vec<_>>(), [true, false]);
    assert!(pages.iter().all(|session| session.expire_time.unwrap().seconds > now), "{pages:?}");
}

#[tokio::test]
async fn an_ended_session_is_refused_at_once_and_only_that_one() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let bob = client.token_of_new("bob").await;
    let (first, first_refresh) = client.pair("alice").await;
    let (second, _) = client.pair("alice").await;
    let id = client.sessions(&first).await.into_iter().find(|session| session.is_current).unwrap().id;
    let revoke = |id: &str| RevokeSessionRequest { session_id: id.to_owned() };

    let foreign = client.0.revoke_session(with_token(revoke(&id), &bob)).await;
    assert_refused(foreign, Code::NotFound, "SESSION_NOT_FOUND");
    let unknown = client.0.revoke_session(with_token(revoke("no uuid"), &second)).await;
    assert_refused(unknown, Code::NotFound, "SESSION_NOT_FOUND");
    client.get_me(&first).await.unwrap();

    client.0.revoke_session(with_token(revoke(&id), &second)).await.unwrap();
    assert_refused(client.get_me(&first).await, Code::Unauthenticated, "TOKEN_REVOKED");
    assert_refused(client.refresh(&first_refresh).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    client.get_me(&second).await.unwrap();
}

#[tokio::test]
async fn all_sessions_end_or_all_but_the_current_one() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let bob = client.token_of_new("bob").await;
    let (first, _) = client.pair("alice").await;
    let (second, _) = client.pair("alice").await;
    let all_but = |keep_current| RevokeAllSessionsRequest { keep_current };
    client.0.revoke_all_sessions(with_token(all_but(true), &second)).await.unwrap();
    assert_refused(client.get_me(&first).await, Code::Unauthenticated, "TOKEN_REVOKED");
    client.get_me(&second).await.unwrap();
    client.0.revoke_all_sessions(with_token(all_but(false), &second)).await.unwrap();
    assert_refused(client.get_me(&second).await, Code::Unauthenticated, "TOKEN_REVOKED");
    client.get_me(&bob).await.unwrap();
}

/// So that all of a user's sessions can be ended in one go, whoever opened how many.
#[tokio::test]
async fn beyond_a_thousand_sessions_of_a_user_a_login_ends_the_one_that_was_unused_for_longest() {
    let (server, mut client) = server_with_alice(&[]).await;
    let mut elsewhere = server.replica(&[]).await.client().await;
    let (phone, refresh) = client.pair("alice").await;
    let user = UserId(client.get_me(&phone).await.unwrap().id.parse().unwrap());
    server.clock.advance(Duration::from_mins(1));
    let (unused, _) = client.pair("alice").await;
    elsewhere.get_me(&unused).await.unwrap();
    let bob = client.token_of_new("bob").await;
    server.clock.advance(Duration::from_mins(1));
    insert_sessions(&server.data, server.clock.now(), 998, user, "signet").await;
    server.clock.advance(Duration::from_mins(1));
    client.refresh(&refresh).await.unwrap();
    for token in [&phone, &unused] {
        client.get_me(token).await.unwrap();
    }

    let (newest, _) = client.pair("alice").await;
    assert_refused(client.get_me(&unused).await, Code::Unauthenticated, "TOKEN_REVOKED");
    eventually("the other replica has heard of it", || {
        let (mut client, unused) = (elsewhere.clone(), unused.clone());
        async move { client.get_me(&unused).await.is_err() }
    })
    .await;
    client.pair("alice").await;
    for token in [&phone, &newest, &bob] {
        client.get_me(token).await.unwrap();
    }
    let (mut count, mut page_token) = (0, String::new());
    loop {
        let request = with_token(ListSessionsRequest { page_size: 100, page_token }, &phone);
        let page = client.0.list_sessions(request).await.unwrap().into_inner();
        count += page.sessions.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(count, 1_000);
    let all_but = RevokeAllSessionsRequest { keep_current: true };
    client.0.revoke_all_sessions(with_token(all_but, &phone)).await.unwrap();
    assert_eq!(client.sessions(&phone).await.len(), 1);
}

#[tokio::test]
async fn whoever_holds_a_refresh_token_can_log_out_and_an_unknown_one_is_no_error() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let (access, refresh) = client.pair("alice").await;
    let revoke = |token: &str| RevokeTokenRequest { token: token.to_owned(), client: None };
    for unknown in ["nonsense", &"A".repeat(86)] {
        client.0.revoke_token(revoke(unknown)).await.unwrap();
    }
    assert_refused(client.0.revoke_token(revoke("")).await, Code::InvalidArgument, "INVALID_FIELDS");
    client.get_me(&access).await.unwrap();
    client.0.revoke_token(revoke(&refresh)).await.unwrap();
    client.0.revoke_token(revoke(&refresh)).await.unwrap();
    assert_refused(client.get_me(&access).await, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn a_session_that_another_process_ends_is_refused_within_the_bound() {
    let (server, mut client) = server_with_alice(&["--standing-cache-max-age=1s"]).await;
    let (access, _) = client.pair("alice").await;
    let user = client.get_me(&access).await.unwrap();
    let user = UserId(user.id.parse().unwrap());
    server.store().await.delete_sessions(user, None, server.clock.now()).await.unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert_refused(client.get_me(&access).await, Code::Unauthenticated, "TOKEN_REVOKED");
}

/// Whether the session was remembered or not: what is remembered of it may be of any age.
#[tokio::test]
async fn a_refresh_after_a_while_is_refused_to_a_disabled_user_and_of_an_ended_session() {
    for cache in ["--standing-cache-size=10000", "--standing-cache-size=0"] {
        let (server, mut client) = server_with_alice(&[cache]).await;
        let (access, refresh) = client.pair("alice").await;
        let user = UserId(client.get_me(&access).await.unwrap().id.parse().unwrap());
        let store = server.store().await;
        server.clock.advance(Duration::from_mins(15));
        let (_, refresh) = tokens(&client.refresh(&refresh).await.unwrap());

        server.clock.advance(Duration::from_mins(15));
        store.set_active(user, false, crate::operator::by_operator(server.clock.now())).await.unwrap();
        assert_refused(client.refresh(&refresh).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
        store.set_active(user, true, crate::operator::by_operator(server.clock.now())).await.unwrap();
        server.clock.advance(Duration::from_secs(1));
        let (_, refresh) = client.pair("alice").await;

        server.clock.advance(Duration::from_mins(15));
        store.delete_sessions(user, None, server.clock.now()).await.unwrap();
        assert_refused(client.refresh(&refresh).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn a_user_who_is_disabled_and_enabled_again_has_to_log_in_again() {
    let (server, mut client) = server_with_alice(&["--standing-cache-max-age=0s"]).await;
    let id = client.sign_up("bob", PASSWORD).await.unwrap().id;
    let (access, refresh) = client.pair("bob").await;
    let (of_alice, _) = client.pair("alice").await;
    let store = server.store().await;
    for active in [false, true] {
        let now = crate::operator::by_operator(server.clock.now());
        let id = UserId(id.parse().unwrap());
        assert_eq!(crate::operator::applied(store.set_active(id, active, now).await.unwrap()).switched, [id]);
        assert_refused(client.get_me(&access).await, Code::Unauthenticated, "TOKEN_REVOKED");
        assert_refused(client.refresh(&refresh).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
    client.pair("bob").await;
    client.get_me(&of_alice).await.unwrap();
}

#[tokio::test]
async fn a_restart_keeps_sessions() {
    let (server, mut client) = server_with_alice(&[]).await;
    let (access, refresh) = client.pair("alice").await;
    let (data, clock) = server.stop().await;
    let server = TestServer::start_in(data, clock, &[]).await;
    let mut client = server.client().await;
    client.get_me(&access).await.unwrap();
    client.refresh(&refresh).await.unwrap();
}

#[tokio::test]
async fn a_login_with_a_password_that_is_replaced_meanwhile_opens_no_session() {
    let (_server, mut client) = server_with_alice(&[]).await;
    let (access, _) = client.pair("alice").await;
    let mut logins = JoinSet::new();
    for _ in 0..30 {
        let mut client = client.clone();
        logins.spawn(async move { client.log_in("alice", PASSWORD).await });
    }
    let change = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "another good one".to_owned(),
    };
    let changed = client.0.change_password(with_token(change, &access)).await.unwrap().into_inner();
    while let Some(login) = logins.join_next().await {
        // Whoever got in before was logged out by the change; whoever came after was refused.
        if let Ok(response) = login.unwrap() {
            assert_refused(
                client.get_me(&response.access_token).await,
                Code::Unauthenticated,
                "TOKEN_REVOKED",
            );
        }
    }
    assert_eq!(client.sessions(&changed.access_token.unwrap()).await.len(), 1);
}
