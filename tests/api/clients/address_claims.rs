//! Owns which clients may tell the addresses of their users, what comes of it, and how often their users may fail.

use std::{fs, time::Duration};

use serde_json::Value;
use signet::identity::Administrator;
use signet::proto::identity::v1::{
    ClientAuthentication, IssueTokenRequest, ListSessionsRequest, issue_token_request::Grant,
};
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt;

use super::{Registered, Service, Wanted, alice, client_credentials, refresh, request};
use crate::{
    harness::{PASSWORD, assert_refused, eventually, with_token},
    http::client::HttpClient,
};

/// How many failures a client has at once (docs/TOKENS.md).
const AT_ONCE: usize = 1_000;

/// The address of a user, as the client tells.
const USER: &str = "203.0.113.9";

/// A client that may tell addresses.
fn gateway() -> Wanted<'static> {
    Wanted { may_claim_address: true, ..Wanted::confidential("profile a") }
}

fn for_user(grant: Grant, client: Option<ClientAuthentication>, address: &str) -> IssueTokenRequest {
    IssueTokenRequest { user_address: address.to_owned(), ..request(grant, client) }
}

fn wrong_password() -> Grant {
    match alice() {
        Grant::Password(mut grant) => {
            grant.password.push('x');
            Grant::Password(grant)
        }
        other => other,
    }
}

impl Service {
    /// The address of the session that `token` belongs to, as its user sees it.
    async fn address_of(&self, token: &str) -> Option<String> {
        let request = with_token(ListSessionsRequest::default(), token);
        let sessions = self.client.clone().0.list_sessions(request).await.unwrap().into_inner().sessions;
        sessions.into_iter().find(|session| session.is_current).unwrap().address
    }

    /// Lets a user of `client` fail.
    async fn fail(&self, client: &Registered) -> Result<(), tonic::Status> {
        // From many addresses, as of many users: no single one of them fails too often.
        let address = format!("203.0.113.{}", rand::random::<u8>());
        let request = for_user(refresh("made up"), Some(client.by_secret()), &address);
        self.issue(request).await.map(drop)
    }
}

#[tokio::test]
async fn a_client_that_may_tells_its_users_address_to_the_session_and_the_audit_log() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("audit.log");
    let service =
        Service::start_with(&["--standing-cache-max-age=0s", &format!("--audit-log={}", log.display())])
            .await;
    let gateway = service.register("gateway", gateway()).await;
    for (told, shown) in [(USER, USER), ("2001:DB8::9", "2001:db8::9"), ("::ffff:203.0.113.7", "203.0.113.7")]
    {
        let issued = service.issue(for_user(alice(), Some(gateway.by_secret()), told)).await.unwrap();
        assert_eq!(service.address_of(&issued.access_token).await.as_deref(), Some(shown));
        let again = refresh(&issued.refresh_token.unwrap());
        let again = service.issue(for_user(again, Some(gateway.by_secret()), "198.51.100.1")).await.unwrap();
        assert_eq!(service.address_of(&again.access_token).await.as_deref(), Some(shown), "of the login");
    }
    let refused = service.issue(for_user(wrong_password(), Some(gateway.by_secret()), USER)).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let silent = service.issue(request(alice(), Some(gateway.by_secret()))).await.unwrap();
    assert_eq!(service.address_of(&silent.access_token).await.as_deref(), Some("127.0.0.1"));

    let logins = || -> Vec<Value> {
        let text = fs::read_to_string(&log).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == "login").collect()
    };
    eventually("the logins are told", async || logins().len() >= 5).await;
    let told: Vec<_> = logins()
        .iter()
        .map(|line| {
            assert_eq!(line["address"], "127.0.0.1", "what the service saw stays: {line}");
            (line["outcome"].clone(), line["claimed_address"].clone())
        })
        .collect();
    let expected = [
        ("success", Some(USER)),
        ("success", Some("2001:db8::9")),
        ("success", Some("203.0.113.7")),
        ("failure", Some(USER)),
        ("success", None),
    ];
    assert_eq!(told, expected.map(|(outcome, claimed)| (Value::from(outcome), Value::from(claimed))));
}

