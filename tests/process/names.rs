//! Owns what commands promise of names: whoever is named is meant, and nobody else.

use std::{collections::HashMap, fs, path::Path};

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::{client::reason, commands::without_login, harness::Place};

/// passlib 1.7.4 of "correct horse battery staple".
const BCRYPT: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";

#[tokio::test]
async fn whoever_has_another_users_id_as_a_name_is_never_taken_for_the_other() {
    let place = Place::migrated().await;
    let alice = place.create_user("alice").await;
    let id = alice["id"].as_str().unwrap();
    // From a time when anybody could have such a name.
    place.create_user("mallory").await;
    let rename =
        format!("UPDATE users SET username = '{id}', username_canonical = '{id}' WHERE username = 'mallory'");
    place.connect().await.execute_unprepared(&rename).await.unwrap();
    for command in ["show", "disable", "enable", "delete"] {
        let refused = place.run(&["users", command, id]).await;
        let problem = refused.failed(2);
        assert!(problem.contains("reads as an id: say --id or --name"), "{command}: {problem}");
    }
    let show =
        async |flag: &str| place.run(&["users", "show", flag, id, "--json"]).await.succeeded().object();
    let other = show("--name").await;
    assert_eq!((other["username"].as_str(), &other["is_active"]), (Some(id), &json!(true)));
    place.run(&["users", "disable", "--name", id]).await.succeeded();
    assert_eq!(show("--name").await["is_active"], false);
    assert_eq!(without_login(show("--id").await), alice);
    // One way to say who is meant, and not none.
    for args in
        [&["--id", id, "--name", "alice"][..], &["alice", "--id", id], &["alice", "--name", "alice"], &[]]
    {
        let refused = place.run(&[&["users", "show"], args].concat()).await;
        assert_eq!(refused.code, Some(2), "{args:?}: {refused:?}");
    }
}

#[tokio::test]
async fn nobody_comes_over_with_a_uuid_as_a_name() {
    let place = Place::migrated().await;
    let id = place.create_user("alice").await["id"].as_str().unwrap().to_owned();
    let simple = id.replace('-', "");
    let names = [&id, &simple, &format!("{{{id}}}"), &format!("urn:uuid:{id}"), &simple.to_uppercase()];
    let records = names.map(|name| json!({ "username": name, "password_hash": BCRYPT }).to_string());
    let file = place.write("users.ndjson", &records.join("\n"));
    let report = place.path("report.ndjson");
    let imported =
        place.run(&["--json", "users", "import", &file, "--report", report.to_str().unwrap()]).await;
    let counts = imported.object();
    assert_eq!((&counts["added"], &counts["refused"]), (&json!(0), &json!(5)), "{imported:?}");
    for row in fs::read_to_string(&report).unwrap().lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        assert_eq!(
            (&row["outcome"], &row["reason"]),
            (&json!("refused"), &json!("USERNAME_IS_UUID")),
            "{row}"
        );
    }
}

/// The line and the reason of each row of the report in the file `path`, all of which were added.
fn noted(path: &Path) -> Vec<(u64, String)> {
    let report = fs::read_to_string(path).unwrap();
    let rows = report.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| {
        assert_eq!(row["outcome"], "added");
        (row["line"].as_u64().unwrap(), row["reason"].as_str().unwrap().to_owned())
    })
    .collect()
}

/// Who can be taken for whom, and whether that user logs in by exactly its spelling.
async fn collisions(place: &Place) -> Vec<(String, bool, Vec<String>)> {
    let told = place.run(&["users", "list", "--collisions", "--json"]).await.succeeded().objects();
    let name = |user: &Value| user["username"].as_str().unwrap().to_owned();
    let others = |user: &Value| user["collides_with"].as_array().unwrap().iter().map(name).collect();
    told.iter().map(|user| (name(user), user["needs_exact_spelling"] == true, others(user))).collect()
}

