//! Owns what `TokenService` says of tokens and keys, and to whom.

use std::collections::BTreeMap;

use signet::proto::identity::v1::{
    GetJwksRequest, IntrospectTokenResponse, RevokeTokenRequest, issue_token_request::Grant,
};
use tonic::Code;

use super::{OWN_AUDIENCE, Registered, Service, Wanted, alice, claims, refresh, request};
use crate::harness::{PASSWORD, assert_refused};

const ISSUER: &str = "http://127.0.0.1:8080";

/// A service, and a client that may introspect with its token.
async fn start() -> (Service, Registered, String) {
    let service = Service::start().await;
    let asker = service.register("gateway", Wanted::confidential("introspect")).await;
    let token = service.token_of(&asker).await;
    (service, asker, token)
}

#[tokio::test]
async fn a_good_token_is_told_of_in_the_fields_of_rfc_7662() {
    let (service, asker, bearer) = start().await;
    let wanted = Wanted { audiences: "orders stock", ..Wanted::confidential("profile a") };
    let billing = service.register("billing", wanted).await;
    let now = service.server.clock.now().as_secs();
    let opened = service.issue(request(alice(), Some(billing.by_secret()))).await.unwrap();
    let said = claims(&opened.access_token);
    let text = |name: &str| said[name].as_str().map(str::to_owned);
    let expected = IntrospectTokenResponse {
        active: true,
        scope: Some("profile a".to_owned()),
        client_id: Some(billing.id.clone()),
        username: Some("alice".to_owned()),
        token_type: Some("Bearer".to_owned()),
        exp: Some(now + 900),
        iat: Some(now),
        nbf: None,
        sub: text("sub"),
        aud: vec!["orders".to_owned(), "stock".to_owned()],
        iss: Some(ISSUER.to_owned()),
        jti: text("jti"),
        amr: vec!["pwd".to_owned()],
        auth_time: Some(now),
        acr: None,
        roles: Vec::new(),
        groups: Vec::new(),
        attributes: BTreeMap::new(),
    };
    for _ in 0..2 {
        // At first sight, and from what is remembered; whatever audience it is meant for.
        assert_eq!(service.introspect(&opened.access_token, &bearer).await.unwrap(), expected);
    }
    let refresh_token = opened.refresh_token.unwrap();
    let told = service.introspect(&refresh_token, &bearer).await.unwrap();
    let of_refresh = IntrospectTokenResponse {
        token_type: None,
        exp: Some(now + 14 * 86_400),
        aud: Vec::new(),
        jti: None,
        ..expected
    };
    assert_eq!(told, of_refresh);

    let own = service.introspect(&bearer, &bearer).await.unwrap();
    let id = Some(asker.id.clone());
    assert_eq!((own.active, own.username, &own.sub, &own.client_id), (true, None, &id, &id));
    assert_eq!(own.aud, [OWN_AUDIENCE]);
}

