//! Owns what `/oauth2/userinfo` promises.

use std::time::Duration;

use serde_json::json;
use signet::{
    model::UserId,
    proto::identity::v1::{GetMeRequest, ListSessionsRequest, RevokeSessionRequest, SignUpRequest},
};
use tonic::{Request, metadata::MetadataValue};
use tonic_types::StatusExt;

use super::{USERINFO, log_in_new, text};
use crate::harness::{PASSWORD, TestServer, with_token};

#[tokio::test]
async fn a_user_is_told_in_the_claims_of_openid_connect() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let request = SignUpRequest {
        username: "Alice".to_owned(),
        password: PASSWORD.to_owned(),
        email: Some("alice@example.com".to_owned()),
        display_name: Some("Alice Liddell".to_owned()),
    };
    let user = client.0.sign_up(request).await.unwrap().into_inner().user.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let expected = json!({
        "sub": user.id,
        "preferred_username": "Alice",
        "name": "Alice Liddell",
        "email": "alice@example.com",
        "email_verified": false,
        "updated_at": server.clock.now().as_secs(),
    });
    for http in [server.http(), server.http().h2c()] {
        for method in ["GET", "POST"] {
            let request = http.request(method, USERINFO).header("authorization", format!("bearer {token}"));
            let answer = http.send(request, "").await;
            assert_eq!(answer.ok(), expected, "{method}");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
    // What a user has not said is not told.
    let bob = client.sign_up("bob", PASSWORD).await.unwrap();
    let token = client.log_in("bob", PASSWORD).await.unwrap().access_token;
    let expected = json!({
        "sub": bob.id, "preferred_username": "bob", "updated_at": server.clock.now().as_secs(),
    });
    assert_eq!(server.http().get_with_token(USERINFO, &token).await.ok(), expected);
}

/// Asserts that a request with these `authorization`s is refused, for the reason for which `GetMe` refuses it.
async fn refused_alike(server: &TestServer, values: &[&str]) -> String {
    let mut call = Request::new(GetMeRequest {});
    let http = server.http();
    let mut request = http.request("GET", USERINFO);
    for value in values {
        call.metadata_mut().append("authorization", MetadataValue::try_from(*value).unwrap());
        request = request.header("authorization", *value);
    }
    let status = server.client().await.0.get_me(call).await.unwrap_err();
    let reason = status.get_details_error_info().unwrap().reason;
    let answer = http.send(request, "").await;
    answer.assert_refused(401, "invalid_token", &reason);
    assert_eq!(answer.header("pragma"), "no-cache");
    let challenge = answer.header("www-authenticate").to_owned();
    assert!(challenge.starts_with(r#"Bearer realm="signet""#), "{challenge}");
    assert_eq!(challenge.contains(r#"error="invalid_token""#), reason != "TOKEN_MISSING", "{challenge}");
    reason
}

#[tokio::test]
async fn what_get_me_refuses_is_refused_for_the_same_reason() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    assert_eq!(refused_alike(&server, &[]).await, "TOKEN_MISSING");
    let login = log_in_new(&server, "alice").await;
    let bearer = format!("Bearer {}", text(&login, "access_token"));
    let forged = format!("{bearer}A");
    for bad in ["Bearer", "Bearer x", "Basic YTpi", "", "Bearer a.b.c", forged.as_str()] {
        assert_eq!(refused_alike(&server, &[bad]).await, "TOKEN_INVALID", "{bad}");
    }
    assert_eq!(refused_alike(&server, &[&bearer, &bearer]).await, "TOKEN_INVALID");

    let ended = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let sessions = client
        .0
        .list_sessions(with_token(ListSessionsRequest::default(), &ended))
        .await
        .unwrap()
        .into_inner();
    let current = sessions.sessions.iter().find(|session| session.is_current).unwrap();
    let end = with_token(RevokeSessionRequest { session_id: current.id.clone() }, &ended);
    client.0.revoke_session(end).await.unwrap();
    assert_eq!(refused_alike(&server, &[&format!("Bearer {ended}")]).await, "TOKEN_REVOKED");

    let disabled = client.sign_up("disabled", PASSWORD).await.unwrap();
    let token = client.log_in("disabled", PASSWORD).await.unwrap().access_token;
    let id = UserId(disabled.id.parse().unwrap());
    server
        .store()
        .await
        .set_active(id, false, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(refused_alike(&server, &[&format!("Bearer {token}")]).await, "TOKEN_REVOKED");

    server.clock.advance(Duration::from_hours(1));
    assert_eq!(refused_alike(&server, &[&bearer]).await, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_token_in_the_url_or_the_body_is_not_taken() {
    let server = TestServer::start(&[]).await;
    let login = log_in_new(&server, "alice").await;
    let (http, token) = (server.http(), text(&login, "access_token"));
    let path = format!("{USERINFO}?a=b&access_token={token}");
    http.get(&path).await.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
    // Not even beside a good one (RFC 6750 section 2).
    let twice = http.get_with_token(&path, token).await;
    twice.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
    assert!(!twice.0.body().contains(token));
    http.post(USERINFO, &[("access_token", token)]).await.assert_refused(
        401,
        "invalid_token",
        "TOKEN_MISSING",
    );
    http.get_with_token(&format!("{USERINFO}?schema=openid"), token).await.ok();
}
