//! Owns what the audit log promises to an operator: where it goes, that the command line is in it too, and that it can be
//! moved away at any time.

use std::fs;

use serde_json::Value;

use crate::{client::PASSWORD, harness::Place};

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
    for command in ["disable", "enable", "show", "delete"] {
        place.run(&["users", command, "alice", &log]).await.succeeded();
    }
    let again = place.run(&["users", "delete", "alice", &log]).await;
    assert_eq!(again.failed(1), "there is no user `alice`");
    let text = fs::read_to_string(place.path("audit.log")).unwrap();
    assert_eq!(
        events(&text),
        of_operator(&["user.created", "user.disabled", "user.enabled", "user.deleted"])
    );
    for line in text.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["user_id"], id);
    }
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
    let log = format!("--audit-log={}", place.path("nowhere/audit.log").display());
    for args in [&["users", "delete", "alice", &log][..], &["users", "create", "bob", &log], &["serve", &log]]
    {
        let refused = place.signet(args).password().run().await;
        let sentence = refused.failed(2);
        assert!(sentence.starts_with("--audit-log (SIGNET_AUDIT_LOG): it cannot be written: "), "{sentence}");
    }
    assert_eq!(place.run(&["users", "list", "--json"]).await.objects().len(), 1);
}

#[tokio::test]
async fn the_last_events_are_written_before_the_end_and_a_moved_file_is_made_again() {
    let place = Place::new();
    let (path, moved) = (place.path("audit.log"), place.path("audit.log.1"));
    let service = place.serve(&["--audit-log", &path.display().to_string()]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    while fs::metadata(&path).unwrap().len() == 0 {
        tokio::task::yield_now().await;
    }
    fs::rename(&path, &moved).unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
    let _ = client.log_in("alice", "wrong").await;
    let _ = client.log_in("alice", "wrong").await;
    service.stop().await;
    let names = |path| events(&fs::read_to_string(path).unwrap()).into_iter().map(|(event, _)| event);
    assert_eq!(names(moved).collect::<Vec<_>>(), ["user.signed_up"]);
    assert_eq!(
        names(path).collect::<Vec<_>>(),
        ["login", "login", "login"],
        "the last tells of the repetition"
    );
}
