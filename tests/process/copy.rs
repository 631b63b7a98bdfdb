//! Owns what `signet copy` promises: everything comes over or the target counts as unfinished, wherever it is killed, and the service goes
//! on there.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, atomic::Ordering},
};

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::{Value, json};
use signet::{
    proto::identity::{
        admin::v1::{CreateGroupRequest, Group, group_service_client::GroupServiceClient},
        v1::{IssueTokenRequest, PasswordGrant, issue_token_request::Grant},
    },
    store::COPIED,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    client::{Client, PASSWORD, reason, with_token},
    gate::Gate,
    harness::{Invocation, Place, Service},
    policies::{rule_of, rules_file},
};

/// Before how many messages one is killed, and before which first: another one for each number of migrations, so that in time it is each.
const APART: usize = 16;

/// How many are killed at the same time.
const AT_ONCE: usize = 4;

/// What is about the database or the processes that use it, and not copied.
const NOT_COPIED: [&str; 6] =
    ["built_indexes", "changes", "copies", "feed_marks", "leases", "seaql_migrations"];

/// What the commands show of a database.
const LISTS: [&[&str]; 9] = [
    &["users", "list"],
    &["clients", "list"],
    &["roles", "list"],
    &["groups", "list"],
    &["bindings", "list"],
    &["audiences", "list"],
    &["attributes", "list"],
    &["keys", "list"],
    &["policy", "list"],
];

/// Where a copy is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// When it is about to send its message after so many.
    After(usize),
    /// When it is about to write the first rows of the table.
    Before(&'static str),
}

/// Has alice, who is an admin, make a group by the admin API, by a request that has an id.
async fn make_group_by_request(service: &Service, client: &Client) {
    let password = PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() };
    let scope = "signet.groups.write".to_owned();
    let grant = Some(Grant::Password(password));
    let login =
        client.issue(IssueTokenRequest { grant, scope, ..IssueTokenRequest::default() }).await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", service.admin_addr())).unwrap();
    let request = CreateGroupRequest {
        group: Some(Group { name: "dawn".to_owned(), ..Group::default() }),
        request_id: "01890000-0000-7000-8000-000000000001".to_owned(),
        ..CreateGroupRequest::default()
    };
    let mut groups = GroupServiceClient::new(channel.connect().await.unwrap());
    groups.create_group(with_token(request, &login.access_token)).await.unwrap();
}

/// A database with something in each table, which nobody uses any more; and a refresh token of alice's.
async fn filled() -> (Place, String) {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    for name in ["alice", "bob", "zoë", "gone"] {
        client.sign_up(name).await.unwrap();
    }
    // The name of an account that is older than a day rests when it is deleted.
    let db = place.connect().await;
    db.execute_unprepared("UPDATE users SET create_time = create_time - 172800000000").await.unwrap();
    place.write("dusk.yaml", "set: dusk\ngroups:\n  - name: dusk\n");
    let opened = client.open_session("alice", PASSWORD).await.unwrap();
    assert_eq!(reason(&client.log_in("bob", "wrong wrong").await), "INVALID_CREDENTIALS");
    let rules = rules_file(&place, "stock.binpb", &rule_of("", "Reserve", "public: {}"));
    for args in [
        &["attributes", "create", "team"][..],
        &["users", "update", "alice", "--set-attribute", "team=blue", "--display-name", "Älice"],
        &["users", "disable", "zoë"],
        &["users", "reset-password", "bob"],
        &["clients", "create", "billing", "--scope", "reports.read", "--allow-audience", "orders"],
        &["roles", "create", "desk", "--audience", "orders", "--scope", "reports.read"],
        &["groups", "create", "night"],
        &["groups", "add", "night", "--user", "alice"],
        &["roles", "bind", "desk", "--audience", "orders", "--group", "night"],
        &["audiences", "add-owner", "orders", "--group", "night"],
        &["roles", "bind", "admin", "--user", "alice"],
        &["users", "delete", "gone"],
        &["apply", "-f", "dusk.yaml", "--yes"],
        &["keys", "rotate"],
        &["policy", "push", "--service", "stock", "--version", "v1", &rules],
    ] {
        place.run(args).await.succeeded();
    }
    make_group_by_request(&service, &client).await;
    service.stop().await;
    // What a client's signed assertion leaves.
    let used = "INSERT INTO client_assertions (hash, expire_time) VALUES (randomblob(32), 4000000000000000)";
    db.execute_unprepared(used).await.unwrap();
    db.close().await.unwrap();
    (place, opened.refresh_token.unwrap())
}

