//! Owns what the audit log promises to an operator: where it goes, that the command line is in it too, and that it can be
//! moved away at any time.

use std::{fs, os::unix::fs::MetadataExt};

use serde_json::Value;

use crate::{client::PASSWORD, harness::Place};

/// The public key of RFC 8037 appendix A.2.
pub(crate) const PUBLIC_KEY: &str =
    r#"{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }"#;

fn events(text: &str) -> Vec<(String, String)> {
    let member = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["target"] == "audit")
        .map(|line| (member(&line, "event"), member(&line, "actor")))
        .collect()
}

fn of_operator(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| ((*name).to_owned(), "operator".to_owned())).collect()
}

#[tokio::test]
async fn the_command_line_is_audited() {
    let place = Place::new();
    let log = format!("--audit-log={}", place.path("audit.log").display());
    let created = place.signet(&["users", "create", "alice", "--json", &log]).password().run().await;
    let id = created.succeeded().object()["id"].clone();
    // What is so already is no event.
    for command in ["enable", "disable", "disable", "enable", "enable", "show", "delete"] {
        place.run(&["users", command, "alice", &log]).await.succeeded();
    }
    let again = place.run(&["users", "delete", "alice", &log]).await;
    assert_eq!(again.failed(1), "there is no user `alice`");
    let text = fs::read_to_string(place.path("audit.log")).unwrap();
    assert_eq!(
        events(&text),
        of_operator(&["user.created", "user.disabled", "user.enabled", "user.deleted"])
    );
    // The commands were run by whom this test is run by: the owner of the files that they make.
    let uid = fs::metadata(place.path("audit.log")).unwrap().uid();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["user_id"], &line["local_uid"]), (&id, &uid.into()), "{line}");
        assert!(line.get("local_user").is_none_or(Value::is_string) && line.get("actor_id").is_none());
    }
}

#[tokio::test]
async fn a_backup_and_its_restoration_are_audited() {
    let place = Place::new();
    place.create_user("alice").await;
    let log = format!("--audit-log={}", place.path("audit.log").display());
    place.run(&["backup", "backup", &log]).await.succeeded();
    assert!(place.run(&["restore", "backup", &log]).await.failed(1).contains("--replace"));
    place.run(&["restore", "backup", "--replace", &log]).await.succeeded();
    let text = fs::read_to_string(place.path("audit.log")).unwrap();
    assert_eq!(events(&text), of_operator(&["database.backed_up", "database.restored"]));
}

#[tokio::test]
async fn what_is_done_to_clients_is_audited() {
    let place = Place::new();
    let log = format!("--audit-log={}", place.path("audit.log").display());
    let key = place.write("key.json", PUBLIC_KEY);
    let created = place.run(&["clients", "create", "billing", "--json", &log]).await.succeeded().object();
    let secret = created["secret"].as_str().unwrap();
    let taken = place.run(&["clients", "create", "billing", &log]).await;
    assert_eq!(taken.failed(1), "the name is taken");
    for command in ["rotate-secret", "enable", "disable", "disable", "enable", "show", "delete"] {
        place.run(&["clients", command, "billing", &log]).await.succeeded();
        if command == "rotate-secret" {
            place.run(&["clients", "set-keys", "billing", "--public-key", &key, &log]).await.succeeded();
            let name = "--tls-san-dns=billing.example";
            place.run(&["clients", "set-certificate", "billing", name, &log]).await.succeeded();
        }
    }
    let text = fs::read_to_string(place.path("audit.log")).unwrap();
    let expected = [
        "client.created",
        "client.secret_rotated",
        "client.keys_replaced",
        "client.certificate_replaced",
        "client.disabled",
        "client.enabled",
        "client.deleted",
    ];
    assert_eq!(events(&text), of_operator(&expected));
    for line in text.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["client_id"], created["id"], "{line}");
    }
    assert!(!text.contains(secret) && !text.contains("billing"), "{text}");
}

#[tokio::test]
async fn what_is_done_to_keys_is_audited() {
    let place = Place::new();
    let path = place.path("audit.log");
    let log = format!("--audit-log={}", path.display());
    // Makes the first key.
    let service = place.serve(&[&log]).await;
    let first = service.started["signing_key"].as_str().unwrap().to_owned();
    service.stop().await;
    let rotated = place.run(&["keys", "rotate", "--json", &log]).await.succeeded().object();
    let second = rotated["kid"].as_str().unwrap();
    place.run(&["keys", "rotate", &log]).await.failed(1);
    place.run(&["keys", "rotate", "--now", &log]).await.succeeded();
    place.run(&["keys", "revoke", &first, &log]).await.succeeded();
    let revoked = place.run(&["keys", "revoke", second, "--json", &log]).await.succeeded().object();
    let third = revoked["signing_key"].as_str().unwrap();
    place.run(&["keys", "reseal", &log]).await.succeeded();
    place.run(&["keys", "list", &log]).await.succeeded();

    let text = fs::read_to_string(&path).unwrap();
    let told: Vec<_> = text
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["outcome"], "success", "{line}");
            ["event", "actor", "key_id"].map(|member| line[member].as_str().unwrap_or("-").to_owned())
        })
        .collect();
    let expected = [
        ["signing_key.published", "service", &first],
        ["signing_key.published", "operator", second],
        ["signing_key.rotated", "operator", second],
        ["signing_key.revoked", "operator", &first],
        ["signing_key.published", "operator", third],
        ["signing_key.rotated", "operator", third],
        ["signing_key.revoked", "operator", second],
        ["signing_keys.resealed", "operator", "-"],
    ];
    assert_eq!(told, expected.map(|line| line.map(str::to_owned)));
}

