//! Owns what `SignUp` promises.

use std::collections::HashMap;

use signet::proto::identity::v1::SignUpRequest;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;
use uuid::{Uuid, Version};

use crate::harness::{PASSWORD, TestServer, assert_refused};

#[tokio::test]
async fn a_new_user_is_answered_as_it_was_given() {
    let server = TestServer::start(&[]).await;
    let request = SignUpRequest {
        username: "Álice".to_owned(),
        password: PASSWORD.to_owned(),
        email: Some("alice@example.com".to_owned()),
        display_name: Some("  Alice   Liddell ".to_owned()),
    };
    let user = server.client().await.0.sign_up(request).await.unwrap().into_inner().user.unwrap();
    assert_eq!(user.username, "Álice");
    assert_eq!(user.email.as_deref(), Some("alice@example.com"));
    assert_eq!(user.display_name.as_deref(), Some("Alice Liddell"));
    assert!(user.is_active);
    assert_eq!(user.create_time, user.update_time);
    assert_eq!(user.create_time.unwrap().seconds, server.clock.now().as_secs());
    assert_eq!(Uuid::parse_str(&user.id).unwrap().get_version(), Some(Version::SortRand));
}

#[tokio::test]
async fn nobody_signs_up_where_that_is_off_and_whoever_has_an_account_logs_in() {
    let server = TestServer::start(&[]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let (data, clock) = server.stop().await;
    let server = TestServer::start_in(data, clock, &["--sign-up=off"]).await;
    let mut client = server.client().await;
    // One answer, whatever is asked for: it tells nobody which names are taken, nor what else is wrong.
    for (name, password) in [("bob", PASSWORD), ("alice", PASSWORD), ("two words", "short"), ("", "")] {
        let status =
            assert_refused(client.sign_up(name, password).await, Code::PermissionDenied, "SIGN_UP_OFF");
        assert!(status.message().contains("signing up is turned off"), "{status:?}");
    }
    client.log_in("alice", PASSWORD).await.unwrap();
    assert_eq!(server.store().await.users(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_given_is_absent_and_not_empty() {
    let server = TestServer::start(&[]).await;
    let user = server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    assert_eq!((user.email, user.display_name), (None, None));
}

#[tokio::test]
async fn every_violation_comes_back_at_once_with_its_field() {
    let server = TestServer::start(&[]).await;
    let request = SignUpRequest {
        username: "two words".to_owned(),
        password: "short".to_owned(),
        email: Some("nobody".to_owned()),
        display_name: Some("   ".to_owned()),
    };
    let refused = server.client().await.0.sign_up(request).await;
    let status = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let reasons: HashMap<_, _> =
        violations.iter().map(|violation| (violation.field.as_str(), violation.reason.as_str())).collect();
    let expected = HashMap::from([
        ("username", "FORBIDDEN_CHARACTER"),
        ("password", "TOO_SHORT"),
        ("email", "MALFORMED"),
        ("display_name", "REQUIRED"),
    ]);
    assert_eq!(reasons, expected);
    assert!(violations[0].description.contains("U+0020: spaces are not allowed"), "{violations:?}");
    assert!(!format!("{status:?}").contains("short,"), "an error shows no password");
}

#[tokio::test]
async fn each_rule_of_a_password_has_its_reason() {
    let server = TestServer::start(&["--password-min-length=10"]).await;
    let mut client = server.client().await;
    for (password, reason) in [
        ("", "REQUIRED"),
        ("123456789", "TOO_SHORT"),
        (&"x".repeat(257), "TOO_LONG"),
        ("1234567890", "PASSWORD_COMMON"),
        ("the.user.name", "PASSWORD_IS_USERNAME"),
        ("bell\u{7}bell bell", "FORBIDDEN_CHARACTER"),
    ] {
        let status = assert_refused(
            client.sign_up("The.User.Name", password).await,
            Code::InvalidArgument,
            "INVALID_FIELDS",
        );
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert_eq!((violations[0].field.as_str(), violations[0].reason.as_str()), ("password", reason));
    }
    client.sign_up("alice", &"x".repeat(256)).await.unwrap();
    client.log_in("alice", &"x".repeat(256)).await.unwrap();
    assert_refused(
        client.log_in("alice", &"x".repeat(255)).await,
        Code::Unauthenticated,
        "INVALID_CREDENTIALS",
    );
}

#[tokio::test]
async fn equal_names_are_one_name() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("Alice", PASSWORD).await.unwrap();
    for same in ["Alice", "alice", "ALICE", "\u{ff21}lice"] {
        assert_refused(client.sign_up(same, PASSWORD).await, Code::AlreadyExists, "USERNAME_TAKEN");
    }
    client.sign_up("alice2", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn nobody_signs_up_under_another_users_id() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let id = client.sign_up("alice", PASSWORD).await.unwrap().id;
    let simple = id.replace('-', "");
    for name in [&id, &simple, &format!("{{{id}}}"), &format!("urn:uuid:{id}"), &id.to_uppercase()] {
        let status =
            assert_refused(client.sign_up(name, PASSWORD).await, Code::InvalidArgument, "INVALID_FIELDS");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!((violations[0].field.as_str(), violations[0].reason.as_str()), ("username", "MALFORMED"));
        assert!(violations[0].description.contains("must not be a UUID"), "{violations:?}");
    }
}

#[tokio::test]
async fn of_a_hundred_at_once_for_one_name_one_wins() {
    let server = TestServer::start(&[]).await;
    let client = server.client().await;
    let mut attempts = JoinSet::new();
    for number in 0..100 {
        let mut client = client.clone();
        let name = if number % 2 == 0 { "Alice" } else { "alice" };
        attempts.spawn(async move {
            let mut unanswered = 0;
            loop {
                match client.sign_up(name, PASSWORD).await {
                    // On a busy machine the database may not answer in time: it may have written the name all the same.
                    Err(status) if status.code() == Code::Unavailable => unanswered += 1,
                    answer => return (answer, unanswered),
                }
            }
        });
    }
    let (mut won, mut unanswered) = (0, 0);
    while let Some(attempt) = attempts.join_next().await {
        let (answer, repeated) = attempt.unwrap();
        unanswered += repeated;
        match answer {
            Ok(_) => won += 1,
            Err(status) => {
                assert_refused(Err::<(), _>(status), Code::AlreadyExists, "USERNAME_TAKEN");
            }
        }
    }
    assert!(won == 1 || (won == 0 && unanswered > 0), "{won} won, {unanswered} were not answered");
    assert_eq!(server.store().await.users(None, 10).await.unwrap().len(), 1);
}
