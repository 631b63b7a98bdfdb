//! Owns what becomes of tokens from a replica whose clock differs from the service's.

use tonic::Code;

use super::{
    programs::{Language, Place},
    revocations::{revoked, soon_refused},
    world::World,
};
use crate::stock::{GET_ITEM, Refused};

pub(super) async fn clocks_differ(language: Language) {
    let world = World::start(&[]).await;
    let stock = world.following(language, &[]).await;
    let mut tokens = Vec::new();
    for skew in ["+5s", "-5s"] {
        let replica = world.signet.replica_with_skew(skew);
        let token = world.token_of(&replica).await;
        stock.call(GET_ITEM, Some(&token)).await.unwrap_or_else(|status| panic!("{skew}: {status:?}"));
        tokens.push(token);
        let place = Place { grpc: replica.grpc, issuer: world.place.issuer.clone() };
        let calls = ["--calls", "5", "--interval-ms", "40"];
        language.client(&place, &world.caller, stock.addr, &calls).all_were_let_in(5).await;
    }
    // More than that is no clock that is a little off.
    let token = world.token_of(&world.signet.replica_with_skew("+60s")).await;
    let status = stock.call(GET_ITEM, Some(&token)).await.expect_err("it is not valid yet");
    let invalid = Refused::new(Code::Unauthenticated, "TOKEN_INVALID", GET_ITEM, &[]);
    assert_eq!(Refused::of(&status), invalid, "{status:?}");

    world.log_alice_out();
    for token in tokens {
        revoked(&soon_refused(&stock, GET_ITEM, &token).await, GET_ITEM);
    }
}
