//! Owns what a web page gets: Chromium runs a page of connect-web, with stubs that buf makes of the proto.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    grpcurl,
    signet::Signet,
    support::ports::free_addr,
    tools::{buf, chromium, texts, web_client},
};

const PASSWORD: &str = "correct horse";

#[test]
fn a_page_signs_up_logs_in_refreshes_and_is_recognised_and_a_page_of_another_origin_is_refused() {
    let (origin, foreign) = (format!("http://{}", free_addr()), format!("http://{}", free_addr()));
    let origins = format!("--web-origins={origin}");
    let signet = Signet::start_with(&[&origins]);
    let place = Place::new();
    place.build();
    let shown = place.run(
        Command::new(place.path("bin/node"))
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

/// A directory with the page and what it is built with.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a directory for temporary files"));
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/web");
        for name in ["drive.mjs", "page.ts"] {
            fs::copy(sources.join(name), place.path(name)).expect("a source can be copied");
        }
        for name in ["bin", "node_modules"] {
            symlink(web_client().join(name), place.path(name)).expect("a new name");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes page.js of the page, and of stubs as README.md has them made.
    fn build(&self) {
        let mut generate = Command::new(buf());
        generate.args(["generate", "--template", "examples/stubs/buf.gen.node.yaml", "--output"]);
        self.run_in(Path::new(env!("CARGO_MANIFEST_DIR")), generate.arg(self.0.path()));
        self.run(Command::new(self.path("node_modules/.bin/esbuild")).args([
            "page.ts",
            "--bundle",
            "--format=iife",
            "--outfile=page.js",
            "--log-level=warning",
        ]));
    }

    /// What `command` writes, here.
    fn run(&self, command: &mut Command) -> String {
        self.run_in(self.0.path(), command)
    }

    /// What `command` writes in `folder`, with the programs that are here.
    fn run_in(&self, folder: &Path, command: &mut Command) -> String {
        let path = env::var_os("PATH").unwrap_or_default();
        let own = [self.path("bin"), self.path("node_modules/.bin")];
        let paths = own.into_iter().chain(env::split_paths(&path));
        let output = command
            .current_dir(folder)
            .env("PATH", env::join_paths(paths).expect("paths without colons"))
            .output()
            .expect("the program runs");
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{command:?}:\n{stdout}{stderr}");
        stdout
    }
}
