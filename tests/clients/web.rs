//! Owns what a web page gets: Chromium runs a page of connect-web, with stubs that buf makes of the proto.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{
    grpcurl,
    node::NodePlace,
    signet::Signet,
    support::ports::free_addr,
    tools::{buf, chromium, web_client},
};

const PASSWORD: &str = "correct horse";

#[test]
fn a_page_signs_up_logs_in_refreshes_and_is_recognised_and_a_page_of_another_origin_is_refused() {
    let (origin, foreign) = (format!("http://{}", free_addr()), format!("http://{}", free_addr()));
    let origins = format!("--web-origins={origin}");
    let signet = Signet::start_with(&[&origins]);
    let place = NodePlace::new(&web_client(), "web", &["drive.mjs", "page.ts"]);
    build(&place);
    let shown = place.run(
        place
            .node()
            .arg("drive.mjs")
            .env("BROWSER", chromium())
            .env("SIGNET_URL", format!("http://{}", signet.grpc_addr))
            .envs([("ORIGIN", &*origin), ("FOREIGN_ORIGIN", &*foreign), ("PASSWORD", PASSWORD)]),
    );
    println!("{shown}");
    // It was not only the answer that was kept from the page.
    let grant = json!({ "password": { "username": "mallory", "password": PASSWORD } });
    assert_eq!(grpcurl::refusal(&signet, None, "IssueToken", &grant).reason(), "INVALID_CREDENTIALS");
}

/// Makes page.js of the page, and of stubs as README.md has them made.
fn build(place: &NodePlace) {
    let mut generate = Command::new(buf());
    generate.args(["generate", "--template", "examples/stubs/buf.gen.node.yaml", "--output"]);
    place.run_in(Path::new(env!("CARGO_MANIFEST_DIR")), generate.arg(place.path("")));
    place.run(place.program("esbuild").args([
        "page.ts",
        "--bundle",
        "--format=iife",
        "--outfile=page.js",
        "--log-level=warning",
    ]));
}
