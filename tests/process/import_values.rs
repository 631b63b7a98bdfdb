//! Owns what `users import` makes of values as databases and programs write them, and of names that cannot come over.

use std::fs;

use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::{Value, json};

use crate::{
    client::reason,
    harness::{Finished, Place},
};

const PASSWORD: &str = "correct horse battery staple";

/// passlib 1.7.4 of [`PASSWORD`].
const HASH: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";

const ANN: &str = "018f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c11";
const BOB: &str = "ffffffff-ffff-4fff-bfff-ffffffffffff";

impl Place {
    async fn import_table(&self, flags: &[&str]) -> Finished {
        let run = ["--json", "users", "import", "--table=old"];
        let mut url = self.database_url();
        if self.server_kind() == Some("postgres") {
            // As a role or a database may have it: bytes and times are written in other ways.
            let settings = "-c bytea_output=escape -c datestyle=SQL,DMY -c timezone=America/Caracas";
            let before = if url.contains('?') { '&' } else { '?' };
            url = format!("{url}{before}options={}", settings.replace(' ', "%20").replace('=', "%3D"));
        }
        self.signet(&[&run[..], flags].concat()).env("SIGNET_IMPORT_FROM", &url).run().await
    }

    async fn user(&self, name: &str) -> Value {
        self.run(&["users", "show", name, "--json"]).await.succeeded().object()
    }
}

/// How a text is written as SQL.
type Literal = fn(&str) -> String;

