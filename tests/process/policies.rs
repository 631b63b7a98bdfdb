//! Owns what `signet policy` promises to people and scripts: exit codes, what is shown, and what is refused.

use std::fs;

use serde_json::Value;

use crate::{client::PASSWORD, harness::Place, support::protos::compiled_text};

/// A descriptor set in a file, whose service has `methods`.
pub(crate) fn rules_file(place: &Place, name: &str, methods: &str) -> String {
    let text = format!(
        "syntax = \"proto3\"; package stock.v1; import \"identity/v1/access.proto\"; message Empty {{}}\nservice Stock {{\n{methods}\n}}"
    );
    let path = place.path(name);
    fs::write(&path, compiled_text(&text)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A method with a comment and a rule, in the text form of `identity.v1.Access`.
pub(crate) fn rule_of(comment: &str, name: &str, rule: &str) -> String {
    format!(
        "// {comment}\nrpc {name}(Empty) returns (Empty) {{ option (identity.v1.access) = {{ {rule} }}; }}\n"
    )
}

#[tokio::test]
async fn lint_tells_each_thing_that_is_wrong_by_its_exit_code_and_a_line() {
    let place = Place::new();
    let good = [
        rule_of("Public: windows show it.", "List", "public: {}"),
        rule_of("Reserves.", "Reserve", r#"authenticated: { required_scopes: "stock.write" }"#),
    ];
    let good = rules_file(&place, "good.binpb", &good.concat());
    let unlooked = place.run(&["policy", "lint", &good]).await.succeeded();
    assert!(unlooked.stdout.contains("Scopes were not looked at"), "{unlooked:?}");
    let looked = place.run(&["policy", "lint", "--known-scope", "stock.write", &good]).await.succeeded();
    assert!(!looked.stdout.contains("not looked at"), "{looked:?}");
    let unknown = place.run(&["policy", "lint", "--known-scope", "stock.read", &good]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(
        unknown
            .stdout
            .contains("error: /stock.v1.Stock/Reserve: no --known-scope names the scope `stock.write`"),
        "{unknown:?}"
    );

    let bad = [
        rule_of("Lists.", "List", "public: {}"),
        "rpc Forgotten(Empty) returns (Empty);\n".to_owned(),
        rule_of("Picks.", "Pick", r#"authenticated: { any_roles: "everyone", any_scopes: "two words" }"#),
    ];
    let bad = rules_file(&place, "bad.binpb", &bad.concat());
    let told = place.run(&["--json", "policy", "lint", &bad]).await;
    assert_eq!(told.code, Some(1), "{told:?}");
    let lines: Vec<Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line["level"].as_str().unwrap(), line["method"].as_str().unwrap()))
        .collect();
    let expected = [
        ("error", "/stock.v1.Stock/Pick"),
        ("error", "/stock.v1.Stock/List"),
        ("error", "/stock.v1.Stock/Forgotten"),
        ("error", "/stock.v1.Stock/Pick"),
        ("warning", "/stock.v1.Stock/Pick"),
    ];
    assert_eq!(found, expected, "{lines:#?}");

    // What `push` refuses is wrong, too.
    let empty = place.path("empty.binpb");
    fs::write(&empty, b"").unwrap();
    for (line, part) in [
        (vec![empty.to_str().unwrap()], "error: the file must have methods"),
        (
            vec!["--public-service", "no.Such", &good],
            "error: --public-service must name services of the file",
        ),
    ] {
        let refused = place.run(&[&["policy", "lint"], &line[..]].concat()).await;
        assert!(refused.code == Some(1) && refused.stdout.contains(part), "{refused:?}");
    }
    place.run(&["policy", "lint", "/nowhere.binpb"]).await.failed(2);
}

#[tokio::test]
async fn a_version_goes_from_a_file_to_what_is_enforced_on_the_database() {
    let place = Place::migrated().await;
    let strict = rules_file(
        &place,
        "strict.binpb",
        &rule_of("", "Reserve", r#"authenticated: { required_scopes: "a" }"#),
    );
    let lax = rules_file(&place, "lax.binpb", &rule_of("", "Reserve", "public: {}"));
    let of = |verb: &'static str, version: &'static str| {
        vec!["policy", verb, "--service", "stock", "--version", version]
    };
    let run = async |words: Vec<&str>, more: &[&str]| {
        let all: Vec<&str> = words.into_iter().chain(more.iter().copied()).collect();
        place.run(&all).await
    };
    run(of("push", "v1"), &[&strict]).await.succeeded();
    run(of("push", "v1"), &[&strict]).await.succeeded();
    let other = run(of("push", "v1"), &[&lax]).await;
    assert!(other.failed(1).contains("of another file"), "{other:?}");
    run(of("push", "v2"), &[&lax]).await.succeeded();
    let half = rules_file(&place, "half.binpb", "rpc Reserve(Empty) returns (Empty);\n");
    let half = run(of("push", "v3"), &[&half]).await.succeeded();
    assert!(
        half.stderr.contains("warning: nobody may call /stock.v1.Stock/Reserve: it declares no"),
        "{half:?}"
    );

    let first = run(of("activate", "v1"), &[]).await;
    let sentence = first.failed(1);
    assert!(sentence.contains("/stock.v1.Stock/Reserve: now nobody, then a token with a"), "{sentence}");
    assert!(sentence.contains("--allow-widening"), "{sentence}");
    run(of("activate", "v1"), &["--allow-widening"]).await.succeeded();
    run(of("activate", "v2"), &[]).await.succeeded();
    run(of("retire", "v1"), &[]).await.failed(1);

    let listed = place.run(&["--json", "policy", "list", "--service", "stock"]).await.succeeded();
    let states: Vec<_> = listed
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|version| {
            (version["version"].as_str().unwrap().to_owned(), version["state"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = [("v1", "ACTIVE"), ("v2", "ACTIVE"), ("v3", "PUSHED")]
        .map(|(version, state)| (version.to_owned(), state.to_owned()));
    assert_eq!(states, expected);
    let shown = run(of("show", "v2"), &[]).await.succeeded();
    assert!(shown.stdout.contains("/stock.v1.Stock/Reserve\n    everybody"), "{shown:?}");
    let diff = place.run(&["policy", "diff", "--service", "stock", "v1", "v2"]).await.succeeded();
    assert!(diff.stdout.starts_with("WIDENS  /stock.v1.Stock/Reserve"), "{diff:?}");
    let same = place.run(&["policy", "diff", "--service", "stock", "v1", "v1"]).await.succeeded();
    assert_eq!(same.stdout, "No method has another rule.\n");
    place.run(&["policy", "diff", "--service", "stock", "v1", "v9"]).await.failed(1);
    let lax = run(of("retire", "v2"), &[]).await.succeeded();
    assert!(!lax.stderr.contains("warning"), "{lax:?}");
    let last = run(of("retire", "v1"), &[]).await.succeeded();
    assert!(last.stderr.contains("warning: stock has no active version any more"), "{last:?}");
    place
        .run(&["policy", "explain", "--service", "stock", "--method", "/stock.v1.Stock/Reserve"])
        .await
        .failed(2);
}

#[tokio::test]
async fn an_owner_keeps_and_enforces_rules_over_the_admin_api_and_asks_why_a_call_is_refused() {
    let (place, service, desk) = Place::serving_alice_as("admin").await;
    desk.log_in("alice").await;
    let own = |name: &str, rule: &str| rules_file(&desk.own, name, &rule_of("", "Reserve", rule));
    let strict =
        own("strict.binpb", r#"authenticated: { required_scopes: "stock.pick", any_roles: "picker" }"#);
    let lax = own("lax.binpb", "public: {}");
    let push = |version: &str, file: &str| format!("policy push --service stock --version {version} {file}");
    desk.done("roles create picker --audience stock --scope stock.pick").await;
    assert!(desk.refused(&push("v1", &strict), 77).await.contains("changed by its owners"));
    desk.done("audiences add-owner stock --user alice").await;
    desk.done(&push("v1", &strict)).await;
    desk.done(&push("v2", &lax)).await;
    assert!(desk.refused(&push("v1", &lax), 1).await.contains("of another file"));
    let widens = desk.refused("policy activate --service stock --version v1", 77).await;
    assert!(
        widens.contains("/stock.v1.Stock/Reserve: now nobody") && widens.contains("--allow-widening"),
        "{widens}"
    );
    let last = desk.done("policy retire --service stock --version v1").await;
    assert!(last.stderr.contains("warning: stock has no active version any more"), "{last:?}");
    desk.done("policy activate --service stock --version v1 --allow-widening").await;
    desk.done("policy shadow --service stock --version v2").await;
    desk.done("policy retire --service stock --version v2").await;
    for line in [
        "policy list",
        "policy list --service stock",
        "policy show --service stock --version v2",
        "policy diff --service stock v1 v2",
    ] {
        place.answers_as(&desk, line).await;
        place.answers_as(&desk, &format!("{line} --json")).await;
    }

    desk.done("roles bind picker --audience stock --user alice").await;
    let token = service.client().await.log_in("alice", PASSWORD).await.unwrap();
    let token = desk.own.write("token.txt", &format!("{token}\n"));
    let ask = format!(
        "policy explain --service stock --method /stock.v1.Stock/Reserve --token-file {token} --json"
    );
    let why = desk.done(&ask).await.object();
    assert_eq!(
        (&why["verdict"], &why["caller"], &why["audiences"]),
        (&"REFUSED".into(), &"user".into(), &serde_json::json!(["signet"])),
        "{why}"
    );
    let missing = why["rules"][0]["missing"].to_string();
    assert!(missing.contains("a token for the audience stock"), "{why}");
    let nobody =
        desk.done("policy explain --service stock --method /stock.v1.Stock/Reserve --json").await.object();
    assert_eq!(nobody["rules"][0]["missing"][0], "an access token", "{nobody}");
}
