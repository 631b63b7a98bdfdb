//! Owns what Envoy is told when it asks whether a request to another service may pass.

mod forward_auth;
mod sidecar;

use std::{collections::BTreeMap, time::Duration};

use signet::{
    model::UserId,
    proto::{
        envoy::{
            config::core::v3::{HeaderMap, HeaderValue},
            service::auth::v3::{
                AttributeContext, CheckRequest, attribute_context::HttpRequest,
                authorization_client::AuthorizationClient,
            },
        },
        identity::v1::{RevokeSessionRequest, User, identity_service_client::IdentityServiceClient},
    },
};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    clients::{Service, Wanted, alice, request},
    harness::{Client, PASSWORD, TestServer, assert_refused, with_token},
};

pub(crate) use sidecar::{Sidecar, http};
use sidecar::{TOLD, Verdict, texts, verdict};

const ON: [&str; 2] = ["--ext-authz=on", "--standing-cache-max-age=0s"];

/// The rule of a route that leads to a service named `orders`.
const ORDERS: (&str, &str) = ("signet.require_audience", "orders");

const NO_TOKEN: &str = r#"Bearer realm="signet""#;
const BAD_TOKEN: &str = r#"Bearer realm="signet", error="invalid_token""#;

#[track_caller]
fn assert_denied(verdict: Verdict, status: i32, challenge: Option<&str>, reason: &str) {
    assert_eq!(verdict.denied(), (status, challenge.map(str::to_owned), reason.to_owned()));
}

fn id(user: &User) -> UserId {
    UserId(user.id.parse().unwrap())
}

async fn token(client: &mut Client) -> String {
    client.log_in("alice", PASSWORD).await.unwrap().access_token
}

#[tokio::test]
async fn a_user_and_a_client_are_told_by_headers_that_overwrite_what_a_client_sent() {
    let service = Service::start_with(&ON).await;
    let sidecar = Sidecar::of(&service.server).await;
    let mut client = service.client.clone();
    let alices = token(&mut client).await;
    let user = client.get_me(&alices).await.unwrap();

    let told = sidecar.check_token(&alices, &[]).await.allowed();
    let session = &told["x-signet-session"];
    let expected = texts(&[
        ("x-signet-subject", &user.id),
        ("x-signet-username", "alice"),
        ("x-signet-scope", "profile account"),
        ("x-signet-session", session),
        ("x-signet-client", "signet"),
    ]);
    assert_eq!((&told, session.len()), (&expected, 36));
    assert_eq!(sidecar.check_token(&alices, &[]).await.allowed(), told, "a token seen before");

    let billing = service.register("billing", Wanted::confidential("a b")).await;
    let bearer = format!("Bearer {}", service.token_of(&billing).await);
    let spoofed = [
        ("x-signet-session", "s"),
        ("x-signet-username", "root"),
        ("x-signet-roles", "admin"),
        ("x-signet-client", "root"),
        ("authorization", &*bearer),
    ];
    let told = sidecar.check(&spoofed, &[]).await.allowed();
    let id = billing.id.as_str();
    let expected = [("x-signet-subject", id), ("x-signet-scope", "a b"), ("x-signet-client", id)];
    assert_eq!(told, texts(&expected));
}

