//! Owns that Envoy's question is answered by the rule of the method, and that no spelling of a path widens what passes.

use std::time::Duration;

use super::{Answer, Policies, RESERVE, STOCK, method, needing, set};
use crate::harness::eventually;

const GRPC: &str = "application/grpc";

#[tokio::test]
async fn each_key_of_a_rule_is_asked_for() {
    let policies = Policies::start().await;
    let rules = [
        method("All", r#"authenticated: { required_scopes: ["a", "b"] }"#),
        method("Any", r#"authenticated: { any_scopes: ["b", "c"] }"#),
        method("Users", "authenticated: { callers: CALLERS_USER }"),
        method("Clients", "authenticated: { callers: CALLERS_CLIENT }"),
        method("Pickers", r#"authenticated: { any_roles: ["picker", "packer"] }"#),
        method("Elsewhere", r#"authenticated: { audience: "orders" }"#),
        method("Open", "public: {}"),
        method("Empty", ""),
        "rpc Nothing(Empty) returns (Empty);".to_owned(),
    ];
    policies.enforce("v1", set(&rules.concat())).await;
    let (a, ab) = (policies.token("a", "a").await, policies.token("ab", "a b").await);
    let ask = async |name: &str, token: Option<&str>| {
        policies.call(&format!("/stock.v1.Stock/{name}"), token, &[STOCK]).await
    };
    for (name, needed) in
        [("All", "the scope `b` is needed"), ("Any", "one of the scopes `b`, `c` is needed")]
    {
        assert_eq!(ask(name, Some(&ab)).await, Answer::Passes, "{name}");
        ask(name, Some(&a)).await.is_refused(403, needed);
        ask(name, None).await.is_refused(401, "needs an access token");
    }
    assert_eq!(ask("Clients", Some(&a)).await, Answer::Passes);
    ask("Users", Some(&a)).await.is_refused(403, "only a user may call this");
    ask("Pickers", Some(&a)).await.is_refused(403, "one of the roles `picker`, `packer` is needed");
    ask("Elsewhere", Some(&a)).await.is_refused(401, "another audience");
    // What is public is open, whatever token is sent.
    for token in [None, Some(&*a), Some("x.y.z")] {
        assert_eq!(ask("Open", token).await, Answer::Passes);
    }
    for name in ["Empty", "Nothing"] {
        ask(name, Some(&ab)).await.is_refused(403, "declares no access rule");
    }
    ask("Missing", Some(&ab)).await.is_refused(403, "no active version of the policy knows");
}

#[tokio::test]
async fn the_keys_of_a_route_only_tighten_the_rule() {
    let policies = Policies::start().await;
    let rules =
        [method("Open", "public: {}"), method("Reserve", r#"authenticated: { required_scopes: "a" }"#)];
    policies.enforce("v1", set(&rules.concat())).await;
    let (a, ab) = (policies.token("a", "a").await, policies.token("ab", "a b").await);
    let open = "/stock.v1.Stock/Open";
    let with = |key: (&'static str, &'static str)| [STOCK, key];
    // No key opens what the rule keeps closed.
    policies.call(RESERVE, None, &with(("signet.anonymous", "allow"))).await.is_refused(401, "");
    let scope = with(("signet.require_scope", "b"));
    policies.call(RESERVE, Some(&a), &scope).await.is_refused(403, "`b` is needed");
    assert_eq!(policies.call(RESERVE, Some(&ab), &scope).await, Answer::Passes);
    // What is public is asked for a token where the route wants one.
    policies.call(open, None, &scope).await.is_refused(401, "");
    assert_eq!(policies.call(open, Some(&ab), &scope).await, Answer::Passes);
    policies.call(open, None, &with(("signet.anonymous", "deny"))).await.is_refused(401, "");
    let other = with(("signet.require_audience", "orders"));
    policies.call(RESERVE, Some(&ab), &other).await.is_refused(401, "another audience");
    let role = [STOCK, ("signet.require_audience", "stock"), ("signet.require_role", "picker")];
    policies.call(RESERVE, Some(&ab), &role).await.is_refused(403, "`picker` is needed");
}

#[tokio::test]
async fn no_spelling_of_a_path_calls_another_method() {
    let policies = Policies::start().await;
    let rules =
        [method("Open", "public: {}"), method("Reserve", r#"authenticated: { required_scopes: "a" }"#)];
    policies.enforce("v1", set(&rules.concat())).await;
    let token = policies.token("b", "b").await;
    for path in [
        "/stock.v1.Stock/open",
        "/stock.v1.stock/Open",
        "/STOCK.V1.STOCK/OPEN",
        "//stock.v1.Stock/Open",
        "/stock.v1.Stock//Open",
        "/stock.v1.Stock/Open/",
        "/stock.v1.Stock/./Open",
        "/stock.v1.Stock/Reserve/../Open",
        "/x/../stock.v1.Stock/Open",
        "/stock.v1.Stock/Ope%6E",
        "/stock.v1.Stock%2FOpen",
        "/stock.v1.Stock/Open;x=1",
        "/stock.v1.Stock/Open#",
        "/stock.v1.Stock/Open ",
        " /stock.v1.Stock/Open",
        "/stock.v1.Stock\\Open",
        "stock.v1.Stock/Open",
        "http://stock/stock.v1.Stock/Open",
        "/stock.v1.Stock/Open\0",
        "/stock.v1.Stock/Open,/stock.v1.Stock/Reserve",
        "/stock.v1.Stock/",
        "/",
        "",
        "?/stock.v1.Stock/Open",
    ] {
        for token in [None, Some(&*token)] {
            policies
                .call(path, token, &[STOCK])
                .await
                .is_refused(403, "no active version of the policy knows");
        }
    }
    assert_eq!(
        policies.call("/stock.v1.Stock/Open?a=/stock.v1.Stock/Reserve", None, &[STOCK]).await,
        Answer::Passes
    );
    policies.call("/stock.v1.Stock/Reserve?/stock.v1.Stock/Open", None, &[STOCK]).await.is_refused(401, "");
    policies.call("/stock.v1.Stock/Reserve?", Some(&token), &[STOCK]).await.is_refused(403, "`a` is needed");
}

#[tokio::test]
async fn only_calls_of_rpc_protocols_pass_and_by_get_only_what_has_no_side_effects() {
    let policies = Policies::start().await;
    let read = "rpc Read(Empty) returns (Empty) { option idempotency_level = NO_SIDE_EFFECTS; option (identity.v1.access) = { public: {} }; }";
    policies.enforce("v1", set(&[read, &method("Open", "public: {}")].concat())).await;
    let (open, read) = ("/stock.v1.Stock/Open", "/stock.v1.Stock/Read?connect=v1&encoding=json&message={}");
    for content_type in [GRPC, "application/grpc-web+proto", "application/json", "application/connect+proto"]
    {
        let passes = policies.ask("POST", open, Some(content_type), None, &[STOCK]).await;
        assert_eq!(passes, Answer::Passes, "{content_type}");
    }
    for (verb, path, content_type) in [
        ("POST", open, None),
        ("POST", open, Some("text/html")),
        ("POST", open, Some("application/x-www-form-urlencoded")),
        ("POST", open, Some("application/grpc, application/json")),
        ("PUT", open, Some(GRPC)),
        ("GET", open, Some(GRPC)),
        ("GET", "/stock.v1.Stock/Open?connect=v1", None),
        ("GET", "/stock.v1.Stock/Read", None),
        ("HEAD", read, None),
    ] {
        let refused = policies.ask(verb, path, content_type, None, &[STOCK]).await;
        let Answer::Refused(code, _) = refused else { panic!("{verb} {path} {content_type:?} passes") };
        assert_eq!(code, 403);
    }
    assert_eq!(policies.ask("GET", read, None, None, &[STOCK]).await, Answer::Passes);
}

#[tokio::test]
async fn a_route_without_a_version_refuses_everybody_and_one_without_the_key_asks_nothing_of_policies() {
    let policies = Policies::start().await;
    let token = policies.token("a", "a").await;
    policies.call(RESERVE, Some(&token), &[STOCK]).await.is_refused(403, "no version in force");
    policies.push("v1", needing("a")).await;
    policies.call(RESERVE, Some(&token), &[STOCK]).await.is_refused(403, "no version in force");
    let without = [("signet.require_audience", "stock")];
    assert_eq!(policies.call("/whatever", Some(&token), &without).await, Answer::Passes);
    policies.activate_by(&policies.rita, "v1", true).await.unwrap();
    assert_eq!(policies.call(RESERVE, Some(&token), &[STOCK]).await, Answer::Passes);
    // The HTTP refusal names the scopes, as RFC 6750 has it.
    let other = policies.token("b", "b").await;
    policies
        .ask("POST", RESERVE, Some("application/json"), Some(&other), &[STOCK])
        .await
        .is_refused(403, "INSUFFICIENT_SCOPE");
}

#[tokio::test]
async fn what_versions_in_shadow_would_refuse_is_counted_where_it_passes_and_refuses_nobody() {
    let policies = Policies::start().await;
    let token = policies.token("a", "a").await;
    policies.enforce("v1", needing("a")).await;
    policies.push("v2", needing("b")).await;
    policies.shadow_by(&policies.olga, "v2", false).await.unwrap();
    let counted = async || {
        let text = policies.api.server.operations_get("/metrics").await.into_body();
        ["would_pass", "would_refuse", "refused_anyhow"].map(|verdict| {
            let name =
                format!("signet_policy_shadow_verdicts_total{{service=\"stock\",verdict=\"{verdict}\"}} ");
            text.lines()
                .find_map(|line| line.strip_prefix(&name))
                .map_or(0, |count| count.parse::<u64>().unwrap())
        })
    };
    assert_eq!(policies.call(RESERVE, Some(&token), &[STOCK]).await, Answer::Passes);
    assert_eq!(counted().await, [0, 1, 0]);
    let both = policies.token("ab", "a b").await;
    assert_eq!(policies.call(RESERVE, Some(&both), &[STOCK]).await, Answer::Passes);
    // Strangers and scanners are no findings of a roll-out.
    policies.call(RESERVE, None, &[STOCK]).await.is_refused(401, "");
    policies.call("/robots.txt", None, &[STOCK]).await.is_refused(403, "");
    assert_eq!(counted().await, [1, 1, 2]);
}

#[tokio::test]
async fn one_version_more_lets_no_token_pass_that_was_meant_for_another() {
    let policies = Policies::start().await;
    let ask = async |token: &str, route: &[(&str, &str)]| {
        policies.call(RESERVE, Some(token), &[&[STOCK], route].concat()).await
    };
    let [both, orders] = [&["stock", "orders"][..], &["orders"]].map(|audiences| audiences);
    let both = policies.token_for("both", "x", both).await;
    let orders = policies.token_for("elsewhere", "x", orders).await;
    let routes = [[("signet.require_scope", "x")], [("signet.anonymous", "deny")]];
    policies.enforce("v1", set(&method("Reserve", "public: {}"))).await;
    for route in &routes {
        ask(&orders, route).await.is_refused(401, "another audience");
        assert_eq!(ask(&both, route).await, Answer::Passes);
    }
    policies.push("v2", set(&method("Reserve", r#"authenticated: { audience: "orders" }"#))).await;
    policies.activate_by(&policies.olga, "v2", false).await.unwrap();
    for route in &routes {
        ask(&orders, route).await.is_refused(401, "another audience");
        assert_eq!(ask(&both, route).await, Answer::Passes);
    }
    assert_eq!(
        ask(&orders, &[]).await,
        Answer::Passes,
        "the rule names its audience, and the route asks for nothing"
    );
}

#[tokio::test]
async fn another_replica_enforces_what_was_activated() {
    let policies = Policies::start().await;
    // What it remembers it forgets by the feed alone.
    let other = policies.api.server.replica(&["--ext-authz=on", "--standing-cache-max-age=1m"]).await;
    let there = Policies { sidecar: crate::ext_authz::Sidecar::of(&other).await, ..policies };
    let token = there.token("a", "a").await;
    let passes = async |what: &str, expected: bool| {
        eventually(what, async || {
            there.api.server.clock.advance(Duration::from_secs(1));
            let passes = there.call(RESERVE, Some(&token), &[STOCK]).await == Answer::Passes;
            passes == expected
        })
        .await;
    };
    there.call(RESERVE, Some(&token), &[STOCK]).await.is_refused(403, "no version in force");
    there.enforce("v1", needing("a")).await;
    passes("it is active there, too", true).await;
    there.retire_by(&there.rita, "v1", false).await.unwrap();
    passes("it is retired there, too", false).await;
}
