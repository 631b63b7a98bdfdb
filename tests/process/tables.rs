//! Owns that lists fit a terminal of 100 columns, and that a filter which means nothing is no empty list.

use crate::{
    client::PASSWORD,
    commands::to_the_second,
    harness::{Finished, Place},
};

/// How wide a terminal is.
const WIDTH: usize = 100;

/// Runs what follows it on a terminal, which is as wide as the word before it says.
const ON_TERMINAL: &str = r#"line="stty cols $0;"; for word in "$@"; do line="$line '$word'"; done; exec script -qec "$line" /dev/null"#;

impl Place {
    async fn line(&self, line: &str) -> Finished {
        self.run(&line.split(' ').collect::<Vec<_>>()).await
    }

    /// What `line` shows on a terminal that is so wide.
    async fn shown(&self, line: &str, width: usize) -> String {
        let words: Vec<_> = line.split(' ').collect();
        let on_terminal = ["sh", "-c", ON_TERMINAL, &width.to_string()];
        let shown = self.signet(&words).through(&on_terminal).run().await.succeeded().stdout;
        shown.replace('\r', "")
    }
}

/// A place with a service, and with names as people choose them.
async fn lived_in() -> Place {
    let place = Place::migrated().await;
    let args = ["users", "create", "christopher.smith", "--email=christopher.smith@example.com"];
    place.signet(&args).password().run().await.succeeded();
    let service = place.serve(&[]).await;
    service.client().await.log_in("christopher.smith", PASSWORD).await.unwrap();
    let _ = service.client().await.log_in("christopher.smith", "wrong").await;
    service.stop().await;
    for line in [
        "clients create warehouse-scanner --scope profile --scope stock.read --allow-audience warehouse",
        "roles create stock-picker --audience warehouse --scope stock.pick --scope stock.read --scope stock.look --scope orders.read",
        "roles update everyone --audience warehouse --add-scope stock.read",
        "attributes create cost-center --in-tokens --in-userinfo --in-introspection",
        "groups create night-shift",
        "groups add night-shift --user christopher.smith",
        "roles bind stock-picker --audience warehouse --group night-shift --expires 30days",
        "roles bind stock-picker --audience warehouse --user christopher.smith --expires 8h",
        "roles bind user-manager --user christopher.smith",
        "roles bind stock-picker --audience warehouse --client warehouse-scanner",
        "audiences add-owner warehouse --group night-shift",
        "audiences add-owner warehouse --user christopher.smith",
        "users disable christopher.smith",
        "users enable christopher.smith",
        "clients disable warehouse-scanner",
        "clients rotate-secret warehouse-scanner",
        "keys rotate",
    ] {
        place.line(line).await.succeeded();
    }
    place
}

#[tokio::test]
async fn every_list_fits_a_terminal() {
    let place = lived_in().await;
    let log_in = place.serve(&[]).await;
    log_in.client().await.log_in("christopher.smith", PASSWORD).await.unwrap();
    log_in.stop().await;
    for (line, rows) in [
        ("users list", 1),
        ("users search --username c", 1),
        ("users search --last-login-from 2020-01-01T00:00:00Z", 1),
        ("users sessions christopher.smith", 1),
        ("clients list", 2),
        ("roles list", 4),
        ("groups list", 1),
        ("groups members night-shift", 1),
        ("bindings list", 4),
        ("attributes list", 1),
        ("audiences list", 2),
        ("access show christopher.smith --audience warehouse", 4),
        ("access show christopher.smith", 4),
        ("audit list", 20),
        ("keys list", 2),
        ("jobs", 10),
    ] {
        for width in [WIDTH, 60] {
            let shown = place.shown(line, width).await;
            assert!(shown.lines().count() > rows, "{line}: {shown}");
            for row in shown.lines() {
                assert!(row.chars().count() <= width, "{line}: {} columns: {row}", row.chars().count());
                assert!(width < WIDTH || row == row.trim_end(), "{line}: {row}");
            }
        }
    }

    // What a table cuts or leaves out is there all the same.
    let sessions = place.line("users sessions christopher.smith --json").await.succeeded().object();
    let table = place.line("users sessions christopher.smith").await.succeeded().stdout;
    let row: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
    let [opened, used] = ["create_time", "last_use_time"].map(|name| to_the_second(&sessions[name]));
    assert_eq!(row, [&*opened, &*used, "signet", "127.0.0.1"]);
    assert!(sessions["id"].is_string());
    let scopes = "stock.pick stock.read stock.look orders.read";
    let piped = place.line("roles list").await.succeeded().stdout;
    assert!(piped.contains(scopes), "a pipe has all: {piped}");
    let shown = place.shown("roles list", 60).await;
    assert!(shown.contains('…') && !shown.contains(scopes), "{shown}");
    let shown = place.line("roles show stock-picker --audience warehouse").await.succeeded().stdout;
    assert!(shown.contains(scopes), "{shown}");
    let jobs = place.line("jobs").await.succeeded().stdout;
    let at = jobs.find("PERIOD").unwrap();
    for row in jobs.lines() {
        assert_eq!(row.as_bytes()[at - 2..at], *b"  ", "the columns are aligned: {jobs}");
    }
}