impl Place {
    /// Another place with a copy of the embedded database, and its master key.
    fn twin(&self) -> Self {
        let other = Self::new();
        fs::create_dir(other.data("")).unwrap();
        for entry in fs::read_dir(self.data("")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, other.data("").join(path.file_name().unwrap())).unwrap();
        }
        other
    }

    /// `signet copy` of this one to `url`.
    fn copied_to(&self, url: &str) -> Invocation {
        let url = self.write("to", url);
        self.signet(&["copy", "--to-file", &url])
    }

    /// `signet` with `args` on this one, with the master key of `source`.
    fn with_key_of(&self, source: &Self, args: &[&str]) -> Invocation {
        let key = source.data("master.key").display().to_string();
        self.signet(args).without_env("SIGNET_MASTER_KEY").env("SIGNET_MASTER_KEY_FILE", &key)
    }
}

async fn count(db: &DatabaseConnection, table: &str) -> i64 {
    let count = Statement::from_string(db.get_database_backend(), format!("SELECT count(*) FROM {table}"));
    db.query_one_raw(count).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// Marks `target` as `source` does before it looks whether there is anything in it.
async fn mark_as_begun(source: &Place, target: &Place) {
    let (of_source, db) = (source.connect().await, target.connect().await);
    let identity = "SELECT place FROM copies WHERE direction = 'identity'";
    let identity = Statement::from_string(of_source.get_database_backend(), identity);
    let identity = of_source.query_one_raw(identity).await.unwrap().unwrap();
    let identity = identity.try_get_by_index::<String>(0).unwrap();
    let path = source.data("signet.db").canonicalize().unwrap();
    let mark = format!("{} ({identity})", path.display());
    let mark = format!("INSERT INTO copies (direction, place, create_time) VALUES ('from', '{mark}', 0)");
    db.execute_unprepared(&mark).await.unwrap();
    of_source.close().await.unwrap();
    db.close().await.unwrap();
}

/// What a target has of `rows`, once they are copied: the event that tells of it is there alone.
fn once_copied(mut rows: BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    *rows.get_mut("audit_events").unwrap() += 1;
    rows
}

/// How many rows each copied table has; the tables are those of SQLite.
async fn rows(source: &Place, place: &Place) -> BTreeMap<String, i64> {
    let (of_source, db) = (source.connect().await, place.connect().await);
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let tables = Statement::from_string(of_source.get_database_backend(), tables);
    let tables = of_source.query_all_raw(tables).await.unwrap();
    let mut rows = BTreeMap::new();
    for table in tables.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()) {
        if !NOT_COPIED.contains(&&*table) {
            rows.insert(table.clone(), count(&db, &table).await);
        }
    }
    of_source.close().await.unwrap();
    db.close().await.unwrap();
    rows
}

