//! Owns what `users import` and `users export` promise: everybody comes over once, whoever does not is told why, and what was
//! written out comes back the same.

use std::{fmt::Write, fs, os::unix::fs::PermissionsExt};

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::{
    client::reason,
    harness::{Finished, Place},
};

/// passlib 1.7.4 of "correct horse battery staple".
const BCRYPT: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";
const PASSWORD: &str = "correct horse battery staple";

/// The lines of `records` as NDJSON.
fn ndjson(records: &[Value]) -> String {
    records.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

fn user(username: &str) -> Value {
    json!({ "username": username, "password_hash": BCRYPT })
}

/// The numbers of a run: added, updated, already there, skipped, refused.
#[track_caller]
fn counts(finished: &Finished) -> [u64; 5] {
    let object = finished.object();
    let count = |name: &str| object[name].as_u64().unwrap();
    let counts = ["added", "updated", "already_there", "skipped", "refused"].map(count);
    assert_eq!(count("rows"), counts.iter().sum::<u64>(), "{object}");
    counts
}

/// The reason and the line of each refused row, as standard error tells them.
fn refusals(finished: &Finished) -> Vec<(u64, String)> {
    let objects = finished.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let refused = objects.filter(|object| object["outcome"] == "refused");
    refused.map(|row| (row["line"].as_u64().unwrap(), row["reason"].as_str().unwrap().to_owned())).collect()
}

impl Place {
    /// Imports `records` from a file.
    async fn import(&self, records: &[Value], flags: &[&str]) -> Finished {
        let file = self.write("users.ndjson", &ndjson(records));
        self.run(&[&["--json", "users", "import", &file], flags].concat()).await
    }

    async fn export(&self) -> String {
        self.run(&["users", "export"]).await.succeeded().stdout
    }
}

#[tokio::test]
async fn imported_users_log_in_with_their_old_password_and_have_argon2id_afterwards() {
    let place = Place::migrated().await;
    let service = place.serve(&[]).await;
    let imported = place.import(&[user("Ann"), user("bob")], &[]).await.succeeded();
    assert_eq!(counts(&imported), [2, 0, 0, 0, 0]);
    let client = service.client().await;
    for name in ["ann", "bob"] {
        assert_eq!(reason(&client.log_in(name, "wrong horse").await), "INVALID_CREDENTIALS");
        client.log_in(name, PASSWORD).await.unwrap();
        client.log_in(name, PASSWORD).await.unwrap();
    }
    let exported = place.export().await;
    assert_eq!(exported.matches("\"$argon2id$v=19$m=64,t=1,p=1$").count(), 2, "{exported}");
    // Whoever has a new hash stays as it is, and nobody comes twice.
    let again = place.import(&[user("Ann"), user("bob")], &[]).await.succeeded();
    assert_eq!(counts(&again), [0, 0, 0, 2, 0]);
    assert_eq!(place.export().await, exported);
}

#[tokio::test]
async fn import_of_an_export_is_the_identity() {
    let place = Place::migrated().await;
    let whole = json!({
        "id": "01a20a05-adfd-7f0f-a948-424ae62fc105", "username": "Zoë", "password_hash": BCRYPT, "email": "zoe@example.com",
        "display_name": "Zoë  \u{1d6f3}", "is_active": false, "create_time": "2011-01-02T03:04:05.678901Z",
        "update_time": "2012-01-02T03:04:05Z", "login_time": "2013-01-02T03:04:05.1Z",
    });
    let other =
        json!({ "id": "7d4f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c11", "username": "old", "password_hash": BCRYPT });
    place.import(&[whole, other, user("new")], &[]).await.succeeded();
    place.create_user("made.here").await;
    let file = place.path("export.ndjson");
    place.run(&["users", "export", &file.display().to_string()]).await.succeeded();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds hashes");
    let refused = place.run(&["users", "export", &file.display().to_string()]).await;
    assert!(
        refused.failed(1).contains("a file of that name already"),
        "an export replaces no file: {refused:?}"
    );
    let exported = fs::read_to_string(&file).unwrap();
    assert_eq!((exported.lines().count(), place.export().await.as_str()), (4, exported.as_str()));

    let fresh = Place::migrated().await;
    let imported = fresh.signet(&["--json", "users", "import", "-"]).stdin(&exported).run().await.succeeded();
    assert_eq!(counts(&imported), [4, 0, 0, 0, 0]);
    assert_eq!(fresh.export().await, exported);
    let again =
        fresh.signet(&["--json", "users", "import", "-", "--on-conflict=fail"]).stdin(&exported).run().await;
    assert_eq!(counts(&again.succeeded()), [0, 0, 4, 0, 0]);
    let again = fresh
        .signet(&["--json", "users", "import", "-", "--on-conflict=update"])
        .stdin(&exported)
        .run()
        .await;
    assert_eq!(counts(&again.succeeded()), [0, 0, 4, 0, 0]);
    assert_eq!(fresh.export().await, exported);
}

/// Two users who come over, in the first line and the last, and rows that do not.
fn refused_rows() -> Vec<String> {
    let with = |name: &str, value: Value| {
        let mut record = user("somebody.else");
        record[name] = value;
        record.to_string()
    };
    let costly = BCRYPT.replace("$04$", "$16$");
    let long = format!("{{\"username\":\"{}\"}}", "x".repeat(70_000));
    vec![
        user("Alice").to_string(),
        String::new(),
        user("alice").to_string(),
        user("\u{ff21}LICE").to_string(),
        user("two words").to_string(),
        json!({ "password_hash": BCRYPT }).to_string(),
        json!({ "username": "nohash" }).to_string(),
        json!({ "username": "plain", "password_hash": "hunter2" }).to_string(),
        json!({ "username": "unusable", "password_hash": "!x" }).to_string(),
        json!({ "username": "costly", "password_hash": costly }).to_string(),
        json!({ "username": "cut", "password_hash": &BCRYPT[..59] }).to_string(),
        with("email", json!("nobody")),
        with("display_name", json!("\u{7}")),
        with("is_active", json!("perhaps")),
        with("create_time", json!("yesterday")),
        with("id", json!("00000000-0000-0000-0000-000000000001")),
        with("username", json!(17)),
        with("is_activ", json!(false)),
        format!("\"{BCRYPT}\""),
        "{\"username\":".to_owned(),
        long,
        user("bob").to_string(),
    ]
}

/// Which lines of those are refused, and why.
const REFUSED: [(u64, &str); 19] = [
    (3, "DUPLICATE_IN_INPUT"),
    (4, "DUPLICATE_IN_INPUT"),
    (5, "INVALID_USERNAME"),
    (6, "INVALID_USERNAME"),
    (7, "PASSWORD_HASH_UNUSABLE"),
    (8, "PASSWORD_HASH_UNKNOWN"),
    (9, "PASSWORD_HASH_UNUSABLE"),
    (10, "PASSWORD_HASH_TOO_COSTLY"),
    (11, "PASSWORD_HASH_MALFORMED"),
    (12, "INVALID_FIELD"),
    (13, "INVALID_FIELD"),
    (14, "INVALID_FIELD"),
    (15, "INVALID_FIELD"),
    (16, "INVALID_FIELD"),
    (17, "INVALID_FIELD"),
    (18, "MALFORMED_ROW"),
    (19, "MALFORMED_ROW"),
    (20, "MALFORMED_ROW"),
    (21, "MALFORMED_ROW"),
];

#[tokio::test]
async fn whoever_does_not_come_over_is_told_with_line_and_reason_and_the_others_come() {
    let place = Place::migrated().await;
    let file = place.write("users.ndjson", &refused_rows().join("\n"));
    let report = place.path("report.ndjson").display().to_string();
    let import = ["--json", "users", "import", &file, "--report", &report];
    let dry = place.run(&["--json", "users", "import", &file, "--dry-run"]).await;
    assert_eq!(dry.code, Some(65), "{dry:?}");
    assert!(
        place.run(&["users", "list", "--json"]).await.succeeded().objects().is_empty(),
        "it was a dry run"
    );

    let imported = place.run(&import).await;
    assert_eq!((imported.code, counts(&imported)), (Some(65), [2, 0, 0, 0, 19]), "{imported:?}");
    let expected = REFUSED.map(|(line, reason)| (line, reason.to_owned()));
    assert_eq!(refusals(&imported), expected);
    assert_eq!(refusals(&dry), expected, "a dry run says what a run would");
    let report = fs::read_to_string(report).unwrap();
    assert_eq!(report.lines().count(), 19);
    let said = format!("{report}{}{}", imported.stdout, imported.stderr);
    assert!(said.contains("has the same name, by the rules of RFC 8265, as line 1"), "{said}");
    assert!(said.contains("`is_activ`") && said.contains("spaces are not allowed"), "{said}");
    for secret in ["hunter2", &BCRYPT[8..30]] {
        assert!(!said.contains(secret), "{said}");
    }

    let for_people = place.run(&["users", "import", &file]).await;
    assert!(
        for_people.stdout.ends_with("0 added, 0 updated, 2 already there, 0 skipped, 19 refused.\n"),
        "{for_people:?}"
    );
    assert!(
        for_people.stderr.contains("signet: line 5 (`two words`): the username has U+0020"),
        "{for_people:?}"
    );
    assert!(for_people.stderr.ends_with("signet: 19 of 21 rows were refused\n"), "{for_people:?}");
}

#[tokio::test]
async fn what_a_login_may_cost_is_the_operators_to_say_and_follows_from_the_hash_alone() {
    let place = Place::migrated().await;
    let costing = |cost: &str| json!({ "username": format!("cost-{cost}"), "password_hash": BCRYPT.replace("$04$", &format!("${cost}$")) });
    let promised = [costing("04"), costing("12"), costing("14"), costing("16")];
    let strict = place.import(&promised, &["--import-max-cost=205ms"]).await;
    assert_eq!(counts(&strict), [2, 0, 0, 0, 2], "{strict:?}");
    let costly = |line: u64| (line, "PASSWORD_HASH_TOO_COSTLY".to_owned());
    assert_eq!(refusals(&strict), [costly(3), costly(4)]);
    let problem = "costs too much to verify: 819 ms by the table, and --import-max-cost is 205 ms";
    assert!(strict.stderr.contains(problem), "{strict:?}");
    let by_default = place.import(&promised, &[]).await;
    assert_eq!(counts(&by_default), [1, 0, 2, 0, 1], "{by_default:?}");
    assert_eq!(refusals(&by_default), [costly(4)]);
    let wide = place.import(&promised, &["--import-max-cost=4s"]).await;
    assert_eq!(counts(&wide), [1, 0, 3, 0, 0], "{wide:?}");
}

#[tokio::test]
async fn a_name_or_an_id_that_is_somebody_elses_is_reported_and_never_merged() {
    let place = Place::migrated().await;
    let alice = place.create_user("Alice").await;
    let before = place.export().await;
    let taken = json!({ "id": alice["id"], "username": "mallory", "password_hash": BCRYPT });
    let other =
        json!({ "id": "7d4f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c11", "username": "Alice", "password_hash": BCRYPT });
    for (mode, last) in [("skip", None), ("fail", Some("ID_DIFFERS")), ("update", Some("ID_DIFFERS"))] {
        let rows = [user("alice"), taken.clone(), other.clone()];
        let imported = place.import(&rows, &["--on-conflict", mode]).await;
        let reasons: Vec<_> = refusals(&imported).into_iter().map(|(_, reason)| reason).collect();
        // The third row of the input is a second Alice, too.
        assert_eq!(reasons, ["USERNAME_COLLISION", "ID_TAKEN", "DUPLICATE_IN_INPUT"], "{mode}");
        let imported = place.import(std::slice::from_ref(&other), &["--on-conflict", mode]).await;
        let reasons: Vec<_> = refusals(&imported).into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons.first().map(String::as_str), last, "{mode}");
    }
    assert_eq!(place.export().await, before);
}