#[tokio::test]
async fn envoy_itself_is_told_by_metadata_where_that_is_wanted() {
    let [wanted, unwanted] = [&[ON[0], ON[1], "--ext-authz-dynamic-metadata=on"][..], &ON];
    let service = Service::start_with(wanted).await;
    let sidecar = Sidecar::of(&service.server).await;
    let told = async |sidecar: &Sidecar, headers: &[(&str, &str)], extensions: &[(&str, &str)]| {
        let metadata = sidecar.answer(http(headers), extensions).await.unwrap().dynamic_metadata?;
        let text = |value: prost_types::Value| match value.kind {
            Some(prost_types::value::Kind::StringValue(text)) => text,
            other => panic!("{other:?}"),
        };
        Some(metadata.fields.into_iter().map(|(name, value)| (name, text(value))).collect::<BTreeMap<_, _>>())
    };

    let mut client = service.client.clone();
    let issued = client.token_of_new("Zoë").await;
    let bearer = format!("Bearer {issued}");
    let headers = sidecar.check_token(&issued, &[]).await.allowed();
    let expected = texts(&[
        ("subject", &headers["x-signet-subject"]),
        ("username", "Zoë"),
        ("scope", "profile account"),
        ("session", &headers["x-signet-session"]),
        ("client", "signet"),
    ]);
    assert_eq!(told(&sidecar, &[("authorization", &bearer)], &[]).await, Some(expected));
    let billing = service.register("billing", Wanted::confidential("a b")).await;
    let clients = format!("Bearer {}", service.token_of(&billing).await);
    let expected = texts(&[("subject", &billing.id), ("scope", "a b"), ("client", &billing.id)]);
    assert_eq!(told(&sidecar, &[("authorization", &clients)], &[]).await, Some(expected));

    // Of nobody there is nothing to tell, and whoever is refused has proven nothing.
    assert_eq!(told(&sidecar, &[], &[("signet.anonymous", "allow")]).await, None);
    assert_eq!(told(&sidecar, &[("authorization", &bearer)], &[ORDERS]).await, None);
    assert_eq!(told(&sidecar, &[("authorization", &bearer)], &[("signet.require_scope", "a")]).await, None);
    let server = TestServer::start(unwanted).await;
    let bearer = format!("Bearer {}", server.client().await.token_of_new("alice").await);
    assert_eq!(told(&Sidecar::of(&server).await, &[("authorization", &bearer)], &[]).await, None);
}

#[tokio::test]
async fn a_username_beyond_ascii_arrives_percent_encoded() {
    let server = TestServer::start(&ON).await;
    let token = server.client().await.token_of_new("Zoë").await;
    let told = Sidecar::of(&server).await.check_token(&token, &[]).await.allowed();
    assert_eq!(told["x-signet-username"], "Zo%C3%AB");
}

#[tokio::test]
async fn without_any_rule_a_token_for_signet_itself_is_needed() {
    let service = Service::start_with(&ON).await;
    let sidecar = Sidecar::of(&service.server).await;
    let good = token(&mut service.client.clone()).await;
    let (bearer, lower) = (format!("Bearer {good}"), format!("bearer {good}"));
    for name in ["authorization", "Authorization", "AUTHORIZATION"] {
        sidecar.check(&[(name, &bearer)], &[]).await.allowed();
    }
    sidecar.check(&[("authorization", &lower)], &[]).await.allowed();

    let missing = sidecar.check(&[("x-signet-subject", "me"), ("cookie", "a=b")], &[]).await;
    assert_denied(missing, 401, Some(NO_TOKEN), "TOKEN_MISSING");
    let twice = format!("{bearer},{bearer}");
    let spaced = format!("{bearer}, {bearer}");
    let basic_too = format!("Basic YTpi,{bearer}");
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        &good,
        "Basic YTpi",
        "Bearer abc",
        &twice,
        &spaced,
        &basic_too,
        "Bearer \u{e9}",
    ] {
        let denied = sidecar.check(&[("authorization", bad)], &[]).await;
        assert_denied(denied, 401, Some(BAD_TOKEN), "TOKEN_INVALID");
    }
    let two = sidecar.check(&[("authorization", &bearer), ("Authorization", &bearer)], &[]).await;
    assert_denied(two, 401, Some(BAD_TOKEN), "TOKEN_INVALID");
    let wanted = Wanted { audiences: "orders", ..Wanted::confidential("a") };
    let orders = service.register("billing", wanted).await;
    let foreign = sidecar.check_token(&service.token_of(&orders).await, &[]).await;
    assert_denied(foreign, 401, Some(BAD_TOKEN), "TOKEN_INVALID");

    // A filter that knows no HTTP, and an empty question.
    let mut raw = sidecar.0.clone();
    for attributes in [None, Some(AttributeContext::default())] {
        let answer = raw.check(CheckRequest { attributes }).await.unwrap().into_inner();
        assert_denied(verdict(answer), 401, Some(NO_TOKEN), "TOKEN_MISSING");
    }
}

