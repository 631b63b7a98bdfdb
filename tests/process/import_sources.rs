//! Owns what `users import` promises for sources that are not quite in order, or very long; and what it shows while it works.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    time::Duration,
};

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::harness::{Finished, PATIENCE, Place};

/// passlib 1.7.4 of "correct horse battery staple".
const HASH: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";

impl Place {
    /// Imports `text` from a file named `name`.
    async fn import_text(&self, name: &str, text: &str, flags: &[&str]) -> Finished {
        let file = self.write(name, text);
        self.run(&[&["--json", "users", "import", &file], flags].concat()).await
    }

    /// Whether each of the users `names` may log in.
    async fn are_active<const N: usize>(&self, names: [&str; N]) -> [bool; N] {
        let users = self.run(&["users", "list", "--json"]).await.succeeded().objects();
        names.map(|name| {
            let user = users.iter().find(|user| user["username"] == name);
            user.unwrap_or_else(|| panic!("{name} is there"))["is_active"].as_bool().unwrap()
        })
    }
}

#[tokio::test]
async fn a_user_whose_is_active_is_empty_cannot_log_in_and_is_counted() {
    let place = Place::migrated().await;
    let lines = [
        json!({ "username": "ann", "password_hash": HASH }),
        json!({ "username": "bob", "password_hash": HASH, "is_active": null }),
        json!({ "username": "carol", "password_hash": HASH, "is_active": true }),
    ];
    let ndjson = lines.map(|line| line.to_string()).join("\n");
    let imported = place.import_text("users.ndjson", &ndjson, &["--dry-run"]).await.succeeded();
    assert_eq!(imported.object()["inactive_since_empty"], 1, "a dry run says it, too");
    let imported = place.import_text("users.ndjson", &ndjson, &[]).await.succeeded();
    assert_eq!(imported.object()["inactive_since_empty"], 1);
    assert_eq!(place.are_active(["ann", "bob", "carol"]).await, [true, false, true]);
    // Whoever has been let in since is not told of again.
    place.run(&["users", "enable", "bob"]).await.succeeded();
    let again = place.import_text("users.ndjson", &ndjson, &[]).await.succeeded();
    assert_eq!(again.object()["inactive_since_empty"], 0);
    assert_eq!(place.are_active(["bob"]).await, [true]);

    let csv = format!("username,password_hash,is_active\ndan,{HASH},\nerin,{HASH},1\n");
    let imported = place.import_text("users.csv", &csv, &[]).await.succeeded();
    assert_eq!(imported.object()["inactive_since_empty"], 1);
    assert_eq!(place.are_active(["dan", "erin"]).await, [false, true]);

    let db = place.connect().await;
    db.execute_unprepared(
        "CREATE TABLE old (id INTEGER, username VARCHAR(9), hashed_password VARCHAR(99), is_active BOOLEAN)",
    )
    .await
    .unwrap();
    for (id, name, active) in [(1, "frank", "NULL"), (2, "grace", "TRUE")] {
        let row = format!("INSERT INTO old VALUES ({id}, '{name}', '{HASH}', {active})");
        db.execute_unprepared(&row).await.unwrap();
    }
    let import = ["users", "import", "--table=old"];
    let imported =
        place.signet(&import).env("SIGNET_IMPORT_FROM", &place.database_url()).run().await.succeeded();
    assert!(imported.stdout.ends_with("0 refused. Inactive, since is_active is empty: 1.\n"), "{imported:?}");
    assert_eq!(place.are_active(["frank", "grace"]).await, [false, true]);
}

#[tokio::test]
async fn columns_of_csv_that_are_passed_over_are_named() {
    let place = Place::embedded().await;
    let csv = format!("username,is_activ,password_hash,\"a\u{1b}b\",\nann,0,{HASH},x,y\n");
    let imported = place.import_text("users.csv", &csv, &[]).await.succeeded();
    let lines = imported.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told: Vec<Value> = lines.filter(|line| line["ignored_columns"].is_array()).collect();
    assert_eq!(told, [json!({ "ignored_columns": ["is_activ", "a\u{1b}b", ""] })]);
    let for_people = place.run(&["users", "import", &place.path("users.csv").display().to_string()]).await;
    let expected = "signet: these columns are passed over: `is_activ`, `a\\u{1b}b`, one without a name\n";
    assert!(for_people.stderr.contains(expected), "{for_people:?}");
}

