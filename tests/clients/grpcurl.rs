//! Owns a call with grpcurl, and what its user reads of the answer.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::{
    signet::Signet,
    tools::{self, texts},
};

/// The domain of every reason.
const ERROR_DOMAIN: &str = "identity.v1";

/// A refusal as grpcurl tells it.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// grpcurl's exit code: 64 and the gRPC code.
    pub(crate) exit_code: i32,
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) details: Vec<Value>,
}

/// Runs grpcurl with `flags`, then the address, then `what` (a verb or a method).
pub(crate) fn run(signet: &Signet, flags: &[&str], what: &[&str]) -> Output {
    let mut command = Command::new(tools::grpcurl());
    command.arg("-plaintext").args(flags).arg(&signet.grpc_addr).args(what);
    command.output().expect("grpcurl runs")
}

/// What grpcurl says when all is well.
pub(crate) fn say(signet: &Signet, flags: &[&str], what: &[&str]) -> String {
    let output = run(signet, flags, what);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "grpcurl {flags:?} {what:?}: {stderr}");
    stdout
}

/// Calls `method` of `IdentityService`.
pub(crate) fn call(
    signet: &Signet,
    token: Option<&str>,
    method: &str,
    request: &Value,
) -> Result<Value, Refusal> {
    call_of(signet, "IdentityService", token, method, request)
}

/// Calls `method` of `service`.
pub(crate) fn call_of(
    signet: &Signet,
    service: &str,
    token: Option<&str>,
    method: &str,
    request: &Value,
) -> Result<Value, Refusal> {
    let (method, request) = (format!("identity.v1.{service}/{method}"), request.to_string());
    let header = token.map(|token| format!("authorization: Bearer {token}"));
    let header = header.iter().flat_map(|header| ["-H", header]);
    let flags: Vec<_> = ["-format-error", "-d", &request].into_iter().chain(header).collect();
    let output = run(signet, &flags, &[&method]);
    let (stdout, stderr) = texts(&output);
    if output.status.success() {
        return Ok(serde_json::from_str(&stdout).expect("grpcurl answers in JSON"));
    }
    let status: Value =
        serde_json::from_str(&stderr).unwrap_or_else(|_| panic!("not a gRPC status: {stderr}"));
    Err(Refusal {
        exit_code: output.status.code().expect("grpcurl was not killed"),
        code: status["code"].as_i64().expect("a code"),
        message: status["message"].as_str().expect("a message").to_owned(),
        details: status["details"].as_array().cloned().unwrap_or_default(),
    })
}

/// Calls `method`, which must be refused.
pub(crate) fn refusal(signet: &Signet, token: Option<&str>, method: &str, request: &Value) -> Refusal {
    match call(signet, token, method, request) {
        Ok(answer) => panic!("{method} {request} should have been refused: {answer}"),
        Err(refusal) => refusal,
    }
}

/// The access token of the user `username`, who signs up for it.
pub(crate) fn sign_up(signet: &Signet, username: &str, password: &str) -> String {
    let account = json!({ "username": username, "password": password });
    call(signet, None, "SignUp", &account).expect("the name is free");
    let answer =
        call(signet, None, "IssueToken", &json!({ "password": account })).expect("the password is right");
    answer["accessToken"].as_str().expect("a token").to_owned()
}

impl Refusal {
    /// The detail of the type `google.rpc.<name>`, decoded by what reflection told of it.
    pub(crate) fn detail(&self, name: &str) -> Option<&Value> {
        let url = format!("type.googleapis.com/google.rpc.{name}");
        self.details.iter().find(|detail| detail["@type"] == url.as_str())
    }

    /// The reason: every refusal has one.
    pub(crate) fn reason(&self) -> &str {
        let info = self.detail("ErrorInfo").unwrap_or_else(|| panic!("no reason in {self:?}"));
        assert_eq!(info["domain"], ERROR_DOMAIN);
        info["reason"].as_str().expect("a reason")
    }
}
