//! Owns calls by Connect, as `curl` and `fetch` send them: JSON or protobuf over HTTP/1.1 and HTTP/2, answered as calls by gRPC are.

mod calls;
mod compressed;
mod json;
mod pages;
mod reads;
mod refused;
mod streams;

use std::net::SocketAddr;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode};
use prost::Message;
use serde_json::{Value, json};
use signet::proto::ERROR_DOMAIN;
use tonic_types::pb;

use crate::{
    harness::{PASSWORD, TestServer},
    http::client::HttpClient,
};

const SIGN_UP: &str = "/identity.v1.IdentityService/SignUp";
const ISSUE_TOKEN: &str = "/identity.v1.IdentityService/IssueToken";
const GET_ME: &str = "/identity.v1.IdentityService/GetMe";
const LIST_SESSIONS: &str = "/identity.v1.IdentityService/ListSessions";
const GET_JWKS: &str = "/identity.v1.TokenService/GetJwks";

/// Who speaks Connect to one address.
#[derive(Clone, Copy, Debug)]
struct Caller(HttpClient);

/// What comes back.
#[derive(Clone, Debug)]
struct Answer(Response<Bytes>);

impl Caller {
    fn of(server: &TestServer) -> Self {
        Self::at(server.started.grpc_addr)
    }

    fn at(addr: SocketAddr) -> Self {
        Self(HttpClient::new(addr))
    }

    /// The same by both versions of HTTP.
    fn by_both(self) -> [Self; 2] {
        [self, Self(self.0.h2c())]
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = self.0.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer(self.0.exchange(request, body.into()).await)
    }

    /// What `path` answers to this JSON.
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send("POST", path, &headers, body.to_string()).await
    }

    async fn log_in(&self, username: &str, password: &str) -> Answer {
        self.post(ISSUE_TOKEN, &[], &login(username, password)).await
    }

    /// A token of `username`, who signs up now.
    async fn token_of_new(&self, username: &str) -> String {
        self.post(SIGN_UP, &[], &json!({ "username": username, "password": PASSWORD })).await.ok();
        let login = self.log_in(username, PASSWORD).await.ok();
        format!("Bearer {}", login["accessToken"].as_str().unwrap())
    }
}

fn login(username: &str, password: &str) -> Value {
    json!({ "password": { "username": username, "password": password } })
}

impl Answer {
    fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    fn header(&self, name: &str) -> &str {
        self.0.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(self.0.body()).unwrap()
    }

    /// The message of a success.
    #[track_caller]
    fn ok(&self) -> Value {
        assert_eq!(self.0.status(), StatusCode::OK, "{self:?}");
        self.json()
    }

    /// Asserts a refusal's status of HTTP, its code and its reason. Returns the error.
    #[track_caller]
    fn assert_refused(&self, status: u16, code: &str, reason: &str) -> Value {
        assert_eq!((self.status(), self.header("cache-control")), (status, "no-store"), "{self:?}");
        let error = self.json();
        assert_error(&error, code, reason);
        error
    }
}

/// Asserts the code and the reason of an `error`, whose details say the same in bytes and in JSON, and tell its request.
#[track_caller]
fn assert_error(error: &Value, code: &str, reason: &str) {
    assert_eq!(error["code"], code, "{error}");
    assert!(!error["message"].as_str().unwrap().is_empty(), "{error}");
    let request_info: pb::RequestInfo = detail(error, "google.rpc.RequestInfo").unwrap();
    assert!(!request_info.request_id.is_empty());
    match detail::<pb::ErrorInfo>(error, "google.rpc.ErrorInfo") {
        Some(info) => {
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, ERROR_DOMAIN), "{error}");
            assert_eq!(debug(error, "google.rpc.ErrorInfo")["reason"], reason, "{error}");
        }
        None => assert_eq!(reason, "", "{error}"),
    }
}

/// The detail of the type `name`.
fn detail<M: Message + Default>(error: &Value, name: &str) -> Option<M> {
    let found = error["details"].as_array()?.iter().find(|detail| detail["type"] == name)?;
    let bytes = STANDARD_NO_PAD.decode(found["value"].as_str().unwrap()).unwrap();
    Some(M::decode(&bytes[..]).unwrap())
}

/// The same as people read it.
fn debug(error: &Value, name: &str) -> Value {
    let details = error["details"].as_array().unwrap();
    details.iter().find(|detail| detail["type"] == name).unwrap()["debug"].clone()
}

/// The fields at fault, with their reasons.
fn violations(error: &Value) -> Vec<(String, String)> {
    let request: pb::BadRequest = detail(error, "google.rpc.BadRequest").unwrap();
    request.field_violations.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}
