//! Owns moving over from a service as teams write them by hand: a table that SQLAlchemy made, with hashes that passlib, Django and
//! Werkzeug themselves wrote, in SQLite, or on the server that `SIGNET_TEST_DATABASE_URL` names.

use std::{fs, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    grpcurl,
    signet::Signet,
    support::database::TestDatabase,
    tools::{old_service, texts},
};

/// The old service's database, as Signet and as SQLAlchemy name it.
pub(crate) struct OldDatabase {
    pub(crate) url: String,
    pub(crate) sqlalchemy_url: String,
    _directory: TempDir,
    _server: Option<TestDatabase>,
}

impl OldDatabase {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let server = runtime.expect("a runtime").block_on(TestDatabase::empty());
        let directory = TempDir::new().expect("a directory for temporary files");
        let file = directory.path().join("old.db");
        let (url, sqlalchemy_url) = match server.as_ref().map(TestDatabase::url) {
            // The drivers that the environment has.
            Some(url) => {
                let driver = url.replacen("mysql:", "mysql+pymysql:", 1).replacen(
                    "postgres:",
                    "postgresql+psycopg:",
                    1,
                );
                (url, driver)
            }
            None => (format!("sqlite:{}", file.display()), format!("sqlite:///{}", file.display())),
        };
        Self { url, sqlalchemy_url, _directory: directory, _server: server }
    }

    /// Has the old service make its users, and returns them.
    fn users(&self) -> Vec<Value> {
        let tools = old_service();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/moving_over/old_service.py");
        let output = Command::new(tools.join("bin/python")).arg(script).arg(&self.sqlalchemy_url).output();
        let output = output.expect("Python runs");
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{stdout}{stderr}");
        stdout.lines().map(|line| serde_json::from_str(line).expect("a user a line")).collect()
    }
}

/// The hashes of all users of `signet`, in the order of their ids, as `users export` has them.
fn exported(signet: &Signet) -> String {
    signet.run(&["users", "export"])
}

#[test]
fn users_of_a_hand_written_service_log_in_with_their_old_passwords_and_are_rehashed() {
    let old = OldDatabase::new();
    let users = old.users();
    // Hashes as others made them, on threads that give way to everything else, on a machine that is busy with other tests.
    let signet = Signet::start_with(&["--request-timeout=5m"]);
    let import = ["users", "import", "--table=users", "--from"];
    let count = |answer: &Value, name: &str| answer[name].as_u64().expect("a count");

    let checked = signet.operate(&[&import[..], &[&old.url, "--dry-run"]].concat());
    assert_eq!(count(&checked, "added"), users.len() as u64);
    assert_eq!(exported(&signet), "", "a dry run writes nothing");
    // The URL as the old service had it.
    let imported = signet.operate(&[&import[..], &[&old.sqlalchemy_url]].concat());
    assert_eq!(count(&imported, "added"), users.len() as u64);

    let log_in = |user: &Value, password: &str| {
        let grant = json!({ "password": { "username": user["username"], "password": password } });
        grpcurl::call(&signet, None, "IssueToken", &grant)
    };
    for user in &users {
        let password = user["password"].as_str().expect("a password");
        let wrong = log_in(user, &password[1..]).expect_err("a wrong password");
        assert_eq!(wrong.reason(), "INVALID_CREDENTIALS", "{user}");
        let answer = log_in(user, password);
        if user["is_active"] == true {
            let answer = answer.unwrap_or_else(|refusal| panic!("{user}: {refusal:?}"));
            assert!(answer["accessToken"].is_string(), "{user}");
            log_in(user, password).expect("the new hash is of the same password");
        } else {
            assert_eq!(answer.expect_err("disabled there, disabled here").reason(), "INVALID_CREDENTIALS");
        }
    }
    let after = exported(&signet);
    for line in after.lines() {
        let user: Value = serde_json::from_str(line).expect("a user a line");
        let hash = user["password_hash"].as_str().expect("a hash");
        // What costs at least as much as Signet's own stays.
        let costs_more = ["$argon2id$v=19$m=4096,t=1,", "$argon2id$v=19$m=102400,t=2,"];
        let is_kept = costs_more.iter().any(|costly| hash.starts_with(costly));
        assert_eq!(
            is_kept,
            ["argon2", "django.argon2"].contains(&user["username"].as_str().expect("a name")),
            "{user}"
        );
        let is_ours = hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$");
        assert_eq!(is_ours, user["is_active"] == true && !is_kept, "{user}");
    }

    let again = signet.operate(&[&import[..], &[&old.url]].concat());
    assert_eq!(count(&again, "skipped") + count(&again, "already_there"), users.len() as u64);
    assert_eq!(exported(&signet), after, "a second run changes nothing");
    let file = signet.data_dir().join("export.ndjson");
    fs::write(&file, &after).expect("a new file");
    let other = Signet::start();
    let taken_back = other.operate(&["users", "import", &file.display().to_string()]);
    assert_eq!(count(&taken_back, "added"), users.len() as u64);
    assert_eq!(exported(&other), after, "and what is written out is taken back the same");
}
