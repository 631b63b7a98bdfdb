//! Owns what a one-time password does: it opens nothing, chooses one password within a day, and ends for good when its user comes to
//! administer the service.

mod judged;
mod managed;
mod used;
mod void;

use std::{path::PathBuf, time::Duration};

use serde_json::Value;
use signet::{
    audit::{Audit, AuditLog},
    identity::{
        AccessRegistry, Administrator,
        access::{PrincipalRef, RoleRef},
        passwords::Argon2Params,
        users::{UserPasswords, UserRef},
    },
    metrics::AuditMetrics,
    model::{AudienceName, NameSet, RoleName},
    proto::identity::v1::{
        IssueTokenRequest, RefreshTokenGrant, SetNewPasswordRequest, issue_token_request::Grant,
    },
    store::Store,
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{Client, PASSWORD, TestServer, assert_refused, eventually, unaudited};

const ARGON2: Argon2Params = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };

const NEW: &str = "one of my own";

/// A day, but for a second.
const ALMOST_A_DAY: Duration = Duration::from_secs(86_399);

/// A server with the user `alice`, and what its operator does.
struct Resets {
    server: TestServer,
    store: Store,
    client: Client,
    audit_log: PathBuf,
    _dir: TempDir,
}

impl Resets {
    async fn start(args: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let audit_log = dir.path().join("audit.log");
        let log = format!("--audit-log={}", audit_log.display());
        let own = ["--standing-cache-max-age=0s", &log];
        let server = TestServer::start(&[&own[..], args].concat()).await;
        let (store, mut client) = (server.store().await, server.client().await);
        client.sign_up("alice", PASSWORD).await.unwrap();
        Self { server, store, client, audit_log, _dir: dir }
    }

    /// Has the operator reset the password of `username`; the one-time password.
    async fn reset(&self, username: &str) -> String {
        let audit = Audit::open(
            &AuditLog::File(self.audit_log.clone()),
            self.server.clock.clone(),
            AuditMetrics::default(),
        );
        let passwords =
            UserPasswords::new(self.store.clone(), ARGON2, self.server.clock.clone(), audit.unwrap());
        let who = UserRef::Name(username.to_owned());
        let reset = passwords.reset(&who, None, &Administrator::operator()).await.unwrap();
        reset.one_time_password.unwrap().text().to_string()
    }

    fn access(&self) -> AccessRegistry {
        let clock = self.server.clock.clone();
        let own = NameSet::parse(AudienceName::SIGNET).unwrap();
        AccessRegistry::new(self.store.clone(), clock.clone(), unaudited(&clock), own)
    }

    /// Gives the role `role` of the service's own audience to `who`, or takes it away.
    async fn bind(&self, role: &str, who: &PrincipalRef, is_bound: bool) {
        let (access, operator) = (self.access(), Administrator::operator());
        if is_bound {
            access.bind(&of_signet(role), who, None, &operator).await.unwrap();
        } else {
            access.unbind(&of_signet(role), who, &operator).await.unwrap();
        }
    }

    async fn set(&self, username: &str, one_time: &str, new: &str) -> Result<(), Status> {
        set(self.client.clone(), username, one_time, new).await
    }

    async fn must_not_fit(&self, username: &str, one_time: &str) {
        let refused = self.set(username, one_time, NEW).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
        let refused = self.client.clone().log_in(username, one_time).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }

    async fn must_change(&self, username: &str, one_time: &str) {
        let refused = self.client.clone().log_in(username, one_time).await;
        assert_refused(refused, Code::Unauthenticated, "PASSWORD_CHANGE_REQUIRED");
    }

    /// Why what was tried as `event` was refused, in their order, once there are `count`.
    async fn reasons(&self, event: &str, count: usize) -> Vec<String> {
        let reasons = || -> Vec<String> {
            let text = std::fs::read_to_string(&self.audit_log).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let refused = lines.filter(|line| line["event"] == event && line["outcome"] == "failure");
            refused.map(|line| line["reason"].as_str().unwrap().to_owned()).collect()
        };
        eventually("all are told", async || reasons().len() >= count).await;
        reasons()
    }

    async fn hashes(&self) -> f64 {
        self.server.scrape().await.sum("signet_hash_seconds_count", &[])
    }
}

async fn set(mut client: Client, username: &str, one_time: &str, new: &str) -> Result<(), Status> {
    let request = SetNewPasswordRequest {
        username: username.to_owned(),
        one_time_password: one_time.to_owned(),
        new_password: new.to_owned(),
    };
    client.0.set_new_password(request).await.map(drop)
}

fn of_signet(role: &str) -> RoleRef {
    RoleRef::Name(AudienceName::signet(), RoleName::parse(role).unwrap())
}

fn user(name: &str) -> PrincipalRef {
    PrincipalRef::User(UserRef::Name(name.to_owned()))
}

