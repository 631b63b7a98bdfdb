//! Owns what `signet dev` promises: the users, clients and roles of a file, tokens that verify, and nothing that is left.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use signet::{
    auth::{Caller, ResourceServer, ResourceServerSettings},
    model::Error,
};
use tokio::task::JoinSet;

use crate::{
    client::{Client, PASSWORD, reason},
    harness::Place,
    support::runner::{Invocation, Process},
};

const FILE: &str = "
users:
  - name: alice
    password: correct horse
    roles: {stock: [picker], signet: [auditor]}
    groups: [night]
  - {name: bob, id: 01900000-0000-7000-8000-00000000000b}
clients:
  - {name: orders, scopes: [stock.read], audiences: [stock], secret: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}
  - {name: page, public: true, scopes: [stock.read], audiences: [stock]}
  - {name: billing, secret: 'env:NOT_SET_ANYWHERE'}
roles:
  - {name: picker, audience: stock, scopes: [stock.pick]}
  - {name: watcher, audience: stock, scopes: [stock.watch]}
bindings:
  - {role: watcher, audience: stock, group: night}
";

/// Whose secret the file says.
const SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The service that runs, and what it has told.
struct Dev {
    process: Process,
    started: Value,
    tokens: Vec<Value>,
}

impl Dev {
    async fn of(invocation: Invocation) -> Self {
        let mut process = invocation.args(["--json"]).start();
        let mut lines = Vec::new();
        loop {
            let line = process.line().await.unwrap_or_else(|| panic!("it ended: {}", process.log()));
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["kind"] == "ready" {
                break;
            }
            lines.push(line);
        }
        let started = lines.remove(0);
        assert_eq!((&started["kind"], &started["not_for_production"]), (&json!("started"), &json!(true)));
        Self { process, started, tokens: lines }
    }

    /// Of whom each token is, and where.
    fn holders(&self) -> Vec<(&str, &str, &str)> {
        let member = |at: usize, name: &str| self.tokens[at][name].as_str().unwrap();
        let of = |at| (member(at, "kind"), member(at, "name"), member(at, "audience"));
        (0..self.tokens.len()).map(of).collect()
    }

    fn token(&self, name: &str, audience: &str) -> &Value {
        let is_it = |line: &&Value| line["name"] == name && line["audience"] == audience;
        self.tokens.iter().find(is_it).unwrap_or_else(|| panic!("{name} at {audience}: {:?}", self.tokens))
    }

    fn text(&self, name: &str) -> &str {
        self.started[name].as_str().unwrap()
    }

    async fn client(&self) -> Client {
        Client::connect(self.text("grpc_addr").parse().unwrap()).await
    }

    /// Whom `token` proves to a service that is called `audience` and knows what was printed alone.
    async fn recognise(&self, token: &str, audience: &str) -> Result<Caller, Error> {
        let mut settings = ResourceServerSettings::new(self.text("issuer"), audience);
        settings.jwks_uri = Some(self.text("jwks_uri").to_owned());
        let server = ResourceServer::start(settings).unwrap();
        server.ready().await;
        server.authenticator().recognise(token, audience).await
    }
}

/// `signet dev` with `args`, whose temporary files would be in the folder `tmp`.
fn dev(place: &Place, args: &[&str]) -> Invocation {
    fs::create_dir_all(place.path("tmp")).unwrap();
    let tmp = place.path("tmp").display().to_string();
    let args = [&["dev"], args].concat();
    place.signet(&args).without_env("SIGNET_ISSUER").envs([("TMPDIR", &*tmp), ("SQLITE_TMPDIR", &*tmp)])
}

