//! Owns the promise that Prometheus reads the metrics, and has nothing to say against them.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{grpcurl, signet::Signet, tools};

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let signet = Signet::start();
    // Series of every kind have values then.
    let token = grpcurl::sign_up(&signet, "alice", "correct horse");
    grpcurl::call(&signet, Some(&token), "GetMe", &json!({})).expect("she is there");
    grpcurl::refusal(&signet, None, "GetMe", &json!({}));
    get(&signet.http_addr, "/livez");
    let metrics = get(&signet.operations_addr, "/metrics");
    assert!(metrics.contains("\ngrpc_server_handled_total{"), "{metrics}");

    let mut promtool = Command::new(tools::promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    promtool.stdin.take().expect("it is piped").write_all(metrics.as_bytes()).expect("it reads");
    let said = promtool.wait_with_output().expect("it ends");
    let (stdout, stderr) = tools::texts(&said);
    assert!(said.status.success() && stdout.is_empty() && stderr.is_empty(), "{stdout}{stderr}");
}

/// The body of what HTTP answers.
pub(crate) fn get(addr: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {addr}\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    body.to_owned()
}
