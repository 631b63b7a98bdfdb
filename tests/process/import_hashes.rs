//! Owns what `users import` promises of hashes of a digest, and of passwords that are longer than those of new accounts.

use serde_json::json;

use crate::{
    client::reason,
    harness::{Finished, Place},
};

const PASSWORD: &str = "correct horse battery staple";

/// bcrypt of the HMAC-SHA-512 of the password under [`KEY`], in base64: what Flask-Security writes.
const FLASK_SECURITY: &str = "$2b$04$/QyIevNOJkgOyRJ//ATwG.ntG9sZ64UGUtfuUixjeBd3EG6oKIpSK";
const KEY: &str = "shop-salt";

/// bcrypt of the password and the key after it: what Devise writes.
const DEVISE: &str = "$2a$04$ACGWsMcoYxioejKUJqxHOeypMjJ9jHNHV/nkg5Ik6AWvD68AZley.";

/// bcrypt of the SHA-256 of the password in hexadecimal: what Flask-Bcrypt writes with long passwords.
const FLASK_BCRYPT: &str = "$2b$04$.imE2BV1s9NgWNJNYuIkDu8UV68CvYQuInMMmiKigzgwkD37vxguC";

/// What a run said that ended with `code`.
#[track_caller]
fn said(finished: &Finished, code: i32) -> &str {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    &finished.stderr
}

impl Place {
    async fn import_hash(&self, username: &str, hash: &str, flags: &[&str]) -> Finished {
        let record = json!({ "username": username, "password_hash": hash }).to_string();
        let file = self.write("hashes.ndjson", &record);
        self.run(&[&["--json", "users", "import", &file], flags].concat()).await
    }

    /// What is asked, with the password on standard input.
    async fn verify_one(&self, username: &str, hash: &str, flags: &[&str]) -> Finished {
        let file =
            self.write("one.ndjson", &json!({ "username": username, "password_hash": hash }).to_string());
        let args = [&["--json", "users", "import", &file, "--verify-one", username], flags].concat();
        self.signet(&args).stdin(&format!("{PASSWORD}\n")).run().await
    }

    async fn exported(&self) -> String {
        self.run(&["users", "export"]).await.succeeded().stdout
    }
}

#[tokio::test]
async fn hashes_of_a_digest_log_in_while_the_service_runs_and_become_argon2id() {
    let place = Place::migrated().await;
    let service = place.serve(&[]).await;
    let client = service.client().await;
    let key = place.write("salt", &format!("{KEY}\n"));
    let flags = ["--password-prehash=flask-security", "--password-prehash-key-file", &key];
    place.import_hash("ann", FLASK_SECURITY, &flags).await.succeeded();
    // The key is there now.
    place.import_hash("dev", DEVISE, &["--password-prehash=devise"]).await.succeeded();
    place.import_hash("bob", FLASK_BCRYPT, &["--password-prehash=flask-bcrypt"]).await.succeeded();
    let exported = place.exported().await;
    for prehash in [
        "{prehash=flask-security,key=default}$2b$",
        "{prehash=append-key,key=default}$2a$",
        "{prehash=sha256-hex}$2b$",
    ] {
        assert!(exported.contains(prehash), "{exported}");
    }
    assert!(!exported.contains(KEY));
    for name in ["ann", "dev", "bob"] {
        assert_eq!(reason(&client.log_in(name, "wrong horse").await), "INVALID_CREDENTIALS");
        client.log_in(name, PASSWORD).await.unwrap();
        client.log_in(name, PASSWORD).await.unwrap();
    }
    let exported = place.exported().await;
    assert_eq!(exported.matches("\"$argon2id$v=19$m=64,t=1,p=1$").count(), 3, "{exported}");
}

