//! Owns what `signet keys` promises: rotating, revoking and sealing anew while the service runs, and after a crash.

use std::{fs, path::Path};

use sea_orm::{
    ConnectionTrait, DbBackend, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use serde_json::{Value, json};

use crate::{
    client::{Client, PASSWORD, reason},
    commands::to_the_second,
    harness::{PATIENCE, Place},
    support::runner::Process,
};

/// Another master key, as text.
const OTHER: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

async fn list(place: &Place) -> Vec<Value> {
    place.run(&["keys", "list", "--json"]).await.succeeded().objects()
}

fn stages(keys: &[Value]) -> Vec<&str> {
    keys.iter().map(|key| key["stage"].as_str().unwrap()).collect()
}

/// Waits until `token` is refused; the bound of a second is held by the tests that turn the clock.
async fn refused(client: &Client, token: &str) {
    let refused = async {
        while reason(&client.get_me(token).await) != "TOKEN_INVALID" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("refused in time");
}

#[tokio::test]
async fn keys_are_listed_with_their_stages_and_times_as_they_are_rotated() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let first = service.started["signing_key"].as_str().unwrap();
    let keys = list(&place).await;
    assert_eq!(keys.len(), 1);
    assert_eq!((&keys[0]["kid"], &keys[0]["alg"]), (&json!(first), &json!("ES256")));
    assert_eq!(stages(&keys), ["signing"]);
    assert_eq!((&keys[0]["retire_time"], &keys[0]["expire_time"]), (&Value::Null, &Value::Null));
    assert_eq!(keys[0]["sign_time"], keys[0]["create_time"], "the first key signs at once");

    let said = place.run(&["keys", "rotate"]).await.succeeded().stdout;
    let keys = list(&place).await;
    assert_eq!(stages(&keys), ["signing", "published"]);
    let (next, sign_time) = (keys[1]["kid"].as_str().unwrap(), keys[1]["sign_time"].as_str().unwrap());
    assert_eq!(said, format!("Published {next}: it signs from {sign_time} on.\n"));
    assert_eq!(keys[0]["retire_time"], sign_time);
    assert!(
        keys[0]["expire_time"].as_str() > Some(sign_time)
            && sign_time > keys[1]["create_time"].as_str().unwrap()
    );

    let again = place.run(&["keys", "rotate"]).await;
    let expected = format!("the next key is published already: {next} signs from {sign_time} on");
    assert_eq!(again.failed(1), expected);
    let now = place.run(&["keys", "rotate", "--now", "--json"]).await.succeeded().object();
    assert_eq!(now["kid"], next);
    assert!(now["sign_time"].as_str().unwrap() < sign_time);
    assert_eq!(stages(&list(&place).await), ["verify-only", "signing"]);
    let said = place.run(&["keys", "rotate", "--now"]).await.succeeded().stdout;
    let keys = list(&place).await;
    assert_eq!(stages(&keys), ["verify-only", "verify-only", "signing"]);
    assert_eq!(said, format!("{} signs from now on.\n", keys[2]["kid"].as_str().unwrap()));

    let table = place.run(&["keys", "list"]).await.succeeded().stdout;
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), "KEY ID ALG STAGE NEXT");
    for (row, key) in rows[1..].iter().zip(&keys) {
        let shown = ["kid", "alg", "stage"].map(|name| key[name].as_str().unwrap());
        assert_eq!(row[..3], shown, "{key}");
        let next = match shown[2] {
            "verify-only" => format!("deleted after {}", to_the_second(&key["expire_time"])),
            _ => "-".to_owned(),
        };
        assert_eq!(row[3..].join(" "), next, "{key}");
    }
}

#[tokio::test]
async fn a_running_service_signs_with_the_key_that_was_made_and_refuses_the_one_that_was_revoked() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let old = client.log_in("alice", PASSWORD).await.unwrap();
    place.run(&["keys", "rotate", "--now"]).await.succeeded();
    client.get_me(&old).await.unwrap();
    let first = service.started["signing_key"].as_str().unwrap();
    let revoked = place.run(&["keys", "revoke", first]).await.succeeded();
    assert_eq!(revoked.stdout, format!("Revoked {first}.\n"));
    refused(&client, &old).await;
    // Whoever was told that it is refused gets tokens of the other.
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    client.get_me(&token).await.unwrap();

    let signing = list(&place).await[0]["kid"].clone();
    let args = ["keys", "revoke", "--json", signing.as_str().unwrap()];
    let revoked = place.run(&args).await.succeeded().object();
    refused(&client, &token).await;
    let keys = list(&place).await;
    assert_eq!(stages(&keys), ["signing"], "a new one signs at once");
    assert_eq!(revoked, json!({ "revoked": signing, "signing_key": keys[0]["kid"] }));
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    client.get_me(&token).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn what_is_no_key_is_not_revoked() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let kid = service.started["signing_key"].as_str().unwrap();
    for none in ["", "nothing", "-nothing", "%", &kid.to_lowercase(), &kid[..42]] {
        let finished = place.run(&["keys", "revoke", none]).await;
        assert_eq!(finished.failed(1), format!("there is no signing key `{none}`"));
    }
    assert_eq!(list(&place).await.len(), 1);
}