/// All that is below `path`.
fn all_below(path: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        all.push(path.display().to_string());
        if path.is_dir() {
            all.extend(all_below(&path));
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn the_tokens_that_are_printed_verify_by_what_is_printed_and_nothing_is_left() {
    let place = Place::new();
    let file = place.write("dev.yaml", FILE);
    let invocation = dev(&place, &["--file", &file]);
    let before = all_below(&place.path("."));
    let mut dev = Dev::of(invocation).await;
    assert_eq!(
        dev.holders(),
        [
            ("user", "alice", "stock"),
            ("user", "alice", "signet"),
            ("user", "bob", "stock"),
            ("client", "orders", "stock"),
            ("client", "billing", "signet"),
        ]
    );
    let of = |name, audience| dev.token(name, audience)["access_token"].as_str().unwrap();
    let alice = dev.recognise(of("alice", "stock"), "stock").await.unwrap();
    assert!(alice.claims().has_scope("stock.pick") && alice.claims().has_scope("stock.watch"), "{alice:?}");
    assert_eq!(
        (&alice.claims().roles, &alice.claims().groups),
        (&Some(names(&["picker", "watcher"])), &names(&["night"]))
    );
    assert_eq!(alice.claims().sub.to_string(), dev.token("alice", "stock")["id"]);
    let lifetime = alice.claims().exp - alice.claims().iat;
    assert_eq!(
        (lifetime, &dev.token("alice", "stock")["scope"]),
        (12 * 60 * 60, &json!(alice.claims().scope))
    );
    let bob = dev.recognise(of("bob", "stock"), "stock").await.unwrap();
    assert_eq!(
        (bob.claims().sub.to_string().as_str(), &*bob.claims().scope),
        ("01900000-0000-7000-8000-00000000000b", "")
    );
    let orders = dev.recognise(of("orders", "stock"), "stock").await.unwrap();
    assert_eq!(
        (&*orders.claims().scope, &dev.token("orders", "stock")["secret"]),
        ("stock.read", &json!(SECRET))
    );
    assert_eq!(
        dev.token("billing", "signet")["secret"].as_str().unwrap().len(),
        43,
        "one is made where none is found"
    );
    let admin = dev.recognise(of("alice", "signet"), "signet").await.unwrap();
    assert!(
        admin.claims().has_scope("signet.audit.read") && admin.claims().has_scope("profile"),
        "{admin:?}"
    );
    assert!(dev.recognise(of("orders", "stock"), "orders").await.is_err(), "for another audience");

    let client = dev.client().await;
    assert_eq!(client.get_me(of("alice", "signet")).await.unwrap().username, "alice");
    client.log_in("alice", "correct horse").await.unwrap();
    assert_eq!(reason(&client.log_in("alice", "another horse").await), "INVALID_CREDENTIALS");
    assert_eq!(all_below(&place.path(".")), before, "while it runs");
    let ended = dev.process.stop_now();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(all_below(&place.path(".")), before);
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn each_start_has_keys_of_its_own_and_the_same_ids() {
    let place = Place::new();
    let file = place.write("dev.yaml", FILE);
    let first = Dev::of(dev(&place, &["-f", &file])).await;
    let second = Dev::of(dev(&place, &["-f", &file])).await;
    assert_ne!(first.started["signing_key"], second.started["signing_key"]);
    for (name, audience) in [("alice", "stock"), ("bob", "stock"), ("orders", "stock"), ("billing", "signet")]
    {
        let (one, other) = (first.token(name, audience), second.token(name, audience));
        assert_eq!(one["id"], other["id"], "{name}");
        let token = one["access_token"].as_str().unwrap();
        first.recognise(token, audience).await.unwrap();
        assert!(second.recognise(token, audience).await.is_err(), "{name}");
    }
    // Each is a service of its own.
    let (client, other) = (first.client().await, second.client().await);
    client.sign_up("carol").await.unwrap();
    assert_eq!(reason(&other.log_in("carol", PASSWORD).await), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn it_serves_this_machine_alone_and_keeps_nothing() {
    let place = Place::new();
    let beyond = "is reached from other machines: `signet dev` serves this one alone";
    let kept = "means nothing to `signet dev`";
    for (args, problem) in [
        (&["--grpc-addr=0.0.0.0:0"][..], beyond),
        (&["--http-addr=[::]:0"], beyond),
        (&["--http-addr=192.0.2.1:8080"], beyond),
        (&["--operations-addr=0.0.0.0:0"], beyond),
        (&["--admin-addr=0.0.0.0:0", "--admin-plaintext=on"], beyond),
        (&["--admin-addr=0.0.0.0:0"], "is reached from other machines"),
        (&["--ext-authz=on", "--ext-authz-addr=0.0.0.0:0"], beyond),
        (&["--database-url=sqlite:kept.db"], kept),
        (&["--bootstrap=dev.yaml"], kept),
        (&["--audit-log=./audit.log"], kept),
        (&["--tls-cert=cert.pem", "--tls-key=key.pem"], kept),
        (&["--token-lifetime=25h"], "between 1s and 1day"),
        (&["nobody"], "no file names a user or a client `nobody`"),
    ] {
        let invocation = dev(&place, args);
        let before = all_below(&place.path("."));
        let refused = invocation.run().await;
        assert!(refused.failed(2).contains(problem), "{args:?}: {refused:?}");
        assert_eq!(all_below(&place.path(".")), before, "{args:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_meant_is_refused_with_the_place() {
    let place = Place::new();
    for (text, problem) in [
        ("usres: []", "dev.yaml:1:1: unknown field `usres`: is `users` meant?"),
        ("users: [{name: a b, password: correct horse}]", "the user `a b`: "),
        ("users: [{name: alice, password: short}]", "the user `alice`: "),
        ("users: [{name: alice}, {name: alice}]", "the user `alice`: "),
        ("users: [{name: alice, roles: {stock: [boss]}}]", "`boss`"),
        ("clients: [{name: a, secret: hunter2}]", "has not the form of one that Signet makes"),
        ("roles: [{name: a, scopes: [signet.b]}]", "signet.b"),
    ] {
        let file = place.write("dev.yaml", text);
        let refused = dev(&place, &["--file", &file]).run().await;
        assert_eq!((refused.code, &*refused.stdout), (Some(2), ""), "{text}: {refused:?}");
        let said = refused.stderr.lines().find(|line| line.starts_with("signet: "));
        assert!(said.is_some_and(|said| said.contains(problem)), "{text}: {refused:?}");
    }
    let refused = dev(&place, &["--file", "missing.yaml"]).run().await;
    assert!(refused.failed(1).contains("missing.yaml"), "{refused:?}");
}

#[tokio::test]
async fn people_are_told_what_it_is_for_and_of_those_whom_they_name() {
    let place = Place::new();
    let file = place.write("dev.yaml", FILE);
    let mut process = dev(&place, &["--file", &file, "--token-lifetime", "10m", "bob"]).start();
    let mut said = String::new();
    while !said.contains("Ready.") {
        said.push_str(&process.line().await.expect("it serves"));
        said.push('\n');
    }
    assert!(said.starts_with("FOR TESTS ALONE, NEVER FOR PRODUCTION"), "{said}");
    for part in ["\nIssuer:      http://127.0.0.1:", "/.well-known/jwks.json\n", "\ngRPC:        127.0.0.1:"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("user bob (01900000-0000-7000-8000-00000000000b) at stock"), "{said}");
    assert!(!said.contains("alice") && !said.contains("orders"), "{said}");
    process.signal("INT");
    let ended = process.finish().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Whoever tests with the manifest of production may have its secrets at hand: they count, and no log of a test shows them.
#[tokio::test]
async fn a_secret_that_stands_elsewhere_counts_and_is_not_printed() {
    let place = Place::new();
    let other = format!("B{}", &SECRET[1..]);
    let path = place.write("secret", &format!("{other}\n"));
    let (of_env, of_file) = ("env:OF_A".to_owned(), format!("file:{path}"));
    let clients = format!("clients: [{{name: a, secret: '{of_env}'}}, {{name: b, secret: '{of_file}'}}]");
    let file = place.write("dev.yaml", &clients);
    let dev = Dev::of(dev(&place, &["--file", &file]).envs([("OF_A", SECRET)])).await;
    let client = dev.client().await;
    for (name, secret, from) in [("a", SECRET, &of_env), ("b", &other, &of_file)] {
        let told = dev.token(name, "signet");
        assert_eq!((&told["secret"], &told["secret_from"]), (&Value::Null, &json!(from)));
        client.own_token(told["id"].as_str().unwrap(), secret).await.unwrap();
    }
}

#[tokio::test]
async fn many_who_call_at_once_get_their_answers_from_memory() {
    let place = Place::new();
    let file = place.write("dev.yaml", FILE);
    let dev = Dev::of(dev(&place, &["--file", &file, "alice"])).await;
    let mut callers = JoinSet::new();
    for number in 0..24 {
        let client = dev.client().await;
        callers.spawn(async move {
            let name = format!("user-{number}");
            client.sign_up(&name).await.unwrap();
            for _ in 0..3 {
                let opened = client.open_session(&name, PASSWORD).await.unwrap();
                assert_eq!(client.get_me(&opened.access_token).await.unwrap().username, name);
                client.refresh(&opened.refresh_token.unwrap()).await.unwrap();
            }
        });
    }
    let all = async {
        while let Some(called) = callers.join_next().await {
            called.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all).await.expect("nobody waits for ever");
    let mut process = dev.process;
    let ended = process.stop_now();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
}
