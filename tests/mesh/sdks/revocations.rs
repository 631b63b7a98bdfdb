//! Owns how soon a service refuses what was revoked, and what it does while nobody tells it.

use std::time::Duration;

use tokio::{task::block_in_place, time::Instant};
use tonic::{Code, Status};

use super::{
    programs::{Language, Place},
    world::World,
};
use crate::{
    replicas::Cluster,
    requests::eventually,
    signet::Signet,
    stock::{GET_ITEM, Item, RESTOCK_ITEM, Refused, Stock},
};

/// Within which a service that follows the stream refuses what was revoked.
const WITHIN: Duration = Duration::from_secs(1);

/// Calls `method` with `token` until that is refused, and asserts that no call passed that began longer than [`WITHIN`] after now.
pub(super) async fn soon_refused(stock: &Stock, method: &'static str, token: &str) -> Status {
    let revoked = Instant::now();
    let refused = async || {
        let began = Instant::now();
        let answer = stock.call(method, Some(token)).await;
        assert!(answer.is_err() || began - revoked <= WITHIN, "let in {:?} after", began - revoked);
        answer.err()
    };
    eventually("it is refused", refused).await
}

#[track_caller]
pub(super) fn revoked(status: &Status, method: &str) {
    let expected = Refused::new(Code::Unauthenticated, "TOKEN_REVOKED", method, &[]);
    assert_eq!(Refused::of(status), expected, "{status:?}");
}

pub(super) async fn refused_within_a_second(language: Language) {
    let world = World::start(&[]).await;
    let stock = world.following(language, &[]).await;
    let token = world.token().await;
    stock.call(GET_ITEM, Some(&token)).await.unwrap();
    let mut stream = stock.watch(&token).await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    world.log_alice_out();
    revoked(&soon_refused(&stock, GET_ITEM, &token).await, GET_ITEM);
    let ended: Result<Option<Item>, Status> = stream.message().await;
    revoked(&ended.expect_err("the stream has ended"), "/stock.v1.StockService/WatchItem");

    // The role gives a scope of the token.
    let (token, of_client) =
        (world.token().await, world.signet.token_of_client("reader", &["--allow-audience=stock"]).await);
    stock.call(RESTOCK_ITEM, Some(&token)).await.unwrap();
    world.operate("roles unbind stocker --audience stock --user alice");
    revoked(&soon_refused(&stock, RESTOCK_ITEM, &token).await, RESTOCK_ITEM);
    stock.call(GET_ITEM, Some(&of_client)).await.expect("nothing of the client's was taken away");
    world.operate("clients disable reader");
    revoked(&soon_refused(&stock, GET_ITEM, &of_client).await, GET_ITEM);
}

pub(super) async fn stream_is_cut(language: Language) {
    let mut world = World::start(&[]).await;
    let stock = world.following(language, &[("STOCK_REVOCATION_MAX_AGE", "3")]).await;
    let token = world.token().await;
    stock.call(GET_ITEM, Some(&token)).await.unwrap();
    let mut stream = stock.watch(&token).await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    world.signet.kill();
    stock.call(GET_ITEM, Some(&token)).await.expect("it goes on for a while");
    let refused = async || stock.call(GET_ITEM, Some(&token)).await.err();
    let unavailable = |method| Refused::new(Code::Unavailable, "UNAVAILABLE", method, &[]);
    let status = eventually("it cannot tell any more", refused).await;
    assert_eq!(Refused::of(&status), unavailable(GET_ITEM), "{status:?}");
    let ended = stream.message().await.expect_err("the stream has ended");
    assert_eq!(Refused::of(&ended), unavailable("/stock.v1.StockService/WatchItem"), "{ended:?}");
    // What is revoked meanwhile it hears of when it comes back.
    block_in_place(|| world.signet.start_again());
    let other = world.token().await;
    eventually("it can tell again", async || stock.call(GET_ITEM, Some(&other)).await.ok()).await;
    world.log_alice_out();
    for token in [&token, &other] {
        revoked(&soon_refused(&stock, GET_ITEM, token).await, GET_ITEM);
    }
}

pub(super) async fn rolling_restart(language: Language) {
    let flags = ["--shutdown-delay=3s", "--access-token-ttl=4s"];
    let first = Signet::start_as_issuer(&flags);
    let issuer = format!("http://{}", first.http);
    let World { signet, watcher, caller, .. } = World::of(first).await;
    let mut cluster = Cluster::of(signet, &[]).await;
    let place = Place { grpc: cluster.envoy.addr, issuer };
    let stock = language.service(&place, Some(&watcher), &[]).await;
    stock.serves().await;
    let calls = ["--calls", "500", "--interval-ms", "40"];
    let client = language.client(&place, &caller, stock.addr, &calls);
    for replica in [0, 1] {
        block_in_place(|| cluster.replicas[replica].stop());
        cluster.so_many_are_healthy(1).await;
        block_in_place(|| cluster.replicas[replica].start_again());
        cluster.all_are_healthy().await;
    }
    client.all_were_let_in(500).await;
}
