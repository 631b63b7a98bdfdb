//! Owns what users may do to their own accounts: change it, change its password, delete it.

use std::time::Duration;

use prost_types::FieldMask;
use signet::proto::identity::v1::{
    ChangePasswordRequest, ChangePasswordResponse, DeleteMeRequest, IssueTokenRequest, RefreshTokenGrant,
    RevokeAllSessionsRequest, RevokeSessionRequest, UpdateMeRequest, User, issue_token_request::Grant,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    clients::{Service, Wanted, alice, request},
    harness::{Client, PASSWORD, START, TestServer, assert_refused, with_token},
};

const NEW_PASSWORD: &str = "another good one";

pub(crate) fn profile(email: Option<&str>, display_name: Option<&str>) -> User {
    User { email: email.map(str::to_owned), display_name: display_name.map(str::to_owned), ..User::default() }
}

pub(crate) async fn update(
    client: &mut Client,
    token: &str,
    user: User,
    mask: &[&str],
) -> Result<User, Status> {
    let update_mask =
        (!mask.is_empty()).then(|| FieldMask { paths: mask.iter().map(|path| (*path).to_owned()).collect() });
    let request = with_token(UpdateMeRequest { user: Some(user), update_mask }, token);
    Ok(client.0.update_me(request).await?.into_inner().user.unwrap())
}

/// Changes the name to show, which other processes are told of.
pub(crate) async fn rename(client: &mut Client, token: &str, name: &str) -> Result<User, Status> {
    update(client, token, profile(None, Some(name)), &["display_name"]).await
}

async fn change_password(
    client: &mut Client,
    token: &str,
    current: &str,
    new: &str,
) -> Result<ChangePasswordResponse, Status> {
    let request =
        ChangePasswordRequest { current_password: current.to_owned(), new_password: new.to_owned() };
    Ok(client.0.change_password(with_token(request, token)).await?.into_inner())
}

async fn delete(client: &mut Client, token: &str, password: &str) -> Result<(), Status> {
    client.0.delete_me(with_token(DeleteMeRequest { password: password.to_owned() }, token)).await.map(drop)
}

#[tokio::test]
async fn the_mask_says_what_is_changed_and_what_is_cleared() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let both = profile(Some("a@example.com"), Some("Alice"));

    let user = update(&mut client, &token, both.clone(), &[]).await.unwrap();
    assert_eq!((user.email.as_deref(), user.display_name.as_deref()), (Some("a@example.com"), Some("Alice")));
    server.clock.advance(Duration::from_secs(5));
    let user = update(&mut client, &token, profile(None, Some("Al")), &["display_name"]).await.unwrap();
    assert_eq!((user.email.as_deref(), user.display_name.as_deref()), (Some("a@example.com"), Some("Al")));
    assert_eq!(user.update_time.unwrap().seconds - user.create_time.unwrap().seconds, 5);
    let user = update(&mut client, &token, profile(None, None), &["email"]).await.unwrap();
    assert_eq!((user.email.as_deref(), user.display_name.as_deref()), (None, Some("Al")));
    let user = update(&mut client, &token, profile(Some("b@example.com"), None), &["*"]).await.unwrap();
    assert_eq!((user.email.as_deref(), user.display_name.as_deref()), (Some("b@example.com"), None));
    assert_eq!(client.get_me(&token).await.unwrap(), user, "the next call sees it");
    server.clock.advance(Duration::from_secs(5));
    let same = update(&mut client, &token, profile(Some("b@example.com"), None), &["*"]).await.unwrap();
    assert_eq!(same, user, "what says nothing new changes nothing");
}

#[tokio::test]
async fn what_may_not_be_changed_is_refused_and_bad_values_are_named() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let before = client.get_me(&token).await.unwrap();
    for path in ["username", "id", "is_active", "nothing", "email.x", ""] {
        let refused = update(&mut client, &token, profile(None, None), &["email", path]).await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        let violation = &status.get_details_bad_request().unwrap().field_violations[0];
        assert_eq!((violation.field.as_str(), violation.reason.as_str()), ("update_mask", "NOT_UPDATABLE"));
    }
    let refused = update(&mut client, &token, profile(Some("nobody"), Some(" ")), &[]).await;
    let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    let fields: Vec<_> =
        status.get_details_bad_request().unwrap().field_violations.into_iter().map(|it| it.field).collect();
    assert_eq!(fields, ["user.email", "user.display_name"]);
    assert_eq!(client.get_me(&token).await.unwrap(), before);
}

#[tokio::test]
async fn a_user_changes_its_account_thirty_times_at_once_and_then_once_a_second() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let bob = client.token_of_new("bob").await;
    for number in 0..30 {
        rename(&mut client, &token, &format!("Alice {number}")).await.unwrap();
    }
    let refused = rename(&mut client, &token, "Alice").await;
    let status = assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_CHANGES");
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    rename(&mut client, &bob, "Bob").await.unwrap();
    // Nobody who holds a token keeps the user from getting rid of it.
    let changed = change_password(&mut client, &token, PASSWORD, NEW_PASSWORD).await.unwrap();
    let token = changed.access_token.unwrap();
    assert_refused(rename(&mut client, &token, "Alice").await, Code::ResourceExhausted, "TOO_MANY_CHANGES");
    server.clock.advance(Duration::from_secs(1));
    rename(&mut client, &token, "Alice").await.unwrap();
}

