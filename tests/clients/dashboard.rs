//! Owns the promise that the dashboard is what its source says, and that a real Prometheus, which reads a Signet under load, has something
//! to show in each of its panels.

mod prometheus_server;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    prometheus::get,
    signet::Signet,
    support::{pki::Authority, pki::SERVER, ports::free_addr, runner::PATIENCE},
    tools,
};
use prometheus_server::Prometheus;

/// What Grafana puts for its variables: all processes, and a window that holds several looks.
const VARIABLES: [(&str, &str); 3] = [("$__rate_interval", "20s"), ("$job", ".*"), ("$instance", ".*")];

/// Panels that show nothing but zeros while all is well, and the database has no clock of its own.
const CALM: [&str; 5] =
    ["Clocks apart", "Failures", "Hash queue", "Streams that begin", "Watchers that miss something"];

/// A file of `examples/observability`.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/observability").join(name)
}

/// What dashboard.ts makes with `change` made in it, or why it makes nothing.
fn made(change: impl Fn(String) -> String) -> Result<String, String> {
    let (builder, work) =
        (tools::dashboard_builder(), TempDir::new().expect("a directory for temporary files"));
    for name in ["package.json", "tsconfig.json"] {
        fs::copy(example(name), work.path().join(name)).expect("a file in a new directory");
    }
    let source = fs::read_to_string(example("dashboard.ts")).expect("a file of the repository");
    fs::write(work.path().join("dashboard.ts"), change(source)).expect("a file in a new directory");
    // Node.js looks for packages beside the script.
    symlink(builder.join("node_modules"), work.path().join("node_modules"))
        .expect("a link in a new directory");
    let node = |arguments: &[&str]| {
        let mut command = Command::new(builder.join("bin/node"));
        verdict(&command.args(arguments).current_dir(&work).output().expect("Node.js runs"))
    };
    node(&["node_modules/typescript/bin/tsc"])?;
    node(&["build/dashboard.js"])
}

fn verdict(output: &Output) -> Result<String, String> {
    let (stdout, stderr) = tools::texts(output);
    if output.status.success() { Ok(stdout) } else { Err(format!("{stdout}{stderr}")) }
}

#[test]
fn the_dashboard_is_what_its_source_makes_and_mistakes_in_it_are_noticed() {
    let dashboard = fs::read_to_string(example("dashboard.json")).expect("a file of the repository");
    let made_now = made(|source| source).expect("the source is right");
    assert!(
        dashboard == made_now,
        "examples/observability/dashboard.json is not what `npm run dashboard` makes there"
    );
    for (right, wrong) in [
        (".unit(unit)", ".units(unit)"),
        ("common.SortOrder.Descending", "'descending'"),
        ("/** A grid has", "const unused = 1; /** A grid has"),
    ] {
        let problem = made(|source| {
            assert!(source.contains(right), "dashboard.ts does not say {right:?}");
            source.replacen(right, wrong, 1)
        });
        assert!(problem.is_err_and(|problem| problem.contains("error TS")), "nobody noticed {wrong:?}");
    }
}

/// A panel: its title, and its expressions.
struct Panel {
    title: String,
    expressions: Vec<String>,
}

fn panels() -> Vec<Panel> {
    let dashboard = fs::read_to_string(example("dashboard.json")).expect("a file of the repository");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels =
        dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let panels = panels.map(|panel| Panel {
        title: text(&panel["title"]),
        expressions: panel["targets"]
            .as_array()
            .expect("targets")
            .iter()
            .map(|target| text(&target["expr"]))
            .collect(),
    });
    panels.collect()
}

/// The expression as Grafana sends it.
fn sent(expression: &str) -> String {
    VARIABLES.iter().fold(expression.to_owned(), |sent, (name, value)| sent.replace(name, value))
}

/// What a user, a guesser and a lost client ask for, again and again.
struct Load<'a> {
    signet: &'a Signet,
    round: usize,
    client: (String, String),
}

impl<'a> Load<'a> {
    fn on(signet: &'a Signet) -> Self {
        let client = signet.operate(&["clients", "create", "billing", "--scope=introspect"]);
        let text =
            |name: &str| client[name].as_str().unwrap_or_else(|| panic!("{name} of {client}")).to_owned();
        Self { signet, round: 0, client: (text("id"), text("secret")) }
    }

    /// Asks for a bit of everything. What must succeed does.
    fn go_on(&mut self) {
        self.round += 1;
        let account =
            json!({ "username": format!("user-{}", self.round), "password": "correct horse battery" });
        self.call("SignUp", None, &account, 200);
        let issued = self.call("IssueToken", None, &json!({ "password": account }), 200);
        let token = issued["accessToken"].as_str().expect("a token");
        for _ in 0..3 {
            self.call("GetMe", Some(token), &json!({}), 200);
        }
        self.call("GetMe", None, &json!({}), 401);
        self.call("SignUp", None, &account, 409);
        let wrong = json!({ "username": account["username"], "password": "wrong horse battery" });
        self.call("IssueToken", None, &json!({ "password": wrong }), 401);
        let refresh = json!({ "refresh_token": { "refresh_token": issued["refreshToken"] } });
        self.call("IssueToken", None, &refresh, 200);
        let (id, secret) = &self.client;
        let client =
            json!({ "client_credentials": {}, "client": { "client_id": id, "client_secret": secret } });
        self.call("IssueToken", None, &client, 200);
        get(&self.signet.http_addr, "/.well-known/jwks.json");
        post(
            &self.signet.http_addr,
            "/oauth2/token",
            None,
            "grant_type=none",
            "application/x-www-form-urlencoded",
        );
    }

