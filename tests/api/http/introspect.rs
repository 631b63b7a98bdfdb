//! Owns what `POST /oauth2/introspect` promises (RFC 7662).

use serde_json::json;
use signet::model::Principal;

use super::{TOKEN, client::Answer, clients::basic, password_form, refresh_form, text};
use crate::{
    clients::{Registered, Service, Wanted},
    harness::PASSWORD,
    permissions::Operator,
};

const INTROSPECT: &str = "/oauth2/introspect";

/// A service and a client that may ask.
async fn with_inspector() -> (Service, Registered) {
    let service = Service::start().await;
    let inspector = service.register("inspector", Wanted::confidential("introspect")).await;
    (service, inspector)
}

async fn ask(service: &Service, inspector: &Registered, token: &str) -> Answer {
    service.post_as(INTROSPECT, &inspector.by_basic(), &[("token", token)]).await
}

#[tokio::test]
async fn an_active_token_is_described() {
    let (service, inspector) = with_inspector().await;
    let http = service.server.http();
    let login = http.post(TOKEN, &password_form("alice", PASSWORD)).await.ok();
    let (access, refresh) = (text(&login, "access_token"), text(&login, "refresh_token"));
    let user = http.get_with_token(super::USERINFO, access).await.ok();
    let now = service.server.clock.now().as_secs();

    let answer = ask(&service, &inspector, access).await;
    let mut body = answer.ok();
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(body["jti"].take().is_string());
    let expected = json!({
        "active": true, "scope": "profile account", "client_id": "signet", "username": "alice", "token_type": "Bearer",
        "exp": now + 900, "iat": now, "sub": user["sub"], "aud": "signet", "iss": "http://127.0.0.1:8080",
        "jti": null, "amr": ["pwd"], "auth_time": now,
    });
    assert_eq!(body, expected);

    let body = ask(&service, &inspector, refresh).await.ok();
    assert_eq!(
        (&body["sub"], &body["amr"], &body["auth_time"]),
        (&user["sub"], &json!(["pwd"]), &json!(now))
    );
    assert_eq!(body.get("token_type"), None, "it is no token to call with");

    let other = service.register("other", Wanted { audiences: "x y", ..Wanted::confidential("a") }).await;
    let body = ask(&service, &inspector, &service.own_token(&other).await).await.ok();
    assert_eq!((&body["sub"], &body["aud"]), (&json!(other.id), &json!(["x", "y"])));
    for name in ["username", "amr", "auth_time", "acr"] {
        assert_eq!(body.get(name), None, "there is no user");
    }
}

#[tokio::test]
async fn of_an_inactive_token_nothing_is_said_but_that() {
    let (service, inspector) = with_inspector().await;
    let http = service.server.http();
    let login = http.post(TOKEN, &password_form("alice", PASSWORD)).await.ok();
    let (access, refresh) = (text(&login, "access_token"), text(&login, "refresh_token"));
    let next = http.post(TOKEN, &refresh_form(refresh)).await.ok();
    let next = text(&next, "refresh_token");
    let forged = format!("{access}x");
    let unknown = "A".repeat(86);
    let huge = "x".repeat(60_000);
    let ended = http.post(TOKEN, &password_form("alice", PASSWORD)).await.ok();
    http.post("/oauth2/revoke", &[("token", text(&ended, "refresh_token"))]).await;
    for token in
        ["x", &unknown, &forged, &huge, "é", text(&ended, "access_token"), text(&ended, "refresh_token")]
    {
        let body = ask(&service, &inspector, token).await.ok();
        assert_eq!(body, json!({"active": false}), "{token}");
    }
    assert_eq!(ask(&service, &inspector, access).await.ok()["active"], true);
    assert_eq!(ask(&service, &inspector, next).await.ok()["active"], true);
    service.server.clock.advance(std::time::Duration::from_hours(1));
    assert_eq!(ask(&service, &inspector, access).await.ok(), json!({"active": false}));
}