#[tokio::test]
async fn it_opens_nothing_and_chooses_one_password() {
    let mut resets = Resets::start(&["--model-api=on"]).await;
    let open = resets.client.log_in("alice", PASSWORD).await.unwrap();
    let one_time = resets.reset("alice").await;
    // The old password and the session have ended.
    let refused = resets.client.log_in("alice", PASSWORD).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
    eventually("the session has ended", async || {
        resets.client.clone().get_me(&open.access_token).await.is_err()
    })
    .await;
    let grant = RefreshTokenGrant { refresh_token: open.refresh_token.unwrap() };
    let refresh =
        IssueTokenRequest { grant: Some(Grant::RefreshToken(grant)), ..IssueTokenRequest::default() };
    let refused = resets.client.0.issue_token(refresh).await;
    assert_refused(refused, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    // As often as one likes, in any spelling, over every protocol: it opens nothing.
    resets.must_change("alice", &one_time).await;
    resets.must_change("ALICE", &one_time.to_lowercase().replace('-', " ")).await;
    let form = [("grant_type", "password"), ("username", "alice"), ("password", &one_time)];
    let answer = resets.server.http().post("/oauth2/token", &form).await;
    answer.assert_refused(400, "invalid_grant", "PASSWORD_CHANGE_REQUIRED");
    // Clients of the model service know no such answer.
    let [right, wrong] =
        [&*one_time, PASSWORD].map(|password| [("username", "alice"), ("password", password)]);
    let right = resets.server.http().post("/auth/token", &right).await;
    let wrong = resets.server.http().post("/auth/token", &wrong).await;
    assert_eq!((right.status().as_u16(), right.json()), (401, wrong.json()));
    // The rules are those of a sign-up; and somebody else knows the one-time password.
    for (new, reason) in [
        ("short", "TOO_SHORT"),
        ("password123", "PASSWORD_COMMON"),
        ("", "REQUIRED"),
        (&one_time.replace('-', ""), "MALFORMED"),
    ] {
        let status = assert_refused(
            resets.set("alice", &one_time, new).await,
            Code::InvalidArgument,
            "INVALID_FIELDS",
        );
        let violation = &status.get_details_bad_request().unwrap().field_violations[0];
        assert_eq!((violation.field.as_str(), violation.reason.as_str()), ("new_password", reason));
    }
    resets.set("Alice", &one_time, NEW).await.unwrap();
    resets.client.log_in("alice", NEW).await.unwrap();
    resets.must_not_fit("alice", &one_time).await;
    let told = std::fs::read_to_string(&resets.audit_log).unwrap();
    for secret in [one_time.as_str(), &one_time.replace('-', ""), NEW] {
        assert!(!told.contains(secret));
    }
}

#[tokio::test]
async fn it_lives_for_a_day_and_another_one_ends_it() {
    let resets = Resets::start(&[]).await;
    let first = resets.reset("alice").await;
    let second = resets.reset("alice").await;
    assert_ne!(first, second);
    resets.must_not_fit("alice", &first).await;
    resets.server.clock.advance(ALMOST_A_DAY);
    resets.must_change("alice", &second).await;
    resets.server.clock.advance(Duration::from_secs(1));
    resets.must_not_fit("alice", &second).await;
    assert_eq!(resets.reasons("login", 2).await.last().unwrap(), "one_time_password_expired");
    assert_eq!(resets.reasons("password.set", 2).await, ["wrong_password", "one_time_password_expired"]);
    let third = resets.reset("alice").await;
    resets.set("alice", &third, NEW).await.unwrap();
}

#[tokio::test]
async fn of_two_at_once_one_chooses() {
    let resets = Resets::start(&[]).await;
    let replica = resets.server.replica(&[]).await;
    let clients = [resets.client.clone(), replica.client().await];
    for round in 0..4 {
        let one_time = resets.reset("alice").await;
        let mut choosing = JoinSet::new();
        for number in 0..8 {
            let (client, one_time) = (clients[number % 2].clone(), one_time.clone());
            choosing.spawn(async move {
                let password = format!("choice number {number}");
                loop {
                    match set(client.clone(), "alice", &one_time, &password).await {
                        Ok(()) => break Some(password),
                        // On a busy machine many writers wait for one another longer than one may.
                        Err(status) if status.code() == Code::Unavailable => {}
                        Err(status) => {
                            assert_refused(
                                Err::<(), _>(status),
                                Code::Unauthenticated,
                                "INVALID_CREDENTIALS",
                            );
                            break None;
                        }
                    }
                }
            });
        }
        let chosen: Vec<_> = choosing.join_all().await.into_iter().flatten().collect();
        assert_eq!(chosen.len(), 1, "round {round}: {chosen:?}");
        resets.client.clone().log_in("alice", &chosen[0]).await.unwrap();
    }
}