#[tokio::test]
async fn conflicts_are_skipped_refused_or_settled_by_the_row() {
    let place = Place::migrated().await;
    let service = place.serve(&[]).await;
    let client = service.client().await;
    place.create_user("alice").await;
    let old = client.open_session("alice", crate::client::PASSWORD).await.unwrap();
    client.get_me(&old.access_token).await.unwrap();
    let before = place.export().await;

    let row = json!({ "username": "alice", "password_hash": BCRYPT, "display_name": "Alice A." });
    let skipped = place.import(std::slice::from_ref(&row), &[]).await.succeeded();
    assert_eq!(counts(&skipped), [0, 0, 0, 1, 0]);
    let failed = place.import(std::slice::from_ref(&row), &["--on-conflict=fail"]).await;
    assert_eq!((failed.code, refusals(&failed)), (Some(65), vec![(1, "USER_EXISTS".to_owned())]));
    let dry =
        place.import(std::slice::from_ref(&row), &["--on-conflict=update", "--dry-run"]).await.succeeded();
    assert_eq!(counts(&dry), [0, 1, 0, 0, 0]);
    assert_eq!(place.export().await, before);

    let updated = place.import(&[row], &["--on-conflict=update"]).await.succeeded();
    assert_eq!(counts(&updated), [0, 1, 0, 0, 0]);
    assert_eq!(reason(&client.log_in("alice", crate::client::PASSWORD).await), "INVALID_CREDENTIALS");
    // Whoever knows the old password has nothing that goes on.
    eventually(async || reason(&client.get_me(&old.access_token).await) == "TOKEN_REVOKED").await;
    assert_eq!(reason(&client.refresh(&old.refresh_token.unwrap()).await), "REFRESH_TOKEN_INVALID");

    let session = client.log_in("alice", PASSWORD).await.unwrap();
    let exported: Value = serde_json::from_str(place.export().await.trim()).unwrap();
    let row = json!({
        "username": "alice", "password_hash": exported["password_hash"], "display_name": "Alice B.",
    });
    let updated = place.import(&[row], &["--on-conflict=update"]).await.succeeded();
    assert_eq!(counts(&updated), [0, 1, 0, 0, 0]);
    client.get_me(&session).await.expect("with the same password, sessions go on");
    eventually(async || client.get_me(&session).await.unwrap().display_name.as_deref() == Some("Alice B."))
        .await;

    let disabled = json!({ "username": "alice", "password_hash": BCRYPT, "is_active": false });
    let updated = place.import(&[disabled], &["--on-conflict=update"]).await.succeeded();
    assert_eq!(counts(&updated), [0, 1, 0, 0, 0]);
    eventually(async || reason(&client.get_me(&session).await) == "TOKEN_REVOKED").await;
    place.run(&["users", "enable", "alice"]).await.succeeded();
    client.log_in("alice", PASSWORD).await.unwrap();
    assert_eq!(reason(&client.get_me(&session).await), "TOKEN_REVOKED", "it has ended for good");
    assert!(
        place.export().await.contains("\"display_name\":\"Alice B.\""),
        "what the row does not say stays"
    );
}

