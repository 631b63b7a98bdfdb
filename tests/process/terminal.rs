//! Owns what a terminal is asked and shown, and what is refused where there is none.

use crate::harness::{Finished, Place};

/// Runs `signet` with `args` on a terminal of the kind `term`, at which `typed` is typed.
async fn at(term: &str, place: &Place, args: &[&str], typed: &str) -> Finished {
    let terminal = ["bash", "-c", r#"exec script -qec "$(printf '%q ' "$@")" /dev/null"#, "bash"];
    let invocation = place.signet_exactly(args).env("TERM", term).env("SHELL", "/bin/bash");
    invocation.through(&terminal).stdin(typed).run().await
}

async fn at_terminal(place: &Place, args: &[&str], typed: &str) -> Finished {
    at("xterm", place, args, typed).await
}

#[tokio::test]
async fn what_cannot_be_undone_is_asked_for_on_a_terminal_and_wants_yes_elsewhere() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    for args in [&["users", "delete", "alice"][..], &["--json", "users", "rm", "--name=alice"]] {
        let refused = place.signet_exactly(args).stdin("yes\n").run().await;
        let told = refused.stderr.as_str();
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
        assert!(told.contains("`signet users delete` cannot be undone") && told.contains("--yes"), "{told}");
    }
    let asked = at_terminal(&place, &["users", "delete", "alice"], "no\n").await;
    assert_eq!(asked.code, Some(1), "{asked:?}");
    assert!(
        asked.stdout.contains("`signet users delete alice` cannot be undone. Do it? (yes/no)"),
        "{asked:?}"
    );
    place.run(&["users", "show", "alice"]).await.succeeded();
    let done = at_terminal(&place, &["users", "delete", "alice"], "yes\n").await.succeeded();
    assert!(done.stdout.contains("Deleted alice"), "{done:?}");
    assert_eq!(place.run(&["users", "show", "alice"]).await.code, Some(1));

    // All of them, whatever they would find.
    for args in [
        &["users", "delete", "x"][..],
        &["users", "disable", "x"],
        &["users", "end-sessions", "x"],
        &["users", "reset-password", "x"],
        &["users", "end-sessions", "x", "--server=127.0.0.1:1"],
        &["clients", "delete", "x"],
        &["clients", "rotate-secret", "x", "--end-older"],
        &["roles", "delete", "x"],
        &["groups", "delete", "x"],
        &["attributes", "delete", "x"],
        &["keys", "revoke", "x"],
        &["restore", "x", "--replace"],
    ] {
        let refused = place.signet_exactly(args).run().await;
        assert!(refused.failed(2).contains("say --yes if it is meant"), "{args:?}: {refused:?}");
        let meant = place.signet_exactly(&[args, &["--yes"]].concat()).run().await;
        assert_ne!(meant.code, Some(0), "{args:?}: {meant:?}");
        assert!(!meant.stderr.contains("--yes"), "{args:?}: {meant:?}");
    }
    // Where nothing is, nothing is lost; nor where the older secret stays.
    for args in [&["restore", "x"][..], &["clients", "rotate-secret", "x"]] {
        let missing = place.signet_exactly(args).run().await;
        assert!(!missing.stderr.contains("--yes"), "{missing:?}");
    }
}

#[tokio::test]
async fn what_a_lost_master_key_ends_is_said_before_it_is_asked() {
    let place = Place::embedded().await;
    place.create_user("alice").await;
    place.serve(&[]).await.stop().await;
    let key = place.data("master.key");
    std::fs::remove_file(&key).unwrap();
    let reset = ["keys", "reset", "--discard"];
    let ends = "1 signing key(s) are deleted: access tokens that they signed are refused";
    let unasked = place.signet_exactly(&reset).run().await;
    let told = unasked.failed(2);
    assert!(told.contains(ends) && told.contains("say --yes if it is meant"), "{told}");
    let asked = at_terminal(&place, &reset, "no\n").await;
    assert_eq!(asked.code, Some(1), "{asked:?}");
    let (said, question) = (asked.stdout.find(ends), asked.stdout.find("cannot be undone. Do it? (yes/no)"));
    assert!(said.is_some() && said < question, "{asked:?}");
    assert!(!key.exists(), "a new master key was made");
    at_terminal(&place, &reset, "yes\n").await.succeeded();
    assert!(key.exists());
}

#[tokio::test]
async fn a_new_password_is_asked_for_twice_on_a_terminal() {
    let place = Place::migrated().await;
    let create = ["users", "create", "alice"];
    let typed = |first: &str, second: &str| format!("{first}\n{second}\n");
    let differ = at_terminal(&place, &create, &typed("correct horse", "correct hose")).await;
    assert_eq!(differ.code, Some(2), "{differ:?}");
    assert!(differ.stdout.contains("the two passwords differ"), "{differ:?}");
    assert_eq!(place.run(&["users", "show", "alice"]).await.code, Some(1));
    let created = at_terminal(&place, &create, &typed("correct horse", "correct horse")).await.succeeded();
    assert!(created.stdout.contains("The same again: "), "{created:?}");
    let set = ["users", "set-password", "alice"];
    at_terminal(&place, &set, &typed("battery staple", "battery stable")).await;
    at_terminal(&place, &set, &typed("battery staple", "battery staple")).await.succeeded();
    // A pipe has it once.
    place.signet(&["users", "create", "bob"]).stdin("correct horse\n").run().await.succeeded();
    let nothing = place.signet(&["users", "create", "carol"]).stdin("").run().await;
    let sentence = nothing.failed(2);
    assert!(sentence.contains("standard input") && sentence.contains("--password-file"), "{sentence}");
}

#[tokio::test]
async fn hashes_are_shown_on_a_terminal_only_if_that_is_said() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let refused = at_terminal(&place, &["users", "export"], "").await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stdout.contains("name a file, or `-`") && !refused.stdout.contains("$argon2"),
        "{refused:?}"
    );
    let shown = at_terminal(&place, &["users", "export", "-"], "").await.succeeded();
    assert!(shown.stdout.contains("$argon2id$"), "{shown:?}");
    let piped = place.run(&["users", "export"]).await.succeeded();
    assert!(piped.stdout.contains("$argon2id$"), "{piped:?}");
}

#[tokio::test]
async fn the_log_has_colours_on_a_terminal_that_shows_them_and_nobody_has_forbidden_them() {
    let place = Place::migrated().await;
    let args = ["users", "list", "--log-level=debug"];
    let is_coloured = |finished: Finished| finished.succeeded().stdout.contains('\u{1b}');
    // What is logged is that this variable means nothing.
    let run = async |term: &str, no_color: &str| {
        let terminal = ["bash", "-c", r#"exec script -qec "$(printf '%q ' "$@")" /dev/null"#, "bash"];
        let invocation = place.signet(&args).envs([("SIGNET_FOR_THE_LOG", "1"), ("TERM", term)]);
        let invocation = invocation.env("NO_COLOR", no_color).env("SHELL", "/bin/bash");
        let finished = invocation.through(&terminal).stdin("").run().await;
        assert!(finished.stdout.contains("SIGNET_FOR_THE_LOG"), "{finished:?}");
        is_coloured(finished)
    };
    assert!(run("xterm", "").await, "an empty NO_COLOR forbids nothing");
    assert!(!run("xterm", "1").await);
    assert!(!run("dumb", "").await);
}
