//! Owns what people and programs make of the explorer and its document: a browser, a linter of OpenAPI, and a client that is generated.

use std::{collections::BTreeMap, env, fs};

use serde_json::{Value, json};

use crate::{
    grpcurl,
    node::NodePlace,
    signet::Signet,
    support::{program::find, runner::Invocation},
    tools::{chromium, explorer_client},
};

const NAME: &str = "alice";
const PASSWORD: &str = "correct horse";

/// What axe finds in Swagger UI that is serious, by page and rule, and how often: its own affair, but it must not grow.
const KNOWN: &str = include_str!("explorer/axe-known.json");

/// How often each rule is broken, on each page.
type Found = BTreeMap<String, BTreeMap<String, usize>>;

/// The document of the service at `addr`.
fn document(addr: &str) -> String {
    Invocation::of(find("SIGNET_TEST_CURL", "curl"))
        .args(["-sSf", &format!("http://{addr}/openapi.json")])
        .run_now()
        .succeeded()
        .stdout
}

#[test]
fn a_person_authorizes_calls_reads_violations_and_logs_out_in_a_browser() {
    let signet = Signet::start();
    grpcurl::call(&signet, None, "SignUp", &json!({ "username": NAME, "password": PASSWORD }))
        .expect("a new name");
    let place = NodePlace::new(&explorer_client(), "explorer", &["drive.mjs"]);
    // Of whoever wants to look at the pictures.
    let screenshots = env::var("SIGNET_TEST_SCREENSHOTS").unwrap_or_default();
    let found = place.run(
        place
            .node()
            .arg("drive.mjs")
            .env("BROWSER", chromium())
            .env("SIGNET_URL", format!("http://{}", signet.http_addr))
            .env("SCREENSHOTS", screenshots)
            .envs([("NAME", NAME), ("PASSWORD", PASSWORD)]),
    );
    let found: Found = serde_json::from_str(&found).expect("the script answers in JSON");
    let known: Found = serde_json::from_str(KNOWN).expect("the list is JSON");
    assert_eq!(found["front"], BTreeMap::new(), "Signet's own page");
    let most = |page: &String, rule: &String| known.get(page).and_then(|known| known.get(rule)).copied();
    for (page, rules) in &found {
        for (rule, times) in rules {
            let most = most(page, rule).unwrap_or_default();
            assert!(
                *times <= most,
                "{page}: {rule} is broken {times} times, and was {most} times: {found:?}"
            );
        }
    }
}

#[test]
fn below_the_issuers_path_the_lock_gets_a_token_that_each_kind_of_call_shows() {
    let flags = ["--issuer=http://127.0.0.1:8080/auth", "--explorer=on", "--model-api=on"];
    let signet = Signet::start_with(&flags);
    grpcurl::call(&signet, None, "SignUp", &json!({ "username": NAME, "password": PASSWORD }))
        .expect("a new name");
    let place = NodePlace::new(&explorer_client(), "explorer", &["below.mjs"]);
    let statuses = place.run(
        place
            .node()
            .arg("below.mjs")
            .env("BROWSER", chromium())
            .env("SIGNET_URL", format!("http://{}/auth", signet.http_addr))
            .envs([("NAME", NAME), ("PASSWORD", PASSWORD)]),
    );
    let statuses: BTreeMap<String, u16> =
        serde_json::from_str(&statuses).expect("the script answers in JSON");
    assert!(statuses.len() == 3 && statuses.values().all(|status| *status == 200), "{statuses:?}");
}

#[test]
fn a_linter_finds_nothing_in_the_document_whatever_the_settings() {
    let place = NodePlace::new(&explorer_client(), "explorer", &["redocly.yaml"]);
    let settings: [(&str, &[&str]); 4] = [
        ("plain", &[]),
        ("model-api", &["--model-api=on"]),
        ("elsewhere", &["--explorer=off", "--http-password-grant=off"]),
        ("admin", &["--explorer=admin"]),
    ];
    for (name, flags) in settings {
        let signet = Signet::start_with(flags);
        let addr = if name == "admin" { &signet.admin_addr } else { &signet.http_addr };
        let file = format!("{name}.json");
        fs::write(place.path(&file), document(addr)).expect("a new file");
        let mut lint = place.program("redocly");
        // It would look for a newer version of itself, and tell its makers of the run.
        lint.args(["lint", "--config=redocly.yaml", &file]);
        lint.envs([("REDOCLY_TELEMETRY", "off"), ("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true"), ("CI", "true")]);
        println!("{}", place.run(&mut lint));
    }
}

#[test]
fn the_documented_command_has_the_versions_that_are_tested() {
    let packages: Value = serde_json::from_str(include_str!("explorer/package.json")).expect("it is JSON");
    let documented = include_str!("../../docs/EXPLORER.md");
    for name in ["@hey-api/openapi-ts", "typescript"] {
        let version = packages["dependencies"][name].as_str().expect("a version");
        assert!(documented.contains(&format!("-p {name}@{version} ")), "{name} {version}");
    }
}

#[test]
fn a_generated_client_signs_up_logs_in_and_is_recognised() {
    let signet = Signet::start();
    let sources = ["client.ts", "environment.d.ts", "tsconfig.json"];
    let place = NodePlace::new(&explorer_client(), "explorer", &sources);
    fs::write(place.path("openapi.json"), document(&signet.http_addr)).expect("a new file");
    let generate = ["--input", "openapi.json", "--output", "generated", "--client", "@hey-api/client-fetch"];
    place.run(place.program("openapi-ts").args(generate).env("CI", "true"));
    // That it fits its types is half of what a client is generated for.
    place.run(place.program("tsc").args(["--project", "tsconfig.json"]));
    let bundle = ["client.ts", "--bundle", "--format=esm", "--outfile=client.mjs", "--log-level=warning"];
    place.run(place.program("esbuild").args(bundle));
    let got = place.run(
        place
            .node()
            .arg("client.mjs")
            .env("SIGNET_URL", format!("http://{}", signet.http_addr))
            .envs([("NAME", NAME), ("PASSWORD", PASSWORD)]),
    );
    let got: Value = serde_json::from_str(&got).expect("the script answers in JSON");
    assert_eq!((&got["refused"], &got["unknown"]), (&json!("invalid_argument"), &json!("unauthenticated")));
    assert_eq!((&got["username"], &got["expiresIn"]), (&json!(NAME), &json!(900)));
    assert!(got["me"].is_string() && got["me"] == got["created"], "{got}");
}
