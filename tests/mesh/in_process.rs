//! Owns what a mesh gets without a sidecar that verifies: `examples/protected-service` looks at the tokens itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::{
    task::{JoinSet, block_in_place},
    time::Instant,
};
use tonic::Code;

use crate::{
    jwt_authn::kid,
    requests::{Request, eventually},
    signet::Signet,
    stock::{GET_ITEM, Stock, TAKE_ITEM, refused},
};

/// Users' tokens are for the service.
const FOR_STOCK: &str = "--audience=stock";

/// `token` with another header.
fn with_header(token: &str, header: &serde_json::Value) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

/// `token`, as if a key had signed it that nobody has ever seen.
fn of_unknown_key(token: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let kid = format!("made-up-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    with_header(token, &json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid }))
}

/// How often the keys have been fetched, as their issuer counts.
async fn fetches(signet: &Signet) -> u64 {
    let metrics = Request::get("/metrics").host("localhost").send(signet.operations).await.unwrap().body;
    let of_keys = |line: &&str| {
        line.starts_with("signet_http_requests_total{") && line.contains("route=\"/.well-known/jwks.json\"")
    };
    let counts = metrics.lines().filter(of_keys);
    counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn whoever_has_a_token_for_the_service_is_let_in_and_others_hear_why_not() {
    let signet = Signet::start_as_issuer(&[]);
    let stock = Stock::start(signet.http).await;
    let (_, elsewhere) = signet.sign_up().await;
    let token = signet.token_of_client("reader", &["--allow-audience=stock"]).await;
    let writer = signet.token_of_client("writer", &["--allow-audience=stock", "--scope=stock:write"]).await;
    assert_eq!(stock.call(GET_ITEM, Some(&token)).await.unwrap().count, 1_000);
    assert_eq!(stock.call(TAKE_ITEM, Some(&writer)).await.unwrap().count, 999);
    stock.list_items().await.unwrap();
    assert!(stock.is_serving().await, "health asks nobody who he is");

    let (content, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{content}.{}", signature.chars().rev().collect::<String>());
    let unsigned = with_header(&token, &json!({ "typ": "at+jwt", "alg": "none", "kid": kid(&token) }));
    let hmac = with_header(&token, &json!({ "typ": "at+jwt", "alg": "HS256", "kid": kid(&token) }));
    let unauthenticated = |reason: &str| (Code::Unauthenticated, reason.to_owned());
    assert_eq!(refused(stock.call(GET_ITEM, None).await), unauthenticated("TOKEN_MISSING"));
    for bad in [&elsewhere, &forged, &unsigned, &hmac, &of_unknown_key(&token), content, "a.b.c"] {
        assert_eq!(refused(stock.call(GET_ITEM, Some(bad)).await), unauthenticated("TOKEN_INVALID"), "{bad}");
    }
    let lacking = refused(stock.call(TAKE_ITEM, Some(&token)).await);
    assert_eq!(lacking, (Code::PermissionDenied, "INSUFFICIENT_SCOPE".to_owned()));
    for unknown in ["/stock.v1.StockService/Nothing", "/stock.v1.StockService//ListItems", "/x"] {
        let denied = (Code::PermissionDenied, "ACCESS_UNDECLARED".to_owned());
        assert_eq!(refused(stock.call(unknown, Some(&writer)).await), denied, "{unknown}");
    }
}

#[tokio::test]
async fn a_token_is_refused_once_it_has_expired() {
    let signet = Signet::start_as_issuer(&[FOR_STOCK, "--access-token-ttl=1s"]);
    let stock = Stock::start(signet.http).await;
    let (alice, token) = signet.sign_up().await;
    assert_eq!(stock.call(GET_ITEM, Some(&token)).await.unwrap().caller_id, alice);
    let expired = async || stock.call(GET_ITEM, Some(&token)).await.err();
    let status = eventually("it has expired", expired).await;
    assert_eq!(refused(Err(status)), (Code::Unauthenticated, "TOKEN_EXPIRED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_valid_token_is_refused_while_keys_are_rotated_staged_or_at_once() {
    let ahead = ["--key-publish-ahead=5s", "--clock-leeway=0s", "--standing-cache-max-age=1s"];
    let signet = Signet::start_as_issuer(&[&ahead[..], &[FOR_STOCK]].concat());
    let stock = Stock::start(signet.http).await;
    let (_, first) = signet.sign_up().await;
    let began = Instant::now();
    for rotate in [&["keys", "rotate"][..], &["keys", "rotate", "--now"]] {
        let rotated = block_in_place(|| signet.operate(rotate));
        let next = rotated["kid"].as_str().unwrap_or_else(|| panic!("{rotated}")).to_owned();
        // Each token is used at once, by nobody before, while the first one goes on.
        let (mut with_next, until) = (0, Instant::now() + Duration::from_mins(1));
        while with_next < 20 {
            assert!(Instant::now() < until, "the next key does not sign");
            let fresh = signet.log_in().await;
            for token in [&fresh, &first] {
                stock
                    .call(GET_ITEM, Some(token))
                    .await
                    .unwrap_or_else(|status| panic!("{rotate:?}: {status}"));
            }
            with_next += usize::from(kid(&fresh) == next);
        }
    }
    // The keys at the start, and then at most one fetch for each five seconds, however long the machine took.
    let (cost, most) = (fetches(&signet).await, began.elapsed().as_secs() / 5 + 4);
    assert!(
        cost <= most,
        "{cost} fetches, at most {most} expected: a new key is fetched once, and not for each call"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_issuer_is_away_known_keys_go_on_and_new_ones_are_learnt_when_it_is_back() {
    let mut signet = Signet::start_as_issuer(&[FOR_STOCK]);
    let stock = Stock::start(signet.http).await;
    let (_, token) = signet.sign_up().await;
    let unseen = signet.log_in().await;
    stock.call(GET_ITEM, Some(&token)).await.unwrap();
    signet.kill();
    for token in [&token, &unseen] {
        stock.call(GET_ITEM, Some(token)).await.expect("its key is known");
    }
    let unknown = refused(stock.call(GET_ITEM, Some(&of_unknown_key(&token))).await);
    assert_eq!(
        unknown,
        (Code::Unavailable, "UNAVAILABLE".to_owned()),
        "it may be one that has just been made"
    );
    let forged = format!("{}AA", &unseen[..unseen.len() - 2]);
    assert_eq!(refused(stock.call(GET_ITEM, Some(&forged)).await).1, "TOKEN_INVALID");

    block_in_place(|| signet.operate(&["keys", "rotate", "--now"]));
    signet.start_again();
    let fresh = signet.log_in().await;
    assert_ne!(kid(&fresh), kid(&token));
    eventually("it learns the new key", async || stock.call(GET_ITEM, Some(&fresh)).await.ok()).await;
    stock.call(GET_ITEM, Some(&token)).await.expect("the old one verifies on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_issuer_is_away_when_it_starts_lets_nobody_in_and_recovers_by_itself() {
    let mut signet = Signet::start_as_issuer(&[FOR_STOCK]);
    let (_, token) = signet.sign_up().await;
    signet.kill();
    let stock = Stock::start(signet.http).await;
    let away = refused(stock.call(GET_ITEM, Some(&token)).await);
    assert_eq!(away, (Code::Unavailable, "UNAVAILABLE".to_owned()));
    assert!(!stock.is_serving().await);
    stock.list_items().await.expect("what is public needs no keys");
    signet.start_again();
    eventually("it serves", async || stock.is_serving().await.then_some(())).await;
    stock.call(GET_ITEM, Some(&token)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_tokens_with_made_up_keys_costs_the_issuer_next_to_nothing() {
    let signet = Signet::start_as_issuer(&[FOR_STOCK]);
    let stock = Arc::new(Stock::start(signet.http).await);
    let (_, token) = signet.sign_up().await;
    stock.call(GET_ITEM, Some(&token)).await.unwrap();
    let (before, began) = (fetches(&signet).await, Instant::now());
    let (mut flood, mut refusals) = (JoinSet::new(), 0);
    while began.elapsed() < Duration::from_secs(7) {
        while flood.len() < 100 {
            let (stock, forged) = (Arc::clone(&stock), of_unknown_key(&token));
            flood.spawn(async move { refused(stock.call(GET_ITEM, Some(&forged)).await) });
        }
        stock.call(GET_ITEM, Some(&token)).await.expect("whoever has a valid token notices nothing");
        while let Some(refusal) = flood.try_join_next() {
            assert_eq!(refusal.unwrap(), (Code::Unauthenticated, "TOKEN_INVALID".to_owned()));
            refusals += 1;
        }
    }
    // One for each five seconds, and those at the edges.
    let (cost, most) = (fetches(&signet).await - before, began.elapsed().as_secs() / 5 + 2);
    assert!((1..=most).contains(&cost), "{cost} fetches, at most {most} expected");
    assert!(refusals >= 100, "the flood was answered: {refusals}");
}
