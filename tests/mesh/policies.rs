//! Owns that the rules of a service's own proto are enforced before it by a real Envoy: from a file to a refused call, from SHADOW to what
//! is enforced, and whatever its owner may not do.

use std::{fs, path::Path};

use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    envoy::Envoy,
    requests::{Request, eventually, grpc},
    signet::Signet,
    support::protos::{compiled, compiled_text},
    upstream::Upstream,
};

pub(crate) const LIST: &str = "/stock.v1.StockService/ListItems";
pub(crate) const TAKE: &str = "/stock.v1.StockService/TakeItem";
const GONE: &str = "/stock.v1.StockService/Gone";

/// The route of a roll-out in SHADOW, which stands in the example as a comment, in the place of the one that is enforced.
const ROUTE_OF_SHADOW: [(&str, &str); 3] = [
    (
        "match: {path_separated_prefix: /stock.v1.StockService}\n                route",
        "match: {path_separated_prefix: /elsewhere}\n                route",
    ),
    ("\n              # - ", "\n              - "),
    ("\n              #   ", "\n                "),
];

/// The service's own descriptor set, as its build makes it.
fn file(directory: &TempDir) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("examples/protected-service/proto");
    let path = directory.path().join("stock.binpb");
    fs::write(&path, compiled(&own, "stock/v1/stock_service.proto")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A descriptor set in the file `name`, whose service lists for everybody, and takes by `rule`.
pub(crate) fn rules(directory: &TempDir, name: &str, rule: &str) -> String {
    let text = format!(
        r#"
        syntax = "proto3";
        package stock.v1;
        import "identity/v1/access.proto";
        message Empty {{}}
        service StockService {{
          rpc ListItems(Empty) returns (Empty) {{
            option idempotency_level = NO_SIDE_EFFECTS;
            option (identity.v1.access) = {{ public: {{}} }};
          }}
          rpc TakeItem(Empty) returns (Empty) {{ option (identity.v1.access) = {{ {rule} }}; }}
        }}"#
    );
    let path = directory.path().join(name);
    fs::write(&path, compiled_text(&text)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Has the version `version` of stock's policy pushed from `file`.
pub(crate) fn push(signet: &Signet, version: &str, file: &str) {
    signet.operate(&["policy", "push", "--service", "stock", "--version", version, file]);
}

/// Has an operator, who may widen, change the state of the version `version`.
pub(crate) fn change(signet: &Signet, verb: &str, version: &str) {
    signet.operate(&["policy", verb, "--service", "stock", "--version", version, "--allow-widening"]);
}

/// An Envoy of the example with `changes`, before `upstream`, which asks `signet`.
pub(crate) async fn before(signet: &Signet, upstream: &Upstream, changes: &[(&str, &str)]) -> Envoy {
    let ports = [(8081, upstream.addr.port()), (50051, signet.grpc.port())];
    Envoy::start("ext-authz.yaml", &ports, changes).await
}

/// Calls `path` by gRPC through `envoy`, and shows `token`.
pub(crate) async fn call(envoy: &Envoy, path: &'static str, token: Option<&str>) -> Result<(), Status> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let metadata: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    grpc(envoy.addr, path, &metadata).await.map(|_| ())
}

/// A token of a client by itself, for stock, with the scope `scope`.
pub(crate) async fn token(signet: &Signet, client: &str, scope: &str) -> String {
    signet.token_of_client(client, &["--allow-audience", "stock", "--scope", scope]).await
}

/// By code and reason, why a call was refused.
#[track_caller]
fn refusal(answer: Result<(), Status>) -> (Code, String) {
    reason(&answer.expect_err("it was let in"))
}

fn reason(refused: &Status) -> (Code, String) {
    (refused.code(), refused.get_details_error_info().unwrap().reason)
}

#[tokio::test]
async fn from_a_file_to_a_refused_call_in_three_commands() {
    let directory = TempDir::new().unwrap();
    let signet = Signet::start(&["--ext-authz=on", "--standing-cache-max-age=0s"]);
    let (upstream, file) = (Upstream::start().await, file(&directory));
    let envoy = before(&signet, &upstream, &[]).await;
    let (reader, writer) =
        (token(&signet, "reader", "stock:read").await, token(&signet, "writer", "stock:write").await);
    let call = async |path: &'static str, token: Option<&str>| call(&envoy, path, token).await;
    let refused = call(LIST, Some(&writer)).await.unwrap_err();
    assert_eq!(
        reason(&refused),
        (Code::PermissionDenied, "ROUTE_MISCONFIGURED".to_owned()),
        "no version yet"
    );

    // It warns of the role: a service that verifies tokens by itself sees only those that tokens name.
    let found = signet.list(&["policy", "lint", "--service", "stock", &file]);
    assert_eq!(found.last().unwrap()["errors"], 0, "{found:?}");
    push(&signet, "v1", &file);
    change(&signet, "activate", "v1");

    call(LIST, None).await.unwrap();
    call(TAKE, Some(&writer)).await.unwrap();
    let refused = call(TAKE, Some(&reader)).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "INSUFFICIENT_SCOPE".to_owned()));
    let refused = call(TAKE, None).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::Unauthenticated, "TOKEN_MISSING".to_owned()));
    for path in ["/stock.v1.StockService/listItems", "/stock.v1.StockService/ListItems/", GONE] {
        let refused = call(path, Some(&writer)).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::PermissionDenied, "ACCESS_UNDECLARED".to_owned()), "{path}");
    }
    // What is no call of RPC calls nothing, however it is spelled.
    for path in [LIST, "/stock.v1.StockService/ListItems?connect=v1", "/stock.v1.StockService/%4cistItems"] {
        let answer = Request::get(path).send(envoy.addr).await.unwrap();
        assert_eq!(answer.status, 403, "{path}");
    }

    signet.operate(&["policy", "retire", "--service", "stock", "--version", "v1"]);
    let refused = call(LIST, None).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "ROUTE_MISCONFIGURED".to_owned()));
}