#[tokio::test]
async fn a_key_is_asked_for_once_and_no_other_takes_its_name() {
    let place = Place::migrated().await;
    let keyed = ["--password-prehash=flask-security"];
    let refused = place.import_hash("ann", FLASK_SECURITY, &keyed).await;
    assert!(said(&refused, 2).contains("needs a key: --password-prehash-key-file"), "{refused:?}");
    let empty = place.write("empty", "\n");
    let refused = place
        .import_hash("ann", FLASK_SECURITY, &[&keyed[..], &["--password-prehash-key-file", &empty]].concat())
        .await;
    assert!(said(&refused, 2).contains("is empty"), "{refused:?}");
    let refused = place.import_hash("ann", FLASK_SECURITY, &["--password-prehash=flask"]).await;
    assert!(said(&refused, 2).contains("there is no such recipe"), "{refused:?}");

    let key = place.write("salt", KEY);
    let with = |file: &str, flags: &[&str]| -> Vec<String> {
        let all = [&keyed[..], &["--password-prehash-key-file", file], flags].concat();
        all.iter().map(|flag| (*flag).to_owned()).collect()
    };
    let import = async |name: &str, flags: Vec<String>| {
        place.import_hash(name, FLASK_SECURITY, &flags.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    // A dry run keeps none.
    import("ann", with(&key, &["--dry-run"])).await.succeeded();
    said(&place.import_hash("ann", FLASK_SECURITY, &keyed).await, 2);
    import("ann", with(&key, &[])).await.succeeded();
    import("bob", with(&key, &[])).await.succeeded();
    // The same key, as bytes.
    let encoded = place.write("encoded", "base64:c2hvcC1zYWx0");
    import("cat", with(&encoded, &[])).await.succeeded();
    let other = place.write("other", "another salt");
    let refused = import("dan", with(&other, &[])).await;
    assert!(said(&refused, 2).contains("another key has the name `default` here"), "{refused:?}");
    import("dan", with(&other, &["--password-prehash-key=other"])).await.succeeded();

    // Elsewhere an export needs the keys.
    let fresh = Place::migrated().await;
    let export = fresh.write("export.ndjson", &place.exported().await);
    let take = ["--json", "users", "import", &export];
    let refused = fresh.run(&take).await;
    assert_eq!(said(&refused, 65).matches("PASSWORD_HASH_KEY_MISSING").count(), 4, "{refused:?}");
    let key = fresh.write("salt", KEY);
    let refused = fresh.run(&[&take[..], &["--password-prehash-key-file", &key]].concat()).await;
    assert_eq!(said(&refused, 65).matches("PASSWORD_HASH_KEY_MISSING").count(), 1, "{refused:?}");
    let service = fresh.serve(&[]).await;
    service.client().await.log_in("cat", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_key_that_nothing_needs_is_refused_and_one_that_nobody_got_is_not_kept() {
    let place = Place::migrated().await;
    let key = place.write("salt", KEY);
    let flag = ["--password-prehash-key-file", &key];
    // The hashes were made under it, and nothing says so: they would be taken for hashes of the passwords.
    let refused = place.import_hash("ann", FLASK_SECURITY, &flag).await;
    assert!(said(&refused, 2).contains("no row names the key"), "{refused:?}");
    let unkeyed = [&["--password-prehash=flask-bcrypt"], &flag[..]].concat();
    let refused = place.import_hash("ann", FLASK_BCRYPT, &unkeyed).await;
    assert!(said(&refused, 2).contains("this recipe takes no key"), "{refused:?}");
    let args = [&["--json", "users", "import", "-"], &flag[..]].concat();
    let refused = place.signet(&args).stdin("").run().await;
    assert!(said(&refused, 2).contains("must come from a file"), "{refused:?}");
    assert_eq!(place.exported().await, "");

    let keyed = ["--password-prehash=flask-security", "--password-prehash-key-file"];
    let long = place.write("long", &"x".repeat(4_097));
    let refused = place.import_hash("ann", FLASK_SECURITY, &[&keyed[..], &[&long]].concat()).await;
    assert!(said(&refused, 2).contains("more than 4096 bytes"), "{refused:?}");
    // A wrong one, with which nobody comes over.
    place.import_hash("ann", FLASK_BCRYPT, &["--password-prehash=flask-bcrypt"]).await.succeeded();
    let wrong = place.write("wrong", "another salt");
    let skipped = place.import_hash("ann", FLASK_SECURITY, &[&keyed[..], &[&wrong]].concat()).await;
    assert_eq!(skipped.succeeded().object()["skipped"], 1);
    place.import_hash("bob", FLASK_SECURITY, &[&keyed[..], &[&key]].concat()).await.succeeded();
    let service = place.serve(&[]).await;
    service.client().await.log_in("bob", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn keys_of_prehashes_survive_another_master_key_and_a_restore() {
    let place = Place::embedded().await;
    let key = place.write("salt", KEY);
    let flags = ["--password-prehash=flask-security", "--password-prehash-key-file", &key];
    place.import_hash("ann", FLASK_SECURITY, &flags).await.succeeded();
    place.import_hash("bob", FLASK_SECURITY, &flags).await.succeeded();
    let log_in = async |place: &Place, name: &str| {
        let service = place.serve(&[]).await;
        service.client().await.log_in(name, PASSWORD).await.unwrap();
    };
    // The service makes the signing key that is sealed anew, too.
    log_in(&place, "ann").await;
    place.run(&["keys", "reseal"]).await.succeeded();
    let backup = place.path("backup").display().to_string();
    place.run(&["backup", &backup]).await.succeeded();
    let other = Place::new();
    std::fs::create_dir(other.path("signet-data")).unwrap();
    std::fs::copy(place.data("master.key"), other.data("master.key")).unwrap();
    other.run(&["restore", &backup]).await.succeeded();
    log_in(&other, "bob").await;
}

#[tokio::test]
async fn one_hash_is_tried_before_anything_is_written() {
    let place = Place::migrated().await;
    let wrong = place.verify_one("ann", FLASK_SECURITY, &[]).await;
    assert!(said(&wrong, 1).contains("PASSWORD_DOES_NOT_FIT"), "{wrong:?}");
    let key = place.write("salt", KEY);
    let flags = ["--password-prehash=flask-security", "--password-prehash-key-file", &key];
    let right = place.verify_one("ann", FLASK_SECURITY, &flags).await.succeeded().object();
    assert_eq!(right, json!({ "username": "ann", "verified": true }));
    // By the name that would log in.
    let file =
        place.write("one.ndjson", &json!({ "username": "Ann", "password_hash": FLASK_BCRYPT }).to_string());
    let args = ["users", "import", &file, "--verify-one=ann", "--password-prehash=sha256-hex"];
    let answer = place.signet(&args).stdin(PASSWORD).run().await.succeeded().stdout;
    assert!(answer.contains("The hash of `Ann` takes this password. Nothing was written."), "{answer}");
    // Of two, the one that is spelt so.
    let rows = [("Ann", DEVISE), ("ann", FLASK_BCRYPT)]
        .map(|(name, hash)| json!({ "username": name, "password_hash": hash }).to_string());
    let both = place.write("both.ndjson", &rows.join("\n"));
    let args = ["users", "import", &both, "--verify-one=ann", "--password-prehash=sha256-hex"];
    let answer = place.signet(&args).stdin(PASSWORD).run().await.succeeded().stdout;
    assert!(answer.contains("The hash of `ann` takes this password."), "{answer}");

    let refused = place.verify_one("ann", "plain text", &[]).await;
    assert!(said(&refused, 65).contains("PASSWORD_HASH_UNKNOWN"), "{refused:?}");
    let args = ["--json", "users", "import", &file, "--verify-one=nobody"];
    let missing = place.signet(&args).stdin(PASSWORD).run().await;
    assert!(said(&missing, 2).contains("no row has the username `nobody`"), "{missing:?}");
    let args = ["--json", "users", "import", "-", "--verify-one=ann"];
    let refused = place.signet(&args).stdin(PASSWORD).run().await;
    assert!(said(&refused, 2).contains("--verify-one"), "{refused:?}");
    assert_eq!(place.exported().await, "");
    // Nor is the key kept.
    said(&place.import_hash("ann", FLASK_SECURITY, &flags[..1]).await, 2);
}

#[tokio::test]
async fn longer_passwords_than_new_ones_may_have_keep_working() {
    let place = Place::migrated().await;
    let service = place.serve(&[]).await;
    let client = service.client().await;
    // 2,048 characters in 4,096 bytes: Django's bcrypt_sha256, which reads all of them.
    let long = "ä".repeat(2_048);
    let digest = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, long.as_bytes()));
    let hash = format!("bcrypt_sha256${}", bcrypt::hash(digest, 4).unwrap());
    place.import_hash("ann", &hash, &[]).await.succeeded();
    assert_eq!(reason(&client.log_in("ann", &"ä".repeat(2_047)).await), "INVALID_CREDENTIALS");
    assert_eq!(reason(&client.log_in("ann", &format!("{long}x")).await), "INVALID_CREDENTIALS");
    client.log_in("ann", &long).await.unwrap();
    assert!(place.exported().await.contains("\"$argon2id$v=19$m=64,t=1,p=1$"));
    client.log_in("ann", &long).await.unwrap();
    assert_eq!(reason(&client.log_in("ann", &"ä".repeat(2_047)).await), "INVALID_CREDENTIALS");
}
