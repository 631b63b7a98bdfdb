//! Owns the way of a team from its model service, which `FastAPI`, SQLAlchemy and passlib make, to Signet: what its clients get before and
//! after, and what docs/MIGRATING.md tells it to do. In SQLite, or on the server that `SIGNET_TEST_DATABASE_URL` names.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    moving_over::OldDatabase,
    signet::Signet,
    support::{
        ports::free_addr,
        runner::{Invocation, Process},
    },
    tools::{chromium, old_service, web_client},
};

const MIGRATING: &str = include_str!("../../docs/MIGRATING.md");

const PASSWORD: &str = "correct horse battery";

/// passlib 1.7.4 of "correct horse battery staple".
const ANOTHER_HASH: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";

/// The options that step 3 of docs/MIGRATING.md starts with.
const WITHOUT_SIGN_UP: &str = "--model-api on --sign-up off";

/// The model service, running. It ends with the test.
struct ModelService {
    url: String,
    _process: Process,
}

impl ModelService {
    /// One on `database`, which pages of `origin` may call.
    fn start(database: &OldDatabase, origin: &str) -> Self {
        let service = Invocation::of(python()).args([source("moving_over/model_service.py")]);
        let mut process = service.args([&*database.sqlalchemy_url, origin]).start();
        let port = process.line_now().unwrap_or_else(|| panic!("{}", process.log()));
        Self { url: format!("http://127.0.0.1:{port}"), _process: process }
    }
}

fn python() -> PathBuf {
    old_service().join("bin/python")
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path)
}

fn signet_at(signet: &Signet) -> String {
    format!("http://{}", signet.http_addr)
}

/// What the client script gets from the service at `url`, a line for each answer.
fn answers(url: &str, username: &str) -> Vec<Value> {
    let script = Invocation::of(python()).args([source("moving_over/model_client.py")]);
    script.args([url, username]).run_now().succeeded().objects()
}

