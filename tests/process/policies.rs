//! Owns what `signet policy` promises to people and scripts: exit codes, what is shown, and what is refused.

use std::fs;

use serde_json::Value;

use crate::harness::Place;

/// A descriptor set in a file, whose service has `methods`.
fn file(place: &Place, name: &str, methods: &str) -> String {
    let dir = tempfile::TempDir::new().unwrap();
    let text = format!(
        "syntax = \"proto3\"; package stock.v1; import \"identity/v1/access.proto\"; message Empty {{}}\nservice Stock {{\n{methods}\n}}"
    );
    fs::write(dir.path().join("stock.proto"), text).unwrap();
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let mut compiler = protox::Compiler::new([dir.path(), proto.as_ref()]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_file("stock.proto").unwrap();
    let path = place.path(name);
    fs::write(&path, compiler.encode_file_descriptor_set()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn method(comment: &str, name: &str, rule: &str) -> String {
    format!(
        "// {comment}\nrpc {name}(Empty) returns (Empty) {{ option (identity.v1.access) = {{ {rule} }}; }}\n"
    )
}

#[tokio::test]
async fn lint_tells_each_thing_that_is_wrong_by_its_exit_code_and_a_line() {
    let place = Place::new();
    let good = [
        method("Public: windows show it.", "List", "public: {}"),
        method("Reserves.", "Reserve", r#"authenticated: { required_scopes: "stock.write" }"#),
    ];
    let good = file(&place, "good.binpb", &good.concat());
    place.run(&["policy", "lint", &good]).await.succeeded();
    place.run(&["policy", "lint", "--known-scope", "stock.write", &good]).await.succeeded();
    let unknown = place.run(&["policy", "lint", "--known-scope", "stock.read", &good]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(
        unknown.stdout.contains("error: /stock.v1.Stock/Reserve: no role gives the scope `stock.write`"),
        "{unknown:?}"
    );

    let bad = [
        method("Lists.", "List", "public: {}"),
        "rpc Forgotten(Empty) returns (Empty);\n".to_owned(),
        method("Picks.", "Pick", r#"authenticated: { any_roles: "picker", any_scopes: "two words" }"#),
    ];
    let bad = file(&place, "bad.binpb", &bad.concat());
    let told = place.run(&["--json", "policy", "lint", &bad]).await;
    assert_eq!(told.code, Some(1), "{told:?}");
    let lines: Vec<Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line["level"].as_str().unwrap(), line["method"].as_str().unwrap()))
        .collect();
    let expected = [
        ("error", "/stock.v1.Stock/List"),
        ("error", "/stock.v1.Stock/Forgotten"),
        ("error", "/stock.v1.Stock/Pick"),
        ("warning", "/stock.v1.Stock/Pick"),
    ];
    assert_eq!(found, expected, "{lines:#?}");
    place.run(&["policy", "lint", "/nowhere.binpb"]).await.failed(2);
}

#[tokio::test]
async fn a_version_goes_from_a_file_to_what_is_enforced_on_the_database() {
    let place = Place::migrated().await;
    let strict =
        file(&place, "strict.binpb", &method("", "Reserve", r#"authenticated: { required_scopes: "a" }"#));
    let lax = file(&place, "lax.binpb", &method("", "Reserve", "public: {}"));
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

    let first = run(of("activate", "v1"), &[]).await;
    let sentence = first.failed(77);
    assert!(sentence.contains("/stock.v1.Stock/Reserve: now nobody, then a token with a"), "{sentence}");
    assert!(sentence.contains("--allow-widening"), "{sentence}");
    run(of("activate", "v1"), &["--allow-widening"]).await.succeeded();
    run(of("activate", "v2"), &[]).await.succeeded();
    run(of("retire", "v1"), &[]).await.failed(77);

    let listed = place.run(&["--json", "policy", "list", "--service", "stock"]).await.succeeded();
    let states: Vec<_> = listed
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|version| {
            (version["version"].as_str().unwrap().to_owned(), version["state"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected =
        [("v1", "ACTIVE"), ("v2", "ACTIVE")].map(|(version, state)| (version.to_owned(), state.to_owned()));
    assert_eq!(states, expected);
    let shown = run(of("show", "v2"), &[]).await.succeeded();
    assert!(shown.stdout.contains("/stock.v1.Stock/Reserve\n    everybody"), "{shown:?}");
    let diff = place.run(&["policy", "diff", "--service", "stock", "v1", "v2"]).await.succeeded();
    assert!(diff.stdout.starts_with("WIDENS  /stock.v1.Stock/Reserve"), "{diff:?}");
    let same = place.run(&["policy", "diff", "--service", "stock", "v1", "v1"]).await.succeeded();
    assert_eq!(same.stdout, "No method has another rule.\n");
    place.run(&["policy", "diff", "--service", "stock", "v1", "v9"]).await.failed(1);
    place
        .run(&["policy", "explain", "--service", "stock", "--method", "/stock.v1.Stock/Reserve"])
        .await
        .failed(2);
}
