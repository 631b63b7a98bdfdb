//! Owns what each command promises, to people and with --json to programs, while the service runs.

use std::fs;

use serde_json::{Value, json};

use crate::{
    client::PASSWORD,
    harness::{Finished, PATIENCE, Place},
};

const USER_MEMBERS: [&str; 8] =
    ["attributes", "create_time", "display_name", "email", "id", "is_active", "update_time", "username"];

/// The value after `name:` in a command's answer for people.
pub(crate) fn field<'a>(finished: &'a Finished, name: &str) -> &'a str {
    let named = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    finished.stdout.lines().find_map(named).unwrap_or_else(|| panic!("no {name}: {finished:?}")).trim()
}

/// A time of the JSON, as tables show it.
pub(crate) fn to_the_second(time: &Value) -> String {
    format!("{}Z", &time.as_str().expect("a time")[..19])
}

/// A user as `users show --json` shows it, without what the other commands do not tell of it.
pub(crate) fn without_login(mut shown: Value) -> Value {
    for name in [
        "password_state",
        "one_time_password_expire_time",
        "last_login_time",
        "failures_left",
        "failures_full_time",
    ] {
        assert!(shown.as_object_mut().unwrap().remove(name).is_some(), "{name}");
    }
    shown
}

#[tokio::test]
async fn users_are_made_with_a_password_from_standard_input_or_a_file_and_log_in() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;

    let args = ["users", "create", "Alice", "--email", "alice@example.com", "--display-name", "Alice A."];
    let created = place.signet(&args).password().run().await.succeeded();
    assert_eq!(field(&created, "username"), "Alice");
    assert_eq!(field(&created, "state"), "active");
    assert_eq!(field(&created, "email"), "alice@example.com");
    assert_eq!(field(&created, "display name"), "Alice A.");
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    assert_eq!(client.get_me(&token).await.unwrap().id, field(&created, "id"));

    // Spaces belong to the password; the line's end does not.
    let file = place.write("password", "  spaces belong to it  \r\n");
    let args = ["users", "create", "bob", "--password-file", &file, "--json"];
    let created = place.run(&args).await.succeeded().object();
    let members: Vec<_> = created.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, USER_MEMBERS);
    let expected = [&json!("bob"), &json!(true), &Value::Null, &Value::Null];
    let found = ["username", "is_active", "email", "display_name"].map(|name| &created[name]);
    assert_eq!(found, expected);
    client.log_in("bob", "  spaces belong to it  ").await.unwrap();
}

#[tokio::test]
async fn a_user_that_breaks_rules_is_refused_with_every_rule() {
    let place = Place::new();
    let args = ["users", "create", "no spaces", "--email", "nobody", "--display-name", "\u{7}", "--json"];
    let refused = place.signet(&args).stdin("short\n").run().await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
    let refused = place.signet(&args[..7]).stdin("short\n").run().await;
    let sentence = refused.failed(2);
    for field in ["the username ", "the password ", "the email ", "the display_name "] {
        assert!(sentence.contains(field), "{field}: {sentence}");
    }
    assert!(!sentence.contains("short"), "the password is not shown: {sentence}");

    let no_password = place.run(&["users", "create", "alice"]).await;
    assert!(no_password.failed(2).starts_with("the password must be given: by --password-file, "));
    let empty = place.signet(&["users", "create", "alice"]).stdin("\n").run().await;
    assert_eq!(empty.failed(2), "the password must not be empty");
    let no_file = place.run(&["users", "create", "alice", "--password-file=/nowhere"]).await;
    let expected = "--password-file: /nowhere cannot be read: No such file or directory (os error 2)";
    assert_eq!(no_file.failed(2), expected);
    assert!(place.run(&["users", "list", "--json"]).await.succeeded().objects().is_empty());

    place.create_user("alice").await;
    let taken = place.signet(&["users", "create", "ALICE"]).password().run().await;
    assert_eq!(taken.failed(1), "the username is taken");
}

#[tokio::test]
async fn users_are_listed_in_the_order_of_their_making_page_by_page() {
    let place = Place::new();
    let _service = place.serve(&[]).await;
    let mut made = Vec::new();
    for username in ["carol", "alice", "bob"] {
        made.push(place.create_user(username).await);
    }
    let all = place.run(&["users", "list", "--json"]).await.succeeded().objects();
    assert_eq!(all, made);
    let first = place.run(&["users", "list", "--json", "--limit=2"]).await.succeeded().objects();
    assert_eq!(first, made[..2]);
    let after = first[1]["id"].as_str().unwrap();
    let rest = place.run(&["users", "list", "--json", "--after", after]).await.succeeded().objects();
    assert_eq!(rest, made[2..]);
    assert!(place.run(&["users", "list", "--json", "--limit=0"]).await.succeeded().objects().is_empty());

    let table = place.run(&["users", "list"]).await.succeeded().stdout;
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "STATE", "CREATED", "USERNAME"]);
    for (row, user) in rows[1..].iter().zip(&made) {
        let created = to_the_second(&user["create_time"]);
        let [id, name] = ["id", "username"].map(|name| user[name].as_str().unwrap());
        assert_eq!(*row, [id, "active", &*created, name]);
    }
    assert_eq!(rows.len(), 4);
}