/// The block of docs/MIGRATING.md that begins with `first`, without its indentation.
fn documented(first: &str) -> String {
    let mut lines = MIGRATING.lines().skip_while(|line| line.trim() != first).peekable();
    let begin =
        lines.peek().unwrap_or_else(|| panic!("docs/MIGRATING.md has no block that begins with {first}"));
    let indentation = &begin[..begin.len() - first.len()];
    let block =
        lines.map_while(|line| line.strip_prefix(indentation).or_else(|| line.is_empty().then_some("")));
    block.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_client_gets_from_signet_what_it_got_from_the_service_that_it_was_written_for() {
    let database = OldDatabase::new();
    let service = ModelService::start(&database, "http://localhost");
    let signet = Signet::start_with(&["--model-api=on", "--request-timeout=5m"]);
    let (before, after) = (answers(&service.url, "alice"), answers(&signet_at(&signet), "alice"));
    assert_eq!(before.len(), after.len());
    for (mut before, after) in before.into_iter().zip(after) {
        // The one difference: ids are texts.
        if before["body"]["id"] == "int" {
            before["body"]["id"] = json!("str");
        }
        assert_eq!(after, before);
    }
}

#[test]
fn a_team_moves_over_as_the_documents_say() {
    let place = TempDir::new().expect("a directory for temporary files");
    let file = |name: &str| place.path().join(name).display().to_string();
    let database = OldDatabase::new();
    let service = ModelService::start(&database, "http://localhost");
    assert_eq!(step("sign_up", &[&service.url]), "200");
    let old_token = step("log_in", &[&service.url]);

    // 1 to 3: the users come over, and nobody else comes.
    assert!(MIGRATING.contains(&format!("signet {WITHOUT_SIGN_UP} ")));
    let flags: Vec<_> = WITHOUT_SIGN_UP.split(' ').chain(["--request-timeout=5m"]).collect();
    let signet = Signet::start_with(&flags);
    fs::write(file("old-database-url"), &database.sqlalchemy_url).expect("a new file");
    assert_eq!(import(&signet, place.path(), "ids.ndjson")["added"], 1);

    // Everybody logs in with the old password, by the old path.
    let token = step("log_in", &[&signet_at(&signet)]);
    let me: Value = serde_json::from_str(&step("me", &[&signet_at(&signet), &token])).expect("JSON");
    assert_eq!((&me["username"], &me["is_active"]), (&json!("alice"), &json!(true)));

    // Services take tokens of both, and nothing else.
    let keys = format!("{}/.well-known/jwks.json", signet_at(&signet));
    let verify = documented("import jwt").replace("http://127.0.0.1:8080/.well-known/jwks.json", &keys);
    fs::write(file("verify.py"), verify).expect("a new file");
    let told = step("verify", &[&place.path().display().to_string(), &old_token, &token]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told, json!({ "old": { "username": "alice" }, "new": me["id"] }));

    // 4: whoever has signed up meanwhile comes over, and only then may anybody take a name here. The operator has given one away.
    for name in ["carol", "dan"] {
        assert_eq!(step("sign_up", &[&service.url, name]), "200");
        assert_eq!(step("sign_up", &[&signet_at(&signet), name]), "403");
    }
    let namesake = json!({ "username": "dan", "password_hash": ANOTHER_HASH, "is_active": true });
    fs::write(file("namesake.ndjson"), namesake.to_string()).expect("a new file");
    assert_eq!(signet.operate(&["users", "import", &file("namesake.ndjson")])["added"], 1);
    let second = import(&signet, place.path(), "ids-2.ndjson");
    assert_eq!((&second["added"], &second["skipped"]), (&json!(1), &json!(2)), "{second}");
    let signet = signet.restarted_with(&["--model-api=on"]);
    assert_eq!(step("sign_up", &[&signet_at(&signet), "carol"]), "400");
    assert_eq!(step("sign_up", &[&signet_at(&signet), "erin"]), "200");

    // 5: what refers to users gets their new ids; what is of a user whose name is another's here gets none.
    map_ids(&database, place.path());
    let carol = signet.operate(&["users", "show", "carol"]);
    let orders = step("orders", &[&database.sqlalchemy_url]);
    let orders: Vec<Value> =
        orders.lines().map(|line| serde_json::from_str(line).expect("an order a line")).collect();
    let expected = [("alice", &me["id"]), ("carol", &carol["id"]), ("dan", &Value::Null)];
    assert_eq!(orders, expected.map(|(name, id)| json!({ "username": name, "user_uuid": id })));
}

/// Imports the users of the old service, as docs/MIGRATING.md says, with a map of ids that is called `ids`; returns the answer.
fn import(signet: &Signet, place: &Path, ids: &str) -> Value {
    let file = |name: &str| place.join(name).display().to_string();
    let command = format!("signet users import --from-file old-database-url --table users --id-map {ids}");
    assert!(MIGRATING.contains(&command));
    let command = command.replace("old-database-url", &file("old-database-url")).replace(ids, &file(ids));
    signet.operate(&command.split(' ').skip(1).collect::<Vec<_>>())
}

/// What a step of the team prints.
fn step(name: &str, arguments: &[&str]) -> String {
    let steps = Invocation::of(python()).args([source("moving_over/model_steps.py")]);
    steps.args([name]).args(arguments).run_now().succeeded().stdout.trim().to_owned()
}

/// Has the database map the ids, as the documents say, by the maps of both imports in `place`.
fn map_ids(database: &OldDatabase, place: &Path) {
    let (begin, program): (_, fn(&OldDatabase) -> Invocation) = match &database.url {
        url if url.starts_with("postgres") => {
            ("CREATE TABLE signet_ids (source_id text PRIMARY KEY, id uuid NOT NULL);", psql)
        }
        url if url.starts_with("mysql") => {
            ("CREATE TABLE signet_ids (source_id varchar(255) PRIMARY KEY, id char(36) NOT NULL);", mysql)
        }
        _ => ("CREATE TABLE signet_ids (source_id TEXT PRIMARY KEY, id TEXT NOT NULL);", sqlite),
    };
    program(database).within(place).stdin(&documented(begin)).run_now().succeeded();
}

fn psql(database: &OldDatabase) -> Invocation {
    Invocation::of("psql").args(["--set=ON_ERROR_STOP=1", "--quiet", &database.url])
}

fn mysql(database: &OldDatabase) -> Invocation {
    let url = url::Url::parse(&database.url).expect("a URL");
    let port = url.port().unwrap_or(3306).to_string();
    let arguments =
        ["--local-infile=1", "--protocol=tcp", "--host", url.host_str().expect("a host"), "--port", &port];
    Invocation::of("mysql")
        .args(arguments)
        .args(["--user", url.username(), url.path().trim_start_matches('/')])
        .env("MYSQL_PWD", url.password().unwrap_or_default())
}

fn sqlite(database: &OldDatabase) -> Invocation {
    let file = database.url.trim_start_matches("sqlite:");
    Invocation::of(python()).args([source("moving_over/model_steps.py")]).args(["sqlite", file])
}

#[test]
fn swagger_ui_logs_in_by_its_own_dialogue() {
    let origin = format!("http://{}", free_addr());
    let database = OldDatabase::new();
    let service = ModelService::start(&database, &origin);
    let signet = Signet::start_with(&["--model-api=on", &format!("--web-origins={origin}")]);
    let place = TempDir::new().expect("a directory for temporary files");
    fs::copy(source("web/swagger_ui.mjs"), place.path().join("swagger_ui.mjs"))
        .expect("a source can be copied");
    symlink(web_client().join("node_modules"), place.path().join("node_modules")).expect("a new name");
    let chromium = chromium().display().to_string();
    for url in [&service.url, &signet_at(&signet)] {
        assert_eq!(step("sign_up", &[url]), "200");
        let page =
            Invocation::of(web_client().join("bin/node")).args(["swagger_ui.mjs"]).within(place.path());
        let page = page.envs([("BROWSER", &*chromium), ("ORIGIN", &origin), ("SPEC_URL", &service.url)]);
        let page = page.envs([("TARGET_URL", &**url), ("NAME", "alice"), ("PASSWORD", PASSWORD)]);
        let told = page.run_now().succeeded().object();
        let (status, me) = (&told["status"], &told["body"]);
        assert_eq!(
            (status, &me["username"], &me["is_active"]),
            (&json!(200), &json!("alice"), &json!(true)),
            "{told}"
        );
    }
}