#[tokio::test]
async fn it_goes_to_standard_error_unless_told_otherwise() {
    let place = Place::new();
    let created = place.signet(&["users", "create", "alice"]).password().run().await.succeeded();
    assert_eq!(events(&created.stderr), of_operator(&["user.created"]));
    let quiet = place.run(&["users", "disable", "alice", "--audit-log=off"]).await.succeeded();
    assert_eq!(quiet.stderr, "");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let place = Place::new();
    place.create_user("alice").await;
    place.run(&["clients", "create", "billing"]).await.succeeded();
    place.serve(&[]).await.stop().await;
    let before = place.run(&["keys", "list", "--json"]).await.succeeded().stdout;
    let log = format!("--audit-log={}", place.path("nowhere/audit.log").display());
    for args in [
        &["users", "delete", "alice", &log][..],
        &["users", "create", "bob", &log],
        &["clients", "create", "other", &log],
        &["clients", "delete", "billing", &log],
        &["keys", "rotate", &log],
        &["keys", "reseal", &log],
        &["serve", &log],
    ] {
        let refused = place.signet(args).password().run().await;
        let sentence = refused.failed(2);
        assert!(
            sentence.starts_with("--audit-log (SIGNET_AUDIT_LOG): ")
                && sentence.contains("/nowhere/audit.log cannot be written: "),
            "{sentence}"
        );
    }
    assert_eq!(place.run(&["users", "list", "--json"]).await.objects().len(), 1);
    let clients = place.run(&["clients", "list", "--json"]).await.objects();
    assert_eq!((clients.len(), &clients[1]["name"]), (2, &"billing".into()));
    assert_eq!(place.run(&["keys", "list", "--json"]).await.succeeded().stdout, before);
}

#[tokio::test]
async fn the_last_events_are_written_before_the_end_and_a_moved_file_is_made_again() {
    let place = Place::new();
    let (path, moved) = (place.path("audit.log"), place.path("audit.log.1"));
    let service = place.serve(&["--audit-log", &path.display().to_string()]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    while !fs::read_to_string(&path).unwrap().contains("user.signed_up") {
        tokio::task::yield_now().await;
    }
    fs::rename(&path, &moved).unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
    let _ = client.log_in("alice", "wrong").await;
    let _ = client.log_in("alice", "wrong").await;
    service.stop().await;
    let names = |path| events(&fs::read_to_string(path).unwrap()).into_iter().map(|(event, _)| event);
    assert_eq!(names(moved).collect::<Vec<_>>(), ["signing_key.published", "user.signed_up"]);
    assert_eq!(
        names(path).collect::<Vec<_>>(),
        ["login", "login", "login"],
        "the last tells of the repetition"
    );
}

/// What `audit list` shows as JSON, the newest first.
async fn listed(place: &Place, args: &[&str]) -> Vec<Value> {
    let finished = place.run(&[&["audit", "list", "--json"], args].concat()).await.succeeded();
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_commands_did_is_listed_from_the_database_by_whom_and_whom() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    place.run(&["users", "disable", "alice"]).await.succeeded();
    place.run(&["users", "enable", "alice"]).await.succeeded();
    place.run(&["roles", "bind", "auditor", "--user", "alice", "--expires", "8h"]).await.succeeded();
    let of_alice = listed(&place, &["--user", "alice"]).await;
    assert_eq!(names(&of_alice), ["role.bound", "user.enabled", "user.disabled", "user.created"]);
    let bound = &of_alice[0];
    assert_eq!((&bound["username"], &bound["actor"]), (&"alice".into(), &"operator".into()));
    assert_eq!(bound["changes"][0]["field"], "expire_time");
    assert!(bound["changes"][0]["new"].is_string() && bound["local_uid"].is_number());
    let before = ["--user", "alice", "--before", bound["id"].as_str().unwrap(), "--limit", "2"];
    assert_eq!(names(&listed(&place, &before).await), ["user.enabled", "user.disabled"]);
    assert_eq!(
        names(&listed(&place, &["--event", "user.enabled", "--within", "1h"]).await),
        ["user.enabled"]
    );
    assert!(listed(&place, &["--older-than", "1h"]).await.is_empty());
    assert!(listed(&place, &["--outcome", "failure"]).await.is_empty());

    let table = place.run(&["audit", "list", "--event", "role.bound"]).await.succeeded().stdout;
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows[0].split_whitespace().next(), Some("TIME"));
    assert!(rows.len() == 3 && rows[1].contains("operator ") && rows[1].ends_with("  user alice"), "{table}");
    assert!(rows[2].starts_with("    role auditor of signet; expire_time: - → 20"), "{table}");
    assert_eq!((&bound["role_name"], &bound["audience"]), (&"auditor".into(), &"signet".into()));
    assert_eq!(names(&listed(&place, &["--role", "auditor"]).await), ["role.bound"]);
    assert!(listed(&place, &["--role", "admin"]).await.is_empty());
    place.run(&["groups", "create", "night"]).await.succeeded();
    place.run(&["groups", "add", "night", "--user", "alice"]).await.succeeded();
    let of_group = listed(&place, &["--group", "night"]).await;
    assert_eq!(names(&of_group), ["group.member_added", "group.created"]);
    let id = of_group[0]["group_id"].as_str().unwrap();
    assert_eq!(listed(&place, &["--group", id]).await, of_group);

    // Of who is gone, the id finds what there was.
    let id = bound["user_id"].as_str().unwrap().to_owned();
    place.run(&["users", "delete", "alice"]).await.succeeded();
    assert!(place.run(&["audit", "list", "--user", "alice"]).await.failed(1).contains("alice"));
    let gone = listed(&place, &["--user", &id]).await;
    assert_eq!((names(&gone)[0], &gone[0]["username"]), ("user.deleted", &Value::Null));
}