/// How many verdicts of stock's SHADOW versions are counted as `verdict`.
async fn verdicts(signet: &Signet, verdict: &str) -> u64 {
    let series = format!(r#"signet_policy_shadow_verdicts_total{{service="stock",verdict="{verdict}"}} "#);
    let metrics = signet.metrics().await;
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}

/// Asserts that the log of `signet` comes to tell of one call of `path` that SHADOW would have refused, for the lack of `lacking`.
async fn told(signet: &Signet, path: &str, lacking: &str) {
    let telling = async || {
        let log = signet.log();
        let lines = log.lines().filter(|line| line.contains("SHADOW: ") && line.contains(path));
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        (!lines.is_empty()).then_some(lines)
    };
    let lines = eventually("the log tells of SHADOW", telling).await;
    let [line] = &lines[..] else { panic!("once a minute: {lines:#?}") };
    assert!(line.contains("WARN") && line.contains(r#"service="stock""#), "{line}");
    assert!(line.contains(lacking), "{line}");
}

#[tokio::test]
async fn a_roll_out_begins_in_shadow_and_ends_with_what_was_pushed() {
    let directory = TempDir::new().unwrap();
    let signet = Signet::start(&["--ext-authz=on", "--standing-cache-max-age=0s"]);
    let upstream = Upstream::start().await;
    let (reader, writer) =
        (token(&signet, "reader", "stock:read").await, token(&signet, "writer", "stock:write").await);
    push(&signet, "v1", &rules(&directory, "v1", r#"authenticated: { required_scopes: "stock:write" }"#));
    change(&signet, "shadow", "v1");
    let envoy = before(&signet, &upstream, &ROUTE_OF_SHADOW).await;
    let counted = async || {
        let verdicts = async |verdict: &str| verdicts(&signet, verdict).await;
        (verdicts("would_pass").await, verdicts("would_refuse").await, verdicts("refused_anyhow").await)
    };

    // The route's own key decides, and whoever passes by it is judged.
    call(&envoy, TAKE, Some(&writer)).await.unwrap();
    assert_eq!(counted().await, (1, 0, 0));
    for _ in 0..3 {
        call(&envoy, TAKE, Some(&reader)).await.unwrap();
    }
    call(&envoy, GONE, Some(&writer)).await.unwrap();
    assert_eq!(counted().await, (1, 4, 0));
    told(&signet, TAKE, "stock:write").await;
    told(&signet, GONE, "").await;
    // Of a path the query is not told: Connect has the message there.
    let lost = "/stock.v1.StockService/Lost?message=hush";
    Request::get(lost).bearer(&writer).send(envoy.addr).await.unwrap();
    told(&signet, "/stock.v1.StockService/Lost\"", "").await;
    assert!(!signet.log().contains("hush"));
    // What passes by nobody's rule tells nothing of the roll-out, and is no line of the log.
    for token in [None, Some("a.b.c")] {
        let refused = refusal(call(&envoy, TAKE, token).await);
        assert_eq!(refused.0, Code::Unauthenticated, "{refused:?}");
    }
    assert_eq!(counted().await, (1, 5, 2));
    told(&signet, TAKE, "stock:write").await;

    // Active, it is enforced; the key of the route tightens it until that leaves.
    change(&signet, "activate", "v1");
    call(&envoy, TAKE, Some(&writer)).await.unwrap();
    let refused = [refusal(call(&envoy, TAKE, Some(&reader)).await), refusal(call(&envoy, LIST, None).await)];
    assert_eq!(refused[0], (Code::PermissionDenied, "INSUFFICIENT_SCOPE".to_owned()));
    assert_eq!(refused[1], (Code::Unauthenticated, "TOKEN_MISSING".to_owned()));
    let refused = refusal(call(&envoy, GONE, Some(&writer)).await);
    assert_eq!(refused, (Code::PermissionDenied, "ACCESS_UNDECLARED".to_owned()));
    let envoy = before(&signet, &upstream, &[]).await;
    call(&envoy, LIST, None).await.unwrap();
    call(&envoy, TAKE, Some(&writer)).await.unwrap();
    refusal(call(&envoy, TAKE, Some(&reader)).await);
    assert_eq!(counted().await, (1, 5, 2), "it is in SHADOW no more");
}

#[tokio::test]
async fn a_route_without_a_key_of_its_own_passes_nobody_in_shadow() {
    let directory = TempDir::new().unwrap();
    let signet = Signet::start(&["--ext-authz=on", "--standing-cache-max-age=0s"]);
    let upstream = Upstream::start().await;
    let writer = token(&signet, "writer", "stock:write").await;
    push(&signet, "v1", &rules(&directory, "v1", "authenticated: {}"));
    change(&signet, "shadow", "v1");
    let envoy = before(&signet, &upstream, &[]).await;
    for token in [None, Some(&*writer)] {
        let refused = refusal(call(&envoy, LIST, token).await);
        assert_eq!(refused, (Code::PermissionDenied, "ROUTE_MISCONFIGURED".to_owned()));
    }
}

/// An owner of stock who may not widen: the client's id, and the file of its secret.
fn owner(signet: &Signet, directory: &TempDir) -> (String, String) {
    let scopes = ["--scope", "signet.policies.read", "--scope", "signet.policies.write"];
    let created = signet.operate(&[&["clients", "create", "team"], &scopes[..]].concat());
    signet.operate(&["audiences", "add-owner", "stock", "--client", "team"]);
    let path = directory.path().join("secret");
    fs::write(&path, created["secret"].as_str().unwrap()).unwrap();
    (created["id"].as_str().unwrap().to_owned(), path.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_owner_who_may_not_widen_opens_nothing_in_any_way() {
    let directory = TempDir::new().unwrap();
    let admin = "--admin-addr=127.0.0.1:0";
    let signet = Signet::start(&["--ext-authz=on", "--standing-cache-max-age=0s", admin]);
    let upstream = Upstream::start().await;
    let envoy = before(&signet, &upstream, &[]).await;
    let reader = token(&signet, "reader", "stock:read").await;
    let (id, secret) = owner(&signet, &directory);
    let own = |arguments: &[&str]| signet.operate_as((&id, &secret), arguments);
    let own_push = |version: &str, rule: &str| {
        let file = rules(&directory, version, rule);
        own(&["policy", "push", "--service", "stock", "--version", version, &file]).succeeded();
    };
    let own_change = |verb: &str, version: &str| {
        own(&["policy", verb, "--service", "stock", "--version", version, "--allow-widening"])
    };
    let widens = |verb: &str, version: &str| {
        let refused = own_change(verb, version);
        assert_eq!(refused.code, Some(77), "{verb} {version}: {refused:?}");
        assert!(refused.stderr.contains(r#""reason":"POLICY_WIDENS""#), "{verb} {version}: {refused:?}");
    };
    own_push("strict", r#"authenticated: { required_scopes: "stock:write" }"#);
    own_push("lax", "authenticated: {}");
    widens("activate", "strict");
    widens("shadow", "strict");
    assert_eq!(refusal(call(&envoy, TAKE, Some(&reader)).await).1, "ROUTE_MISCONFIGURED");

    change(&signet, "activate", "strict");
    let is_refused = async || {
        assert_eq!(refusal(call(&envoy, TAKE, Some(&reader)).await).1, "INSUFFICIENT_SCOPE");
    };
    is_refused().await;
    // The last active one to SHADOW, and then the strict one beside a lax one.
    widens("shadow", "strict");
    own_change("activate", "lax").succeeded();
    is_refused().await;
    widens("retire", "strict");
    widens("shadow", "strict");
    is_refused().await;
    // What narrows is the owner's, and the way back widens.
    own_change("retire", "lax").succeeded();
    own_change("retire", "strict").succeeded();
    assert_eq!(refusal(call(&envoy, TAKE, Some(&reader)).await).1, "ROUTE_MISCONFIGURED");
    widens("activate", "strict");

    change(&signet, "activate", "strict");
    own_change("activate", "lax").succeeded();
    is_refused().await;
    change(&signet, "retire", "strict");
    call(&envoy, TAKE, Some(&reader)).await.unwrap();
}
