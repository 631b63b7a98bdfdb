//! Owns the bounds of what a request may repeat or make long: they hold before anything is looked at, and who asks before what is asked.

use std::collections::HashMap;

use prost_types::FieldMask;
use signet::proto::{
    envoy::service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Request},
        authorization_client::AuthorizationClient,
    },
    identity::v1::{
        ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, SignUpRequest, UpdateMeRequest,
        User, client_authentication::Credential, issue_token_request::Grant,
    },
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{PASSWORD, TestServer, assert_refused, password_grant, with_token};

/// The field, and why, of each violation.
fn violations(status: &Status) -> Vec<(String, String)> {
    let details = status.get_details_bad_request().unwrap().field_violations;
    details.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

/// A client that nobody has registered, and what it wishes for.
fn stranger(scope: &str, audiences: Vec<String>) -> IssueTokenRequest {
    IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client: Some(ClientAuthentication {
            client_id: "01a20a05-adfd-7f0f-a948-424ae62fc105".to_owned(),
            credential: Some(Credential::ClientSecret("a secret".to_owned())),
        }),
        scope: scope.to_owned(),
        audiences,
        ..IssueTokenRequest::default()
    }
}

#[tokio::test]
async fn audiences_are_few_and_short_however_often_one_is_repeated() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let mut many: Vec<_> = (0..340).map(|number| number.to_string()).collect();
    many.extend(vec!["0".to_owned(); 20_000]);
    let empty = vec![String::new(); 30_000];
    let long = vec!["x".repeat(600), "y".repeat(600)];
    for audiences in [many, empty, long, vec!["signet".to_owned(); 129]] {
        let login = IssueTokenRequest { audiences: audiences.clone(), ..password_grant("alice", PASSWORD) };
        let refused = client.0.issue_token(login).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_AUDIENCE");
        let refused = client.0.issue_token(stranger("", audiences)).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_AUDIENCE");
    }
    let login =
        IssueTokenRequest { audiences: vec!["signet".to_owned(); 128], ..password_grant("alice", PASSWORD) };
    client.0.issue_token(login).await.unwrap();
    let scope = "profile ".repeat(129);
    let login = IssueTokenRequest { scope, ..password_grant("alice", PASSWORD) };
    assert_refused(client.0.issue_token(login).await, Code::InvalidArgument, "INVALID_SCOPE");
}

#[tokio::test]
async fn who_asks_is_judged_before_what_is_asked_for() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    for (scope, audience) in [("a  b", "a"), ("\"", "a"), ("a", "two words"), ("a", ""), ("a", "a")] {
        let refused = client.0.issue_token(stranger(scope, vec![audience.to_owned()])).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    }
}

#[tokio::test]
async fn a_mask_and_a_form_have_few_parts() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let update = |count| {
        let user = User { email: Some("alice@example.com".to_owned()), ..User::default() };
        let paths = vec!["email".to_owned(); count];
        with_token(UpdateMeRequest { user: Some(user), update_mask: Some(FieldMask { paths }) }, &token)
    };
    let status =
        assert_refused(client.0.update_me(update(65)).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(violations(&status), [("update_mask".to_owned(), "TOO_LONG".to_owned())]);
    client.0.update_me(update(64)).await.unwrap();

    let form = [("grant_type", "password"), ("username", "alice"), ("password", PASSWORD)];
    let post = async |more| {
        let fields = [&form[..], &vec![("resource", "signet"); more]].concat();
        server.http().post("/oauth2/token", &fields).await
    };
    post(253).await.assert_refused(400, "invalid_target", "INVALID_AUDIENCE");
    post(254).await.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
    post(128).await.ok();
}

#[tokio::test]
async fn a_question_of_envoys_has_few_headers() {
    let server = TestServer::start(&["--ext-authz=on"]).await;
    let mut envoy = AuthorizationClient::new(server.channel().await);
    let entries =
        |count| (0..count).map(|number| (number.to_string(), String::new())).collect::<HashMap<_, _>>();
    let question = |headers, extensions| CheckRequest {
        attributes: Some(AttributeContext {
            source: None,
            request: Some(Request {
                http: Some(HttpRequest {
                    headers: entries(headers).into_iter().collect(),
                    ..HttpRequest::default()
                }),
            }),
            context_extensions: entries(extensions).into_iter().collect(),
        }),
    };
    for (headers, extensions) in [(1_025, 0), (0, 1_025)] {
        let refused = envoy.check(question(headers, extensions)).await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(violations(&status)[0].1, "TOO_LONG");
    }
    envoy.check(question(1_024, 1_024)).await.unwrap();
}

#[tokio::test]
async fn what_grows_when_it_is_normalised_is_as_long_as_it_becomes() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    // U+FDFA becomes eighteen characters in a display name, U+0958 two in a password.
    for (password, display_name, expected) in [
        (PASSWORD.to_owned(), "\u{fdfa}".repeat(680), "display_name"),
        (PASSWORD.to_owned(), "\u{fdfa}".repeat(8), "display_name"),
        ("\u{958}".repeat(129), "Alice".to_owned(), "password"),
        ("\u{958}".repeat(20_000), "Alice".to_owned(), "password"),
    ] {
        let request = SignUpRequest {
            username: "alice".to_owned(),
            password,
            display_name: Some(display_name),
            ..SignUpRequest::default()
        };
        let refused = client.0.sign_up(request).await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(violations(&status), [(expected.to_owned(), "TOO_LONG".to_owned())]);
    }
    let password = "\u{958}".repeat(128);
    client.sign_up("alice", &password).await.unwrap();
    client.log_in("alice", &password).await.unwrap();
    let refused = client.log_in("alice", &"\u{958}".repeat(129)).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
}