#[tokio::test]
async fn a_user_is_shown_disabled_enabled_and_deleted_by_id_and_by_name_in_any_case() {
    let place = Place::new();
    let _service = place.serve(&[]).await;
    let user = place.create_user("Alice").await;
    let id = user["id"].as_str().unwrap();
    for who in [id, "Alice", "aLICE"] {
        let shown = place.run(&["users", "show", who, "--json"]).await.succeeded().object();
        assert_eq!(without_login(shown), user, "{who}");
        let shown = place.run(&["users", "show", who]).await.succeeded();
        assert_eq!((field(&shown, "id"), field(&shown, "email")), (id, "-"));
    }
    let disabled = place.run(&["users", "disable", "alice", "--json"]).await.succeeded().object();
    assert_eq!(disabled["is_active"], false);
    assert!(disabled["update_time"].as_str() > user["update_time"].as_str(), "{disabled}");
    let shown = place.run(&["users", "disable", id]).await.succeeded();
    assert_eq!(field(&shown, "state"), "disabled", "once more does no harm");
    let enabled = place.run(&["users", "enable", id]).await.succeeded();
    assert_eq!(field(&enabled, "state"), "active");
    let enabled = place.run(&["users", "enable", "alice", "--json"]).await.succeeded().object();
    assert_eq!(enabled["is_active"], true);

    let deleted = place.run(&["users", "delete", "ALICE"]).await.succeeded();
    assert_eq!(deleted.stdout, format!("Deleted Alice ({id}). Anybody can sign up with the name.\n"));
    let again = place.create_user("alice").await;
    assert_ne!(again["id"], user["id"], "the operator may give the name again, the id is another");
    let deleted = place.run(&["users", "delete", "alice", "--json"]).await.succeeded().object();
    assert_eq!(deleted, json!({ "deleted": again["id"], "username_rests_until": null }));
}

#[tokio::test]
async fn a_user_that_is_not_there_is_a_failure_in_one_sentence() {
    let place = Place::new();
    place.run(&["migrate", "up"]).await.succeeded();
    for who in ["nobody", "019ab000-0000-7000-8000-000000000000", "no spaces"] {
        for command in ["show", "disable", "enable", "delete"] {
            let refused = place.run(&["users", command, who]).await;
            assert_eq!(refused.failed(1), format!("there is no user `{who}`"), "{command}");
        }
    }
    let refused = place.run(&["users", "show", "nobody", "--json"]).await;
    assert_eq!(refused.code, Some(1));
    let told = "{\"error\":\"there is no user `nobody`\",\"reason\":\"USER_NOT_FOUND\"}\n";
    assert_eq!(refused.stderr, told);
}

