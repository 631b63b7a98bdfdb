//! Owns whose address counts behind proxies: the client's that a trusted one names, over every protocol, and nobody's else.

use std::{fs, net::TcpListener, path::PathBuf};

use bytes::Bytes;
use prost::Message;
use serde_json::Value;
use signet::proto::identity::v1::{
    IssueTokenRequest, ListSessionsRequest, identity_service_client::IdentityServiceClient,
};
use tempfile::TempDir;
use tonic::{Code, Request, metadata::MetadataValue};

use crate::{
    harness::{Client, PASSWORD, TestServer, assert_refused, eventually, password_grant, with_token},
    http::client::encoded,
    wire::frame,
};

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

/// A proxy whose header is read, and an address whose header is not.
const PROXY: &str = "127.0.0.1";
const STRANGER: &str = "127.0.0.2";

/// Lines of headers, in their order.
type Lines<'a> = &'a [(&'static str, &'a str)];

/// A server behind a proxy, with the user `alice`.
struct Behind {
    server: TestServer,
    audit_log: PathBuf,
    _dir: TempDir,
}

impl Behind {
    async fn start(args: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let audit_log = dir.path().join("audit.log");
        let log = format!("--audit-log={}", audit_log.display());
        let server = TestServer::start(&[args, &[&log]].concat()).await;
        server.client().await.sign_up("alice", PASSWORD).await.unwrap();
        Self { server, audit_log, _dir: dir }
    }

    /// A client whose connections come from `address`.
    async fn client_from(&self, address: &str) -> Client {
        self.server.client_from(address).await
    }

    /// Where a login with `lines` came from, by gRPC over a connection of `peer`.
    async fn login(&self, peer: &str, lines: Lines<'_>) -> Option<String> {
        let mut client = self.client_from(peer).await;
        let request = with_lines(password_grant("alice", PASSWORD), lines);
        let token = client.0.issue_token(request).await.unwrap().into_inner().access_token;
        self.newest_address(&token).await
    }

    /// The address of the session that `token` belongs to, as its user sees it.
    async fn newest_address(&self, token: &str) -> Option<String> {
        let mut client = self.server.client().await;
        let request = with_token(ListSessionsRequest { page_size: 1_000, ..Default::default() }, token);
        let sessions = client.0.list_sessions(request).await.unwrap().into_inner().sessions;
        sessions.into_iter().find(|session| session.is_current).unwrap().address
    }

