//! Owns what the audit log promises: each event once, with whom and from where, and never a secret.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::{fs, path::PathBuf, time::Duration};

use serde_json::Value;
use signet::{
    audit::{Actor, ActorKind, Audit, AuditLog, Event, Outcome, Reason},
    identity::{Administrator, UserRegistry, UsernameRests, users::UserRef},
    metrics::AuditMetrics,
    model::{Authority, Error, Origin, UserId, Username},
    proto::identity::v1::{
        ChangePasswordRequest, DeleteMeRequest, IssueTokenRequest, IssueTokenResponse, RefreshTokenGrant,
        RevokeAllSessionsRequest, RevokeSessionRequest, RevokeTokenRequest, issue_token_request::Grant,
    },
};
use tempfile::TempDir;
use tonic::{Code, Request, Status};

use crate::{
    harness::{Client, PASSWORD, TestServer, assert_refused, eventually, password_grant, with_token},
    keys::{AN_HOUR, UNTIL_DUE},
    own_account::{profile, update},
};

/// A password that is wrong, and that occurs nowhere else.
const WRONG: &str = "wrong-staple-battery";

/// A server and its audit log.
struct Audited {
    server: TestServer,
    client: Client,
    path: PathBuf,
    _dir: TempDir,
}

impl Audited {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("audit.log");
        let server = TestServer::start(&[&format!("--audit-log={}", path.display())]).await;
        let client = server.client().await;
        Self { server, client, path, _dir: dir }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    fn all(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What was done by people: the service's own doings, of which the first comes before everything, are left out.
    fn lines(&self) -> Vec<Value> {
        self.all().into_iter().filter(|line| line["actor"] != ActorKind::Service.name()).collect()
    }

    /// The lines, once there are `count`.
    async fn wait(&self, count: usize) -> Vec<Value> {
        eventually("the lines are written", async || self.lines().len() >= count).await;
        let lines = self.lines();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    async fn refresh(&mut self, token: &str) -> Result<IssueTokenResponse, Status> {
        let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.to_owned() });
        Ok(self
            .client
            .0
            .issue_token(IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() })
            .await?
            .into_inner())
    }
}

/// What is told of an event, beside when and from where.
fn told(line: &Value) -> (&str, &str, &str, &str) {
    let text = |member: &str| line[member].as_str().unwrap_or("-");
    (text("event"), text("outcome"), text("reason"), text("actor"))
}

