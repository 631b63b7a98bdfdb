//! Owns the promise that gRPC's own retries wait for as long as they are told to: a Go client (grpcurl) whose retry policy comes by DNS.

use std::{
    net::{SocketAddr, UdpSocket},
    process::{Command, Output},
    thread,
};

use serde_json::json;

use crate::{
    prometheus::get,
    signet::Signet,
    tools::{self, texts},
};

/// Calls that are refused are tried again; after ten minutes, if the server does not say when.
const POLICY: &str = r#"grpc_config=[{"serviceConfig": {"methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 5, "initialBackoff": "600s", "maxBackoff": "600s", "backoffMultiplier": 1,
    "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}}]}}]"#;

/// What DNS calls the kinds of records, and the only class.
const ADDRESS: u16 = 1;
const TEXT: u16 = 16;
const INTERNET: u16 = 1;

/// Answers questions of DNS until the process ends: every name is this machine's, and every text is [`POLICY`].
fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let addr = socket.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut question) {
            socket.send_to(&answer(&question[..length]), client).expect("it is sent");
        }
    });
    addr
}

/// The answer to a message of DNS with one question (RFC 1035, section 4.1).
fn answer(message: &[u8]) -> Vec<u8> {
    let (header, rest) = message.split_at(12);
    let name = rest.iter().position(|byte| *byte == 0).expect("a name ends") + 1;
    let question = &rest[..name + 4];
    let data = match u16::from_be_bytes([question[name], question[name + 1]]) {
        ADDRESS => Some((ADDRESS, vec![127, 0, 0, 1])),
        TEXT => {
            let length = |text: &[u8]| u8::try_from(text.len()).expect("a string of a text is short");
            let strings = POLICY.as_bytes().chunks(255);
            Some((TEXT, strings.flat_map(|text| [&[length(text)], text].concat()).collect()))
        }
        _ => None,
    };
    // The id; an authoritative answer to what was asked; one question, and as many records as there are.
    let mut answer =
        [&header[..2], &[0x85, 0x80, 0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0], question].concat();
    if let Some((kind, data)) = data {
        let length = u16::try_from(data.len()).expect("a record is short");
        // The name is where the question's is.
        answer.extend([0xc0, 12]);
        for number in [kind, INTERNET, 0, 60, length] {
            answer.extend(number.to_be_bytes());
        }
        answer.extend(data);
    }
    answer
}

/// Logs in at `target` for somebody whose address is used up by wrong passwords.
fn log_in(target: &str, password: &str) -> Output {
    let request = json!({ "password": { "username": "alice", "password": password } }).to_string();
    let mut command = Command::new(tools::grpcurl());
    command.env("GRPC_GO_RETRY", "on").args([
        "-plaintext",
        "-H",
        "x-forwarded-for: 192.0.2.1",
        "-d",
        &request,
    ]);
    command.args([target, "identity.v1.IdentityService/IssueToken"]);
    command.output().expect("grpcurl runs")
}

#[test]
fn a_retry_policy_waits_for_as_long_as_it_is_told_to() {
    let signet = Signet::start_with(&[
        "--trusted-proxy-addresses=127.0.0.1",
        "--address-failures=10",
        "--address-failure-interval=8s",
    ]);
    crate::grpcurl::sign_up(&signet, "alice", "correct horse battery");
    let throttled = || -> f64 {
        let metrics = get(&signet.operations_addr, "/metrics");
        let series = "signet_password_guesses_total{result=\"address_throttled\"} ";
        let value = metrics.lines().find_map(|line| line.strip_prefix(series));
        value.expect("it is counted").parse().expect("a number")
    };
    let (_, port) = signet.grpc_addr.rsplit_once(':').expect("an address with a port");
    let retrying = format!("dns://{}/signet.test:{port}", name_server());
    // Again, if this machine takes so long that the address has another try by the time of the first attempt.
    let mut refused = 0.0;
    while throttled() <= refused {
        while !texts(&log_in(&signet.grpc_addr, "wrong staple battery")).1.contains("TOO_MANY_ATTEMPTS") {}
        refused = throttled();
        let (stdout, stderr) = texts(&log_in(&retrying, "correct horse battery"));
        assert!(stdout.contains("accessToken"), "{stderr}");
    }
}
