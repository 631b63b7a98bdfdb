//! Owns the commands that search users, change them, and let an account be tried again.

use serde_json::{Value, json};

use crate::{
    client::{PASSWORD, reason},
    commands::field,
    harness::{Finished, Place},
};

impl Place {
    /// The usernames that `users search` lists by `args`.
    async fn search(&self, args: &str) -> Vec<String> {
        let line = format!("users search {args} --json");
        let found = self.run(&line.split_whitespace().collect::<Vec<_>>()).await.succeeded().objects();
        found.into_iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    }

    async fn update(&self, line: &str) -> Finished {
        self.run(&[&["users", "update"], &line.split(' ').collect::<Vec<_>>()[..]].concat()).await
    }
}

#[tokio::test]
async fn users_are_searched_by_each_filter_and_page_by_page() {
    let place = Place::new();
    place.run(&["migrate", "up"]).await.succeeded();
    for (name, email, shown) in [
        ("carol", "c@example.com", "Carol"),
        ("Alice", "alice@example.com", "\u{c9}mile"),
        ("albert", "ALBERT@example.org", "Albert"),
    ] {
        let args = ["users", "create", name, "--email", email, "--display-name", shown];
        place.signet(&args).password().run().await.succeeded();
    }
    place.run(&["users", "disable", "albert"]).await.succeeded();
    place.run(&["groups", "create", "night"]).await.succeeded();
    place.run(&["groups", "add", "night", "--user", "carol"]).await.succeeded();
    for (args, expected) in [
        ("", &["carol", "Alice", "albert"][..]),
        ("--username AL", &["albert", "Alice"]),
        ("--username al --limit 1", &["albert"]),
        ("--username al --active", &["Alice"]),
        ("--email al", &["albert", "Alice"]),
        ("--email al --disabled", &["albert"]),
        ("--display-name \u{e9}", &["Alice"]),
        ("--group night", &["carol"]),
        ("--group night --username al", &[]),
        ("--created-from 2020-01-01T00:00:00Z", &["carol", "Alice", "albert"]),
        ("--created-before 2020-01-01T00:00:00Z", &[]),
        ("--last-login-from 2020-01-01T00:00:00Z", &[]),
        ("--last-login-before 2020-01-01T00:00:00Z", &["carol", "Alice", "albert"]),
        ("--username %", &[]),
    ] {
        assert_eq!(place.search(args).await, expected, "{args}");
    }
    let albert = place.run(&["users", "show", "albert"]).await.succeeded();
    assert_eq!(place.search(&format!("--email al --after {}", field(&albert, "id"))).await, ["Alice"]);
    let listed = place.run(&["users", "search", "--username=al"]).await.succeeded().stdout;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    for (args, problem) in [
        (&["--created-from", "yesterday"][..], "must be a time such as"),
        (&["--username", &"a".repeat(513)], "must have at most 512 bytes"),
        (&["--active", "--disabled"], "cannot be used with"),
    ] {
        let refused = place.run(&[&["users", "search"], args].concat()).await;
        assert!(refused.failed(2).contains(problem), "{args:?}: {refused:?}");
    }
    let nobody = place.run(&["users", "search", "--group", "day"]).await;
    assert!(nobody.failed(1).contains("day"), "{nobody:?}");
}

#[tokio::test]
async fn a_user_is_renamed_and_changed_and_the_old_name_rests() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    let alice = place.create_user("alice").await;
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    let changed = place.update("alice --username Greta --email g@example.com --display-name G.").await;
    let changed = changed.succeeded();
    for (name, value) in [("username", "Greta"), ("email", "g@example.com"), ("display name", "G.")] {
        assert_eq!(field(&changed, name), value);
    }
    assert_eq!(field(&changed, "id"), alice["id"].as_str().unwrap());
    client.log_in("GRETA", PASSWORD).await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap_err();
    client.get_me(&token).await.expect("sessions stay");
    let cleared = place.update("greta --no-email --no-display-name").await.succeeded();
    assert_eq!((field(&cleared, "email"), field(&cleared, "display name")), ("-", "-"));
    // A reserved name is given, and none that another has, or that is none.
    place.update("greta --username admin").await.succeeded();
    place.create_user("bob").await;
    assert_eq!(place.update("bob --username ADMIN").await.failed(1), "the username is taken");
    let none = place.run(&["users", "update", "bob", "--username", "two words"]).await;
    assert!(none.failed(2).contains("username"), "{none:?}");
    assert_eq!(place.update("carol --username dora").await.failed(1), "there is no user `carol`");
}

#[tokio::test]
async fn the_sessions_of_a_user_are_listed_and_ended() {
    let place = Place::new();
    let service = place.serve(&["--standing-cache-max-age=0s"]).await;
    let client = service.client().await;
    let alice = place.create_user("alice").await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        tokens.push(client.log_in("alice", PASSWORD).await.unwrap());
    }
    let listed = place.run(&["users", "sessions", "alice", "--json"]).await.succeeded().objects();
    assert_eq!(listed.len(), 2);
    assert!(
        listed.iter().all(|session| session["user_id"] == alice["id"] && session["client_id"] == "signet")
    );
    let first = listed[0]["id"].as_str().unwrap();
    let rest = place.run(&["users", "sessions", "alice", "--after", first]).await.succeeded().stdout;
    assert_eq!(rest.lines().count(), 2, "{rest}");
    for (said, ended) in [("Ended 2 session(s).\n", 2), ("Ended 0 session(s).\n", 0)] {
        let done = place.run(&["users", "end-sessions", "alice"]).await.succeeded();
        assert_eq!(done.stdout, said, "{ended}");
    }
    for token in tokens {
        assert_eq!(reason(&client.get_me(&token).await), "TOKEN_REVOKED");
    }
}

#[tokio::test]
async fn an_account_is_tried_again_once_its_allowance_is_made_full() {
    let place = Place::new();
    let service = place.serve(&["--account-failures=10"]).await;
    let client = service.client().await;
    place.create_user("alice").await;
    for _ in 0..3 {
        client.log_in("alice", "a wrong password").await.unwrap_err();
    }
    let args = ["users", "show", "alice", "--account-failures=10"];
    let shown = place.run(&args).await.succeeded();
    assert!(field(&shown, "allowance").starts_with("7 failures left, all of them at 20"), "{shown:?}");
    let object = place.run(&[&args[..], &["--json"]].concat()).await.succeeded().object();
    assert_eq!(object["failures_left"], json!(7));
    assert!(object["failures_full_time"].is_string() && object["last_login_time"] == Value::Null);
    let cleared = place.run(&["users", "clear-throttle", "alice", "--account-failures=10"]).await.succeeded();
    assert_eq!(field(&cleared, "allowance"), "10 failures left");
}