#[tokio::test]
async fn the_details_of_an_event_stand_below_it() {
    let place = lived_in().await;
    let shown = place.line("audit list").await.succeeded().stdout;
    let below = |event: &str, of: &str| {
        let is_it = |line: &&str| line.contains(event) && line.contains(of);
        let mut lines = shown.lines().skip_while(|line| !is_it(line)).skip(1);
        lines.next().unwrap_or_else(|| panic!("no {event}: {shown}")).to_owned()
    };
    let bound = below("  role.bound  ", "  group night-shift");
    assert!(bound.starts_with("    role stock-picker of warehouse; expire_time: - → 20"), "{shown}");
    assert_eq!(below("  login  ", "  failure  "), "    wrong_password; from 127.0.0.1", "{shown}");
    let rows = shown.lines().filter(|line| !line.starts_with(' '));
    assert!(rows.skip(1).all(|row| row.as_bytes()[19] == b'Z'), "{shown}");
}

#[tokio::test]
async fn a_filter_that_means_nothing_is_refused_and_says_so() {
    let place = Place::migrated().await;
    let nowhere = "there is no audience `nowhere`: the first role or client that names it makes it";
    for (line, code, sentence) in [
        ("roles list --audience nowhere", 1, nowhere),
        ("bindings list --audience nowhere", 1, nowhere),
        ("bindings list --audience nowhere --scope x", 1, nowhere),
        ("access show --client signet --audience nowhere", 1, nowhere),
        ("bindings list --role boss", 1, "there is no role `boss` of the audience `signet`"),
        ("audit list --role boss", 1, "there is no role `boss` of the audience `signet`"),
        ("audit list --group day", 1, "there is no group `day`"),
        ("audit list --client shop", 1, "there is no client `shop`"),
        (
            "audit list --event user.disable",
            2,
            "--event: `user.disable` is not known; the nearest is `user.disabled`",
        ),
        ("audit list --event xyzzy", 2, "--event: `xyzzy` is not known"),
        (
            "audit list --address 10.0.0",
            2,
            "--address: `10.0.0` cannot be used: must be an IP address, such as 203.0.113.7",
        ),
        ("audit list --audience signet", 2, "--audience: is for --role, which is not given"),
        ("audit list --limit x", 2, "--limit: `x` cannot be used: must be a whole number"),
        ("users list --limit -1", 2, "--limit: `-1` cannot be used: must be a whole number"),
        ("users list --after x", 2, "--after: `x` cannot be used: must be an id, which is a UUID"),
    ] {
        let refused = place.line(&line.replace("--limit -1", "--limit=-1")).await;
        assert_eq!(refused.failed(code), sentence, "{line}");
    }
}

#[tokio::test]
async fn a_failed_command_tells_a_program_why() {
    let place = Place::migrated().await;
    let told = async |line: &str, code| {
        let refused = place.line(&format!("{line} --json --audit-log=off")).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(code), ""), "{refused:?}");
        serde_json::from_str::<serde_json::Value>(&refused.stderr).expect("one object")
    };
    let absent = serde_json::json!({ "error": "there is no user `nobody`", "reason": "USER_NOT_FOUND" });
    assert_eq!(told("users show nobody", 1).await, absent);
    let usage = told("users list --limit=x", 2).await;
    let problem = "`x` cannot be used: must be a whole number";
    let violation = serde_json::json!({ "field": "limit", "reason": "MALFORMED", "description": problem });
    let expected = serde_json::json!({
        "error": format!("--limit: {problem}"), "reason": "INVALID_USAGE", "violations": [violation],
    });
    assert_eq!(usage, expected);
    // A rule of the service is told as the service tells it.
    for (line, field, reason) in
        [("clients create A_B", "name", "FORBIDDEN_CHARACTER"), ("groups create signet", "name", "MALFORMED")]
    {
        let refused = told(line, 2).await;
        let violation = &refused["violations"][0];
        let said = (&refused["reason"], &violation["field"], &violation["reason"]);
        assert_eq!(said, (&"INVALID_FIELDS".into(), &field.into(), &reason.into()), "{line}: {refused}");
        assert!(violation["description"].as_str().unwrap().starts_with("must "), "{refused}");
    }
    let missing = told("clients create", 2).await;
    assert_eq!(
        (&missing["reason"], &missing["violations"][0]["reason"]),
        (&"INVALID_USAGE".into(), &"REQUIRED".into())
    );
    let elsewhere = told("users list --server 127.0.0.1:1", 69).await;
    assert_eq!(elsewhere["reason"], "SERVER_UNREACHABLE", "{elsewhere}");
    place.create_user("alice").await;
    let refused = told("users update alice --email none", 2).await;
    assert_eq!(refused["reason"], "INVALID_FIELDS");
    let violation = &refused["violations"][0];
    assert_eq!((&violation["field"], &violation["reason"]), (&"email".into(), &"MALFORMED".into()));
    assert!(refused["error"].as_str().unwrap().starts_with("the email "), "{refused}");
}