/// Asks until it is so. The service hears of a change within a second.
async fn eventually(mut fact: impl AsyncFnMut() -> bool) {
    let waiting = async { while !fact().await {} };
    tokio::time::timeout(crate::harness::PATIENCE, waiting).await.expect("the service hears of it");
}

/// Names, ids and hashes of many users.
fn many(count: u64) -> String {
    let mut lines = String::new();
    for number in 0..count {
        let id = uuid::Uuid::now_v7();
        writeln!(
            lines,
            "{}",
            json!({ "id": id.to_string(), "username": format!("user-{number}"), "password_hash": BCRYPT })
        )
        .unwrap();
    }
    lines
}

#[tokio::test]
async fn an_import_that_was_killed_is_run_again_and_nobody_comes_twice() {
    const USERS: u64 = 6_000;
    let place = Place::migrated().await;
    place.create_user("somebody").await;
    let file = place.write("users.ndjson", &many(USERS));
    let db = place.connect().await;
    let count = async || {
        let query = sea_orm::Statement::from_string(db.get_database_backend(), "SELECT COUNT(*) FROM users");
        db.query_one_raw(query).await.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap().cast_unsigned()
    };
    let import = place.signet(&["users", "import", &file]).start();
    eventually(async || count().await > 1).await;
    drop(import); // By SIGKILL.
    let there = count().await;
    assert!(there <= USERS + 1);
    let again = place.run(&["--json", "users", "import", &file, "--on-conflict=fail"]).await.succeeded();
    let [added, _, already_there, _, refused] = counts(&again);
    assert_eq!((added + already_there, refused), (USERS, 0));
    assert!(already_there + 1 >= there, "what was there stayed: {already_there}, {there}");
    assert_eq!(count().await, USERS + 1);
}

