//! Owns what users may do to their own accounts: change it, change its password, delete it.

use prost_types::FieldMask;
use signet::proto::identity::v1::{ChangePasswordRequest, DeleteMeRequest, UpdateMeRequest, User};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{Client, PASSWORD, TestServer, assert_refused, with_token};

const NEW_PASSWORD: &str = "another good one";

fn profile(email: Option<&str>, display_name: Option<&str>) -> User {
    User { email: email.map(str::to_owned), display_name: display_name.map(str::to_owned), ..User::default() }
}

async fn update(client: &mut Client, token: &str, user: User, mask: &[&str]) -> Result<User, Status> {
    let update_mask =
        (!mask.is_empty()).then(|| FieldMask { paths: mask.iter().map(|path| (*path).to_owned()).collect() });
    let request = with_token(UpdateMeRequest { user: Some(user), update_mask }, token);
    Ok(client.0.update_me(request).await?.into_inner().user.unwrap())
}

/// Changes the name to show, which other processes are told of.
pub(crate) async fn rename(client: &mut Client, token: &str, name: &str) -> Result<User, Status> {
    update(client, token, profile(None, Some(name)), &["display_name"]).await
}

async fn change_password(client: &mut Client, token: &str, current: &str, new: &str) -> Result<(), Status> {
    let request =
        ChangePasswordRequest { current_password: current.to_owned(), new_password: new.to_owned() };
    client.0.change_password(with_token(request, token)).await.map(drop)
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
    server.clock.advance(std::time::Duration::from_secs(5));
    let user = update(&mut client, &token, profile(None, Some("Al")), &["display_name"]).await.unwrap();
    assert_eq!((user.email.as_deref(), user.display_name.as_deref()), (Some("a@example.com"), Some("Al")));
    assert_eq!(user.update_time.unwrap().seconds - user.create_time.unwrap().seconds, 5);
    let user = update(&mut client, &token, profile(None, None), &["email"]).await.unwrap();
    assert_eq!((user.email.as_deref(), user.display_name.as_deref()), (None, Some("Al")));
    let user = update(&mut client, &token, profile(Some("b@example.com"), None), &["*"]).await.unwrap();
    assert_eq!((user.email.as_deref(), user.display_name.as_deref()), (Some("b@example.com"), None));
    assert_eq!(client.get_me(&token).await.unwrap(), user, "the next call sees it");
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

    change_password(&mut client, &here, PASSWORD, NEW_PASSWORD).await.unwrap();
    client.get_me(&here).await.unwrap();
    assert_refused(client.get_me(&elsewhere).await, Code::Unauthenticated, "TOKEN_REVOKED");
    assert_refused(client.log_in("alice", PASSWORD).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    client.log_in("alice", NEW_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_deleted_account_is_gone_at_once_and_its_name_is_free() {
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
