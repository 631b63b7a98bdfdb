//! Owns what `users import` and `users export` promise: everybody comes over once, whoever does not is told why, and what was
//! written out comes back the same.

use std::{fs, os::unix::fs::PermissionsExt};

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
    records.iter().map(|record| format!("{record}\n")).collect()
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
    let place = Place::on_database().await;
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
    let place = Place::on_database().await;
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
    assert!(refused.failed(1).contains("File exists"), "an export replaces no file: {refused:?}");
    let exported = fs::read_to_string(&file).unwrap();
    assert_eq!((exported.lines().count(), place.export().await.as_str()), (4, exported.as_str()));

    let fresh = Place::on_database().await;
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
