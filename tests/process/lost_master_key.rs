//! Owns what is promised where the master key is lost: users can be had without it, and the service begins anew with everything that it
//! has not sealed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    client::{PASSWORD, reason},
    harness::Place,
};

/// Another master key, as text.
const OTHER: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

impl Place {
    /// Loses the master key.
    fn lose_key(&self) {
        if self.is_embedded() {
            fs::remove_file(self.data("master.key")).unwrap();
        }
    }

    /// `signet` with `args`, for which there is no master key.
    fn without_key(&self, args: &[&str]) -> crate::harness::Invocation {
        self.signet(args).without_env("SIGNET_MASTER_KEY")
    }

    /// The same, with a new one where the embedded database does not make its own.
    fn with_new_key(&self, args: &[&str]) -> crate::harness::Invocation {
        let signet = self.without_key(args);
        if self.is_embedded() { signet } else { signet.env("SIGNET_MASTER_KEY", OTHER) }
    }
}

/// Every file and directory below `root`, with what is in it.
fn all_files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            files.insert(path, Vec::new());
        } else {
            let content = fs::read(&path).unwrap();
            files.insert(path, content);
        }
    }
    files
}

#[tokio::test]
async fn users_are_listed_and_exported_without_a_master_key() {
    let place = Place::on_database().await;
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
    service.stop().await;
    place.lose_key();
    let list = place.without_key(&["users", "list", "--json"]).run().await.succeeded().objects();
    assert_eq!(list[0]["username"], "alice");
    let found = place.without_key(&["users", "search", "--username", "al", "--json"]).run().await;
    assert_eq!(found.succeeded().objects().len(), 1);
    let sessions = place.without_key(&["users", "sessions", "alice", "--json"]).run().await;
    assert_eq!(sessions.succeeded().objects().len(), 1);
    place.without_key(&["users", "export", "users.ndjson"]).run().await.succeeded();
    let exported = fs::read_to_string(place.path("users.ndjson")).unwrap();
    assert!(exported.contains("\"alice\"") && exported.contains("$argon2id$"), "{exported}");
    // Nothing was made for it, and what needs the key says so.
    assert!(!place.data("master.key").exists());
    let refused = place.without_key(&["users", "show", "alice"]).run().await;
    assert!(refused.failed(2).contains("master"), "{refused:?}");
    place.without_key(&["serve"]).run().await.failed(2);

    // Who exports moves to another service, and logs in there.
    let other = Place::new();
    other.run(&["migrate", "up"]).await.succeeded();
    let users = place.path("users.ndjson").display().to_string();
    other.run(&["users", "import", &users]).await.succeeded();
    let service = other.serve(&[]).await;
    service.client().await.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn the_service_begins_anew_with_all_that_is_not_sealed() {
    let place = Place::on_database().await;
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let opened = client.open_session("alice", PASSWORD).await.unwrap();
    place.run(&["keys", "rotate"]).await.succeeded();
    let first = service.started["signing_key"].as_str().unwrap().to_owned();
    service.stop().await;

    // A key that is there is not lost.
    for args in [&["keys", "reset"][..], &["keys", "reset", "--discard"]] {
        let refused = place.run(args).await;
        assert!(
            refused.failed(2).contains("opens every signing key in the database: it is not lost"),
            "{refused:?}"
        );
    }
    place.lose_key();
    let before = place.is_embedded().then(|| all_files(&place.data("")));
    let told = place.with_new_key(&["keys", "reset"]).run().await.succeeded().stdout;
    assert!(told.contains("Nothing was changed") && told.contains("2 signing key(s) are deleted"), "{told}");
    assert!(told.contains("sessions stay"), "{told}");
    let told = place.with_new_key(&["keys", "reset", "--json"]).run().await.succeeded().object();
    assert_eq!(
        (&told["would_discard_signing_keys"], &told["would_discard_secrets"]),
        (&json!(2), &json!([]))
    );
    if let Some(before) = before {
        let names = |files: BTreeMap<PathBuf, _>| files.into_keys().collect::<Vec<_>>();
        assert_eq!(names(all_files(&place.data(""))), names(before));
    } else {
        let needed = place.without_key(&["keys", "reset", "--discard"]).run().await;
        assert!(needed.failed(2).contains("must be set to the new master key"), "{needed:?}");
    }
    place.with_new_key(&["serve"]).run().await.failed(2);

    let reset =
        place.with_new_key(&["keys", "reset", "--discard", "--json"]).run().await.succeeded().object();
    assert_eq!((&reset["discarded_signing_keys"], &reset["discarded_secrets"]), (&json!(2), &json!([])));
    let file = place.is_embedded().then_some("./signet-data/master.key");
    assert_eq!(reset["master_key_file"], json!(file));
    let kid = reset["signing_key"].as_str().unwrap();
    assert!(kid != first);
    let keys = place.with_new_key(&["keys", "list", "--json"]).run().await.succeeded().objects();
    assert_eq!(keys.iter().map(|key| key["kid"].as_str().unwrap()).collect::<Vec<_>>(), [kid]);

    let service = place.with_new_key(&[]).serve().await;
    assert_eq!(service.started["signing_key"], kid);
    assert_eq!(service.started["master_key_made"], Value::Null);
    let client = service.client().await;
    assert_eq!(reason(&client.get_me(&opened.access_token).await), "TOKEN_INVALID");
    let renewed = client.refresh(&opened.refresh_token.unwrap()).await.expect("the session goes on");
    client.get_me(&renewed.access_token).await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
    service.stop().await;
    let events = place.with_new_key(&["audit", "list", "--json"]).run().await.succeeded().objects();
    assert!(events.iter().any(|event| event["event"] == "signing_keys.reset"), "{events:?}");
    let again = place.with_new_key(&["keys", "reset", "--discard"]).run().await;
    assert!(again.failed(2).contains("it is not lost"), "{again:?}");
}

#[tokio::test]
async fn a_master_key_that_was_put_there_is_taken_and_what_a_reseal_left_is_not_thrown_away() {
    let place = Place::new();
    place.create_user("alice").await;
    place.serve(&[]).await.stop().await;
    fs::write(place.data("master.key"), OTHER).unwrap();
    place.run(&["keys", "reset", "--discard"]).await.succeeded();
    assert_eq!(fs::read_to_string(place.data("master.key")).unwrap(), OTHER);
    place.serve(&[]).await.stop().await;

    fs::rename(place.data("master.key"), place.data("master.key.next")).unwrap();
    let refused = place.run(&["keys", "reset", "--discard"]).await;
    assert!(
        refused.failed(2).contains("master.key.next exists, left by a `signet keys reseal` that was cut off"),
        "{refused:?}"
    );
    fs::rename(place.data("master.key.next"), place.data("master.key")).unwrap();
    place.serve(&[]).await.stop().await;

    fs::write(place.data("master.key"), "no key").unwrap();
    let refused = place.run(&["keys", "reset", "--discard"]).await;
    assert!(refused.failed(2).contains("64 hexadecimal digits"), "{refused:?}");
}

#[tokio::test]
async fn nobody_begins_anew_beside_a_service_or_another_who_does() {
    const DISCARD: [&str; 3] = ["keys", "reset", "--discard"];
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    place.lose_key();
    let refused = place.run(&DISCARD).await;
    assert!(refused.failed(1).contains("has it open"), "{refused:?}");
    assert!(!place.data("master.key").exists(), "nothing is made");
    client.log_in("alice", PASSWORD).await.expect("its keys are there");
    place.run(&["keys", "reset"]).await.succeeded();
    service.stop().await;

    let (one, other) = tokio::join!(place.run(&DISCARD), place.run(&DISCARD));
    assert!((one.code == Some(0)) != (other.code == Some(0)), "{one:?} {other:?}");
    place.serve(&[]).await.stop().await;
}

#[tokio::test]
async fn a_restore_that_refuses_leaves_nothing_behind() {
    let place = Place::new();
    place.create_user("alice").await;
    place.serve(&[]).await.stop().await;
    let backup = place.path("backup").display().to_string();
    place.run(&["backup", &backup]).await.succeeded();
    let damaged = place.path("damaged").display().to_string();
    let mut bytes = fs::read(&backup).unwrap();
    bytes[5_000] ^= 1;
    fs::write(&damaged, bytes).unwrap();

    let other = Place::new();
    let none = other.write("none", "no backup");
    let wrong = ["--master-key", OTHER];
    for (file, key, code) in
        [(&backup, &[][..], 2), (&backup, &wrong, 2), (&damaged, &wrong, 1), (&none, &wrong, 1)]
    {
        for dir in ["./signet-data", "./a/b/c"] {
            let before = all_files(&other.path(""));
            let args = [&["restore", file, "--data-dir", dir], key].concat();
            let refused = other.run(&args).await;
            refused.failed(code);
            assert_eq!(all_files(&other.path("")), before, "{args:?}: {refused:?}");
        }
    }
    // Where something is, that stays as it is.
    fs::create_dir_all(other.path("kept/inner")).unwrap();
    let before = all_files(&other.path(""));
    other.run(&["restore", &backup, "--data-dir", "./kept/inner/data"]).await.failed(2);
    other.run(&["restore", &backup, "--data-dir", "./kept/inner"]).await.failed(2);
    assert_eq!(all_files(&other.path("")), before);

    let before = all_files(&place.path("signet-data"));
    place.run(&["restore", &backup]).await.failed(1);
    place.run(&["restore", &backup, "--replace", "--master-key", OTHER]).await.failed(2);
    assert_eq!(all_files(&place.path("signet-data")), before);
    place.run(&["restore", &backup, "--replace"]).await.succeeded();
}

#[tokio::test]
async fn a_reseal_that_refuses_leaves_nothing_behind() {
    let place = Place::new();
    place.create_user("alice").await;
    place.serve(&[]).await.stop().await;
    let right = fs::read(place.data("master.key")).unwrap();
    fs::write(place.data("master.key"), OTHER).unwrap();
    let names = || all_files(&place.data("")).into_keys().collect::<Vec<_>>();
    let before = names();
    for _ in 0..2 {
        let refused = place.run(&["keys", "reseal"]).await;
        assert!(refused.failed(2).contains("it was sealed with another one"), "{refused:?}");
        assert_eq!(names(), before);
    }
    fs::write(place.data("master.key"), right).unwrap();
    // Nor does any other command that finds out what is wrong only with the database open.
    for (args, code) in [(&["keys", "reset", "--discard", "--yes"][..], 2), (&["keys", "revoke", "none"], 1)]
    {
        place.run(args).await.failed(code);
        assert_eq!(names(), before, "{args:?}");
    }
    place.run(&["keys", "reseal"]).await.succeeded();
    place.serve(&[]).await.stop().await;
}