#[tokio::test]
async fn the_master_key_is_changed_while_the_service_runs() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    let old = fs::read_to_string(place.data("master.key")).unwrap();
    place.run(&["keys", "rotate"]).await.succeeded();

    let resealed = place.run(&["keys", "reseal", "--json"]).await.succeeded().object();
    assert_eq!(resealed, json!({ "resealed": 2, "master_key_file": "./signet-data/master.key" }));
    let new = fs::read_to_string(place.data("master.key")).unwrap();
    assert_ne!(new, old);
    client.get_me(&token).await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
    // It has the published key open, but not the one that signs after it; so it must not be given calls.
    place.run(&["keys", "rotate", "--now"]).await.succeeded();
    place.run(&["keys", "rotate", "--now"]).await.succeeded();
    let probe = format!("--operations-addr={}", service.operations_addr());
    let unready = async { while place.run(&["healthcheck", &probe]).await.code == Some(0) {} };
    tokio::time::timeout(PATIENCE, unready).await.expect("not ready in time");
    let said = service.stop().await.stderr;
    assert!(said.contains("signing keys in the database cannot be opened"), "{said}");
    let refused = place.run(&["--master-key", old.trim()]).await;
    assert!(refused.failed(2).starts_with("--master-key (SIGNET_MASTER_KEY): the master key does not open"));
    let refused = place.run(&["keys", "rotate", "--master-key", old.trim()]).await;
    assert!(refused.failed(2).starts_with("--master-key (SIGNET_MASTER_KEY): the master key does not open"));
    let service = place.serve(&[]).await;
    service.client().await.get_me(&token).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn the_new_master_key_can_be_given() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let signing_key = service.started["signing_key"].clone();
    service.stop().await;
    let file = place.write("new", OTHER);
    let said = place.run(&["keys", "reseal", "--new-master-key-file", &file]).await.succeeded().stdout;
    assert!(
        said.starts_with(
            "Sealed 1 signing key(s) under the new master key. It is in ./signet-data/master.key"
        )
    );
    assert_eq!(fs::read_to_string(place.data("master.key")).unwrap().trim(), OTHER);
    place.serve(&[]).await.stop().await;

    // Where the master key is given, the new one must be too, and is kept by whoever gives it.
    let database = format!("sqlite:{}", place.data("signet.db").display());
    let args = ["--database-url", database.as_str(), "--master-key", OTHER];
    let refused = place.run(&[&["keys", "reseal"], &args[..]].concat()).await;
    assert!(refused.failed(2).contains("--new-master-key-file"), "{refused:?}");
    let newest = place.write("newest", &"0e".repeat(32));
    let reseal = ["keys", "reseal", "--json", "--new-master-key-file", &newest];
    let resealed = place.run(&[&reseal, &args[..]].concat()).await.succeeded().object();
    assert_eq!(resealed, json!({ "resealed": 1, "master_key_file": Value::Null }));
    assert!(place.run(&args).await.failed(2).starts_with("--master-key (SIGNET_MASTER_KEY): "));
    let service = place.serve(&["--database-url", &database, "--master-key-file", &newest]).await;
    assert_eq!(service.started["signing_key"], signing_key);
}

#[tokio::test]
async fn a_new_master_key_that_cannot_be_used_changes_nothing_and_is_not_shown() {
    let place = Place::new();
    place.serve(&[]).await.stop().await;
    let before = contents(&place);
    let short = place.write("short", "5ec7e7");
    let long = place.write("long", &format!("{OTHER}0f"));
    for (file, problem) in [
        (short.as_str(), "must be 32 bytes as 64 hexadecimal digits"),
        (&long, "must be 32 bytes as 64 hexadecimal digits"),
        ("/nowhere", "cannot be read: No such file or directory (os error 2)"),
    ] {
        let finished = place.run(&["keys", "reseal", "--new-master-key-file", file]).await;
        let sentence = finished.failed(2);
        assert_eq!(sentence, format!("--new-master-key-file: {file} {problem}"));
        assert!(!sentence.contains("5ec7e7"));
    }
    assert_eq!(contents(&place), before);
}