#[tokio::test]
async fn a_session_that_asks_to_end_what_is_not_there_is_slowed_and_no_other() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let thief = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let all = |token: &str| with_token(RevokeAllSessionsRequest { keep_current: true }, token);
    let one = |token: &str, session_id: &str| {
        with_token(RevokeSessionRequest { session_id: session_id.to_owned() }, token)
    };
    let nobody = uuid::Uuid::nil().to_string();
    for _ in 0..25 {
        client.0.revoke_all_sessions(all(&thief)).await.unwrap();
        let missed = client.0.revoke_session(one(&thief, &nobody)).await;
        assert_refused(missed, Code::NotFound, "SESSION_NOT_FOUND");
    }
    let refused = client.0.revoke_all_sessions(all(&thief)).await;
    let status = assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_CHANGES");
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    let refused = client.0.revoke_session(one(&thief, &nobody)).await;
    assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_CHANGES");

    // What ends something is not charged, and the owner is not the thief.
    let owner = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    for _ in 0..60 {
        client.log_in("alice", PASSWORD).await.unwrap();
    }
    for session in client.sessions(&owner).await.into_iter().filter(|session| !session.is_current).take(49) {
        client.0.revoke_session(one(&owner, &session.id)).await.unwrap();
    }
    client.log_in("alice", PASSWORD).await.unwrap();
    client.0.revoke_all_sessions(all(&owner)).await.unwrap();
    assert_eq!(client.sessions(&owner).await.len(), 1);
    assert_refused(client.get_me(&thief).await, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_logs_everybody_else_out() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let elsewhere = client.token_of_new("alice").await;
    let here = client.log_in("alice", PASSWORD).await.unwrap().access_token;

    let wrong = change_password(&mut client, &here, "not the password", NEW_PASSWORD).await;
    assert_refused(wrong, Code::Unauthenticated, "INVALID_CREDENTIALS");
    for bad in ["short", "alice", "password1", ""] {
        let refused = change_password(&mut client, &here, PASSWORD, bad).await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "new_password");
    }
    client.get_me(&elsewhere).await.unwrap();

    let changed = change_password(&mut client, &here, PASSWORD, NEW_PASSWORD).await.unwrap();
    client.get_me(&changed.access_token.unwrap()).await.unwrap();
    for old in [&here, &elsewhere] {
        assert_refused(client.get_me(old).await, Code::Unauthenticated, "TOKEN_REVOKED");
    }
    assert_refused(client.log_in("alice", PASSWORD).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    client.log_in("alice", NEW_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_new_password_leaves_nothing_to_whoever_copied_tokens_and_gives_the_caller_new_ones() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let login = client.log_in("alice", PASSWORD).await.unwrap();
    let first = login.refresh_token.unwrap();
    let second = client.refresh(&first).await.unwrap();
    let third = client.refresh(second.refresh_token.as_ref().unwrap()).await.unwrap();

    server.clock.advance(Duration::from_secs(5));
    let changed = change_password(&mut client, &third.access_token, PASSWORD, NEW_PASSWORD).await.unwrap();
    let (access, refresh) = (changed.access_token.unwrap(), changed.refresh_token.unwrap());
    assert_eq!((changed.token_type.as_deref(), changed.expires_in), (Some("Bearer"), Some(900)));
    assert_eq!(changed.scope.as_deref(), Some("profile account"));
    // Neither the newest token of the old session nor an old one of its chain ends what was opened.
    for old in [&first, second.refresh_token.as_ref().unwrap(), third.refresh_token.as_ref().unwrap()] {
        assert_refused(client.refresh(old).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
    assert_refused(client.get_me(&third.access_token).await, Code::Unauthenticated, "TOKEN_REVOKED");
    client.get_me(&access).await.unwrap();
    let sessions = client.sessions(&access).await;
    assert_eq!((sessions.len(), sessions[0].is_current), (1, true));
    assert_eq!(sessions[0].create_time.unwrap().seconds - START.as_secs(), 5);
    let next = client.refresh(&refresh).await.unwrap();
    client.get_me(&next.access_token).await.unwrap();

    // The session that a call is made with has to go on until then.
    assert_refused(
        change_password(&mut client, &third.access_token, NEW_PASSWORD, PASSWORD).await,
        Code::Unauthenticated,
        "TOKEN_REVOKED",
    );
}

#[tokio::test]
async fn a_new_password_gives_no_more_than_the_token_of_the_call_allows() {
    let service = Service::start().await;
    let registered = service.register("shop", Wanted::confidential("profile account orders")).await;
    let refresh = |token: String, scope: &str| {
        let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token });
        let request = request(grant, Some(registered.by_secret()));
        service.issue(IssueTokenRequest { scope: scope.to_owned(), ..request })
    };
    let login = service.issue(request(alice(), Some(registered.by_secret()))).await.unwrap();
    assert_eq!(login.scope, "profile account orders");
    let narrow = refresh(login.refresh_token.unwrap(), "account").await.unwrap();

    let mut client = service.client.clone();
    let changed = change_password(&mut client, &narrow.access_token, PASSWORD, NEW_PASSWORD).await.unwrap();
    assert_eq!(changed.scope.as_deref(), Some("account"));
    // What the session allows is had by its client, which proves who it is.
    let token = changed.refresh_token.unwrap();
    assert_refused(client.refresh(&token).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    assert_eq!(refresh(token, "").await.unwrap().scope, "profile account orders");
}

#[tokio::test]
async fn a_deleted_account_is_gone_at_once_and_the_name_of_a_new_one_is_free() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let before = client.get_me(&token).await.unwrap();
    assert_refused(delete(&mut client, &token, "wrong").await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    client.get_me(&token).await.unwrap();

    delete(&mut client, &token, PASSWORD).await.unwrap();
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
    assert_refused(client.log_in("alice", PASSWORD).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let after = client.sign_up("Alice", PASSWORD).await.unwrap();
    assert_ne!(after.id, before.id);
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_REVOKED");
}