#[tokio::test]
async fn who_may_not_ask_is_told_nothing_of_the_token() {
    let (service, inspector) = with_inspector().await;
    let http = service.server.http();
    let other = service.register("other", Wanted::confidential("a")).await;
    let public = service.register("public", Wanted::public("profile")).await;
    let login = http.post(TOKEN, &password_form("alice", PASSWORD)).await.ok();
    let access = text(&login, "access_token");
    for token in [("token", access), ("token", "x")] {
        for answer in [
            http.post(INTROSPECT, &[token]).await,
            http.post(INTROSPECT, &[token, ("client_id", "signet")]).await,
            http.post(INTROSPECT, &[token, ("client_id", &inspector.id)]).await,
            http.post(INTROSPECT, &[token, ("client_id", &public.id)]).await,
            service.post_as(INTROSPECT, &basic(&inspector.id, "wrong"), &[token]).await,
            service.post_as(INTROSPECT, "Basic x", &[token]).await,
        ] {
            answer.assert_refused(401, "invalid_client", "INVALID_CLIENT");
            assert_eq!(answer.header("www-authenticate"), r#"Basic realm="signet""#);
        }
        // Known, and not allowed to.
        let users = format!("Bearer {access}");
        let others = format!("Bearer {}", service.own_token(&other).await);
        for authorization in [&other.by_basic(), &users, &others] {
            let answer = service.post_as(INTROSPECT, authorization, &[token]).await;
            answer.assert_refused(403, "insufficient_scope", "INSUFFICIENT_SCOPE");
            assert!(answer.header("www-authenticate").contains(r#"scope="introspect""#), "{answer:?}");
        }
        for authorization in ["Bearer x", "bearer  ", "Bearer a.b.c"] {
            let answer = service.post_as(INTROSPECT, authorization, &[token]).await;
            answer.assert_refused(401, "invalid_token", "TOKEN_INVALID");
        }
    }
}

#[tokio::test]
async fn a_client_proves_who_it_is_by_its_token_or_its_secret_and_not_by_both() {
    let (service, inspector) = with_inspector().await;
    let own = service.own_token(&inspector).await;
    let bearer = format!("Bearer {own}");
    let body = service.post_as(INTROSPECT, &bearer, &[("token", &own)]).await.ok();
    assert_eq!((&body["active"], &body["scope"]), (&json!(true), &json!("introspect")));
    let by_post = [&[("token", &*own)][..], &inspector.by_post()].concat();
    service.server.http().post(INTROSPECT, &by_post).await.ok();
    for authorization in [&bearer, &inspector.by_basic()] {
        let both = service.post_as(INTROSPECT, authorization, &by_post).await;
        both.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
    }
    let nothing = service.post_as(INTROSPECT, &bearer, &[("token_type_hint", "access_token")]).await;
    nothing.assert_refused(400, "invalid_request", "INVALID_FIELDS");
    // Once disabled, neither is worth anything.
    service.set_active(&inspector, false).await;
    ask(&service, &inspector, &own).await.assert_refused(401, "invalid_client", "INVALID_CLIENT");
    let refused = service.post_as(INTROSPECT, &bearer, &[("token", &own)]).await;
    refused.assert_refused(401, "invalid_token", "TOKEN_REVOKED");
}

#[tokio::test]
async fn a_role_lets_a_client_ask_by_its_secret_as_by_its_token() {
    let (service, _) = with_inspector().await;
    let operator = Operator::of(&service);
    let asker =
        service.register_alone("asker", Wanted { audiences: "orders", ..Wanted::confidential("a") }).await;
    let ask = async || service.post_as(INTROSPECT, &asker.by_basic(), &[("token", "x")]).await;
    ask().await.assert_refused(403, "insufficient_scope", "INSUFFICIENT_SCOPE");
    let elsewhere = operator.role("orders", "inspector", "introspect").await;
    let subject = Principal::Client(asker.client_id());
    operator.bind(elsewhere, subject).await;
    ask().await.assert_refused(403, "insufficient_scope", "INSUFFICIENT_SCOPE");
    let role = operator.role("signet", "inspector", "introspect").await;
    operator.bind(role, subject).await;
    assert_eq!(ask().await.ok()["active"], false);
    operator.unbind(role, subject).await;
    ask().await.assert_refused(403, "insufficient_scope", "INSUFFICIENT_SCOPE");
}