#[tokio::test]
async fn the_service_goes_on_where_everything_was_copied_to() {
    let target = Place::on_database().await;
    if target.is_embedded() {
        return refuses_what_is_no_server().await;
    }
    let (source, refresh) = filled().await;
    let url = target.database_url();
    let refused = source.copied_to(&url).run().await;
    assert!(refused.failed(2).contains("run `signet migrate up` with it"), "{refused:?}");
    target.run(&["migrate", "up"]).await.succeeded();
    let wrong = source.copied_to(&url).env("SIGNET_MASTER_KEY", &"0f".repeat(32)).run().await;
    assert!(wrong.failed(2).contains("it was sealed with another one"), "{wrong:?}");
    let service = source.serve(&[]).await;
    let used = source.copied_to(&url).run().await;
    assert!(used.failed(1).contains("a service or another command has it open"), "{used:?}");
    service.stop().await;

    let before = rows(&source, &source).await;
    let empty: Vec<_> = before.iter().filter(|(_, rows)| **rows == 0).map(|(table, _)| table).collect();
    assert!(empty.is_empty(), "nothing is in {empty:?}");
    let copied = source.copied_to(&url).args(["--json"]).run().await.succeeded().object();
    assert_eq!(rows(&source, &source).await, before, "nothing is written to what is left");
    let expected = once_copied(before.clone());
    assert_eq!(copied["users"], json!(3));
    assert_eq!(copied["rows"], json!(before.values().sum::<i64>()));
    assert_eq!(copied["sealed"], json!(3), "two signing keys, and the key of names");
    assert!(!copied["target"].as_str().unwrap().contains("app:app"), "no password: {copied}");
    assert_eq!(rows(&source, &target).await, expected);
    let told = ["audit", "list", "--event", "database.copied", "--json"];
    assert_eq!(target.with_key_of(&source, &told).run().await.succeeded().objects().len(), 1);
    for list in LISTS {
        let args = [list, &["--json"]].concat();
        let here = source.run(&args).await.succeeded().objects();
        let there = target.with_key_of(&source, &args).run().await.succeeded().objects();
        assert_eq!(here, there, "{list:?}");
        assert!(!here.is_empty(), "{list:?}");
    }

    let moved = source.signet(&["serve"]).run().await;
    assert!(moved.failed(2).contains("was copied to") && moved.stderr.contains("serve --force"), "{moved:?}");
    assert!(source.run(&["keys", "rotate"]).await.failed(2).contains("was copied to"));
    source.run(&["users", "list"]).await.succeeded();
    source.serve(&["serve", "--force"]).await.stop().await;
    let again = source.copied_to(&url).run().await;
    assert!(again.failed(2).contains("was copied to"), "{again:?}");
    let again = source.copied_to(&url).args(["--force"]).run().await;
    assert!(again.failed(2).contains("is not empty: there are rows in the table users"), "{again:?}");
    target.with_key_of(&source, &["users", "list"]).run().await.succeeded();
    // Cut off while it was looked whether the target is empty, it had found nothing out.
    mark_as_begun(&source, &target).await;
    let again = source.copied_to(&url).args(["--force"]).run().await;
    assert!(again.failed(2).contains("is not empty: there are rows in the table users"), "{again:?}");
    assert_eq!(rows(&source, &target).await, expected, "and nothing was deleted");

    let service = target.with_key_of(&source, &[]).serve().await;
    let client = service.client().await;
    let renewed = client.refresh(&refresh).await.expect("the session goes on");
    client.get_me(&renewed.access_token).await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
    client.sign_up("carol").await.unwrap();
    assert_eq!(reason(&client.sign_up("alice").await), "USERNAME_TAKEN");
    let rotated = target.with_key_of(&source, &["keys", "rotate", "--now", "--json"]).run().await;
    let kid = rotated.succeeded().object()["kid"].as_str().unwrap().to_owned();
    assert!(client.published_kids().await.contains(&kid));
    client.get_me(&client.log_in("carol", PASSWORD).await.unwrap()).await.unwrap();
    client.get_me(&renewed.access_token).await.expect("the key before verifies on");
    service.stop().await;
}

