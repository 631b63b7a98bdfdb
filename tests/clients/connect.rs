//! Owns what programs get that speak Connect without any library of ours: curl, and buf.

use std::{fs, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    signet::Signet,
    support::program::find,
    tools::{buf, texts},
};

const PASSWORD: &str = "correct horse";

/// What `buf curl` prints, or writes of what went wrong.
fn buf_curl(
    signet: &Signet,
    schema: &Path,
    method: &str,
    more: &[&str],
    message: &Value,
) -> Result<Value, String> {
    let output = Command::new(buf())
        .args(["curl", "--protocol", "connect", "--http2-prior-knowledge", "--schema"])
        .arg(schema)
        .args(more)
        .args(["--data", &message.to_string()])
        .arg(format!("http://{}/identity.v1.IdentityService/{method}", signet.grpc_addr))
        .output()
        .expect("buf runs");
    let (stdout, stderr) = texts(&output);
    if output.status.success() {
        Ok(serde_json::from_str(&stdout).expect("buf prints JSON"))
    } else {
        Err(stdout + &stderr)
    }
}

#[test]
fn buf_signs_up_logs_in_and_is_refused_by_connect() {
    let signet = Signet::start();
    let place = TempDir::new().expect("a directory for temporary files");
    let schema = place.path().join("signet.binpb");
    let set = signet.operate(&["descriptor"])["descriptor_set"].as_str().expect("it is in Base64").to_owned();
    fs::write(&schema, STANDARD.decode(set).expect("it is in Base64")).expect("a new file");
    let user = json!({ "username": "alice", "password": PASSWORD });
    let made = buf_curl(&signet, &schema, "SignUp", &[], &user).unwrap();
    assert_eq!(made["user"]["username"], "alice");
    let login = buf_curl(&signet, &schema, "IssueToken", &[], &json!({ "password": user })).unwrap();
    let bearer = format!("authorization: Bearer {}", login["accessToken"].as_str().unwrap());
    let me = buf_curl(&signet, &schema, "GetMe", &["--header", &bearer], &json!({})).unwrap();
    assert_eq!(me["user"]["id"], made["user"]["id"]);
    let refused = buf_curl(&signet, &schema, "SignUp", &[], &user).unwrap_err();
    assert!(refused.contains("already_exists") && refused.contains("USERNAME_TAKEN"), "{refused}");
}

#[test]
fn curl_hears_an_early_refusal_over_http_2_as_it_is_each_time() {
    let signet = Signet::start();
    for path in ["identity.v1.IdentityService/Nonsense", "oauth2/token"] {
        for _ in 0..25 {
            let output = Command::new(find("SIGNET_TEST_CURL", "curl"))
                .args([
                    "--silent",
                    "--show-error",
                    "--http2-prior-knowledge",
                    "--write-out",
                    "%{http_code}",
                    "--output",
                ])
                .args([
                    "/dev/null",
                    "--header",
                    "content-type: application/json",
                    "--data",
                    "{\"username\": \"alice\"}",
                ])
                .arg(format!("http://{}/{path}", signet.grpc_addr))
                .output()
                .expect("curl runs");
            let (stdout, stderr) = texts(&output);
            assert!(output.status.success(), "{path}: {stderr}");
            assert_eq!(stdout, if path.starts_with("identity") { "404" } else { "415" });
        }
    }
}
