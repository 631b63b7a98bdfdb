//! Owns what `POST /oauth2/revoke` promises (RFC 7009).

use super::{REVOKE, TOKEN, USERINFO, log_in_new, refresh_form, text};
use crate::harness::TestServer;

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
    let unknown = "A".repeat(43);
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