#[tokio::test]
async fn only_who_holds_the_scope_is_answered() {
    let (service, _, bearer) = start().await;
    let billing = service.register("billing", Wanted::confidential("a")).await;
    let without = service.token_of(&billing).await;
    let user = service.issue(request(alice(), None)).await.unwrap().access_token;
    for other in [&without, &user] {
        let refused = service.introspect(&bearer, other).await;
        let status = assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
        let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
        assert_eq!(info.metadata["required_scope"], "introspect");
    }
    assert_refused(service.introspect(&bearer, "nonsense").await, Code::Unauthenticated, "TOKEN_INVALID");
    assert_refused(service.introspect("", &bearer).await, Code::InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn of_an_inactive_token_nothing_is_said_whatever_the_cause() {
    let (service, asker, bearer) = start().await;
    let log_in = async || {
        let issued = service.issue(request(alice(), None)).await.unwrap();
        (issued.access_token, issued.refresh_token.unwrap())
    };
    let mut inactive = Vec::new();
    // Garbage, and a forgery.
    let (access, token) = log_in().await;
    let forged = format!("{}x", &access[..access.len() - 1]);
    let unsigned = format!("{}.", access.rsplit_once('.').unwrap().0);
    for bad in ["x", "a.b.c", "é", &forged, &unsigned, &token[1..], &"A".repeat(86), &"x".repeat(60_000)] {
        inactive.push(bad.to_owned());
    }
    // A refresh token that has been used.
    let (_, used) = log_in().await;
    service.issue(request(refresh(&used), None)).await.unwrap();
    inactive.push(used);
    // A session that has ended.
    let (access, token) = log_in().await;
    let end = RevokeTokenRequest { token: token.clone(), client: None };
    service.client.clone().0.revoke_token(end).await.unwrap();
    inactive.extend([access, token]);
    // A disabled client's: its own, and its users'.
    let billing = service.register("billing", Wanted::confidential("profile")).await;
    let own = service.token_of(&billing).await;
    let issued = service.issue(request(alice(), Some(billing.by_secret()))).await.unwrap();
    service.set_active(&billing, false).await;
    inactive.extend([own, issued.access_token, issued.refresh_token.unwrap()]);
    // A disabled user's.
    let mut client = service.client.clone();
    let bob = client.sign_up("bob", PASSWORD).await.unwrap();
    let of_bob = client.log_in("bob", PASSWORD).await.unwrap();
    let id = signet::model::UserId(bob.id.parse().unwrap());
    service
        .store
        .set_active(id, false, crate::operator::by_operator(service.server.clock.now()))
        .await
        .unwrap();
    inactive.extend([of_bob.access_token, of_bob.refresh_token.unwrap()]);

    for token in &inactive {
        let told = service.introspect(token, &bearer).await.unwrap();
        assert_eq!(told, IntrospectTokenResponse::default(), "{token}");
    }
    // What has expired.
    let (access, token) = log_in().await;
    service.server.clock.advance(std::time::Duration::from_hours(14 * 24));
    let bearer = service.token_of(&asker).await;
    for token in [&access, &token] {
        let told = service.introspect(token, &bearer).await.unwrap();
        assert_eq!(told, IntrospectTokenResponse::default(), "{token}");
    }
}

#[tokio::test]
async fn the_keys_are_those_that_http_publishes() {
    for alg in ["ES256", "EdDSA", "RS256", "HS256"] {
        let service = Service::start_with(&[&format!("--signing-alg={alg}")]).await;
        let keys = service.tokens.clone().get_jwks(GetJwksRequest {}).await.unwrap().into_inner().keys;
        let published = service.server.http_get("/.well-known/jwks.json").await.into_body();
        let published: serde_json::Value = serde_json::from_str(&published).unwrap();
        let told: Vec<serde_json::Value> = keys
            .into_iter()
            .map(|key| {
                let members = [
                    ("kty", Some(key.kty)),
                    ("use", Some(key.r#use)),
                    ("alg", Some(key.alg)),
                    ("kid", Some(key.kid)),
                    ("crv", key.crv),
                    ("x", key.x),
                    ("y", key.y),
                    ("n", key.n),
                    ("e", key.e),
                ];
                members
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), serde_json::Value::from(value?))))
                    .collect()
            })
            .collect();
        assert_eq!(serde_json::Value::from(told), published["keys"], "{alg}");
        assert_eq!(published["keys"].as_array().unwrap().len(), usize::from(alg != "HS256"));
    }
}

#[tokio::test]
async fn a_client_with_the_scope_cannot_pass_it_on_to_a_user() {
    let (service, asker, _) = start().await;
    let grant: Grant = alice();
    let issued = service.issue(request(grant, Some(asker.by_secret()))).await.unwrap();
    assert_eq!(issued.scope, "", "it is allowed nothing that a user may have");
    let refused = service.introspect(&issued.access_token, &issued.access_token).await;
    assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
}