#[tokio::test]
async fn migrations_are_applied_once_and_their_state_is_shown() {
    let place = Place::on_database().await;
    let up = place.run(&["migrate", "up", "--json"]).await.succeeded().object();
    let applied = up["applied"].as_array().unwrap().clone();
    assert!(!applied.is_empty());
    assert_eq!(place.run(&["migrate", "up"]).await.succeeded().stdout, "The schema is up to date.\n");
    let again = place.run(&["migrate", "up", "--json"]).await.succeeded().object();
    assert_eq!(again, json!({ "applied": [], "newer": [] }));

    let service = place.serve(&[]).await;
    assert_eq!(service.started["migrations_applied"], json!([]));
    let status = place.run(&["migrate", "status", "--json"]).await.succeeded().objects();
    let expected: Vec<_> =
        applied.iter().map(|name| json!({ "name": name, "applied": true, "known": true })).collect();
    assert_eq!(status, expected);
    let status = place.run(&["migrate", "status"]).await.succeeded().stdout;
    let lines: Vec<_> = applied.iter().map(|name| format!("applied  {}", name.as_str().unwrap())).collect();
    assert_eq!(status.lines().collect::<Vec<_>>(), lines);
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_is_a_failure_and_a_reader_that_has_gone_is_none() {
    let place = Place::new();
    place.create_user("alice").await;
    // Linux has a file that is always full.
    if let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") {
        let finished = place.signet(&["users", "list"]).stdout(full).run().await;
        assert!(finished.failed(1).starts_with("the answer cannot be written: "), "{finished:?}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    place.signet(&["users", "list"]).stdout(writer).run().await.succeeded();
}

#[tokio::test]
async fn whoever_makes_the_master_key_says_so() {
    for args in [&["migrate", "up"][..], &["users", "create", "alice"]] {
        let place = Place::new();
        let made = place.signet(args).password().run().await.succeeded();
        assert!(made.stderr.contains("keep a copy apart from the database"), "{made:?}");
        assert!(made.stderr.contains("./signet-data/master.key"), "{made:?}");
        let again = place.run(&["migrate", "up"]).await.succeeded();
        assert_eq!(again.stderr, "", "there is nothing to say");
    }
}

#[tokio::test]
async fn a_command_without_data_says_so_and_makes_nothing() {
    let place = Place::new();
    for args in [
        &["users", "list"][..],
        &["users", "show", "alice"],
        &["users", "disable", "alice"],
        &["users", "enable", "alice"],
        &["users", "delete", "alice"],
        &["keys", "list"],
        &["keys", "rotate"],
        &["keys", "revoke", "kid"],
        &["keys", "reseal"],
        &["migrate", "status"],
    ] {
        let refused = place.run(args).await;
        let sentence = refused.failed(2);
        assert!(
            sentence.starts_with("--data-dir (SIGNET_DATA_DIR): there is no database in ./signet-data"),
            "{args:?}: {sentence}"
        );
        assert!(!place.has_data(), "{args:?}");
    }
    place.create_user("alice").await;
    assert_eq!(place.run(&["users", "list", "--json"]).await.succeeded().objects().len(), 1);
}

#[tokio::test]
async fn a_healthcheck_tells_by_its_exit_code_whether_the_service_serves() {
    let place = Place::new();
    let service = place.serve(&["--operations-addr=0.0.0.0:0"]).await;
    // The address that the service is given is what its healthcheck is given in a container.
    let addr = service.operations_addr();
    let flag = format!("--operations-addr={addr}");
    let healthy = place.run(&["healthcheck", &flag]).await.succeeded();
    assert_eq!(healthy.stdout, format!("127.0.0.1:{} serves.\n", addr.port()));
    let healthy = place.run(&["healthcheck", &flag, "--json"]).await.succeeded().object();
    assert_eq!(healthy, json!({ "status": "SERVING" }));

    service.stop().await;
    let refused = place.run(&["healthcheck", &flag]).await;
    assert!(refused.failed(1).contains(" does not serve: "), "{refused:?}");
    // Where it is not said where the service listens, both places are named that were asked.
    let http = format!("--http-addr=127.0.0.1:{}", addr.port());
    let nowhere = place.signet(&["healthcheck", &http]).without_env("SIGNET_OPERATIONS_ADDR").run().await;
    if nowhere.code != Some(0) {
        let problem = nowhere.failed(1);
        for part in ["127.0.0.1:8089 ", &format!("127.0.0.1:{} ", addr.port()), "the service's settings"] {
            assert!(problem.contains(part), "{problem}");
        }
    }
    let refused = place.run(&["healthcheck", &flag, "--json"]).await;
    let error: Value = serde_json::from_str(&refused.stderr).unwrap();
    assert!(refused.code == Some(1) && error["error"].is_string(), "{refused:?}");
}

#[tokio::test]
async fn a_healthcheck_fails_while_the_service_runs_and_is_not_ready() {
    let place = Place::migrated().await;
    let service = place.serve(&[]).await;
    // Behind the service's back, as an operator's mistake would be.
    let db = place.connect().await;
    sea_orm::ConnectionTrait::execute_unprepared(&db, "DELETE FROM signing_keys").await.unwrap();
    let flag = format!("--operations-addr={}", service.operations_addr());
    let unhealthy = async {
        loop {
            let probe = place.run(&["healthcheck", &flag]).await;
            if probe.code != Some(0) {
                break probe;
            }
        }
    };
    let probe = tokio::time::timeout(PATIENCE, unhealthy).await.expect("not ready in time");
    let told = probe.failed(1);
    assert!(
        told.ends_with(" does not serve: it is not ready: the database holds no key that signs now"),
        "{told}"
    );
}

#[tokio::test]
async fn a_healthcheck_asks_at_the_http_address_where_operators_are_served_nowhere() {
    let place = Place::new();
    let service = place.serve(&["--operations-addr=off"]).await;
    let http = format!("--http-addr={}", service.http_addr());
    let healthy = place.run(&["healthcheck", "--operations-addr=off", &http]).await.succeeded();
    assert_eq!(healthy.stdout, format!("{} serves.\n", service.http_addr()));
    service.stop().await;
}
