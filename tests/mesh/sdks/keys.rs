//! Owns what becomes of calls while the keys of the issuer change, and while it is away.

use tokio::task::block_in_place;
use tonic::Code;

use super::{calls::with_header, programs::Language, world::World};
use crate::{
    jwt_authn::kid,
    requests::eventually,
    stock::{GET_ITEM, Refused},
};

/// How many calls the client makes, one each 40 ms.
const CALLS: usize = 250;

pub(super) async fn rotation_under_load(language: Language) {
    let ahead = ["--key-publish-ahead=5s", "--clock-leeway=0s", "--standing-cache-max-age=1s"];
    // Few of the calls come with a token that was used before.
    let world = World::start(&[&ahead[..], &["--access-token-ttl=2s"]].concat()).await;
    let stock = world.following(language, &[]).await;
    let calls = ["--calls", &CALLS.to_string(), "--interval-ms", "40"];
    let client = language.client(&world.place, &world.caller, stock.addr, &calls);
    for rotate in ["keys rotate", "keys rotate --now"] {
        let next = world.operate(rotate)["kid"].as_str().expect("it has an id").to_owned();
        // Each token is used at once, by nobody before.
        let signs = async || {
            let token = world.token().await;
            stock.call(GET_ITEM, Some(&token)).await.unwrap_or_else(|status| panic!("{rotate}: {status:?}"));
            (kid(&token) == next).then_some(())
        };
        eventually("the next key signs", signs).await;
    }
    client.all_were_let_in(CALLS).await;
}

pub(super) async fn issuer_away(language: Language) {
    let mut world = World::start(&[]).await;
    let stock = world.service(language, &[]).await;
    let (token, unseen) = (world.token().await, world.token().await);
    stock.call(GET_ITEM, Some(&token)).await.unwrap();
    world.signet.kill();
    for token in [&token, &unseen] {
        stock.call(GET_ITEM, Some(token)).await.expect("its key is known");
    }
    let made_up =
        with_header(&token, &serde_json::json!({ "typ": "at+jwt", "alg": "ES256", "kid": "made-up" }));
    let unavailable = Refused::new(Code::Unavailable, "UNAVAILABLE", GET_ITEM, &[]);
    let status =
        stock.call(GET_ITEM, Some(&made_up)).await.expect_err("it may be a key that has just been made");
    assert_eq!(Refused::of(&status), unavailable, "{status:?}");

    // Another replica of the service, which has never seen a key.
    let new = language.service(&world.place, None, &[]).await;
    let status = new.call(GET_ITEM, Some(&token)).await.expect_err("it cannot tell");
    assert_eq!(Refused::of(&status), unavailable, "{status:?}");
    assert!(!new.is_serving().await);
    new.list_items().await.expect("what is public needs no keys");
    block_in_place(|| world.signet.start_again());
    new.serves().await;
    new.call(GET_ITEM, Some(&token)).await.unwrap();
}
