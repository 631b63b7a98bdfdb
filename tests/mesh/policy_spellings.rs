//! Owns that no spelling of a path, and no protocol, lets a call through to what its rule refuses, behind a real Envoy.

use tempfile::TempDir;

use crate::{
    envoy::Envoy,
    policies::{LIST, TAKE, before, call, change, push, rules, token},
    requests::{Answer, Request},
    signet::Signet,
    upstream::Upstream,
};

/// What calls by each protocol have: the method, the content type, and what the query says.
const PROTOCOLS: [(&str, &str, &str); 12] = [
    ("POST", "application/grpc", ""),
    ("POST", "application/grpc+proto", ""),
    ("POST", "application/grpc-web", ""),
    ("POST", "application/grpc-web-text+proto", ""),
    ("POST", "application/proto", ""),
    ("POST", "application/json; charset=utf-8", ""),
    ("POST", "application/connect+json", ""),
    ("GET", "", "connect=v1&encoding=json&message=%7B%7D"),
    // No calls: a query where none belongs, a method in lower case, one of somebody's own, and no content type.
    ("GET", "application/json", "connect=v1"),
    ("get", "", "connect=v1"),
    ("TAKE", "application/grpc", ""),
    ("POST", "", ""),
];

/// Each can be read as `TakeItem`, or as something else than what the route was chosen by.
const SPELLINGS: [&str; 32] = [
    "/stock.v1.StockService/TakeItem/",
    "/stock.v1.StockService/takeitem",
    "/stock.v1.stockservice/TakeItem",
    "/STOCK.V1.STOCKSERVICE/TakeItem",
    "//stock.v1.StockService/TakeItem",
    "/stock.v1.StockService//TakeItem",
    "/stock.v1.StockService/./TakeItem",
    "/stock.v1.StockService/%54akeItem",
    "/stock.v1.StockService/TakeItem%20",
    "/stock.v1.StockService/TakeItem%00",
    "/stock.v1.StockService%2fTakeItem",
    "/stock.v1.StockService/ListItems/../TakeItem",
    "/stock.v1.StockService/ListItems/%2e%2e/TakeItem",
    "/stock.v1.StockService/ListItems/..%2fTakeItem",
    "/stock.v1.StockService/ListItems%2f..%2fTakeItem",
    "/stock.v1.StockService/ListItems\\..\\TakeItem",
    "/stock.v1.StockService\\TakeItem",
    "/stock.v1.StockService/ListItems?/../TakeItem",
    "/stock.v1.StockService/ListItems%3f/../TakeItem",
    "/stock.v1.StockService/ListItems#/../TakeItem",
    "/stock.v1.StockService/TakeItem#/../ListItems",
    "/stock.v1.StockService/TakeItem?/stock.v1.StockService/ListItems",
    "/stock.v1.StockService/TakeItem;x",
    "/stock.v1.StockService/ListItems;/../TakeItem",
    "/stock.v1.StockService/ListItems/..;/TakeItem",
    "/stock.v1.StockService/ListItems%3b/../TakeItem",
    "/public/../stock.v1.StockService/TakeItem",
    "/public/%2e%2e/stock.v1.StockService/TakeItem",
    "/public\\..\\stock.v1.StockService/TakeItem",
    "/public%2f..%2fstock.v1.StockService/TakeItem",
    "http://other.example/stock.v1.StockService/TakeItem",
    "http://service.example/public/../stock.v1.StockService/TakeItem",
];

/// Sends `path` by `protocol`, with `token`.
async fn send(envoy: &Envoy, protocol: (&str, &str, &str), path: &str, token: Option<&str>) -> Answer {
    let (method, content_type, query) = protocol;
    let joined = if path.contains('?') { "&" } else { "?" };
    let path = if query.is_empty() { path.to_owned() } else { format!("{path}{joined}{query}") };
    let request = token.into_iter().fold(Request::of(method, &path), Request::bearer);
    let request =
        if content_type.is_empty() { request } else { request.header("Content-Type", content_type) };
    let request = if method == "GET" { request } else { request.body("{}") };
    request.send(envoy.addr).await.expect("Envoy answers")
}

/// The path that the service saw, if the request arrived there.
fn arrived(answer: &Answer, method: &str) -> Option<String> {
    // In gRPC's frame some bytes stand before it.
    let (_, rest) = answer.body.split_once(&format!("{method} /"))?;
    Some(format!("/{}", rest.split_whitespace().next().unwrap_or_default()))
}

/// Whether `path` is under the route that is open to everybody.
fn is_public(path: &str) -> bool {
    path.starts_with("/public/") && !path.contains("..")
}

#[tokio::test]
async fn no_spelling_of_a_path_reaches_a_method_that_refuses_the_caller_by_any_protocol() {
    let directory = TempDir::new().unwrap();
    let signet = Signet::start(&["--ext-authz=on", "--standing-cache-max-age=0s"]);
    let upstream = Upstream::start().await;
    push(&signet, "v1", &rules(&directory, "v1", r#"authenticated: { required_scopes: "stock:write" }"#));
    change(&signet, "activate", "v1");
    let envoy = before(&signet, &upstream, &[]).await;
    let (reader, writer) =
        (token(&signet, "reader", "stock:read").await, token(&signet, "writer", "stock:write").await);

    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        let is_call = number < 8;
        let reached = async |path: &str, token: Option<&str>| {
            let answer = send(&envoy, protocol, path, token).await;
            let is_decided = answer.status != 503 && answer.header("grpc-status") != Some("14");
            assert!(is_decided, "{protocol:?} {path}: {answer:?}");
            arrived(&answer, protocol.0)
        };
        // As they are: the public one by each protocol, and the other one with its scope, by all that may have side effects.
        for token in [None, Some(&*reader), Some("a.b.c")] {
            assert_eq!(reached(LIST, token).await.as_deref(), is_call.then_some(LIST), "{protocol:?}");
            assert_eq!(reached(TAKE, token).await, None, "{protocol:?}");
        }
        let may_take = is_call && protocol.0 == "POST";
        assert_eq!(reached(TAKE, Some(&writer)).await.as_deref(), may_take.then_some(TAKE), "{protocol:?}");

        for path in SPELLINGS {
            for token in [None, Some(&*reader)] {
                let seen = reached(path, token).await;
                let is_open = seen.as_deref().is_none_or(|seen| (seen == LIST && is_call) || is_public(seen));
                assert!(is_open, "{protocol:?} {path}: {seen:?}");
            }
            // Who may take reaches nothing else by another spelling, either.
            let seen = reached(path, Some(&writer)).await;
            let is_open = seen.as_deref().is_none_or(|seen| {
                (seen == TAKE && may_take) || (seen == LIST && is_call) || is_public(seen)
            });
            assert!(is_open, "{protocol:?} {path}: {seen:?}");
        }
    }
    for path in [
        "/stock.v1.StockService/takeitem",
        "/stock.v1.StockService//TakeItem",
        "/stock.v1.StockService/./TakeItem",
        "/stock.v1.StockService/ListItems/../TakeItem",
        "/stock.v1.StockService/%54akeItem",
        "/stock.v1.StockService/TakeItem?/stock.v1.StockService/ListItems",
        "/stock.v1.StockService/TakeItem;x",
        "/stock.v1.StockService/TakeItem/",
    ] {
        for token in [None, Some(&*reader)] {
            call(&envoy, path, token).await.expect_err(path);
        }
    }
}
