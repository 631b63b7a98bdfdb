//! Owns the admin API as administrators meet it: who they are in these tests, and how they call.

mod access;
mod apply;
mod attributes;
mod audit;
mod becoming;
mod caller;
mod clients;
mod groups;
mod judged;
mod keys;
mod methods;
mod owners;
mod pages;
mod passwords;
mod reach;
mod roles;
mod sessions;
mod token_typ;
mod turn;
mod two_audiences;
mod users;
mod validating;

use std::fs;

use prost::Message;
use serde_json::Value;
use signet::{
    model::{Binding, BindingId, BuiltInRole, Principal, UserId, id::uuid_v7},
    proto::identity::v1::{IssueTokenRequest, IssueTokenResponse},
    store::{Store, WhichBinding},
};
use tempfile::TempDir;
use tonic::{Response, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

use crate::{
    harness::{Client, PASSWORD, TestServer, eventually, password_grant, with_token},
    operator::{applied, by_operator},
};

/// A server, and whoever makes the first admin: the operator, who has its database.
pub(crate) struct AdminApi {
    pub(crate) server: TestServer,
    pub(crate) store: Store,
    client: Client,
    audit: TempDir,
}

impl AdminApi {
    /// A server that sees what the operator does at once.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(args: &[&str]) -> Self {
        Self::start_as(&[&["--standing-cache-max-age=0s"], args].concat()).await
    }

    /// A server that sees what the operator does as others do.
    async fn start_as(args: &[&str]) -> Self {
        let audit = TempDir::new().unwrap();
        let log = format!("--audit-log={}", audit.path().join("audit.log").display());
        let server = TestServer::start(&[&[&log[..]], args].concat()).await;
        let (store, client) = (server.store().await, server.client().await);
        Self { server, store, client, audit }
    }

    /// A connection to where the admin API is: for the generated clients.
    pub(crate) async fn channel(&self) -> Channel {
        self.server.admin_channel().await
    }

    /// The new user `username`.
    pub(crate) async fn user(&self, username: &str) -> UserId {
        let user = self.client.clone().sign_up(username, PASSWORD).await.unwrap();
        UserId(user.id.parse().unwrap())
    }

    /// Gives `user` the role.
    pub(crate) async fn give(&self, role: BuiltInRole, user: UserId) {
        let (subject, create_time) = (Principal::User(user), self.server.clock.now());
        let id = BindingId(uuid_v7(create_time, self.store.entropy()));
        let binding = Binding { id, role: role.id(), subject, expire_time: None, create_time };
        self.store.bind(&binding, by_operator(create_time)).await.unwrap();
    }

    /// Takes the role from `user`.
    pub(crate) async fn take(&self, role: BuiltInRole, user: UserId) {
        let (which, now) = (WhichBinding::Of(role.id(), Principal::User(user)), self.server.clock.now());
        let taken = self.store.unbind(which, None, by_operator(now)).await.unwrap();
        assert!(applied(taken).is_some());
    }

    /// A login of `username` that asks for `scope` by name.
    pub(crate) async fn log_in(&self, username: &str, scope: &str) -> IssueTokenResponse {
        let request = IssueTokenRequest { scope: scope.to_owned(), ..password_grant(username, PASSWORD) };
        self.client.clone().0.issue_token(request).await.unwrap().into_inner()
    }

    /// The new user `username`, who has the role, and a token that has `profile`, `account` and all that the role gives.
    pub(crate) async fn administrator(&self, role: BuiltInRole, username: &str) -> (UserId, String) {
        let user = self.user(username).await;
        self.give(role, user).await;
        let scope = format!("profile account {}", role.scopes().as_str());
        let login = self.log_in(username, &scope).await;
        assert_eq!(login.scope, scope, "{username}");
        (user, login.access_token)
    }

    /// Calls the method at `path` with an empty message.
    pub(crate) async fn call_empty(&self, path: &str, token: Option<&str>) -> Result<(), Status> {
        call_empty(self.channel().await, path, token).await.map(drop)
    }

    /// The lines of the audit log that tell of `event`, once there are `count`.
    pub(crate) async fn audited(&self, event: &str, count: usize) -> Vec<Value> {
        let path = self.audit.path().join("audit.log");
        let read = || -> Vec<Value> {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter(|line| line["event"] == event).collect()
        };
        eventually("the lines are written", async || read().len() >= count).await;
        let lines = read();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }
}

/// A message that is empty, and reads as one whatever comes: what is answered does not matter.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Empty {}

/// Calls the method at `path` on `channel` with an empty message.
pub(crate) async fn call_empty(
    channel: Channel,
    path: &str,
    token: Option<&str>,
) -> Result<Response<Empty>, Status> {
    let request = match token {
        Some(token) => with_token(Empty {}, token),
        None => tonic::Request::new(Empty {}),
    };
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec: tonic_prost::ProstCodec<Empty, Empty> = tonic_prost::ProstCodec::default();
    grpc.unary(request, PathAndQuery::try_from(path).unwrap(), codec).await
}
