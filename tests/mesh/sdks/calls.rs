//! Owns whom a service with an SDK lets in, what it tells others, and how its streams end.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tonic::{Code, Status};

use super::{programs::Language, world::World};
use crate::{
    requests::eventually,
    stock::{GET_ITEM, Item, RESTOCK_ITEM, Refused, Stock, TAKE_ITEM},
};

/// `token` with another header: nobody's.
pub(super) fn with_header(token: &str, header: &serde_json::Value) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

/// Asserts how the call of `method` with `token` is refused.
async fn is_refused(
    stock: &Stock,
    method: &'static str,
    token: Option<&str>,
    expected: (Code, &str, &[(&str, &str)]),
) {
    let (code, reason, besides) = expected;
    let status = stock.call(method, token).await.expect_err(reason);
    assert_eq!(Refused::of(&status), Refused::new(code, reason, method, besides), "{status:?}");
}

pub(super) async fn whom_the_rules_let_in_is_let_in(language: Language) {
    let world = World::start(&[]).await;
    let stock = world.service(language, &[]).await;
    let token = world.token().await;
    let both = world.token_for(&["stock", "signet"]).await;
    let reader = world.signet.token_of_client("reader", &["--allow-audience=stock"]).await;
    let elsewhere = world.signet.log_in().await;
    stock.list_items().await.unwrap();
    assert_eq!(stock.call(GET_ITEM, Some(&token)).await.unwrap(), item(1_000, &world.alice));
    assert_eq!(stock.call(TAKE_ITEM, Some(&token)).await.unwrap(), item(999, &world.alice));
    assert_eq!(stock.call(RESTOCK_ITEM, Some(&token)).await.unwrap().count, 999);
    let mut stream = stock.watch(&reader).await.unwrap();
    assert_eq!(stream.message().await.unwrap(), Some(item(999, "")));

    let header = |alg: &str| with_header(&token, &json!({ "typ": "at+jwt", "alg": alg, "kid": "made-up" }));
    let invalid = (Code::Unauthenticated, "TOKEN_INVALID", &[][..]);
    for bad in [&elsewhere, &header("none"), &header("HS256"), &header("ES256"), "a.b.c"] {
        is_refused(&stock, GET_ITEM, Some(bad), invalid).await;
    }
    is_refused(&stock, GET_ITEM, None, (Code::Unauthenticated, "TOKEN_MISSING", &[])).await;
    let scope = (Code::PermissionDenied, "INSUFFICIENT_SCOPE", &[("required_scope", "stock:write")][..]);
    is_refused(&stock, TAKE_ITEM, Some(&reader), scope).await;
    let callers = (Code::PermissionDenied, "CALLER_NOT_ALLOWED", &[("callers", "user")][..]);
    is_refused(&stock, RESTOCK_ITEM, Some(&reader), callers).await;
    let roles = (Code::PermissionDenied, "ROLES_NOT_IN_TOKEN", &[("required_role", "stocker")][..]);
    is_refused(&stock, RESTOCK_ITEM, Some(&both), roles).await;
    world.operate("roles create picker --audience stock --scope stock:pick");
    world.operate("roles bind picker --audience stock --user alice");
    world.operate("roles unbind stocker --audience stock --user alice");
    // Another process has taken the role away: Signet hears of it within a second.
    let refused = async || stock.call(RESTOCK_ITEM, Some(&world.token().await)).await.err();
    let status = eventually("a new token lacks the role", refused).await;
    let besides = [("required_role", "stocker")];
    let lacks = Refused::new(Code::PermissionDenied, "INSUFFICIENT_ROLE", RESTOCK_ITEM, &besides);
    assert_eq!(Refused::of(&status), lacks, "{status:?}");
}

pub(super) async fn stream_ends_with_its_token(language: Language) {
    let world = World::start(&["--access-token-ttl=3s", "--clock-leeway=0s"]).await;
    let stock = world.service(language, &[("STOCK_STREAM_GRACE", "1")]).await;
    let token = world.token().await;
    let mut stream = stock.watch(&token).await.unwrap();
    let mut client = language.client(&world.place, &world.caller, stock.addr, &["--watch"]);
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            ended => break ended.expect_err("it was refused"),
        }
    };
    expired(&ended);
    client.says("how many there are", |said| said["count"].is_u64()).await;
    client.says("its stream has ended", |said| said["ended"] == "TOKEN_EXPIRED").await;
    client.says("it is open again", |said| said["count"].is_u64()).await;
    let refused = async || stock.call(GET_ITEM, Some(&token)).await.err();
    expired(&eventually("the token has expired", refused).await);
}

#[track_caller]
fn expired(status: &Status) {
    let Refused { code, reason, .. } = Refused::of(status);
    assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "TOKEN_EXPIRED"), "{status:?}");
}

fn item(count: u32, caller_id: &str) -> Item {
    Item { count, caller_id: caller_id.to_owned() }
}
