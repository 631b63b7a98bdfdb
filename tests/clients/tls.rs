//! Owns TLS as it is used by others' libraries: grpcurl (Go), and requests (OpenSSL).

use std::{fs, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    signet::Signet,
    support::pki::{Authority, SERVER},
    tools::{self, texts},
};

const BILLING: &str = "spiffe://example.org/billing";

#[test]
fn a_workload_with_a_certificate_needs_nothing_else() {
    let (authority, dir) =
        (Authority::new("tests"), TempDir::new().expect("a directory for temporary files"));
    let path = |name: &str| dir.path().join(name).display().to_string();
    authority.issue(&[SERVER, "localhost"]).write(dir.path());
    let billing = authority.issue(&[BILLING]);
    for (name, text) in
        [("ca.crt", &authority.pem), ("billing.crt", &billing.cert), ("billing.key", &billing.key)]
    {
        fs::write(path(name), text).expect("a file in a new directory");
    }
    let flags = [("cert", "tls.crt"), ("key", "tls.key"), ("client-ca", "ca.crt")]
        .map(|(flag, file)| format!("--tls-{flag}={}", path(file)));
    let signet = Signet::start_with(&flags.each_ref().map(String::as_str));
    let created =
        signet.operate(&["clients", "create", "billing", "--scope=introspect", "--spiffe-id", BILLING]);

    let grpcurl = |flags: &[&str]| {
        let mut command = Command::new(tools::grpcurl());
        command
            .args(["-connect-timeout", "5", "-cacert", &path("ca.crt"), "-servername", SERVER])
            .args(flags);
        command.args(["-d", r#"{"client_credentials":{}}"#, &signet.grpc_addr]);
        command.arg("identity.v1.IdentityService/IssueToken").output().expect("grpcurl runs")
    };
    let output = grpcurl(&["-cert", &path("billing.crt"), "-key", &path("billing.key")]);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let issued: Value = serde_json::from_str(&stdout).expect("grpcurl answers in JSON");
    assert_eq!((&issued["scope"], &issued["tokenType"]), (&json!("introspect"), &json!("Bearer")));
    assert!(!grpcurl(&[]).status.success(), "nobody gets in without a certificate");
    assert!(!grpcurl(&["-insecure"]).status.success());

    // The same over HTTP, where the token is asked about by certificate, too.
    let script = r#"
import json, sys, requests
base, ca, cert, key, token = sys.argv[1:]
ask = lambda path, own, **fields: requests.post(base + path, data=fields, verify=ca, cert=own)
own = (cert, key)
issued = ask("/oauth2/token", own, grant_type="client_credentials")
told = ask("/oauth2/introspect", own, token=token)
stranger = ask("/oauth2/token", None, grant_type="client_credentials")
print(json.dumps([issued.status_code, told.json(), stranger.status_code, stranger.json()["error"]]))
"#;
    let port = signet.http_addr.rsplit(':').next().expect("a port");
    let output = Command::new(tools::oauth_clients().join("bin/python"))
        .args(["-c", script, &format!("https://localhost:{port}"), &path("ca.crt")])
        .args([path("billing.crt"), path("billing.key")])
        .arg(issued["accessToken"].as_str().expect("a token"))
        .output()
        .expect("Python runs");
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let told: Value = serde_json::from_str(&stdout).expect("the script answers in JSON");
    assert_eq!((&told[0], &told[2], &told[3]), (&json!(200), &json!(401), &json!("invalid_client")));
    assert_eq!((&told[1]["active"], &told[1]["client_id"]), (&json!(true), &created["id"]));
}