#[tokio::test]
async fn who_may_not_tell_it_is_refused_and_so_is_what_is_no_address() {
    let service = Service::start().await;
    let gateway = service.register("gateway", gateway()).await;
    let billing = service.register("billing", Wanted::confidential("profile a")).await;
    let app = service.register("app", Wanted::public("profile")).await;
    for client in [None, Some(billing.by_secret()), Some(app.with(None))] {
        let refused = service.issue(for_user(alice(), client, USER)).await;
        assert_refused(refused, Code::PermissionDenied, "ADDRESS_CLAIM_NOT_ALLOWED");
    }
    // Who it is comes first.
    let nobody = service.issue(for_user(alice(), Some(gateway.with(None)), USER)).await;
    assert_refused(nobody, Code::Unauthenticated, "INVALID_CLIENT");
    for bad in ["localhost", "203.0.113.9:80", "[2001:db8::9]", "203.0.113.0/24", "unknown", " "] {
        let refused = service.issue(for_user(alice(), Some(gateway.by_secret()), bad)).await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "user_address", "{bad}");
    }
    let own = IssueTokenRequest { user_address: USER.to_owned(), ..client_credentials(gateway.by_secret()) };
    assert_refused(service.issue(own).await, Code::InvalidArgument, "INVALID_FIELDS");

    // What the operator takes back counts no longer.
    let by = Administrator::operator();
    service.operator.set_may_claim_address(&gateway.client_id().into(), false, &by).await.unwrap();
    let refused = service.issue(for_user(alice(), Some(gateway.by_secret()), USER)).await;
    assert_refused(refused, Code::PermissionDenied, "ADDRESS_CLAIM_NOT_ALLOWED");
    let public = service.operator.set_may_claim_address(&app.client_id().into(), true, &by).await;
    assert!(public.is_err(), "a public one");
}

#[tokio::test]
async fn over_http_it_is_a_parameter_of_the_form() {
    let service = Service::start().await;
    let gateway = service.register("gateway", gateway()).await;
    let http: HttpClient = service.server.http();
    let form = |secret: &'static str| {
        [("grant_type", "password"), ("username", "alice"), ("password", secret), ("user_address", USER)]
    };
    let own = [("client_id", gateway.id.as_str()), ("client_secret", gateway.secret.as_str())];
    let issued = http.post("/oauth2/token", &[&form(PASSWORD)[..], &own].concat()).await.ok();
    let token = issued["access_token"].as_str().unwrap();
    assert_eq!(service.address_of(token).await.as_deref(), Some(USER));
    let refused = http.post("/oauth2/token", &form(PASSWORD)).await;
    refused.assert_refused(400, "unauthorized_client", "ADDRESS_CLAIM_NOT_ALLOWED");
}

#[tokio::test]
async fn its_users_may_fail_so_often_and_then_wait_and_nobody_else_does() {
    let service = Service::start().await;
    let gateway_client = service.register("gateway", gateway()).await;
    let other = service.register("other", gateway()).await;
    for _ in 0..AT_ONCE {
        assert_refused(service.fail(&gateway_client).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
    let status =
        assert_refused(service.fail(&gateway_client).await, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    let delay = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_millis(100)));
    let right = for_user(alice(), Some(gateway_client.by_secret()), USER);
    assert_refused(service.issue(right.clone()).await, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    let metrics = service.server.operations_get("/metrics").await.into_body();
    assert!(metrics.contains("signet_password_guesses_total{result=\"client_throttled\"} 2\n"), "{metrics}");
    // Others, and what it asks for without telling an address.
    assert_refused(service.fail(&other).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    service.issue(request(alice(), Some(gateway_client.by_secret()))).await.unwrap();
    // What succeeds is not charged.
    service.server.clock.advance(Duration::from_millis(100));
    for _ in 0..3 {
        service.issue(right.clone()).await.unwrap();
    }
    assert_refused(service.fail(&gateway_client).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    assert_refused(service.fail(&gateway_client).await, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
}

#[tokio::test]
async fn what_a_client_fails_for_one_address_alone_is_charged_to_it_too() {
    let service = Service::start_with(&["--address-failures=10"]).await;
    let gateway = service.register("gateway", gateway()).await;
    let fail = || service.issue(for_user(refresh("made up"), Some(gateway.by_secret()), USER));
    for _ in 0..10 {
        assert_refused(fail().await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    }
    // The answer is another one by now, and the token was looked at all the same.
    for _ in 10..AT_ONCE {
        assert_refused(fail().await, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    }
    let throttled = async || {
        let metrics = service.server.operations_get("/metrics").await.into_body();
        metrics.contains("signet_password_guesses_total{result=\"client_throttled\"} 1\n")
    };
    assert!(!throttled().await);
    assert_refused(fail().await, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    assert!(throttled().await);
}
