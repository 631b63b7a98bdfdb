//! Owns what programs get that speak Connect without any library of ours: curl, buf, and the libraries of Connect for Python, Node.js and
//! Go.

use std::{fs, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    node::NodePlace,
    signet::Signet,
    support::program::find,
    tools::{buf, connect_clients, texts},
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

#[test]
fn libraries_sign_up_log_in_and_read_compressed_answers_and_refusals() {
    // So many that a list of their sessions is compressed.
    const LOGINS: u32 = 15;
    let signet = Signet::start();
    let tools = connect_clients();
    let place = NodePlace::new(
        &tools,
        "connect",
        &["buf.gen.yaml", "client.go", "client.py", "client.ts", "go.mod", "go.sum"],
    );
    let mut generate = Command::new(buf());
    generate.args(["generate", "--template"]).arg(place.path("buf.gen.yaml")).arg("--output");
    place.run_in(Path::new(env!("CARGO_MANIFEST_DIR")), generate.arg(place.path("")));
    place.run(place.program("esbuild").args([
        "client.ts",
        "--bundle",
        "--platform=node",
        "--format=esm",
        "--outfile=client.mjs",
        "--log-level=warning",
    ]));
    let mut go = Command::new(place.path("bin/go"));
    go.args(["build", "-o", "client", "."])
        .envs([("GOPROXY", "off"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=readonly")])
        .envs([("GOMODCACHE", tools.join("go/mod")), ("GOCACHE", tools.join("go/cache"))]);
    place.run(&mut go);
    // By its own path, by which it finds its packages.
    let mut python = Command::new(tools.join("bin/python"));
    python.arg("client.py");
    let mut node = place.node();
    node.arg("client.mjs");
    let clients = [
        ("connect-python", python),
        ("connect-node", node),
        ("connect-go", Command::new(place.path("client"))),
    ];
    for (library, mut client) in clients {
        client
            .env("SIGNET_URL", format!("http://{}", signet.grpc_addr))
            .envs([("PASSWORD", PASSWORD), ("LOGINS", &*LOGINS.to_string())]);
        let visits: Value = serde_json::from_str(&place.run(&mut client)).expect("it prints JSON");
        for codec in ["json", "proto"] {
            let visit = &visits[codec];
            assert!(visit["id"].is_string() && visit["id"] == visit["recognised"], "{library}: {visit}");
            assert_eq!(visit["sessions"], LOGINS, "{library}");
            assert_eq!(visit["compressed"], true, "{library}");
            let taken = json!({
                "code": "already_exists", "message": "the username is taken",
                "reason": "USERNAME_TAKEN", "fields": [],
            });
            assert_eq!(visit["taken"], taken, "{library}");
            assert_eq!(visit["bad"]["code"], "invalid_argument", "{library}");
            assert_eq!(visit["bad"]["reason"], "INVALID_FIELDS", "{library}");
            let fields = json!(["username: FORBIDDEN_CHARACTER", "password: TOO_SHORT"]);
            assert_eq!(visit["bad"]["fields"], fields, "{library}");
        }
    }
}
