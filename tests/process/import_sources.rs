//! Owns where `users import` takes users from: CSV and tables of other services, however they name their columns.

use std::fs;

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::{
    harness::Place,
    import::{BCRYPT, counts, refusals},
};

#[tokio::test]
async fn users_come_from_csv_with_columns_of_any_name() {
    let place = Place::new();
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
    let place = Place::on_database().await;
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
        place
            .signet(&[&run[..], &["--id-map", &ids], flags].concat())
            .env("SIGNET_IMPORT_FROM", &url)
            .run()
            .await
    };
    let imported = import(&["--table=Old users"]).await;
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
        json!({ "source_id": "4", "username": "bob", "id": bob["id"] }),
        json!({ "source_id": "17", "username": "ann", "id": ann["id"] }),
    ];
    assert_eq!(told, expected);
    let before = place.export().await;
    assert_eq!(counts(&import(&["--table=Old users"]).await), [0, 0, 2, 0, 3]);
    assert_eq!(fs::read_to_string(&ids).unwrap().lines().count(), 2, "the map is whole after every run");
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
        assert!([Some(1), Some(2)].contains(&refused.code) && refused.stdout.is_empty(), "{refused:?}");
        assert!(!refused.stderr.contains("u:hunter2"), "{refused:?}");
        assert!(refused.stderr.contains("signet: "), "{refused:?}");
    }
    let both = place.run(&["users", "import", "users.csv", "--from=sqlite:x"]).await;
    assert_eq!(both.code, Some(2));
    assert_eq!(place.run(&["users", "import"]).await.code, Some(2));
    assert_eq!(place.run(&["users", "import", "nothing.csv"]).await.code, Some(2));
}