/// What is said where the tests have no server.
async fn refuses_what_is_no_server() {
    let place = Place::new();
    let nothing = place.signet(&["copy", "--to", "postgres://localhost/signet"]).run().await;
    assert!(nothing.failed(2).contains("there is no database in ./signet-data"), "{nothing:?}");
    assert!(!place.has_data(), "nothing is made");
    place.create_user("alice").await;
    for url in ["sqlite:other.db", "redis://localhost/0", ""] {
        let refused = place.signet(&["copy", "--to", url]).run().await;
        let said = refused.failed(2);
        assert!(said.contains("--to") && !said.contains("sqlite:PATH"), "{refused:?}");
    }
    let away = place.signet(&["copy", "--to", "postgres://u:hunter2@127.0.0.1:1/signet"]).run().await;
    let said = away.failed(69);
    assert!(said.contains("127.0.0.1:1") && !said.contains("hunter2"), "{away:?}");
    let missing = place.run(&["copy"]).await;
    assert!(missing.failed(2).contains("--to"), "{missing:?}");
    place.serve(&[]).await.stop().await;
    let newer = place.twin();
    newer.note_migrations(&["m29990101_000099_pets"]).await;
    let refused = newer.run(&["copy", "--to=postgres://localhost/signet"]).await;
    let said = refused.failed(2);
    assert!(
        said.contains("m29990101_000099_pets") && said.contains("copy it by that version"),
        "{refused:?}"
    );
    let elsewhere = ["copy", "--to=postgres://localhost/b", "--database-url=postgres://localhost/a"];
    let refused = place.signet(&elsewhere).env("SIGNET_MASTER_KEY", &"0f".repeat(32)).run().await;
    assert!(refused.failed(2).contains("is a database server"), "{refused:?}");
}

/// Kills a copy of `source` to `target`; false if it had been done by then.
async fn is_killed(kill: Kill, source: &Place, target: &Place) -> bool {
    let quote = if target.server_kind() == Some("mysql") { '`' } else { '"' };
    let gate = match kill {
        Kill::After(messages) => Gate::before(target.server(), messages).await,
        Kill::Before(table) => {
            let insert = format!("INSERT INTO {quote}{table}{quote}");
            Gate::before_text(target.server(), insert).await
        }
    };
    let copy = source.copied_to(&target.url_at(&gate.addr.to_string())).start();
    gate.messages_of(copy).await.is_none()
}

/// Asserts that the target has what a copy has written that was killed before `table`.
fn fell_before(table: &str, there: &BTreeMap<String, i64>, here: &BTreeMap<String, i64>) {
    let mut is_written = true;
    for copied in COPIED {
        is_written &= copied.name != table;
        let expected = if is_written { here[copied.name] } else { 0 };
        assert_eq!(there[copied.name], expected, "{} of a copy that was killed before {table}", copied.name);
    }
}

/// Asserts that after a kill the target is untouched or counts as unfinished, and that the same command copies everything that is `here`.
async fn goes_on(source: &Place, target: &Place, here: &BTreeMap<String, i64>) {
    let expected = once_copied(here.clone());
    let db = target.connect().await;
    let is_marked = count(&db, "copies").await > 0;
    db.close().await.unwrap();
    if !is_marked && rows(source, target).await == expected {
        // It was done, and was about to take its leave.
        assert!(source.run(&["serve"]).await.failed(2).contains("was copied to"));
        target.with_key_of(source, &["users", "list"]).run().await.succeeded();
        return;
    }
    if is_marked {
        let commands = [
            &["serve"][..],
            &["users", "list"],
            &["users", "export"],
            &["migrate", "up"],
            &["migrate", "status"],
        ];
        for command in commands {
            let refused = target.with_key_of(source, command).run().await;
            assert!(refused.failed(2).contains("is being copied from"), "{command:?}: {refused:?}");
        }
        let other = Place::new();
        other.create_user("mallory").await;
        let refused = other.copied_to(&target.database_url()).run().await;
        assert!(refused.failed(2).contains("is being copied from"), "{refused:?}");
    } else {
        assert!(rows(source, target).await["users"] == 0, "nothing was copied before it was marked");
        target.with_key_of(source, &["users", "list"]).run().await.succeeded();
    }
    let again = source.copied_to(&target.database_url()).run().await;
    if again.stderr.contains("was copied to") {
        // The gate's address, by which it was copied, is another.
        source.copied_to(&target.database_url()).args(["--force"]).run().await.succeeded();
    } else {
        again.succeeded();
    }
    assert_eq!(rows(source, target).await, expected);
    let moved: Value = source.run(&["serve"]).await.failed(2).into();
    assert!(moved.as_str().unwrap().contains("was copied to"), "{moved}");
    target.with_key_of(source, &["users", "list"]).run().await.succeeded();
}