#[tokio::test]
async fn headers_that_envoy_sends_raw_are_read_as_well() {
    let server = TestServer::start(&ON).await;
    let sidecar = Sidecar::of(&server).await;
    let token = server.client().await.token_of_new("alice").await;
    let bearer = format!("Bearer {token}");
    let ask = async |headers: &[(&str, &[u8])]| {
        let header = |(key, value): &(&str, &[u8])| HeaderValue {
            key: (*key).to_owned(),
            raw_value: value.to_vec(),
            ..HeaderValue::default()
        };
        let header_map = Some(HeaderMap { headers: headers.iter().map(header).collect() });
        verdict(sidecar.answer(HttpRequest { header_map, ..HttpRequest::default() }, &[]).await.unwrap())
    };
    ask(&[("cookie", b"\xff"), ("authorization", bearer.as_bytes())]).await.allowed();
    for bad in [
        &[("authorization", bearer.as_bytes()), ("authorization", bearer.as_bytes())][..],
        &[("authorization", b""), ("Authorization", bearer.as_bytes())],
        &[("authorization", b"Bearer \xff")],
    ] {
        assert_denied(ask(bad).await, 401, Some(BAD_TOKEN), "TOKEN_INVALID");
    }
}

#[tokio::test]
async fn what_no_longer_stands_is_refused_at_once() {
    let server = TestServer::start(&["--ext-authz=on"]).await;
    let (sidecar, mut client) = (Sidecar::of(&server).await, server.client().await);
    let user = client.sign_up("alice", PASSWORD).await.unwrap();
    let (revoked, other) = (token(&mut client).await, token(&mut client).await);
    let session = sidecar.check_token(&revoked, &[]).await.allowed()["x-signet-session"].clone();
    let request = with_token(RevokeSessionRequest { session_id: session }, &other);
    client.0.revoke_session(request).await.unwrap();
    assert_denied(sidecar.check_token(&revoked, &[]).await, 401, Some(BAD_TOKEN), "TOKEN_REVOKED");
    assert_denied(
        sidecar.check_token(&revoked, &[("signet.anonymous", "allow")]).await,
        401,
        Some(BAD_TOKEN),
        "TOKEN_REVOKED",
    );

    sidecar.check_token(&other, &[]).await.allowed();
    server
        .store()
        .await
        .set_active(id(&user), false, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert_denied(sidecar.check_token(&other, &[]).await, 401, Some(BAD_TOKEN), "TOKEN_REVOKED");
    server
        .store()
        .await
        .set_active(id(&user), true, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();
    let other = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    server.clock.advance(Duration::from_secs(1));
    sidecar.check_token(&other, &[]).await.allowed();
    server.clock.advance(Duration::from_mins(16));
    assert_denied(sidecar.check_token(&other, &[]).await, 401, Some(BAD_TOKEN), "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_route_may_ask_for_scopes_and_for_an_audience() {
    let service = Service::start_with(&ON).await;
    let sidecar = Sidecar::of(&service.server).await;
    let wanted = Wanted { audiences: "orders https://stock.example/", ..Wanted::confidential("a b c") };
    let registered = service.register("billing", wanted).await;
    let orders = service.token_of(&registered).await;
    let users = token(&mut service.client.clone()).await;

    for scope in ["a", "b a", "a b c", "c c"] {
        let told = sidecar.check_token(&orders, &[ORDERS, ("signet.require_scope", scope)]).await.allowed();
        assert_eq!(told["x-signet-scope"], "a b c");
    }
    sidecar.check_token(&orders, &[("signet.require_audience", "https://stock.example/")]).await.allowed();
    for scope in ["d", "a d", "A", "a b c d"] {
        let denied = sidecar.check_token(&orders, &[ORDERS, ("signet.require_scope", scope)]).await;
        let challenge = format!(r#"Bearer realm="signet", error="insufficient_scope", scope="{scope}""#);
        assert_denied(denied, 403, Some(&challenge), "INSUFFICIENT_SCOPE");
    }
    for audience in ["signet", "order", "orders/", "https://stock.example"] {
        let denied = sidecar.check_token(&orders, &[("signet.require_audience", audience)]).await;
        assert_denied(denied, 401, Some(BAD_TOKEN), "TOKEN_INVALID");
    }
    assert_denied(sidecar.check_token(&users, &[ORDERS]).await, 401, Some(BAD_TOKEN), "TOKEN_INVALID");
    sidecar.check_token(&users, &[("signet.require_audience", "signet")]).await.allowed();
    let narrow = service.issue(request(alice(), None)).await.unwrap().access_token;
    sidecar.check_token(&narrow, &[("signet.require_scope", "profile")]).await.allowed();
}

#[tokio::test]
async fn where_anonymous_requests_pass_a_bad_token_does_not() {
    let service = Service::start_with(&ON).await;
    let sidecar = Sidecar::of(&service.server).await;
    let open = [("signet.anonymous", "allow")];
    let spoofed: Vec<_> = TOLD.iter().map(|name| (*name, "root")).collect();
    assert_eq!(sidecar.check(&spoofed, &open).await.allowed(), BTreeMap::new());
    let good = token(&mut service.client.clone()).await;
    assert_eq!(sidecar.check_token(&good, &open).await.allowed()["x-signet-username"], "alice");
    for bad in ["", "Bearer", "Basic YTpi", "Bearer abc"] {
        let denied = sidecar.check(&[("authorization", bad)], &open).await;
        assert_denied(denied, 401, Some(BAD_TOKEN), "TOKEN_INVALID");
    }
    let closed = sidecar.check(&spoofed, &[("signet.anonymous", "deny")]).await;
    assert_denied(closed, 401, Some(NO_TOKEN), "TOKEN_MISSING");
    // With a scope: nobody needs a token, but who shows one is held to it.
    let both = [("signet.anonymous", "allow"), ("signet.require_scope", "admin")];
    assert_eq!(sidecar.check(&[], &both).await.allowed(), BTreeMap::new());
    let (status, _, reason) = sidecar.check_token(&good, &both).await.denied();
    assert_eq!((status, reason.as_str()), (403, "INSUFFICIENT_SCOPE"));
}

#[tokio::test]
async fn a_rule_that_is_not_understood_lets_nobody_pass() {
    let service = Service::start_with(&ON).await;
    let sidecar = Sidecar::of(&service.server).await;
    let good = token(&mut service.client.clone()).await;
    for broken in [
        ("signet.require_scope", ""),
        ("signet.require_scopes", "profile"),
        ("signet.require_scope", "profile  x"),
        ("signet.require_audience", "a b"),
        ("signet.anonymous", "yes"),
        ("Signet.Anonymous", "deny"),
    ] {
        let open = ("signet.anonymous", "allow");
        let beside = if broken.0 == open.0 { ("x", "y") } else { open };
        for extensions in [&[broken][..], &[broken, beside]] {
            assert_denied(sidecar.check_token(&good, extensions).await, 403, None, "ROUTE_MISCONFIGURED");
            assert_denied(sidecar.check(&[], extensions).await, 403, None, "ROUTE_MISCONFIGURED");
        }
    }
    sidecar.check_token(&good, &[("require_scope", "somebody else's"), ("x", "")]).await.allowed();
}

#[tokio::test]
async fn a_grpc_client_gets_what_it_can_read() {
    let service = Service::start_with(&ON).await;
    let sidecar = Sidecar::of(&service.server).await;
    for content_type in ["application/grpc", "application/grpc+proto"] {
        let verdict = sidecar.check(&[("content-type", content_type)], &[]).await;
        let Verdict::Denied { status, headers, body } = verdict else { panic!("{verdict:?}") };
        assert_eq!((status, headers["www-authenticate"].as_str()), (401, NO_TOKEN));
        assert!(body.contains("needs an access token") && !headers.contains_key("content-type"), "{body}");
        let mut trailers = http::HeaderMap::new();
        for (name, value) in [
            ("grpc-status", "16"),
            ("grpc-message", "x"),
            ("grpc-status-details-bin", &headers["grpc-status-details-bin"]),
        ] {
            trailers.insert(name, value.parse().unwrap());
        }
        let status = Status::from_header_map(&trailers).unwrap();
        assert_refused(Err::<(), _>(status), Code::Unauthenticated, "TOKEN_MISSING");
    }
    for content_type in ["application/json", "application/grpc-web", "application/grpcx", ""] {
        let verdict = sidecar.check(&[("content-type", content_type)], &[]).await;
        assert_denied(verdict, 401, Some(NO_TOKEN), "TOKEN_MISSING");
    }
}

#[tokio::test]
async fn what_cannot_be_decided_is_an_error_of_the_call() {
    let service = Service::start_with(&ON).await;
    let sidecar = Sidecar::of(&service.server).await;
    let good = token(&mut service.client.clone()).await;
    sidecar.check_token(&good, &[]).await.allowed();
    // Behind the service's back: what it asks for is not there.
    let db = service.server.data.connect().await;
    sea_orm::ConnectionTrait::execute_unprepared(&db, "ALTER TABLE users RENAME TO others").await.unwrap();
    let bearer = format!("Bearer {good}");
    for extensions in [&[][..], &[("signet.anonymous", "allow")]] {
        let http = HttpRequest { headers: texts(&[("authorization", &bearer)]), ..HttpRequest::default() };
        let status = sidecar.answer(http, extensions).await.unwrap_err();
        assert_refused(Err::<(), _>(status), Code::Unavailable, "UNAVAILABLE");
    }
}

#[tokio::test]
async fn it_is_there_only_when_it_is_asked_for() {
    let server = TestServer::start(&[]).await;
    let refused = Sidecar::of(&server).await.answer(HttpRequest::default(), &[]).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn the_headers_may_have_another_prefix() {
    let server = TestServer::start(&["--ext-authz=on", "--ext-authz-header-prefix=x-auth-request-"]).await;
    let token = server.client().await.token_of_new("alice").await;
    let verdict = Sidecar::of(&server).await.check_token(&token, &[]).await;
    let Verdict::Allowed { set, removed } = verdict else { panic!("{verdict:?}") };
    assert_eq!((set["x-auth-request-username"].as_str(), set.len(), removed.len()), ("alice", 5, 2));
}

#[tokio::test]
async fn at_an_address_of_its_own_nothing_else_is_served_and_elsewhere_nobody_can_ask() {
    let server = TestServer::start(&["--ext-authz=on", "--ext-authz-addr=127.0.0.1:0"]).await;
    let token = server.client().await.token_of_new("alice").await;
    let addr = server.started.ext_authz_addr.unwrap();
    let channel = Channel::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
    let sidecar = Sidecar(AuthorizationClient::new(channel.clone()));
    let Verdict::Allowed { set, .. } = sidecar.check_token(&token, &[]).await else { panic!("it may pass") };
    assert_eq!(set["x-signet-username"], "alice");
    let health = |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut client = HealthClient::new(channel.clone());
        async move { client.check(request).await.unwrap().into_inner().status() }
    };
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        assert_eq!(health(service).await, ServingStatus::Serving, "{service}");
    }

    let elsewhere = Sidecar::of(&server).await.answer(http(&[]), &[]).await.unwrap_err();
    assert_eq!(elsewhere.code(), Code::Unimplemented);
    let mut other = Client(IdentityServiceClient::new(channel));
    assert_eq!(other.get_me(&token).await.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(other.log_in("alice", PASSWORD).await.unwrap_err().code(), Code::Unimplemented);
    let metrics = server.operations_get("/metrics").await.into_body();
    assert!(metrics.contains(r#"signet_connections_open{listener="ext_authz"} 1"#), "{metrics}");
}