#[tokio::test]
async fn ids_and_hashes_that_are_bytes_come_over_as_what_they_are() {
    let place = Place::migrated().await;
    let db = place.connect().await;
    let (bytes, id_type, id_of, hash_of): (_, _, Literal, Literal) = match db.get_database_backend() {
        DbBackend::MySql => (
            "VARBINARY(90)",
            "BINARY(16)",
            |id| format!("UNHEX('{}')", id.replace('-', "")),
            |hash| format!("'{hash}'"),
        ),
        DbBackend::Postgres => {
            ("BYTEA", "BYTEA", |id| format!("'\\x{}'", id.replace('-', "")), |hash| format!("'{hash}'"))
        }
        _ => (
            "BLOB",
            "BLOB",
            |id| format!("X'{}'", id.replace('-', "")),
            |hash| format!("CAST('{hash}' AS BLOB)"),
        ),
    };
    let table = format!("CREATE TABLE old (id {id_type}, username VARCHAR(9), hashed_password {bytes})");
    db.execute_unprepared(&table).await.unwrap();
    for (id, name) in [(ANN, "ann"), (BOB, "bob")] {
        let row = format!("INSERT INTO old VALUES ({}, '{name}', {})", id_of(id), hash_of(HASH));
        db.execute_unprepared(&row).await.unwrap();
    }
    let imported = place.import_table(&["--column-is-active="]).await.succeeded();
    assert_eq!(imported.object()["added"], 2);
    for (id, name) in [(ANN, "ann"), (BOB, "bob")] {
        assert_eq!(place.user(name).await["id"], id);
    }
    // A text that looks like the bytes of `dav` is not that name.
    let backslash = if db.get_database_backend() == DbBackend::MySql { "\\\\" } else { "\\" };
    let id = id_of("018f3c9e-3b1a-7f0e-9a53-6b2b8f0f4c1d");
    let row = format!("INSERT INTO old VALUES ({id}, '{backslash}x646176', {})", hash_of(HASH));
    db.execute_unprepared(&row).await.unwrap();
    drop(place.import_table(&["--column-is-active="]).await);
    let exported = place.run(&["users", "export"]).await.succeeded().objects();
    assert!(exported.iter().all(|user| user["username"] != "dav"), "{exported:?}");
    let service = place.serve(&[]).await;
    service.client().await.log_in("bob", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn an_id_that_is_a_text_stays_the_text_that_it_is() {
    const WALLET: &str = "0x52908400098527886E0F7030069857D2E4169EE7";
    const DIGITS: &str = "0x018f3c9e3b1a4f0e9a536b2b8f0f4c11";
    let place = Place::migrated().await;
    let db = place.connect().await;
    db.execute_unprepared(
        "CREATE TABLE old (id VARCHAR(50), username VARCHAR(9), hashed_password VARCHAR(90))",
    )
    .await
    .unwrap();
    for (id, name) in [(WALLET, "ann"), (DIGITS, "bob")] {
        let row = format!("INSERT INTO old VALUES ('{id}', '{name}', '{HASH}')");
        db.execute_unprepared(&row).await.unwrap();
    }
    let map = |name: &str| {
        let told = fs::read_to_string(place.path(name)).unwrap();
        let lines = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut ids: Vec<_> =
            lines.map(|line| (line["username"].clone(), line["source_id"].clone())).collect();
        ids.sort_by_key(|(name, _)| name.to_string());
        ids
    };
    let flag = |name: &str| format!("--id-map={}", place.path(name).display());
    place.import_table(&["--column-is-active=", &flag("of-table")]).await.succeeded();
    assert_eq!(map("of-table"), [(json!("ann"), json!(WALLET)), (json!("bob"), json!(DIGITS))]);
    // A file says of no value whether it is bytes: those of a UUID are, and a wallet's address is not.
    let file = place.write("users.csv", &format!("id,username,password_hash\n{WALLET},carol,{HASH}\n"));
    place.run(&["users", "import", &file, &flag("of-file")]).await.succeeded();
    assert_eq!(map("of-file"), [(json!("carol"), json!(WALLET))]);
}

#[tokio::test]
async fn times_that_mean_never_are_none() {
    let place = Place::migrated().await;
    let db = place.connect().await;
    let (kind, never) = match db.get_database_backend() {
        DbBackend::MySql => ("DATETIME", "0000-00-00 00:00:00"),
        DbBackend::Postgres => ("TIMESTAMPTZ", "infinity"),
        _ => ("TEXT", "0000-00-00"),
    };
    let table = format!(
        "CREATE TABLE old (id INTEGER, username VARCHAR(9), hashed_password VARCHAR(90), seen {kind})"
    );
    db.execute_unprepared(&table).await.unwrap();
    if db.get_database_backend() == DbBackend::MySql {
        let row =
            format!("SET STATEMENT sql_mode = '' FOR INSERT INTO old VALUES (1, 'ann', '{HASH}', '{never}')");
        db.execute_unprepared(&row).await.unwrap();
    } else {
        let row = format!("INSERT INTO old VALUES (1, 'ann', '{HASH}', '{never}')");
        db.execute_unprepared(&row).await.unwrap();
    }
    let row = format!("INSERT INTO old VALUES (2, 'bob', '{HASH}', '2024-01-02 03:04:05')");
    db.execute_unprepared(&row).await.unwrap();
    let flags = ["--column-is-active=", "--column-login-time=seen"];
    assert_eq!(place.import_table(&flags).await.succeeded().object()["added"], 2);
    let exported = place.run(&["users", "export"]).await.succeeded().objects();
    let seen =
        |name: &str| exported.iter().find(|user| user["username"] == name).unwrap()["login_time"].clone();
    assert_eq!((seen("ann"), seen("bob")), (Value::Null, json!("2024-01-02T03:04:05Z")));
}

#[tokio::test]
async fn files_say_null_and_times_in_their_own_ways() {
    let place = Place::migrated().await;
    let csv = format!(
        "id,username,password_hash,email,is_active,create_time,login_time\n\
         1,ann,{HASH},\\N,yes,1704164645,\\N\n\
         \\x{},bob,\\x{},\\N,1.0,2024-01-02 08:34:05.1234567+0530,2024-01-02\n",
        BOB.replace('-', ""),
        hex::encode(HASH),
    );
    let file = place.write("users.csv", &csv);
    let imported = place.run(&["--json", "users", "import", &file]).await.succeeded();
    assert_eq!(imported.object()["added"], 2);
    let (ann, bob) = (place.user("ann").await, place.user("bob").await);
    assert_eq!((&ann["email"], &ann["create_time"]), (&Value::Null, &json!("2024-01-02T03:04:05Z")));
    assert_eq!((&bob["id"], &bob["create_time"]), (&json!(BOB), &json!("2024-01-02T03:04:05.123456Z")));
    let service = place.serve(&[]).await;
    service.client().await.log_in("bob", PASSWORD).await.unwrap();

    let csv = format!("username,password_hash,email\ncarol,{HASH},NULL\nnull,{HASH},-\n");
    let file = place.write("more.csv", &csv);
    let refused = place.run(&["users", "import", &file]).await;
    assert_eq!(refused.code, Some(65), "{refused:?}");
    assert!(refused.stderr.contains("2 of 2 rows"), "neither is an address: {refused:?}");
    let imported =
        place.run(&["--json", "users", "import", &file, "--null=NULL", "--null=-"]).await.succeeded();
    assert_eq!(imported.object()["added"], 2, "and a name that is not written so stays one");

    let line = json!({ "username": "dan", "password_hash": HASH, "create_time": 1_704_164_645.25 });
    let file = place.write("users.ndjson", &line.to_string());
    place.run(&["users", "import", &file]).await.succeeded();
    assert_eq!(place.user("dan").await["create_time"], "2024-01-02T03:04:05.25Z");
}

#[tokio::test]
async fn names_that_cannot_come_over_are_renamed_by_a_file() {
    let place = Place::migrated().await;
    let csv = format!(
        "id,username,password_hash\n1,two words,{HASH}\n2,Alice,{HASH}\n3,alice,{HASH}\n4,carol ,{HASH}\n"
    );
    let file = place.write("users.csv", &csv);
    let refused = place.run(&["users", "import", &file, "--dry-run"]).await;
    assert_eq!(refused.code, Some(65), "{refused:?}");
    assert!(
        refused.stdout.contains("1 would be added") && refused.stdout.contains("3 would be refused"),
        "{refused:?}"
    );
    place.write("names.csv", "two words,two.words\nAlice,alice2\ncarol ,carol\n");
    let flag = format!("--rename={}", place.path("names.csv").display());
    let imported = place.run(&["users", "import", &file, &flag]).await.succeeded();
    assert!(imported.stdout.contains("4 added"), "{imported:?}");
    let service = place.serve(&[]).await;
    let client = service.client().await;
    for name in ["two.words", "alice2", "alice", "carol"] {
        client.log_in(name, PASSWORD).await.unwrap();
    }
    assert_eq!(reason(&client.log_in("two words", PASSWORD).await), "INVALID_CREDENTIALS");

    place.write("names.csv", "two words,still two words\n");
    let refused = place.run(&["users", "import", &file, &flag]).await;
    assert!(refused.failed(2).contains("names.csv line 1: the name here"), "{refused:?}");
    place.write("names.csv", "two words\n");
    assert!(
        place.run(&["users", "import", &file, &flag]).await.failed(2).contains("line 1 has not two columns")
    );
}

#[tokio::test]
async fn a_dry_run_leaves_everything_as_it_was() {
    let place = Place::embedded().await;
    let file = place.write("users.csv", &format!("username,password_hash\nann,{HASH}\n"));
    let all = || {
        let walk = |dir: &std::path::Path| -> Vec<_> {
            let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
            let files = entries.filter(|path| path.is_file());
            files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
        };
        let mut files = [walk(&place.path(".")), walk(&place.path("signet-data"))].concat();
        files.sort();
        files
    };
    // What the first command settles of the database's files is not this one's.
    place.run(&["users", "list"]).await.succeeded();
    let before = all();
    let flags = ["users", "import", &file, "--dry-run", "--audit-log=./audit.log"];
    let checked = place.run(&flags).await.succeeded();
    assert!(checked.stdout.contains("1 would be added"), "{checked:?}");
    assert_eq!(all(), before);
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_named_without_its_password() {
    let place = Place::migrated().await;
    let closed = crate::support::ports::free_addr();
    for scheme in ["postgresql+psycopg2", "mysql+pymysql"] {
        let url = format!("{scheme}://reader:hunter2@{closed}/app?connect_timeout=3");
        let refused = place.signet(&["users", "import"]).env("SIGNET_IMPORT_FROM", &url).run().await;
        let problem = refused.failed(69);
        assert!(
            problem.contains(&closed.to_string()) && problem.contains("/app cannot be read"),
            "{problem}"
        );
        assert!(!problem.contains("hunter2"), "{problem}");
    }
    let from = format!("--from={}", place.database_url());
    let refused = place.run(&["users", "import", &from, "--table=nobody"]).await;
    let problem = refused.failed(1);
    assert!(problem.contains("nobody") && !problem.contains(" at line "), "{problem}");
    let refused = place.run(&["users", "import", "x", "--import-max-cost=0ms"]).await;
    assert!(!refused.failed(2).contains("..="), "{refused:?}");
    let refused = place.run(&["serve", "--database-pool-size=0"]).await;
    assert!(refused.failed(2).contains("must be from 1 to 1000"), "{refused:?}");
}