#[tokio::test]
async fn a_copy_that_is_killed_anywhere_is_begun_anew_and_nothing_opens_it_meanwhile() {
    let empty = Place::migrated().await;
    if empty.is_embedded() {
        return;
    }
    let (source, _) = filled().await;
    let here = Arc::new(rows(&source, &source).await);
    let source = Arc::new(source);
    let gate = Gate::before(empty.server(), usize::MAX).await;
    source.twin().copied_to(&empty.url_at(&gate.addr.to_string())).run().await.succeeded();
    let messages = gate.passed.load(Ordering::Relaxed);
    let first = signet_migrations::names().len() % APART;
    let at_tables = COPIED.into_iter().map(|table| Kill::Before(table.name));
    let kills = at_tables.chain((first..messages).step_by(APART).map(Kill::After));
    let kills = Arc::new(Mutex::new(kills.collect::<Vec<_>>().into_iter()));
    let mut killing = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (source, here, kills) = (Arc::clone(&source), Arc::clone(&here), Arc::clone(&kills));
        killing.spawn(async move {
            loop {
                let Some(kill) = kills.lock().unwrap().next() else { return };
                let (source, target) = (source.twin(), Place::migrated().await);
                let is_cut = is_killed(kill, &source, &target).await;
                if let Kill::Before(table) = kill {
                    assert!(is_cut, "nothing is written to {table}");
                    fell_before(table, &rows(&source, &target).await, &here);
                }
                if is_cut {
                    goes_on(&source, &target, &here).await;
                }
            }
        });
    }
    killing.join_all().await;
    println!("killed before each table, and each {APART}th of {messages} messages from message {first} on");
}

#[tokio::test]
async fn a_database_that_was_copied_to_another_is_read_and_not_changed() {
    let place = Place::new();
    place.create_user("alice").await;
    place.serve(&[]).await.stop().await;
    let db = place.connect().await;
    let mark = "INSERT INTO copies (direction, place, create_time) VALUES ('to', 'postgres://db/signet', 0)";
    db.execute_unprepared(mark).await.unwrap();
    db.close().await.unwrap();
    let users = place.write("users.ndjson", "");
    let manifest = place.write("dusk.yaml", "set: dusk\ngroups:\n  - name: dusk\n");
    for args in [
        &["users", "disable", "alice"][..],
        &["users", "import", &users],
        &["clients", "create", "billing"],
        &["groups", "create", "night"],
        &["apply", "-f", &manifest, "--yes"],
        &["keys", "rotate"],
        &["keys", "reseal"],
        &["keys", "reset", "--discard"],
    ] {
        let refused = place.run(args).await;
        assert!(refused.failed(2).contains("was copied to postgres://db/signet at"), "{args:?}: {refused:?}");
    }
    let backup = place.path("backup").display().to_string();
    for args in [
        &["users", "list"][..],
        &["users", "export", "-"],
        &["users", "import", &users, "--dry-run"],
        &["apply", "-f", &manifest, "--dry-run"],
        &["keys", "list"],
        &["jobs"],
        &["backup", &backup],
    ] {
        let read = place.run(args).await.succeeded();
        assert_eq!(
            read.stderr.matches("this database was copied to another").count(),
            1,
            "{args:?}: {read:?}"
        );
    }
    let forced = place.run(&["users", "disable", "alice", "--force", "--json"]).await.succeeded();
    assert_eq!(forced.object()["is_active"], json!(false));
    assert!(!forced.stderr.contains("copied"), "{forced:?}");
}
