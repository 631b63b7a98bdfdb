//! Owns what `POST /oauth2/revoke` promises (RFC 7009).

use std::time::Duration;

use super::{REVOKE, TOKEN, USERINFO, log_in_new, password_form, refresh_form, text};
use crate::{
    clients::{Service, Wanted},
    harness::{PASSWORD, TestServer},
};

#[tokio::test]
async fn a_refresh_token_takes_its_session_along() {
    let server = TestServer::start(&[]).await;
    let http = server.http();
    for (username, more) in [
        ("alice", &[][..]),
        ("bob", &[("token_type_hint", "refresh_token")]),
        // The hint is wrong, or nobody knows it: the token is found all the same (section 2.1).
        ("carol", &[("token_type_hint", "access_token")]),
        ("dave", &[("token_type_hint", "x"), ("client_id", "signet")]),
    ] {
        let login = log_in_new(&server, username).await;
        let (access, refresh) = (text(&login, "access_token"), text(&login, "refresh_token"));
        let answer = http.post(REVOKE, &[&[("token", refresh)][..], more].concat()).await;
        assert_eq!((answer.status().as_u16(), answer.0.body().as_str()), (200, ""), "{username}");
        assert_eq!(answer.header("cache-control"), "no-store");
        let refused = http.get_with_token(USERINFO, access).await;
        refused.assert_refused(401, "invalid_token", "TOKEN_REVOKED");
        let refused = http.post(TOKEN, &refresh_form(refresh)).await;
        refused.assert_refused(400, "invalid_grant", "REFRESH_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn a_token_that_is_unknown_is_no_error() {
    let server = TestServer::start(&[]).await;
    let login = log_in_new(&server, "alice").await;
    let unknown = "A".repeat(86);
    for token in ["x", unknown.as_str(), "é\u{0}"] {
        assert_eq!(server.http().post(REVOKE, &[("token", token)]).await.status(), 200, "{token}");
    }
    server.http().get_with_token(USERINFO, text(&login, "access_token")).await.ok();
}

#[tokio::test]
async fn a_request_that_names_no_token_or_an_unknown_client_is_refused() {
    let server = TestServer::start(&[]).await;
    let login = log_in_new(&server, "alice").await;
    let http = server.http();
    for form in [&[][..], &[("token", "")], &[("token_type_hint", "refresh_token")]] {
        let refused = http.post(REVOKE, form).await;
        refused.assert_refused(400, "invalid_request", "INVALID_FIELDS");
        assert_eq!(refused.violations(), [("token".to_owned(), "REQUIRED".to_owned())]);
    }
    let refused = http.post(REVOKE, &[("token", text(&login, "refresh_token")), ("client_id", "x")]).await;
    refused.assert_refused(401, "invalid_client", "INVALID_CLIENT");
    http.post(TOKEN, &refresh_form(text(&login, "refresh_token"))).await.ok();
}

#[tokio::test]
async fn an_access_token_takes_its_session_along_too() {
    let server = TestServer::start(&[]).await;
    let http = server.http();
    let login = log_in_new(&server, "alice").await;
    let access = text(&login, "access_token");
    let forged = format!("{access}A");
    assert_eq!(http.post(REVOKE, &[("token", &forged)]).await.status(), 200);
    http.get_with_token(USERINFO, access).await.ok();
    assert_eq!(http.post(REVOKE, &[("token", access)]).await.status(), 200);
    http.get_with_token(USERINFO, access).await.assert_refused(401, "invalid_token", "TOKEN_REVOKED");
    let refused = http.post(TOKEN, &refresh_form(text(&login, "refresh_token"))).await;
    refused.assert_refused(400, "invalid_grant", "REFRESH_TOKEN_INVALID");
    assert_eq!(http.post(REVOKE, &[("token", access)]).await.status(), 200, "its aim is reached");
}

#[tokio::test]
async fn an_access_token_that_has_expired_takes_its_session_along_as_well() {
    let server = TestServer::start(&[]).await;
    let http = server.http();
    let (alice, bob) = (log_in_new(&server, "alice").await, log_in_new(&server, "bob").await);
    server.clock.advance(Duration::from_hours(1));
    let access = text(&alice, "access_token");
    http.get_with_token(USERINFO, access).await.assert_refused(401, "invalid_token", "TOKEN_EXPIRED");
    let (head, signature) = access.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    assert_eq!(http.post(REVOKE, &[("token", &forged)]).await.status(), 200);
    let alice = http.post(TOKEN, &refresh_form(text(&alice, "refresh_token"))).await.ok();

    for _ in 0..2 {
        assert_eq!(http.post(REVOKE, &[("token", access)]).await.status(), 200);
        let refused = http.post(TOKEN, &refresh_form(text(&alice, "refresh_token"))).await;
        refused.assert_refused(400, "invalid_grant", "REFRESH_TOKEN_INVALID");
    }
    http.post(TOKEN, &refresh_form(text(&bob, "refresh_token"))).await.ok();
}

#[tokio::test]
async fn a_token_is_revoked_by_the_client_that_it_was_issued_to_and_by_no_other() {
    let service = Service::start().await;
    let http = service.server.http();
    let owner = service.register("owner", Wanted::confidential("profile")).await;
    let other = service.register("other", Wanted::confidential("profile")).await;
    let login = service.post_as(TOKEN, &owner.by_basic(), &password_form("alice", PASSWORD)).await.ok();
    for token in [text(&login, "access_token"), text(&login, "refresh_token")] {
        let token = ("token", token);
        for answer in [
            http.post(REVOKE, &[token]).await,
            http.post(REVOKE, &[token, ("client_id", "signet")]).await,
            service.post_as(REVOKE, &other.by_basic(), &[token]).await,
        ] {
            answer.assert_refused(400, "invalid_grant", "TOKEN_OF_ANOTHER_CLIENT");
        }
        let unproven = http.post(REVOKE, &[token, ("client_id", &owner.id)]).await;
        unproven.assert_refused(401, "invalid_client", "INVALID_CLIENT");
    }
    http.get_with_token(USERINFO, text(&login, "access_token")).await.ok();
    let by_owner =
        service.post_as(REVOKE, &owner.by_basic(), &[("token", text(&login, "refresh_token"))]).await;
    assert_eq!(by_owner.status(), 200);
    let refused = http.get_with_token(USERINFO, text(&login, "access_token")).await;
    refused.assert_refused(401, "invalid_token", "TOKEN_REVOKED");

    // Nor does a client revoke what the first-party application was given.
    let login = http.post(TOKEN, &password_form("alice", PASSWORD)).await.ok();
    let refused =
        service.post_as(REVOKE, &other.by_basic(), &[("token", text(&login, "refresh_token"))]).await;
    refused.assert_refused(400, "invalid_grant", "TOKEN_OF_ANOTHER_CLIENT");
}

#[tokio::test]
async fn a_clients_own_token_cannot_be_revoked_and_nobody_is_told_otherwise() {
    let service = Service::start().await;
    let registered = service.register("billing", Wanted::confidential("a")).await;
    let own = service.own_token(&registered).await;
    let refused = service.post_as(REVOKE, &registered.by_basic(), &[("token", &own)]).await;
    refused.assert_refused(400, "unsupported_token_type", "UNSUPPORTED_TOKEN_TYPE");
}
