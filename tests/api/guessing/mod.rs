//! Owns what guessers may do, and what honest people can do meanwhile.

mod accounts;
mod addresses;
mod secrets;

use std::{fs, path::PathBuf, time::Duration};

use serde_json::Value;
use signet::proto::identity::v1::{IssueTokenResponse, SignUpRequest};
use tempfile::TempDir;
use tonic::{Code, Request, Status, metadata::MetadataValue};
use tonic_types::StatusExt;

use crate::harness::{Client, PASSWORD, TestServer, assert_refused, eventually, password_grant};

const WRONG: &str = "wrong staple battery";

/// A server behind a proxy that says for whom it asks, with the user `alice`.
struct Guessed {
    server: TestServer,
    audit_log: PathBuf,
    _dir: TempDir,
}

impl Guessed {
    async fn start(args: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let audit_log = dir.path().join("audit.log");
        let log = format!("--audit-log={}", audit_log.display());
        let own = ["--trusted-proxy-addresses=127.0.0.1", &log];
        let server = TestServer::start(&[&own[..], args].concat()).await;
        server.client().await.sign_up("alice", PASSWORD).await.unwrap();
        Self { server, audit_log, _dir: dir }
    }

    async fn from(&self, address: impl Into<String>) -> Somebody {
        Somebody { client: self.server.client().await, address: address.into() }
    }

    /// The audit log's lines of `event`, once there are `count` of them.
    async fn told(&self, event: &str, count: usize) -> Vec<Value> {
        let lines = || -> Vec<Value> {
            let text = fs::read_to_string(&self.audit_log).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter(|line| line["event"] == event).collect()
        };
        eventually("the event is told", async || lines().len() >= count).await;
        lines()
    }

    /// How many passwords came to `result`, as the metrics have it.
    async fn counted(&self, result: &str) -> f64 {
        let text = self.server.operations_get("/metrics").await.into_body();
        let series = format!("signet_password_guesses_total{{result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    }
}

/// Who asks from `address`, as the proxy says.
#[derive(Clone)]
struct Somebody {
    client: Client,
    address: String,
}

impl Somebody {
    fn says<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let address = MetadataValue::try_from(self.address.as_str()).unwrap();
        request.metadata_mut().insert("x-forwarded-for", address);
        request
    }

    async fn log_in(&self, username: &str, password: &str) -> Result<IssueTokenResponse, Status> {
        let request = self.says(password_grant(username, password));
        Ok(self.client.clone().0.issue_token(request).await?.into_inner())
    }

    async fn sign_up(&self, username: &str) -> Result<(), Status> {
        let request = SignUpRequest {
            username: username.to_owned(),
            password: PASSWORD.to_owned(),
            ..SignUpRequest::default()
        };
        self.client.clone().0.sign_up(self.says(request)).await.map(drop)
    }

    async fn must_fail(&self, username: &str) {
        assert_refused(self.log_in(username, WRONG).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }

    /// Is refused, and told to come back after `retry_after`.
    #[track_caller]
    fn assert_throttled<T: std::fmt::Debug>(result: Result<T, Status>, retry_after: Duration) {
        let status = assert_refused(result, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(retry_after));
    }
}