#[tokio::test]
async fn names_that_nobody_could_sign_up_with_come_over_and_are_listed() {
    let place = Place::migrated().await;
    let service = place.serve(&[]).await;
    let names = [
        ("scope", 1),
        ("\u{455}\u{441}\u{43e}\u{440}\u{435}", 2),
        // One name in two spellings, the older one later.
        ("\u{3c2}\u{3b1}\u{3c2}", 4),
        ("\u{3c3}\u{3b1}\u{3c2}", 3),
        ("--help", 5),
        ("\u{430}dmin", 6),
        ("admin", 7),
    ];
    let records = names.map(|(name, day)| {
        let create_time = format!("2026-01-{day:02}T00:00:00Z");
        json!({ "username": name, "password_hash": BCRYPT, "create_time": create_time }).to_string()
    });
    let file = place.write("users.ndjson", &records.join("\n"));
    let report = place.path("report.ndjson");
    let imported = place
        .run(&["--json", "users", "import", &file, "--report", report.to_str().unwrap()])
        .await
        .succeeded();
    let counts = imported.object();
    assert_eq!(
        (&counts["added"], &counts["refused"], &counts["names_noted"]),
        (&json!(7), &json!(0), &json!(6))
    );
    assert_eq!(
        noted(&report).iter().map(|(line, reason)| (*line, reason.as_str())).collect::<Vec<_>>(),
        [
            (2, "USERNAME_COLLIDES"),
            (3, "USERNAME_COLLIDES"),
            (4, "USERNAME_COLLIDES"),
            (5, "USERNAME_BREAKS_RULE"),
            (6, "USERNAME_BREAKS_RULE"),
            (7, "USERNAME_RESERVED"),
        ]
    );
    // Everybody logs in. A spelling that is exactly nobody's is the older user's.
    let client = service.client().await;
    let mut ids = HashMap::new();
    for (name, _) in names {
        let token = client.log_in(name, "correct horse battery staple").await.unwrap();
        ids.insert(name, client.get_me(&token).await.unwrap().id);
    }
    let token = client.log_in("\u{3a3}\u{391}\u{3a3}", "correct horse battery staple").await.unwrap();
    assert_eq!(client.get_me(&token).await.unwrap().id, ids["\u{3c3}\u{3b1}\u{3c2}"]);
    // Ordered by ids, which are those of the accounts' making.
    let user = |name: &str, needs_exact_spelling, other: &str| {
        (name.to_owned(), needs_exact_spelling, vec![other.to_owned()])
    };
    assert_eq!(
        collisions(&place).await,
        [
            user("\u{455}\u{441}\u{43e}\u{440}\u{435}", false, "scope"),
            user("\u{3c3}\u{3b1}\u{3c2}", false, "\u{3c2}\u{3b1}\u{3c2}"),
            user("\u{3c2}\u{3b1}\u{3c2}", true, "\u{3c3}\u{3b1}\u{3c2}"),
            user("\u{430}dmin", false, "admin"),
        ]
    );
    let table = place.run(&["users", "list", "--collisions"]).await.succeeded().stdout;
    assert!(table.contains("(spelt exactly so)") && table.contains("\n  like "), "{table}");
}

#[tokio::test]
async fn the_operator_gives_reserved_names_and_names_that_look_like_nobody_elses() {
    let place = Place::migrated().await;
    place.create_user("admin").await;
    place.create_user("scope").await;
    let taken =
        place.signet(&["users", "create", "\u{455}\u{441}\u{43e}\u{440}\u{435}"]).password().run().await;
    assert_eq!(taken.failed(1), "the username is taken");
}

#[tokio::test]
async fn the_operator_gives_a_name_that_rests() {
    let place = Place::migrated().await;
    let service = place.serve(&[]).await;
    let user = json!({ "username": "alice", "password_hash": BCRYPT, "create_time": "2020-01-01T00:00:00Z" });
    let file = place.write("users.ndjson", &user.to_string());
    place.run(&["users", "import", &file]).await.succeeded();
    // What the service cannot read would rest nowhere.
    let refused = place.run(&["users", "delete", "alice", "--master-key", &"0f".repeat(32)]).await;
    assert_eq!(
        refused.failed(2),
        "--master-key (SIGNET_MASTER_KEY): the master key does not open the key of names: it was sealed with another one"
    );
    let deleted = place.run(&["users", "delete", "alice"]).await.succeeded();
    assert!(deleted.stdout.contains("Nobody can sign up with the name until 20"), "{deleted:?}");
    let client = service.client().await;
    let refused = client.sign_up("Alice").await;
    assert_eq!(reason(&refused), "USERNAME_TAKEN");
    let alice = place.create_user("alice").await;
    let shown = place.run(&["users", "show", "alice", "--json"]).await.succeeded().object();
    assert_eq!(without_login(shown), alice);
}