#[tokio::test]
async fn imports_of_the_same_users_at_once_bring_each_over_once() {
    let place = Place::migrated().await;
    place.create_user("somebody").await;
    let file = place.write("users.ndjson", &many(1_200));
    let import =
        async || place.run(&["--json", "users", "import", &file, "--on-conflict=fail"]).await.succeeded();
    let (one, two, three) = tokio::join!(import(), import(), import());
    let counts = [one, two, three].map(|run| counts(&run));
    assert_eq!(counts.iter().map(|run| run[0]).sum::<u64>(), 1_200, "{counts:?}");
    assert_eq!(counts.iter().map(|run| run[2]).sum::<u64>(), 2_400, "{counts:?}");
    assert_eq!(place.export().await.lines().count(), 1_201);
}

#[tokio::test]
async fn users_come_from_csv_with_columns_of_any_name() {
    let place = Place::embedded().await;
    let csv = format!(
        "\u{feff}login,Hash,mail,is_active,ignored\r\nann,{BCRYPT},,1,x\n\"bob\",{BCRYPT},\"bob@example.com\",false,\"a\nb\"\n\
         carol,{BCRYPT}\ndan,{BCRYPT},nobody,true,\n"
    );
    let file = place.write("users.csv", &csv);
    let columns = ["--column-username=login", "--column-password-hash=Hash", "--column-email=mail"];
    let imported = place.run(&[&["--json", "users", "import", &file][..], &columns].concat()).await;
    assert_eq!(counts(&imported), [2, 0, 0, 0, 2], "{imported:?}");
    let expected = [(5, "MALFORMED_ROW".to_owned()), (6, "INVALID_FIELD".to_owned())];
    assert_eq!(refusals(&imported), expected, "lines are counted as an editor does");
    let bob = place.run(&["users", "show", "bob", "--json"]).await.succeeded().object();
    assert_eq!((&bob["email"], &bob["is_active"]), (&json!("bob@example.com"), &json!(false)));

    let import = async |text: &str, flags: &[&str]| {
        let file = place.write("other", text);
        place.run(&[&["users", "import", &file], flags].concat()).await
    };
    let no_column = import("username,hash\nx,y\n", &["--format=csv"]).await;
    assert!(no_column.stderr.contains("the first line names no column `password_hash`"), "{no_column:?}");
    let open = format!("username,password_hash\n\"open,{}\n", "x,y\n".repeat(100_000));
    let open = import(&open, &["--format=csv"]).await;
    assert!(open.stderr.contains("is a quotation mark not closed?"), "{open:?}");
    let senseless = import("{}", &["--column-id=x"]).await;
    assert!(senseless.failed(2).contains("one name each"));
    let nothing = import("", &["--format=csv"]).await;
    assert!(nothing.stderr.contains("names no column"), "{nothing:?}");
    let nothing = import("", &[]).await.succeeded();
    assert!(nothing.stdout.contains("0 rows"), "{nothing:?}");
}

