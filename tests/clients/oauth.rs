//! Owns OAuth 2.0 and JWKS as standard libraries use them: each script of tests/clients/oauth, against a server of its own,
//! through a rotation of keys.

use std::{env, fs, os::unix::fs::symlink, path::Path, process::Command};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    grpcurl,
    signet::Signet,
    support::ports::free_addr,
    tools::{oauth_clients, texts},
};

const USERNAME: &str = "alice";
const PASSWORD: &str = "correct horse";

/// A rotation that comes through at once, as flags and as variables: the operator's commands need the server's settings.
const FAST_ROTATION: [(&str, &str, &str); 3] = [
    ("--key-publish-ahead", "SIGNET_KEY_PUBLISH_AHEAD", "1s"),
    ("--clock-leeway", "SIGNET_CLOCK_LEEWAY", "0s"),
    ("--standing-cache-max-age", "SIGNET_STANDING_CACHE_MAX_AGE", "200ms"),
];

#[test]
fn pyjwt_verifies_tokens_of_every_published_algorithm() {
    for alg in ["ES256", "EdDSA", "RS256"] {
        run("pyjwt.py", alg);
    }
}

#[test]
fn jose_verifies_tokens_of_every_published_algorithm() {
    for alg in ["ES256", "EdDSA", "RS256"] {
        run("jose.mjs", alg);
    }
}

#[test]
fn requests_oauthlib_logs_in_and_refreshes_by_itself() {
    // Also where nobody but the service can verify.
    for alg in ["ES256", "HS256"] {
        run("requests_oauthlib_clients.py", alg);
    }
}

#[test]
fn authlib_discovers_authenticates_introspects_and_revokes() {
    run("authlib_clients.py", "ES256");
}

#[test]
fn openid_client_discovers_authenticates_introspects_and_revokes() {
    run("openid_client.mjs", "ES256");
}

/// Runs a script against a server that signs with `alg`, a user and two clients.
fn run(script: &str, alg: &str) {
    let tools = oauth_clients();
    let work = TempDir::new().expect("a directory for temporary files");
    for file in fs::read_dir(scripts()).expect("the scripts are there") {
        let path = file.expect("a directory can be read").path();
        fs::copy(&path, work.path().join(path.file_name().expect("a file has a name")))
            .expect("a script can be copied");
    }
    // Node.js looks for packages beside the script.
    symlink(tools.join("node_modules"), work.path().join("node_modules")).expect("a new name");

    // The issuer's URL must be known before the server starts.
    let issuer = format!("http://{}", free_addr());
    let mut flags = vec![
        format!("--http-addr={}", issuer.trim_start_matches("http://")),
        format!("--issuer={issuer}"),
        format!("--signing-alg={alg}"),
    ];
    // Which they do until the new key signs, without a pause.
    flags.push("--account-refreshes=1000000".to_owned());
    flags.extend(FAST_ROTATION.map(|(flag, _, value)| format!("{flag}={value}")));
    let signet = Signet::start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let request = json!({ "username": USERNAME, "password": PASSWORD });
    grpcurl::call(&signet, None, "SignUp", &request).expect("all rules are kept");
    let with_secret = signet.operate(&["clients", "create", "reporter", "--scope=introspect"]);
    let (private, public) = key_files(work.path());
    let create = ["clients", "create", "signer", "--scope=introspect", "--public-key", &public];
    let with_key = signet.operate(&create);

    let interpreter = tools
        .join("bin")
        .join(if Path::new(script).extension().is_some_and(|kind| kind == "py") { "python" } else { "node" });
    let output = Command::new(interpreter)
        .arg(work.path().join(script))
        .envs([
            ("ISSUER", issuer.as_str()),
            ("AUDIENCE", "signet"),
            ("ALG", alg),
            ("USERNAME", USERNAME),
            ("PASSWORD", PASSWORD),
            ("CLIENT_ID", text(&with_secret, "id")),
            ("CLIENT_SECRET", text(&with_secret, "secret")),
            ("KEY_CLIENT_ID", text(&with_key, "id")),
            ("KEY_FILE", &private),
            ("SIGNET", env!("CARGO_BIN_EXE_signet")),
        ])
        .env("SIGNET_DATA_DIR", signet.data_dir())
        .envs(FAST_ROTATION.map(|(_, variable, value)| (variable, value)))
        .output()
        .expect("the interpreter runs");
    let (stdout, stderr) = texts(&output);
    assert!(
        output.status.success(),
        "{script} with {alg}:\n{stdout}{stderr}\nThe server's log:\n{}",
        signet.log()
    );
}

fn scripts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/oauth")
}

/// The files of a new key: its private half as PKCS#8 in PEM, its public half as a JWK.
fn key_files(directory: &Path) -> (String, String) {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("randomness");
    let der = key.to_pkcs8v1().expect("a private key has this form");
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der.as_ref())
    );
    // 4, then x, then y (SEC 1 section 2.3.3).
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let coordinate = |bytes: &[u8]| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "x": coordinate(x), "y": coordinate(y) });
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).expect("a new file");
        path.display().to_string()
    };
    (write("key.pem", &pem), write("key.jwk", &jwk.to_string()))
}

fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member].as_str().unwrap_or_else(|| panic!("no `{member}` in {object}"))
}