#[tokio::test]
async fn an_unnamed_column_is_no_field_that_is_said_to_have_none() {
    let place = Place::embedded().await;
    // As pandas writes it: the first column counts the rows.
    let csv = format!(",username,password_hash\n0,ann,{HASH}\n1,bob,{HASH}\n");
    let imported = place.import_text("users.csv", &csv, &["--column-is-active="]).await.succeeded();
    assert_eq!(
        (&imported.object()["added"], &imported.object()["inactive_since_empty"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(place.are_active(["ann", "bob"]).await, [true, true]);
}

#[tokio::test]
async fn a_dry_run_makes_no_map_of_ids_that_nobody_will_have() {
    let place = Place::new();
    let flags = ["--dry-run", "--id-map=ids.ndjson"];
    let refused = place.import_text("users.csv", "username,password_hash\n", &flags).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--id-map") && refused.stderr.contains("--dry-run"), "{refused:?}");
    assert!(!place.path("ids.ndjson").exists() && !place.has_data());
}

#[tokio::test]
async fn the_map_of_ids_says_which_users_may_be_other_people_than_the_rows() {
    let place = Place::migrated().await;
    let csv = |rows: &str| format!("id,username,password_hash,is_active\n{}", rows.replace("HASH", HASH));
    place.import_text("first.csv", &csv("1,ann,HASH,1\n"), &[]).await.succeeded();
    // Somebody has taken, here, the name of a user who came to the source since.
    let other = csv("9,carol,HASH,1\n").replace("UAi4", "UAi5");
    place.import_text("here.csv", &other, &[]).await.succeeded();
    let rows = csv("1,ann,HASH,1\n2,carol,HASH,1\n3,dan,HASH,1\n");
    for (conflict, expected) in [
        ("--on-conflict=skip", [("1", "already_there"), ("2", "skipped"), ("3", "added")]),
        ("--on-conflict=update", [("1", "already_there"), ("2", "updated"), ("3", "already_there")]),
    ] {
        let ids = place.path(conflict);
        let flag = format!("--id-map={}", ids.display());
        place.import_text("second.csv", &rows, &[conflict, &flag]).await.succeeded();
        let told = fs::read_to_string(ids).unwrap();
        let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        let told: Vec<_> = told.iter().map(|line| (text(line, "source_id"), text(line, "outcome"))).collect();
        assert_eq!(told, expected.map(|(id, outcome)| (id.to_owned(), outcome.to_owned())), "{conflict}");
    }
}

#[tokio::test]
async fn the_id_of_the_source_is_told_whatever_it_is() {
    let place = Place::migrated().await;
    let id = "018F3C9E-3B1A-4F0E-9A53-6B2B8F0F4C01";
    let [ids, report] = ["ids", "report"].map(|name| place.path(name));
    let flags = [format!("--id-map={}", ids.display()), format!("--report={}", report.display())];
    let rows = format!("id,username,password_hash\n{id},ann,{HASH}\n{id},,{HASH}\n");
    let refused = place.import_text("users.csv", &rows, &[&flags[0], &flags[1]]).await;
    assert!(refused.stderr.contains(id), "{refused:?}");
    for file in [ids, report] {
        let told: Value = serde_json::from_str(fs::read_to_string(file).unwrap().trim()).unwrap();
        assert_eq!(told["source_id"], id);
    }
    let place = Place::migrated().await;
    let file = place.write("users.csv", &rows);
    let refused = place.run(&["users", "import", &file]).await;
    assert!(refused.stderr.contains(&format!("line 3 (id {id}): the username")), "{refused:?}");
}

#[tokio::test]
async fn a_hash_with_a_control_character_is_refused_and_the_other_rows_come() {
    let place = Place::migrated().await;
    let hash = |salt: &str| format!("pbkdf2_sha256$5${salt}$XP+F0x6xwqGyYxdSLxa3ISRCbssLBNKRXdw/4lx+iGA=");
    let row = |name: &str, salt: &str| json!({ "username": name, "password_hash": hash(salt) }).to_string();
    let ndjson = [row("ann", "NaCl"), row("bob", "Na\0Cl"), row("carol", "NaCl")].join("\n");
    let imported = place.import_text("users.ndjson", &ndjson, &[]).await;
    let object = imported.object();
    assert_eq!((&object["added"], &object["refused"]), (&json!(2), &json!(1)), "{imported:?}");
    assert!(imported.stderr.contains("PASSWORD_HASH_MALFORMED"), "{imported:?}");
}

/// Writes `rows` users as NDJSON.
fn write_users(path: &Path, rows: u32) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for number in 0..rows {
        writeln!(file, r#"{{"id":"{number}","username":"user-{number}","password_hash":"{HASH}"}}"#).unwrap();
    }
    file.flush().unwrap();
}

#[tokio::test]
async fn a_bar_is_shown_on_a_terminal_alone_and_is_gone_at_the_end() {
    let place = Place::embedded().await;
    write_users(&place.path("users.ndjson"), 2_000);
    let import = ["users", "import", "users.ndjson", "--log-level=off", "--audit-log=off"];
    // util-linux's `script` runs it on a terminal, and writes what is shown there on its own standard output.
    let on_terminal =
        ["sh", "-c", r#"exec script --quiet --return --command "stty cols 100; exec $*" /dev/null"#, "sh"];
    let shown =
        place.signet(&import).through(&on_terminal).env("TERM", "xterm").run().await.succeeded().stdout;
    let (bar, answer) =
        shown.rsplit_once("Imported 2000 rows").unwrap_or_else(|| panic!("no answer: {shown:?}"));
    assert!(bar.contains(" rows, ") && bar.contains(" left") && bar.contains("KiB"), "{shown:?}");
    let (_, after) = bar.rsplit_once(" left").unwrap();
    assert!(after.contains("\u{1b}[2K"), "the bar's line is cleared before the answer: {shown:?}");
    assert!(answer.trim_end().ends_with("0 refused."), "nothing is drawn after it: {shown:?}");

    let piped = place.run(&import).await.succeeded();
    assert_eq!(piped.stderr, "");
    assert!(piped.stdout.starts_with("Imported 2000 rows") && piped.stdout.lines().count() == 1, "{piped:?}");
}

/// How long it is waited between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// How much memory `import` takes at most, in KiB.
pub(crate) async fn peak_kib(place: &Place, import: &[&str]) -> u64 {
    let import = place.signet(import).start();
    let status = format!("/proc/{}/status", import.id());
    let mut peak = 0;
    let watching = async {
        while !import.has_ended() {
            let status = fs::read_to_string(&status).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            // A process that has just ended has no memory.
            let now = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse().ok());
            peak = peak.max(now.unwrap_or(0));
            // The kernel keeps the highest: it need not be watched all the time, in the place of what is watched.
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE * 4, watching).await.expect("it ends");
    import.finish().await.succeeded();
    peak
}

#[tokio::test]
async fn an_import_takes_no_more_memory_for_more_rows() {
    const FEW: u32 = 10_000;
    const MANY: u32 = 100_000;
    if !Place::on_database().await.is_embedded() {
        return; // What it reads and checks is the same, wherever it would be written.
    }
    let place = Place::embedded().await;
    let db = sea_orm::Database::connect(format!("sqlite:{}?mode=rwc", place.path("old.db").display()))
        .await
        .unwrap();
    let mut peaks = Vec::new();
    for rows in [FEW, MANY] {
        write_users(&place.path("users.ndjson"), rows);
        let table = format!(
            "DROP TABLE IF EXISTS users;
             CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, hashed_password TEXT, is_active INTEGER);
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows})
             INSERT INTO users SELECT n, 'user-' || n, '{HASH}', 1 FROM n"
        );
        db.execute_unprepared(&table).await.unwrap();
        let file = peak_kib(&place, &["users", "import", "users.ndjson", "--dry-run"]).await;
        let table = peak_kib(&place, &["users", "import", "--from=sqlite:old.db", "--dry-run"]).await;
        peaks.push([file, table]);
    }
    println!("peaks in KiB, of a file and of a table: {peaks:?}");
    for (few, many) in peaks[0].iter().zip(&peaks[1]) {
        // Ten times as many rows, held, would take more than the program itself.
        assert!(*few > 0 && *many < few + few / 2, "{peaks:?}");
    }
}

#[tokio::test]
async fn what_has_no_end_ends_the_import_and_who_waits_for_a_pipe_is_told() {
    let place = Place::migrated().await;
    let zero = place.run(&["users", "import", "/dev/zero"]).await;
    assert_eq!(zero.code, Some(1), "{zero:?}");
    assert!(zero.stderr.contains("a line is longer than 64 MiB"), "{zero:?}");

    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut import = place.signet(&["users", "import", "pipe"]).start();
    import.error_line_with("nobody writes to this pipe yet").await;
    let row = json!({ "username": "ann", "password_hash": HASH }).to_string();
    let writer = std::thread::spawn(move || fs::write(pipe, row).unwrap());
    let imported = import.finish().await.succeeded();
    assert!(imported.stdout.contains("1 added"), "{imported:?}");
    writer.join().unwrap();
}

#[tokio::test]
async fn the_database_knows_that_there_are_many_more_users_while_they_come() {
    let place = Place::migrated().await;
    let rows = (0..1_200).map(|number| format!("user-{number},{HASH}\n"));
    let file = place.write("many.csv", &format!("username,password_hash\n{}", rows.collect::<String>()));
    place.run(&["users", "import", &file]).await.succeeded();
    let db = place.connect().await;
    if db.get_database_backend() != DbBackend::Postgres {
        // The others count by themselves, and plan each statement anew.
        return;
    }
    for table in ["users", "usernames"] {
        let counted = format!("SELECT reltuples::int8 FROM pg_class WHERE oid = '{table}'::regclass");
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, counted)).await.unwrap();
        let counted: i64 = row.unwrap().try_get_by_index(0).unwrap();
        assert!((500..=1_200).contains(&counted), "{table}: {counted}");
    }
}

#[tokio::test]
async fn a_source_that_is_no_database_is_told_as_the_database_says_it() {
    let place = Place::migrated().await;
    place.write("old.db", &"no database".repeat(100));
    let refused = place.run(&["users", "import", "--from=sqlite:old.db"]).await;
    let sentence = refused.failed(1);
    assert!(sentence.ends_with("old.db cannot be read: it is no database of SQLite's"), "{sentence}");
    assert!(!sentence.contains("Error") && !sentence.contains("returned from"), "{sentence}");
}