#[tokio::test]
async fn users_come_from_a_table_of_another_service_and_their_ids_are_told() {
    let place = Place::migrated().await;
    place.create_user("somebody").await;
    let db = place.connect().await;
    let quote = if db.get_database_backend() == sea_orm::DbBackend::MySql { "`" } else { "\"" };
    let table = format!("{quote}Old users{quote}");
    db.execute_unprepared(&format!(
        "CREATE TABLE {table} (id INTEGER PRIMARY KEY, login VARCHAR(80), hashed_password VARCHAR(128), \
         is_active BOOLEAN, created TIMESTAMP NULL)"
    ))
    .await
    .unwrap();
    for (id, login, hash, active, created) in [
        (17, "'ann'", BCRYPT, "TRUE", "'2020-01-02 03:04:05'"),
        (4, "'bob'", BCRYPT, "FALSE", "NULL"),
        (5, "'two words'", BCRYPT, "TRUE", "NULL"),
        (6, "NULL", BCRYPT, "TRUE", "NULL"),
        (7, "'carol'", "plain", "NULL", "NULL"),
    ] {
        let row = format!("INSERT INTO {table} VALUES ({id}, {login}, '{hash}', {active}, {created})");
        db.execute_unprepared(&row).await.unwrap();
    }
    let url = place.database_url();
    let ids = place.path("ids.ndjson").display().to_string();
    let import = async |flags: &[&str]| {
        let run = ["--json", "users", "import", "--column-username=login", "--column-create-time=created"];
        place.signet(&[&run[..], flags].concat()).env("SIGNET_IMPORT_FROM", &url).run().await
    };
    let imported = import(&["--table=Old users", "--id-map", &ids]).await;
    assert_eq!(counts(&imported), [2, 0, 0, 0, 3], "{imported:?}");
    let expected = [(2, "INVALID_USERNAME"), (3, "INVALID_USERNAME"), (4, "PASSWORD_HASH_UNKNOWN")];
    let rows = imported.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let rows: Vec<_> = rows.filter(|row| row["outcome"] == "refused").collect();
    let found: Vec<_> =
        rows.iter().map(|row| (row["row"].as_u64().unwrap(), row["reason"].as_str().unwrap())).collect();
    assert_eq!(found, expected);
    assert_eq!(rows[2]["source_id"], "7");

    let ann = place.run(&["users", "show", "ann", "--json"]).await.succeeded().object();
    assert_eq!(ann["create_time"], "2020-01-02T03:04:05Z");
    let bob = place.run(&["users", "show", "bob", "--json"]).await.succeeded().object();
    assert_eq!(bob["is_active"], false);
    let told = fs::read_to_string(&ids).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [
        json!({ "source_id": "4", "username": "bob", "id": bob["id"], "outcome": "added" }),
        json!({ "source_id": "17", "username": "ann", "id": ann["id"], "outcome": "added" }),
    ];
    assert_eq!(told, expected);
    let before = place.export().await;
    let again = place.path("again.ndjson").display().to_string();
    assert_eq!(counts(&import(&["--table=Old users", "--id-map", &again]).await), [0, 0, 2, 0, 3]);
    assert_eq!(fs::read_to_string(again).unwrap().lines().count(), 2, "the map is whole after every run");
    assert_eq!(place.export().await, before);

    // Names are names, whatever they hold.
    for (flag, problem) in [
        ("--table=users; DROP TABLE users", "cannot be read"),
        ("--table=users\" --", "cannot be the name"),
        ("--table=users` --", "cannot be the name"),
        ("--column-email=email FROM users --", "cannot be read"),
        ("--column-email=nothing", "nothing"),
        ("--column-email=a\" || \"b", "cannot be the name"),
    ] {
        let table = if flag.starts_with("--table") { &[flag][..] } else { &[flag, "--table=Old users"] };
        let refused = import(table).await;
        assert_eq!(refused.code, Some(1), "{flag}: {refused:?}");
        assert!(refused.stderr.contains(problem), "{flag}: {refused:?}");
    }
    assert_eq!(place.export().await, before);
}

#[tokio::test]
async fn a_source_that_is_not_there_is_told_without_its_password() {
    let place = Place::new();
    for url in [
        "mysql://u:hunter2@127.0.0.1:1/app",
        "postgresql+psycopg://u:hunter2@127.0.0.1:1/app",
        "mysql://u:hunter2@127.0.0.1:1/app?charset=utf8",
        "oracle://u:hunter2@db/app",
        "sqlite:/nowhere/hunter2.db",
    ] {
        let file = place.write("url", &format!("{url}\n"));
        let refused = place.run(&["users", "import", "--from-file", &file]).await;
        assert!(
            [Some(1), Some(2), Some(69)].contains(&refused.code) && refused.stdout.is_empty(),
            "{refused:?}"
        );
        assert!(!refused.stderr.contains("u:hunter2"), "{refused:?}");
        assert!(refused.stderr.contains("signet: "), "{refused:?}");
    }
    let both = place.run(&["users", "import", "users.csv", "--from=sqlite:x"]).await;
    assert_eq!(both.code, Some(2));
    assert_eq!(place.run(&["users", "import"]).await.code, Some(2));
    assert_eq!(place.run(&["users", "import", "nothing.csv"]).await.code, Some(2));
}
