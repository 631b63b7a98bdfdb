//! Owns what `users import` asks before it writes: which database is meant, and which column says who may log in.

use std::fs;

use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{Finished, Place};

/// passlib 1.7.4 of "correct horse battery staple".
const HASH: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";

#[tokio::test]
async fn an_import_makes_no_database_and_a_dry_run_makes_nothing_at_all() {
    let place = Place::new();
    let input = place.write("users.csv", &format!("username,password_hash\nann,{HASH}\n"));
    let (report, ids) = (place.path("report"), place.path("ids"));
    let [report_flag, ids_flag] =
        [("--report", &report), ("--id-map", &ids)].map(|(flag, file)| format!("{flag}={}", file.display()));
    let here = || fs::read_dir(place.path(".")).unwrap().count();
    for flags in [&["--dry-run", &report_flag][..], &[&report_flag, &ids_flag]] {
        for database in
            [&["--data-dir=elsewhere"][..], &["--database-url=sqlite:other.db", "--master-key-file=key"]]
        {
            place.write("key", &"0f".repeat(32));
            let flags = [&["users", "import", &input, "--audit-log=./audit"], flags, database].concat();
            let refused = place.run(&flags).await;
            let problem = refused.failed(2);
            assert!(
                problem.contains("there is no database") && problem.contains("`signet migrate up`"),
                "{problem}"
            );
            // The files that the test wrote; and, where the import itself was meant, the audit log.
            let audit = usize::from(place.path("audit").exists());
            assert_eq!(here(), 2 + audit, "{flags:?}");
            assert!(audit == 0 || !flags.contains(&"--dry-run"), "{flags:?}");
        }
    }
    // Who has not started the service yet makes the database first.
    place.run(&["migrate", "up"]).await.succeeded();
    let flags = ["users", "import", &input, &report_flag, &ids_flag];
    assert!(place.run(&flags).await.succeeded().stdout.contains("1 added"));
    assert!(report.exists() && ids.exists(), "an import that came to its end leaves both");
}

#[tokio::test]
async fn a_dry_run_applies_no_migration() {
    let place = Place::embedded().await;
    let db = place.connect().await;
    let forget = "DELETE FROM seaql_migrations WHERE version = (SELECT MAX(version) FROM seaql_migrations)";
    db.execute_unprepared(forget).await.unwrap();
    let input = place.write("users.csv", "username,password_hash\n");
    let refused = place.run(&["users", "import", &input, "--dry-run"]).await;
    assert!(refused.failed(2).contains("lacks 1 of this version's migrations"), "{refused:?}");
    place.run(&["users", "import", &input]).await.succeeded();
    place.run(&["users", "import", &input, "--dry-run"]).await.succeeded();
}

#[tokio::test]
async fn a_run_that_fails_leaves_the_names_of_its_files_to_the_next() {
    let place = Place::embedded().await;
    let report = place.path("report");
    let flag = format!("--report={}", report.display());
    let unfit = place.write("unfit.csv", "nothing\n");
    assert!(place.run(&["users", "import", &unfit, &flag]).await.failed(1).contains("`username`"));
    assert!(!report.exists());
    let from = format!("--from=sqlite:{}", place.data("signet.db").display());
    assert!(
        place.run(&["users", "import", &from, "--table=nothing", &flag]).await.failed(1).contains("nothing")
    );
    assert!(!report.exists());

    // What was told of the rows before stays.
    let rows = format!("{}\n{}", "x,!\n".repeat(600), "\"x".repeat(200_000));
    let broken = place.write("broken.csv", &format!("username,password_hash\n{rows}"));
    let failed = place.run(&["users", "import", &broken, &flag]).await;
    assert!(failed.code == Some(1) && failed.stderr.contains("quotation mark"), "{:?}", failed.code);
    assert!(fs::read_to_string(report).unwrap().lines().count() >= 500);
}

/// A table as `FastAPI`'s tutorial has it, with one user whom somebody has disabled.
async fn tutorial(place: &Place) {
    let db = place.connect().await;
    db.execute_unprepared(
        "CREATE TABLE tutorial (username VARCHAR(9), full_name VARCHAR(99), hashed_password VARCHAR(99), disabled BOOLEAN)",
    )
    .await
    .unwrap();
    for (name, disabled) in [("frank", "NULL"), ("grace", "FALSE"), ("mallory", "TRUE")] {
        let row = format!("INSERT INTO tutorial VALUES ('{name}', 'X', '{HASH}', {disabled})");
        db.execute_unprepared(&row).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_is_disabled_in_a_table_cannot_log_in_here() {
    let place = Place::migrated().await;
    tutorial(&place).await;
    let url = place.database_url();
    let import = async |flags: &[&str]| -> Finished {
        let run = ["users", "import", "--table=tutorial", "--column-id="];
        place.signet(&[&run[..], flags].concat()).env("SIGNET_IMPORT_FROM", &url).run().await
    };
    let refused = import(&[]).await;
    let problem = refused.failed(1);
    assert!(problem.contains("is_active") && problem.contains("--column-disabled="), "{problem}");
    let refused = import(&["--column-disabled=disabled", "--column-display-name=name"]).await;
    let problem = refused.failed(1);
    assert!(problem.contains("--column-display-name=NAME") && !problem.contains("is_active"), "{problem}");
    let refused = import(&["--column-is-active=Disabled"]).await;
    assert!(refused.failed(2).contains("--column-disabled=Disabled"), "{refused:?}");
    let both = import(&["--column-is-active=disabled", "--column-disabled=disabled"]).await;
    assert_eq!(both.code, Some(2), "{both:?}");

    let flags = ["--column-disabled=disabled", "--column-display-name=full_name"];
    let imported = import(&flags).await.succeeded();
    assert!(imported.stdout.contains("3 added") && !imported.stdout.contains("Inactive"), "{imported:?}");
    for (name, active) in [("frank", true), ("grace", true), ("mallory", false)] {
        let user = place.run(&["users", "show", name, "--json"]).await.succeeded().object();
        assert_eq!((&user["is_active"], &user["display_name"]), (&json!(active), &json!("X")), "{name}");
    }
}

#[tokio::test]
async fn a_file_that_says_who_is_disabled_is_read_so_or_refused() {
    let place = Place::embedded().await;
    let file =
        place.write("users.csv", &format!("username,password_hash,is_disabled\nann,{HASH},1\nbob,{HASH},\n"));
    let import = async |flags: &[&str]| place.run(&[&["users", "import", &file], flags].concat()).await;
    let refused = import(&[]).await;
    assert!(refused.failed(1).contains("--column-disabled=is_disabled"), "{refused:?}");
    let imported = import(&["--column-disabled=is_disabled"]).await.succeeded();
    assert!(imported.stdout.contains("2 added"), "{imported:?}");
    for (name, active) in [("ann", false), ("bob", true)] {
        let user = place.run(&["users", "show", name, "--json"]).await.succeeded().object();
        assert_eq!(user["is_active"], json!(active), "{name}");
    }
    // Who says that all may log in is believed.
    import(&["--column-is-active="]).await.succeeded();
    let wrong = import(&["--column-disabled=blocked"]).await;
    assert!(wrong.failed(1).contains("`blocked`"), "{wrong:?}");
}