    /// The addresses in the audit log of failed logins, once there is one that begins with `address`.
    async fn failed_logins(&self, address: &str) -> Vec<String> {
        let addresses = || {
            let lines = fs::read_to_string(&self.audit_log).unwrap();
            let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let failed = lines.filter(|line| line["event"] == "login" && line["outcome"] == "failure");
            failed.map(|line| line["address"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        eventually("the failure is told", async || addresses().iter().any(|told| told == address)).await;
        addresses()
    }
}

/// `message` with header lines.
fn with_lines<T>(message: T, lines: Lines<'_>) -> Request<T> {
    let mut request = Request::new(message);
    for (name, line) in lines {
        request.metadata_mut().append(*name, MetadataValue::try_from(*line).unwrap());
    }
    request
}

#[tokio::test]
async fn a_trusted_proxy_names_its_client_and_nothing_to_the_left_counts() {
    let behind = Behind::start(&["--trusted-proxy-addresses=127.0.0.1,10.0.0.0/8"]).await;
    for (lines, address) in [
        (&[(X_FORWARDED_FOR, "192.0.2.1")][..], "192.0.2.1"),
        // Forged and leftmost entries.
        (&[(X_FORWARDED_FOR, "198.51.100.9, 192.0.2.2")], "192.0.2.2"),
        (&[(X_FORWARDED_FOR, "127.0.0.1, 10.0.0.9, 192.0.2.3, 10.0.0.1")], "192.0.2.3"),
        // Several lines.
        (&[(X_FORWARDED_FOR, "198.51.100.9"), (X_FORWARDED_FOR, "192.0.2.4")], "192.0.2.4"),
        (
            &[(X_FORWARDED_FOR, "192.0.2.5"), (X_FORWARDED_FOR, "10.0.0.1"), (X_FORWARDED_FOR, "10.0.0.2")],
            "192.0.2.5",
        ),
        // Ports and brackets.
        (&[(X_FORWARDED_FOR, "192.0.2.6:5678")], "192.0.2.6"),
        (&[(X_FORWARDED_FOR, "[2001:db8::7]:443, 10.0.0.1:80")], "2001:db8::7"),
        (&[(X_FORWARDED_FOR, "[::ffff:192.0.2.8]")], "192.0.2.8"),
        // Junk ends the reading.
        (&[(X_FORWARDED_FOR, "192.0.2.9, unknown, 10.0.0.1")], "10.0.0.1"),
        (&[(X_FORWARDED_FOR, "192.0.2.9, <script>")], PROXY),
        (&[(X_FORWARDED_FOR, "")], PROXY),
        // The other header is ignored.
        (&[(FORWARDED, "for=192.0.2.10")], PROXY),
        (&[(FORWARDED, "for=192.0.2.10"), (X_FORWARDED_FOR, "192.0.2.11")], "192.0.2.11"),
        (&[], PROXY),
    ] {
        assert_eq!(behind.login(PROXY, lines).await.as_deref(), Some(address), "{lines:?}");
    }
    let many = format!("{}192.0.2.12", "198.51.100.9, ".repeat(900));
    assert_eq!(behind.login(PROXY, &[(X_FORWARDED_FOR, &many)]).await.as_deref(), Some("192.0.2.12"));
}

#[tokio::test]
async fn forwarded_is_read_where_that_is_the_header() {
    let args = ["--trusted-proxy-addresses=127.0.0.1,10.0.0.0/8", "--trusted-proxy-header=forwarded"];
    let behind = Behind::start(&args).await;
    for (lines, address) in [
        (&[(FORWARDED, "for=192.0.2.1;proto=https;by=203.0.113.43")][..], "192.0.2.1"),
        (&[(FORWARDED, "For=\"[2001:db8::2]:4711\", for=10.0.0.1")], "2001:db8::2"),
        (&[(FORWARDED, "for=198.51.100.9"), (FORWARDED, "for=192.0.2.3")], "192.0.2.3"),
        // A quotation mark that a client leaves open.
        (&[(FORWARDED, "for=\"198.51.100.9"), (FORWARDED, "for=192.0.2.4")], "192.0.2.4"),
        (&[(FORWARDED, "for=192.0.2.5, for=_hidden, for=10.0.0.1")], "10.0.0.1"),
        (&[(FORWARDED, "for=unknown")], PROXY),
        (&[(X_FORWARDED_FOR, "192.0.2.6")], PROXY),
        (&[(X_FORWARDED_FOR, "192.0.2.6"), (FORWARDED, "for=192.0.2.7")], "192.0.2.7"),
    ] {
        assert_eq!(behind.login(PROXY, lines).await.as_deref(), Some(address), "{lines:?}");
    }
}

#[tokio::test]
async fn of_peers_that_are_not_trusted_nothing_is_read() {
    let lines = [(X_FORWARDED_FOR, "192.0.2.1"), (FORWARDED, "for=192.0.2.1")];
    let behind = Behind::start(&["--trusted-proxy-addresses=127.0.0.1"]).await;
    assert_eq!(behind.login(STRANGER, &lines).await.as_deref(), Some(STRANGER));
    assert_eq!(behind.login(PROXY, &lines).await.as_deref(), Some("192.0.2.1"));
    let nobody = Behind::start(&[]).await;
    assert_eq!(nobody.login(PROXY, &lines).await.as_deref(), Some(PROXY), "by default nobody is trusted");
}

#[tokio::test]
async fn http_and_grpc_web_go_by_the_same_address() {
    let behind = Behind::start(&["--trusted-proxy-addresses=127.0.0.0/8"]).await;
    let http = behind.server.http();
    for http in [http, http.h2c()] {
        let form = http.form("/oauth2/token").header(X_FORWARDED_FOR, "198.51.100.9, 192.0.2.1");
        let fields = [("grant_type", "password"), ("username", "alice"), ("password", PASSWORD)];
        let answer = http.send(form.header(X_FORWARDED_FOR, "127.0.0.9"), &encoded(&fields)).await.ok();
        let token = answer["access_token"].as_str().unwrap();
        assert_eq!(behind.newest_address(token).await.as_deref(), Some("192.0.2.1"));
    }

    let grpc = crate::http::client::HttpClient::new(behind.server.started.grpc_addr);
    let wrong: IssueTokenRequest = password_grant("alice", "wrong-staple-battery");
    let request = grpc
        .request("POST", "/identity.v1.IdentityService/IssueToken")
        .header("content-type", "application/grpc-web+proto")
        .header(X_FORWARDED_FOR, "198.51.100.9, 192.0.2.2");
    grpc.exchange(request, Bytes::from(frame(&wrong.encode_to_vec()))).await;
    behind.failed_logins("192.0.2.2").await;
}

#[tokio::test]
async fn the_audit_log_has_the_address_that_counts() {
    let behind = Behind::start(&["--trusted-proxy-addresses=127.0.0.1"]).await;
    for (peer, address) in [(PROXY, "192.0.2.1"), (STRANGER, STRANGER)] {
        let mut client = behind.client_from(peer).await;
        let lines = [(X_FORWARDED_FOR, "198.51.100.9, 192.0.2.1")];
        let wrong = with_lines(password_grant("alice", "wrong-staple-battery"), &lines);
        assert_refused(client.0.issue_token(wrong).await, Code::Unauthenticated, "INVALID_CREDENTIALS");
        behind.failed_logins(address).await;
    }
    assert_eq!(behind.failed_logins(STRANGER).await, ["192.0.2.1", STRANGER]);
}

#[tokio::test]
async fn an_ipv4_peer_of_an_ipv6_socket_is_the_ipv4_address() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6: not tested");
        return;
    }
    let behind = Behind::start(&["--grpc-addr=[::]:0", "--trusted-proxy-addresses=127.0.0.1"]).await;
    let uri = format!("http://127.0.0.1:{}", behind.server.started.grpc_addr.port());
    let mut client = IdentityServiceClient::connect(uri).await.unwrap();
    for (lines, address) in [(&[][..], PROXY), (&[(X_FORWARDED_FOR, "192.0.2.1")], "192.0.2.1")] {
        let request = with_lines(password_grant("alice", PASSWORD), lines);
        let token = client.issue_token(request).await.unwrap().into_inner().access_token;
        let request = with_token(ListSessionsRequest::default(), &token);
        let sessions = client.list_sessions(request).await.unwrap().into_inner().sessions;
        let current = sessions.into_iter().find(|session| session.is_current).unwrap();
        assert_eq!(current.address.as_deref(), Some(address));
    }
}
