//! Owns what is promised of `signet attributes`, and of attributes in `signet users`.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{Finished, Place};

/// passlib 1.7.4 of "correct horse battery staple".
const HASH: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";

/// What the command `line` answers.
async fn done(place: &Place, line: &str) -> Finished {
    place.run(&line.split(' ').collect::<Vec<_>>()).await.succeeded()
}

#[tokio::test]
async fn an_attribute_is_declared_given_shown_and_deleted() {
    let place = Place::migrated().await;
    place.create_user("bob").await;
    let team = done(&place, "attributes create team --in-tokens --description Whose. --json").await.object();
    assert_eq!(
        (&team["type"], &team["writer"], &team["in_tokens"]),
        (&json!("string"), &json!("admin"), &json!(true))
    );
    done(&place, "attributes create level --type integer").await;
    done(&place, "attributes create sites --type string-list").await;
    let refused = place.run(&["attributes", "create", "motto", "--writer", "user", "--in-tokens"]).await;
    assert!(refused.failed(2).contains("in_tokens"), "{refused:?}");
    let refused = place.run(&["attributes", "create", "team"]).await;
    assert!(refused.failed(1).contains("declared already"), "{refused:?}");

    let given = r#"users update bob --set-attribute team=blue --set-attribute level=7 --set-attribute sites=["a"] --json"#;
    let bob = done(&place, given).await.object();
    assert_eq!(bob["attributes"], json!({ "team": "blue", "level": 7, "sites": ["a"] }));
    let bob = done(&place, "users update bob --unset-attribute sites --set-attribute team=red").await;
    assert!(bob.stdout.ends_with("attribute:    level=7\nattribute:    team=\"red\"\n"), "{bob:?}");
    assert_eq!(
        done(&place, "users show bob --json").await.object()["attributes"],
        json!({ "team": "red", "level": 7 })
    );
    for (bad, said) in [("level=high", "integer"), ("size=s", "size")] {
        let refused = place.run(&["users", "update", "bob", "--set-attribute", bad]).await;
        assert!(refused.failed(2).contains(said), "{refused:?}");
    }
    let updated = done(&place, "attributes update team --not-in-tokens --in-userinfo --json").await.object();
    assert_eq!((&updated["in_tokens"], &updated["in_userinfo"]), (&json!(false), &json!(true)));
    let listed = done(&place, "attributes list").await;
    assert!(listed.stdout.contains("level") && listed.stdout.contains("userinfo"), "{listed:?}");
    done(&place, "attributes delete team").await;
    assert_eq!(done(&place, "users show bob --json").await.object()["attributes"], json!({ "level": 7 }));
    assert!(place.run(&["attributes", "show", "team"]).await.failed(1).contains("team"));
}

/// The attributes of all users, by their names.
async fn all_attributes(place: &Place) -> BTreeMap<String, Value> {
    let users = done(place, "users list --json").await.objects();
    let of = |user: &Value| (user["username"].as_str().unwrap().to_owned(), user["attributes"].clone());
    users.iter().map(of).collect()
}

/// A place where attributes are declared.
async fn declaring() -> Place {
    let place = Place::migrated().await;
    for declared in ["team", "level --type integer", "sites --type string-list", "motto --writer user"] {
        done(&place, &format!("attributes create {declared}")).await;
    }
    place
}