/// The master key, the one that is to be next, and the database.
fn contents(place: &Place) -> [Option<Vec<u8>>; 3] {
    ["master.key", "master.key.next", "signet.db"].map(|name| fs::read(place.data(name)).ok())
}

fn write_private(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn wherever_a_crash_cuts_the_change_of_the_master_key_off_the_next_start_finishes_it() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    service.stop().await;
    let [old_key, _, old_database] = contents(&place).map(Option::unwrap_or_default);
    place.run(&["keys", "reseal"]).await.succeeded();
    let [new_key, _, new_database] = contents(&place).map(Option::unwrap_or_default);

    // Cut off before the keys were sealed anew, and after it; found by a start, and by a command.
    for (database, kept) in [(&old_database, &old_key), (&new_database, &new_key)] {
        for finder in ["serve", "keys"] {
            write_private(&place.data("master.key"), &old_key);
            write_private(&place.data("master.key.next"), &new_key);
            write_private(&place.data("signet.db"), database);
            if finder == "keys" {
                assert_eq!(list(&place).await.len(), 1);
            }
            let service = place.serve(&[]).await;
            service.client().await.get_me(&token).await.unwrap();
            service.stop().await;
            assert_eq!(contents(&place)[..2], [Some(kept.clone()), None], "{finder}");
        }
    }
}

#[tokio::test]
async fn a_change_of_the_master_key_that_is_killed_again_and_again_loses_no_key() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    service.stop().await;
    for _ in 0..8 {
        let before = fs::read(place.data("master.key")).unwrap();
        let process = place.signet(&["keys", "reseal"]).start();
        let begun = async {
            let next = place.data("master.key.next");
            while !next.exists() && fs::read(place.data("master.key")).unwrap() == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.expect("it begins");
        drop(process); // SIGKILL
        assert_eq!(list(&place).await.len(), 1);
        assert!(!place.data("master.key.next").exists(), "the next command finishes it");
    }
    let service = place.serve(&[]).await;
    service.client().await.get_me(&token).await.unwrap();
}

#[tokio::test]
async fn of_changes_of_the_master_key_at_once_none_loses_a_key() {
    let place = Place::new();
    place.serve(&[]).await.stop().await;
    let processes: Vec<Process> =
        (0..4).map(|_| place.signet(&["keys", "reseal", "--log-level=off"]).start()).collect();
    let mut done = 0;
    for process in processes {
        let finished = process.finish().await;
        if finished.code == Some(0) {
            done += 1;
        } else {
            assert_eq!(finished.failed(1), "another `signet keys reseal` is under way");
        }
    }
    assert!(done >= 1);
    place.run(&["keys", "rotate"]).await.succeeded();
    place.serve(&[]).await.stop().await;
}

#[tokio::test]
async fn a_change_of_the_master_key_takes_over_what_another_was_killed_in_since_it_began() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let kid = service.started["signing_key"].clone();
    service.stop().await;
    let [old_key, _, old_database] = contents(&place).map(Option::unwrap_or_default);
    place.run(&["keys", "reseal"]).await.succeeded();
    let [new_key, ..] = contents(&place).map(Option::unwrap_or_default);
    let sealed = "SELECT sealed_private_key FROM signing_keys";
    let read = Statement::from_string(DbBackend::Sqlite, sealed);
    let db = place.connect().await;
    let sealed: Vec<u8> = db.query_one_raw(read).await.unwrap().unwrap().try_get_by_index(0).unwrap();
    db.close().await.unwrap();
    write_private(&place.data("master.key"), &old_key);
    write_private(&place.data("signet.db"), &old_database);

    // Another process seals the key anew, and is killed before it moves the master key that does.
    let db = place.connect().await;
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let other = db.begin_with_options(options).await.unwrap();
    let mut late = place.signet(&["keys", "reseal"]).start();
    late.error_line_with("waiting for others to release the database's tables").await;
    let update = "UPDATE signing_keys SET sealed_private_key = ?";
    other
        .execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, update, [sealed.into()]))
        .await
        .unwrap();
    write_private(&place.data("master.key.next"), &new_key);
    other.commit().await.unwrap();
    db.close().await.unwrap();

    late.finish().await.succeeded();
    let [newest_key, next, _] = contents(&place);
    assert!(newest_key.is_some_and(|key| key != old_key && key != new_key) && next.is_none());
    assert_eq!(place.serve(&[]).await.started["signing_key"], kid);
}