    fn call(&self, method: &str, token: Option<&str>, request: &Value, expected: u16) -> Value {
        let path = format!("/identity.v1.IdentityService/{method}");
        let (status, body) =
            post(&self.signet.grpc_addr, &path, token, &request.to_string(), "application/json");
        assert_eq!(status, expected, "{method} {request}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }
}

/// The status and the body of what is answered to a POST at `path`.
fn post(addr: &str, path: &str, token: Option<&str>, body: &str, kind: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-type: {kind}\r\n{authorization}\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

/// A Signet with TLS, whose certificate has something to show, and the authority that Prometheus trusts, in `directory`.
fn with_tls(directory: &Path) -> Signet {
    let authority = Authority::new("tests");
    authority.issue(&[SERVER]).write(directory);
    fs::write(directory.join("ca.crt"), &authority.pem).expect("a file in a new directory");
    let flags = ["cert=tls.crt", "key=tls.key"].map(|flag| {
        let (flag, file) = flag.split_once('=').expect("two");
        format!("--tls-{flag}={}", directory.join(file).display())
    });
    Signet::start_with(&flags.each_ref().map(String::as_str))
}

#[test]
fn no_panel_is_empty_under_load_and_every_rule_is_evaluated() {
    // Nobody takes the traces.
    let collector = format!("--otlp-endpoint=http://{}", free_addr());
    let signet = Signet::start_with_env(
        &[&collector, "--request-log=all"],
        &[("OTEL_TRACES_SAMPLER", "always_on"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "500")],
    );
    let work = TempDir::new().expect("a directory for temporary files");
    let other = with_tls(work.path());
    let prometheus = Prometheus::start(work.path(), &signet.operations_addr, &other.operations_addr);
    let mut load = Load::on(&signet);
    let begun = Instant::now();
    let mut open: Vec<_> = panels();
    assert!(open.len() > 30, "{}", open.len());
    let mut problems = Vec::new();
    while !open.is_empty() {
        assert!(begun.elapsed() < 2 * PATIENCE, "{}", problems.join("\n"));
        load.go_on();
        problems.clear();
        open.retain(|panel| {
            let problem = emptiness(&prometheus, panel);
            problems.extend(problem.clone());
            problem.is_some()
        });
    }
    let rules = prometheus.ask("/api/v1/rules");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules");
    assert!(rules.len() > 20, "{rules:?}");
    for rule in rules {
        assert_eq!((&rule["health"], &rule["lastError"]), (&json!("ok"), &Value::Null), "{rule}");
    }
}

/// What `panel` lacks, if it lacks something: each expression must have a number, and one of them another one than zero.
fn emptiness(prometheus: &Prometheus, panel: &Panel) -> Option<String> {
    let mut has_more = CALM.contains(&panel.title.as_str());
    for expression in &panel.expressions {
        let values = prometheus.values(&sent(expression));
        let numbers: Vec<_> = values.iter().filter(|value| value.is_finite()).collect();
        if numbers.is_empty() {
            return Some(format!("{}: {expression} has {values:?}", panel.title));
        }
        has_more |= numbers.iter().any(|value| **value != 0.0);
    }
    (!has_more).then(|| format!("{}: nothing but zeros", panel.title))
}

/// The metrics that `text` names.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let words = text.split(|char| !is_part(char));
    let begins =
        |word: &&str| ["signet_", "grpc_server_", "process_"].iter().any(|begin| word.starts_with(begin));
    words.filter(begins).map(str::to_owned).collect()
}

#[test]
fn every_metric_that_a_panel_or_an_alert_names_is_documented() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let document = fs::read_to_string(document).expect("a file of the repository");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let known: BTreeSet<_> = rows
        .flat_map(|(name, rest)| match rest.split(" | ").next() {
            Some("histogram") => {
                ["_bucket", "_count", "_sum"].iter().map(|end| format!("{name}{end}")).collect()
            }
            _ => vec![name.to_owned()],
        })
        .collect();
    let rules = fs::read_to_string(example("signet.rules.yaml")).expect("a file of the repository");
    let alerts =
        rules.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    let shown = panels().into_iter().flat_map(|panel| panel.expressions).collect::<Vec<_>>().join("\n");
    for (place, text) in [("signet.rules.yaml", &alerts), ("dashboard.json", &shown)] {
        let names = named(text);
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(
            names.len() > 20 && unknown.is_empty(),
            "{place} names {unknown:?}, which docs/METRICS.md has not"
        );
    }
}