#[tokio::test]
async fn who_is_written_out_comes_back_with_the_same_attributes() {
    let (place, fresh) = (declaring().await, declaring().await);
    let create = ["users", "create", "bob", "--json", "--set-attribute", "team=blue"];
    let bob = place.signet(&create).password().run().await.succeeded().object();
    assert_eq!(bob["attributes"], json!({ "team": "blue" }));
    let create = ["users", "create", "carl", "--set-attribute", "size=7"];
    let refused = place.signet(&create).password().run().await;
    assert!(refused.failed(2).contains("no declared attribute"), "{refused:?}");
    place.create_user("ann").await;
    done(&place, r#"users update bob --set-attribute level=7 --set-attribute sites=["a","b"]"#).await;
    done(&place, "users update bob --set-attribute motto=007").await;
    let expected = json!({ "team": "blue", "level": 7, "sites": ["a", "b"], "motto": "007" });
    let all = BTreeMap::from([("ann".to_owned(), json!({})), ("bob".to_owned(), expected)]);
    assert_eq!(all_attributes(&place).await, all);
    let found = done(&place, "users search --username b --json").await.object();
    assert_eq!(found["attributes"], all["bob"]);

    let exported = done(&place, "users export").await.stdout;
    for _ in 0..2 {
        let import = ["users", "import", "-", "--on-conflict=update"];
        fresh.signet(&import).stdin(&exported).run().await.succeeded();
        assert_eq!(done(&fresh, "users export").await.stdout, exported);
    }
    assert_eq!(all_attributes(&fresh).await, all);
    // Where they are not declared nobody has them, and nobody is taken in without.
    let bare = Place::migrated().await;
    let refused = bare.signet(&["users", "import", "-", "--json"]).stdin(&exported).run().await;
    assert_eq!((refused.code, &refused.object()["refused"]), (Some(65), &json!(1)), "{refused:?}");
    assert!(refused.stderr.contains("INVALID_ATTRIBUTE"), "{refused:?}");
}

#[tokio::test]
async fn what_a_row_says_of_attributes_is_all_that_the_user_has_or_the_row_is_refused() {
    let place = declaring().await;
    let (header, bad) = ("username,password_hash,is_active,attributes", r#""{""level"":""high""}""#);
    let rows = [
        format!(r#"ann,{HASH},1,"{{""team"":""red"",""level"":7}}""#),
        format!("bob,{HASH},1,"),
        format!("carl,{HASH},1,{bad}"),
        format!(r#"dan,{HASH},1,"{{""size"":1}}""#),
        format!("erin,{HASH},1,red"),
        format!(r#"fred,{HASH},1,"{{""level"":1.5}}""#),
    ];
    let file = place.write("users.csv", &format!("{header}\n{}\n", rows.join("\n")));
    let imported = place.run(&["users", "import", &file, "--json"]).await;
    assert_eq!((imported.code, &imported.object()["added"]), (Some(65), &json!(2)), "{imported:?}");
    let told = imported.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let refused: Vec<_> = told.filter(|line| line["outcome"] == "refused").collect();
    assert!(refused.iter().all(|line| line["reason"] == "INVALID_ATTRIBUTE"), "{refused:?}");
    for (line, said) in refused.iter().zip(["integer as `level`", "`size`", "JSON object", "`level`"]) {
        assert!(line["problem"].as_str().unwrap().contains(said), "{line}");
    }
    assert_eq!(all_attributes(&place).await["ann"], json!({ "team": "red", "level": 7 }));

    // A table: what it says is all; a source without them leaves them.
    let db = place.connect().await;
    let columns = "username VARCHAR(9), hashed_password VARCHAR(99), is_active BOOLEAN, more VARCHAR(99)";
    db.execute_unprepared(&format!("CREATE TABLE old ({columns})")).await.unwrap();
    for (name, active, more) in [("ann", "FALSE", r#"{"sites":["x"]}"#), ("bob", "TRUE", "")] {
        let row = format!("INSERT INTO old VALUES ('{name}', '{HASH}', {active}, '{more}')");
        db.execute_unprepared(&row).await.unwrap();
    }
    let import = |column: &'static str| {
        let import = ["users", "import", "--table=old", "--on-conflict=update", "--column-id=", column];
        place.signet(&import).env("SIGNET_IMPORT_FROM", &place.database_url()).run()
    };
    import("--column-attributes=more").await.succeeded();
    import("--column-attributes=").await.succeeded();
    let expected = [("ann".to_owned(), json!({ "sites": ["x"] })), ("bob".to_owned(), json!({}))];
    assert_eq!(all_attributes(&place).await, BTreeMap::from(expected));

    // And each who was changed has events.
    let events = done(&place, "audit list --user ann --json").await.objects();
    let told = |event: &str| events.iter().find(|told| told["event"] == event).map(|told| &told["changes"]);
    let changed = json!([{ "field": "attributes", "new": "level sites team" }]);
    assert_eq!(told("user.updated"), Some(&changed), "{events:?}");
    let changed = json!([{ "field": "active", "old": "true", "new": "false" }]);
    assert_eq!(told("user.disabled"), Some(&changed), "{events:?}");
    assert_eq!(events.len(), 2, "{events:?}");
    // Nothing is all, too; and so it is the second time.
    for updated in [1, 0] {
        let none = place.write("none.csv", &format!("{header}\nann,{HASH},1,{{}}\n"));
        let import = ["users", "import", &none, "--on-conflict=update", "--json"];
        assert_eq!(place.run(&import).await.succeeded().object()["updated"], updated);
        assert_eq!(all_attributes(&place).await["ann"], json!({}));
    }
}
