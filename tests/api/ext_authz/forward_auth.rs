//! Owns what proxies are told that ask by HTTP: what Envoy is told, by the same rules.

use std::collections::BTreeMap;

use http::{StatusCode, header::AUTHORIZATION};
use serde_json::Value;
use signet::proto::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use tonic::transport::Channel;

use super::{BAD_TOKEN, NO_TOKEN, Sidecar, Verdict, sidecar::TOLD, token};
use crate::{
    clients::{Service, Wanted},
    harness::TestServer,
    http::client::{Answer, HttpClient},
};

const OWN: [&str; 3] = ["--ext-authz=on", "--ext-authz-addr=127.0.0.1:0", "--standing-cache-max-age=0s"];

/// A proxy that asks at the address of forward-auth.
fn proxy(server: &TestServer) -> HttpClient {
    HttpClient::new(server.started.ext_authz_addr.unwrap())
}

/// Asks for a request with `headers`, with `query`.
async fn ask(proxy: HttpClient, query: &str, headers: &[(&str, &str)]) -> Answer {
    let request = proxy.request("GET", &format!("/oauth2/verify{query}"));
    proxy.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)), "").await
}

async fn ask_of(proxy: HttpClient, query: &str, token: &str) -> Answer {
    ask(proxy, query, &[("authorization", &format!("Bearer {token}"))]).await
}

/// What a request may pass with: every header that Signet tells, of which some are empty.
#[track_caller]
fn allowed(answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!((answer.status(), answer.0.body().as_str()), (StatusCode::NO_CONTENT, ""), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.headers().contains_key(AUTHORIZATION), "{answer:?}");
    let told = answer.headers().iter().filter(|(name, _)| name.as_str().starts_with("x-signet-"));
    let told: Vec<_> =
        told.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    assert_eq!(told.len(), TOLD.len(), "each is said once: {told:?}");
    told.into_iter().collect()
}

/// Status, challenge without its description, and reason.
#[track_caller]
fn denied(answer: &Answer) -> (u16, Option<String>, String) {
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("x-signet-")), "{answer:?}");
    let challenge = Some(answer.header("www-authenticate")).filter(|challenge| !challenge.is_empty());
    let challenge = challenge.map(|text| text.split(", error_description=").next().unwrap().to_owned());
    let reason = answer.json()["details"][0]["reason"].as_str().unwrap().to_owned();
    (answer.status().as_u16(), challenge, reason)
}

#[tokio::test]
async fn a_proxy_is_told_what_envoy_is_told_with_every_header_empty_where_there_is_nothing_to_say() {
    let service = Service::start_with(&OWN).await;
    let (server, proxy) = (&service.server, proxy(&service.server));
    let channel = Channel::from_shared(format!("http://{}", server.started.ext_authz_addr.unwrap())).unwrap();
    let sidecar = Sidecar(AuthorizationClient::new(channel.connect().await.unwrap()));
    let users = token(&mut service.client.clone()).await;
    let wanted = Wanted { audiences: "signet orders", ..Wanted::confidential("a b") };
    let registered = service.register("billing", wanted).await;
    let clients = service.token_of(&registered).await;
    let (none, everybody) = ("", [Some(users.as_str()), Some(clients.as_str()), Some("a.b.c"), None]);
    for (query, rules) in [
        (none, &[][..]),
        ("?", &[]),
        ("?scope=profile", &[("signet.require_scope", "profile")]),
        ("?scope=profile+account", &[("signet.require_scope", "profile account")]),
        (
            "?scope=a%20b&audience=orders",
            &[("signet.require_scope", "a b"), ("signet.require_audience", "orders")],
        ),
        ("?%73cope=%61&anonymous=allow", &[("signet.require_scope", "a"), ("signet.anonymous", "allow")]),
        ("?anonymous=deny", &[("signet.anonymous", "deny")]),
        (
            "?role=desk&audience=orders",
            &[("signet.require_role", "desk"), ("signet.require_audience", "orders")],
        ),
        (
            "?audience=https%3A%2F%2Fstock.example%2F",
            &[("signet.require_audience", "https://stock.example/")],
        ),
    ] {
        for token in everybody {
            let bearer = token.map(|token| format!("Bearer {token}"));
            let forged = TOLD.iter().map(|name| (*name, "root"));
            let shown = bearer.iter().map(|bearer| ("authorization", bearer.as_str()));
            let headers: Vec<_> = forged.chain(shown).collect();
            let answer = ask(proxy, query, &headers).await;
            match sidecar.check(&headers, rules).await {
                Verdict::Allowed { set, removed } => {
                    let empty = removed.into_iter().filter(|name| name != "authorization");
                    let expected: BTreeMap<_, _> =
                        set.into_iter().chain(empty.map(|name| (name, String::new()))).collect();
                    assert_eq!(allowed(&answer), expected, "{query} {token:?}");
                }
                verdict @ Verdict::Denied { .. } => {
                    let (status, challenge, reason) = verdict.denied();
                    let expected = (u16::try_from(status).unwrap(), challenge, reason);
                    assert_eq!(denied(&answer), expected, "{query} {token:?}");
                }
            }
        }
    }
    // The table has all three answers.
    assert_eq!(allowed(&ask_of(proxy, none, &users).await)["x-signet-username"], "alice");
    assert!(allowed(&ask(proxy, "?anonymous=allow", &[]).await).values().all(String::is_empty));
    assert_eq!(
        denied(&ask(proxy, none, &[]).await),
        (401, Some(NO_TOKEN.to_owned()), "TOKEN_MISSING".to_owned())
    );
    let bad = denied(&ask_of(proxy, "?anonymous=allow", "a.b.c").await);
    assert_eq!(bad, (401, Some(BAD_TOKEN.to_owned()), "TOKEN_INVALID".to_owned()));
    assert_eq!(denied(&ask_of(proxy, "?scope=a", &users).await).0, 403);
}