/// The session that an access token belongs to.
fn session_of(token: &str) -> String {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["sid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_event_is_told_once_with_whom_and_from_where() {
    let mut audited = Audited::start().await;
    let client = &mut audited.client;
    let alice = client.sign_up("alice", PASSWORD).await.unwrap().id;
    let first = client.log_in("alice", PASSWORD).await.unwrap();
    assert_refused(client.log_in("alice", WRONG).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    assert_refused(client.log_in("nobody", WRONG).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let second = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    let revoke = RevokeSessionRequest { session_id: session_of(&first.access_token) };
    client.0.revoke_session(with_token(revoke, &second)).await.unwrap();
    let third = client.log_in("alice", PASSWORD).await.unwrap();
    let revoke = RevokeTokenRequest { token: third.refresh_token.unwrap(), client: None };
    client.0.revoke_token(revoke).await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
    // The second time there is none to end, so nothing is told; nor of an account that stays as it is.
    for _ in 0..2 {
        let all = RevokeAllSessionsRequest { keep_current: true };
        client.0.revoke_all_sessions(with_token(all, &second)).await.unwrap();
        update(client, &second, profile(Some("a@example.com"), None), &["*"]).await.unwrap();
    }
    let change = |current: &str| ChangePasswordRequest {
        current_password: current.to_owned(),
        new_password: "another one".to_owned(),
    };
    let refused = client.0.change_password(with_token(change(WRONG), &second)).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let changed = client.0.change_password(with_token(change(PASSWORD), &second)).await.unwrap();
    let fourth = changed.into_inner().access_token.unwrap();
    for password in [WRONG, "another one"] {
        let delete = DeleteMeRequest { password: password.to_owned() };
        let _ = client.0.delete_me(with_token(delete, &fourth)).await;
    }

    let lines = audited.wait(15).await;
    let (success, failure) = (Outcome::Success.name(), Outcome::Failure.name());
    let (user, anonymous) = (ActorKind::User.name(), ActorKind::Anonymous.name());
    let wrong = Reason::WrongPassword.name();
    let expected = [
        (Event::SignedUp, success, "-", user),
        (Event::Login, success, "-", user),
        (Event::Login, failure, wrong, anonymous),
        (Event::Login, failure, Reason::UnknownUser.name(), anonymous),
        (Event::Login, success, "-", user),
        (Event::SessionRevoked, success, "-", user),
        (Event::Login, success, "-", user),
        (Event::SessionRevoked, success, "-", user),
        (Event::Login, success, "-", user),
        (Event::AllSessionsRevoked, success, "-", user),
        (Event::UserUpdated, success, "-", user),
        (Event::PasswordChanged, failure, wrong, anonymous),
        (Event::PasswordChanged, success, "-", user),
        (Event::UserDeleted, failure, wrong, anonymous),
        (Event::UserDeleted, success, "-", user),
    ];
    for (line, (event, outcome, reason, actor)) in lines.iter().zip(expected) {
        assert_eq!(told(line), (event.name(), outcome, reason, actor), "{line}");
        assert_eq!((&line["target"], &line["timestamp"]), (&"audit".into(), &"2026-11-23T12:00:00Z".into()));
        assert_eq!(line["address"], "127.0.0.1", "{line}");
        assert!(line["user_agent"].as_str().unwrap().starts_with("tonic/"), "{line}");
        let of_nobody = reason == Reason::UnknownUser.name();
        assert_eq!(line["user_id"], if of_nobody { Value::Null } else { alice.as_str().into() }, "{line}");
    }
    assert_eq!(lines[1]["session_id"], session_of(&first.access_token));
    assert_eq!(lines[5]["session_id"], session_of(&first.access_token));
    assert_eq!(lines[7]["session_id"], session_of(&third.access_token));
    assert_eq!(lines[9]["session_id"], session_of(&second), "the one that was kept");
    assert_eq!(lines[10]["session_id"], session_of(&second), "the one in which it was done");
    assert_eq!(lines[10]["changed"], serde_json::json!(["email"]));
    assert!(!audited.text().contains("example.com"), "what it was and what it is now is personal");
    assert_eq!(lines[12]["session_id"], session_of(&fourth), "the one that was opened");
}

#[tokio::test]
async fn a_replayed_refresh_token_is_told() {
    let mut audited = Audited::start().await;
    let id = audited.client.sign_up("alice", PASSWORD).await.unwrap().id;
    let login = audited.client.log_in("alice", PASSWORD).await.unwrap();
    let first = login.refresh_token.unwrap();
    let second = audited.refresh(&first).await.unwrap().refresh_token.unwrap();
    audited.refresh(&second).await.unwrap();
    assert_refused(audited.refresh(&first).await, Code::Unauthenticated, "REFRESH_TOKEN_REUSED");
    let lines = audited.wait(3).await;
    assert_eq!(told(&lines[2]), ("refresh_token.replayed", "failure", "token_reused", "anonymous"));
    assert_eq!(lines[2]["user_id"], id);
    assert_eq!(lines[2]["session_id"], session_of(&login.access_token));
    assert_eq!(lines[2]["address"], "127.0.0.1");
}

#[tokio::test]
async fn a_disabled_user_who_knows_the_password_is_told_as_such() {
    let mut audited = Audited::start().await;
    let id = audited.client.sign_up("alice", PASSWORD).await.unwrap().id;
    let store = audited.server.store().await;
    let user = UserId(id.parse().unwrap());
    assert!(store.user_named(&Username::parse("alice").unwrap()).await.unwrap().is_some());
    store.set_active(user, false, crate::operator::by_operator(audited.server.clock.now())).await.unwrap();
    assert_refused(
        audited.client.log_in("alice", PASSWORD).await,
        Code::Unauthenticated,
        "INVALID_CREDENTIALS",
    );
    let lines = audited.wait(2).await;
    assert_eq!(told(&lines[1]), ("login", "failure", "user_disabled", "anonymous"));
    assert_eq!(lines[1]["user_id"], id);
}

#[tokio::test]
async fn no_secret_is_told_and_nothing_that_was_typed() {
    let mut audited = Audited::start().await;
    audited.client.sign_up("alice", PASSWORD).await.unwrap();
    let login = audited.client.log_in("alice", PASSWORD).await.unwrap();
    let first = login.refresh_token.unwrap();
    let second = audited.refresh(&first).await.unwrap().refresh_token.unwrap();
    audited.refresh(&second).await.unwrap();
    let _ = audited.refresh(&first).await;
    // A password in the field of the name.
    let _ = audited.client.log_in(WRONG, "alice").await;
    let _ = audited.client.log_in("alice", WRONG).await;
    audited.wait(5).await;
    let text = audited.text();
    for secret in [PASSWORD, WRONG, "alice", &first, &second, "eyJ", "argon2"] {
        assert!(!text.contains(secret), "{secret} is told");
    }
}

#[tokio::test]
async fn a_user_agent_forges_no_line() {
    let audited = Audited::start().await;
    let mut channel = signet::proto::identity::v1::identity_service_client::IdentityServiceClient::new(
        tonic::transport::Channel::from_shared(audited.server.uri())
            .unwrap()
            .user_agent("a\",\"event\":\"forged\",\"x\":\"\t\\")
            .unwrap()
            .connect()
            .await
            .unwrap(),
    );
    let refused = channel.issue_token(Request::new(password_grant("nobody", WRONG))).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let lines = audited.wait(1).await;
    assert_eq!(lines[0]["event"], "login");
}

#[tokio::test]
async fn a_flood_of_failed_logins_is_told_in_two_lines() {
    let mut audited = Audited::start().await;
    audited.client.sign_up("alice", PASSWORD).await.unwrap();
    for _ in 0..40 {
        let _ = audited.client.log_in("alice", WRONG).await;
    }
    audited.wait(2).await;
    audited.server.clock.advance(Duration::from_mins(1));
    let lines = audited.wait(3).await;
    assert_eq!(told(&lines[2]), ("login", "failure", "wrong_password", "anonymous"));
    assert_eq!((&lines[1]["repeats"], &lines[2]["repeats"]), (&Value::Null, &39.into()));
}

#[tokio::test]
async fn what_a_user_does_again_and_again_is_told_ten_times_and_then_by_its_number() {
    let mut audited = Audited::start().await;
    let token = audited.client.token_of_new("alice").await;
    for number in 0..14 {
        let name = format!("Alice {number}");
        update(&mut audited.client, &token, profile(None, Some(&name)), &["display_name"]).await.unwrap();
    }
    let email = profile(Some("a@example.com"), None);
    update(&mut audited.client, &token, email, &["email"]).await.unwrap();
    let told = audited.wait(2 + 10 + 1).await;
    assert_eq!(told[12]["changed"], serde_json::json!(["email"]), "something else is told at once");
    audited.server.clock.advance(Duration::from_mins(1));
    let lines = audited.wait(2 + 10 + 1 + 1).await;
    assert_eq!(lines[13]["changed"], serde_json::json!(["display_name"]));
    assert_eq!((&lines[11]["repeats"], &lines[13]["repeats"]), (&Value::Null, &4.into()));
    assert_eq!((&lines[13]["user_id"], &lines[13]["session_id"]), (&lines[11]["user_id"], &Value::Null));
}

#[tokio::test]
async fn what_cannot_be_written_is_counted_and_stops_nobody() {
    // Linux has a file that is always full.
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let server = TestServer::start(&["--audit-log=/dev/full"]).await;
    let token = server.client().await.token_of_new("alice").await;
    server.client().await.get_me(&token).await.unwrap();
    eventually("the loss is counted", async || {
        let text = server.operations_get("/metrics").await.into_body();
        text.contains("signet_audit_events_total{result=\"lost\"} 3\n")
    })
    .await;
}

#[tokio::test]
async fn of_what_cannot_be_written_each_refusal_is_counted_with_its_equals() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let server = TestServer::start(&["--audit-log=/dev/full"]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let count =
        async |result: &str| server.scrape().await.sum("signet_audit_events_total", &[("result", result)]);
    eventually("what was done before is counted", async || count("lost").await >= 2.0).await;
    let before = (count("recorded").await, count("lost").await);
    for name in ["alice", "nobody", "alice", "nobody", "nobody"] {
        let _ = client.log_in(name, WRONG).await;
    }
    assert_eq!(count("recorded").await, before.0 + 5.0);
    assert_eq!(count("lost").await, before.1, "nobody sees which of them have a line of their own");
    server.clock.advance(Duration::from_mins(1));
    eventually("they are counted", async || count("lost").await > before.1).await;
    assert_eq!(count("lost").await, before.1 + 5.0);
}

#[tokio::test]
async fn the_service_tells_of_the_keys_that_it_makes_takes_into_use_and_deletes() {
    let audited = Audited::start().await;
    let clock = &audited.server.clock;
    // After how long, what is told, and whether of the second key.
    let life = [
        (Duration::ZERO, Event::SigningKeyPublished, false),
        (UNTIL_DUE, Event::SigningKeyPublished, true),
        (AN_HOUR, Event::SigningKeyRotated, true),
        (AN_HOUR, Event::SigningKeyDeleted, false),
    ];
    let first = audited.server.started.signing_key.0.clone();
    for (index, (after, event, of_second)) in life.into_iter().enumerate() {
        clock.advance(after);
        eventually("it is told", async || audited.all().len() > index).await;
        let lines = audited.all();
        assert_eq!(lines.len(), index + 1, "{lines:#?}");
        assert_eq!(told(&lines[index]), (event.name(), "success", "-", "service"));
        assert_eq!(lines[index]["key_id"] != first, of_second, "{lines:#?}");
    }
}

#[tokio::test]
async fn who_manages_users_is_told_as_who_did_it_and_one_by_one() {
    let dir = TempDir::new().unwrap();
    let (server, path) = (TestServer::start(&[]).await, dir.path().join("audit.log"));
    let mut client = server.client().await;
    let alice = client.sign_up("alice", PASSWORD).await.unwrap().id;
    let administrator = client.sign_up("bob", PASSWORD).await.unwrap().id;
    let target = AuditLog::File(path.clone());
    let audit = Audit::open(&target, server.clock.clone(), AuditMetrics::default()).unwrap();
    let users = UserRegistry::new(server.store().await, server.clock.clone(), audit.clone());
    let (who, by) = (
        UserRef::Name("alice".to_owned()),
        Administrator::new(
            Actor::User(UserId(administrator.parse().unwrap())),
            Authority::Operator,
            Origin::default(),
        ),
    );
    for active in [false, true].repeat(20) {
        let found = users.set_active(&who, active, None, &by).await.unwrap();
        assert_eq!(found.user.is_active, active);
    }
    let rests = async { Ok::<_, Error>(UsernameRests::OFF) };
    let deleted = users.delete(&who, None, rests, &by).await.unwrap().unwrap();
    assert_eq!((deleted.user.id.to_string(), deleted.name_rests_until), (alice.clone(), None));
    assert!(
        matches!(users.set_active(&who, true, None, &by).await, Err(Error::UserNotFound(said)) if said == "alice")
    );

    assert!(audit.flush(Duration::from_mins(1)).await);
    let lines = fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 41, "{lines:#?}");
    for line in lines {
        let told = ["actor", "actor_id", "user_id"].map(|member| line[member].as_str().unwrap_or("-"));
        assert_eq!(told, ["user", &administrator, &alice], "{line}");
    }
}

#[tokio::test]
async fn every_event_and_reason_is_documented() {
    let document = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/AUDIT.md");
    let document = fs::read_to_string(document).unwrap();
    let names =
        Event::ALL.iter().map(|event| event.name()).chain(Reason::ALL.iter().map(|reason| reason.name()));
    for name in names.chain(ActorKind::ALL.iter().map(|actor| actor.name())) {
        assert!(document.contains(&format!("| `{name}` |")), "{name}");
    }
}
