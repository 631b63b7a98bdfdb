//! Owns what `signet users reset-password` and `set-password` do, and say.

use serde_json::Value;

use crate::harness::Place;

#[tokio::test]
async fn a_reset_prints_a_one_time_password_once_and_is_told() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let log = place.path("audit.log");
    let audited = format!("--audit-log={}", log.display());
    let said = place.run(&["users", "reset-password", "alice", &audited]).await.succeeded().stdout;
    let shown = said.lines().next().unwrap().strip_prefix("one-time password: ").unwrap();
    assert_eq!(shown.len(), "XXXXX-XXXXX-XXXXX-XXXXX-XXXXXX".len(), "{said}");
    assert!(said.contains("It is shown this once. With it alice ("), "{said}");
    let again =
        place.run(&["users", "reset-password", "alice", "--json", &audited]).await.succeeded().object();
    assert_eq!(again["username"], "alice");
    assert_ne!(again["one_time_password"], shown);
    assert!(again["expire_time"].is_string() && again["id"].is_string(), "{again}");
    let lines: Vec<Value> = std::fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for line in &lines {
        assert_eq!((&line["event"], &line["outcome"]), (&"password.reset".into(), &"success".into()));
        assert_eq!((&line["actor"], &line["user_id"]), (&"operator".into(), &again["id"]));
    }
    let nobody = place.run(&["users", "reset-password", "nobody"]).await;
    assert!(nobody.failed(1).contains("nobody"));
}

#[tokio::test]
async fn a_password_is_set_from_standard_input_or_a_file_by_the_rules() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let log = place.path("audit.log");
    let audited = format!("--audit-log={}", log.display());
    let set = place.signet(&["users", "set-password", "alice", "--json", &audited]).password().run().await;
    assert_eq!(set.succeeded().object()["username"], "alice");
    let file = place.write("password", "short\n");
    let args = ["users", "set-password", "alice", "--password-file", &file, &audited];
    let finished = place.run(&args).await;
    let refused = finished.failed(2);
    assert!(refused.contains("must have at least 8 characters"), "{refused}");
    place.write("password", "another good one\n");
    place.run(&args).await.succeeded();
    let told = std::fs::read_to_string(&log).unwrap();
    assert_eq!(told.matches(r#""event":"password.set""#).count(), 2, "{told}");
    assert!(!told.contains("another good one"));
    // What comes out fits no password where it was reset, and is a hash like others.
    place.run(&["users", "reset-password", "alice"]).await.succeeded();
    let exported = place.run(&["users", "export"]).await.succeeded().object();
    let hash = exported["password_hash"].as_str().unwrap();
    assert!(hash.starts_with("$argon2id$") && exported.get("one_time_password").is_none(), "{exported}");
}