#[tokio::test]
async fn a_query_that_is_not_understood_lets_nobody_pass() {
    let service = Service::start_with(&OWN).await;
    let (proxy, good) = (proxy(&service.server), token(&mut service.client.clone()).await);
    for query in [
        "?scope=",
        "?scope",
        "?scope=profile++account",
        "?scope=profile&scope=profile",
        "?scope=profile&%73cope=account",
        "?Scope=profile",
        "?scopes=profile",
        "?audience=",
        "?audience=a+b",
        "?audience=signet&audience=signet",
        "?role=desk",
        "?role=everyone&audience=signet",
        "?anonymous",
        "?anonymous=yes",
        "?anonymous=allow&anonymous=allow",
        "?anonymous=allow&forward_token=allow",
        "?signet.require_scope=profile",
        "?rd=https%3A%2F%2Fservice.example%2F",
        "?anonymous=allow&scope=%zz",
        "?anonymous=allow&%",
        "?anonymous=allow&x=%ff",
        "?anonymous=allow&=",
        "?anonymous=allow;scope=profile",
    ] {
        for answer in [ask_of(proxy, query, &good).await, ask(proxy, query, &[]).await] {
            let refused = (403, None, "ROUTE_MISCONFIGURED".to_owned());
            assert_eq!(denied(&answer), refused, "{query}");
        }
    }
}

#[tokio::test]
async fn it_reads_neither_path_nor_body_and_answers_in_http_whatever_the_client_speaks() {
    let service = Service::start_with(&OWN).await;
    let (proxy, good) = (proxy(&service.server), token(&mut service.client.clone()).await);
    let bearer = format!("Bearer {good}");
    let forwarded = [
        ("x-forwarded-method", "DELETE"),
        ("x-forwarded-uri", "/oauth2/verify?scope=none"),
        ("x-original-url", "/public"),
        ("content-type", "application/grpc"),
        ("origin", "https://page.example"),
        ("sec-fetch-site", "cross-site"),
        ("authorization", &bearer),
    ];
    allowed(&ask(proxy, "", &forwarded).await);
    let refused = ask(proxy, "", &forwarded[..6]).await;
    assert_eq!(denied(&refused).2, "TOKEN_MISSING");
    let head = proxy.request("HEAD", "/oauth2/verify").header("authorization", &bearer);
    assert_eq!(proxy.send(head, "").await.status(), StatusCode::NO_CONTENT);
    let two = [("authorization", bearer.as_str()), ("authorization", &bearer)];
    assert_eq!(denied(&ask(proxy, "?anonymous=allow", &two).await).2, "TOKEN_INVALID");
    let answer = ask(proxy.h2c(), "", &[("authorization", &bearer), ("x-request-id", "one-two")]).await;
    assert_eq!((allowed(&answer).len(), answer.header("x-request-id")), (TOLD.len(), "one-two"));
    for method in ["POST", "PUT", "DELETE"] {
        let request = proxy.request(method, "/oauth2/verify").header("authorization", &bearer);
        assert_eq!(proxy.send(request, "").await.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    let metrics = service.server.operations_get("/metrics").await.into_body();
    assert!(metrics.contains(r#"route="/oauth2/verify""#), "{metrics}");
}

#[tokio::test]
async fn nobody_asks_anywhere_else() {
    let own = TestServer::start(&OWN).await;
    let shared = TestServer::start(&["--ext-authz=on"]).await;
    for server in [&own, &shared] {
        let token = server.client().await.token_of_new("alice").await;
        for addr in
            [server.started.http_addr, server.started.grpc_addr, server.started.operations_addr.unwrap()]
        {
            let answer = ask_of(HttpClient::new(addr), "", &token).await;
            assert!(answer.status().is_client_error(), "{addr}: {answer:?}");
            assert!(
                !answer.headers().keys().any(|name| name.as_str().starts_with("x-signet-")),
                "{answer:?}"
            );
        }
    }
    // Beside forward-auth, the address serves gRPC and nothing else by HTTP.
    let token = own.client().await.token_of_new("bob").await;
    for path in ["/oauth2/verify/", "/oauth2/userinfo", "/oauth2/introspect", "/livez", "/metrics"] {
        let answer = proxy(&own).get_with_token(path, &token).await;
        assert!(answer.status().is_client_error(), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_decided_is_503() {
    let service = Service::start_with(&OWN).await;
    let (proxy, good) = (proxy(&service.server), token(&mut service.client.clone()).await);
    allowed(&ask_of(proxy, "", &good).await);
    let db = service.server.data.connect().await;
    sea_orm::ConnectionTrait::execute_unprepared(&db, "ALTER TABLE users RENAME TO others").await.unwrap();
    for query in ["", "?anonymous=allow"] {
        let answer = ask_of(proxy, query, &good).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            (answer.json()["reason"].clone(), answer.header("retry-after").is_empty()),
            (Value::from("UNAVAILABLE"), false)
        );
    }
}
