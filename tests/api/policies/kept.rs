//! Owns what is kept of versions: names that are never used again, and states that only a later release understands.

use sea_orm::{
    ConnectionTrait,
    sea_query::{Expr, ExprTrait, Query},
};
use signet::proto::identity::policy::v1::policy_version::State;
use tonic::Code;

use super::{Answer, Policies, RESERVE, STOCK, method, needing, set};
use crate::harness::assert_refused;

#[tokio::test]
async fn the_name_of_a_version_that_made_room_is_not_used_again() {
    let policies = Policies::start().await;
    let reviewed = policies.push("reviewed", needing("a")).await;
    for number in 0..100 {
        policies.push_by(&policies.olga, &format!("f{number}"), needing("a")).await.unwrap();
    }
    let lax = set(&method("Reserve", "public: {}"));
    for set in [lax, needing("a")] {
        let again = policies.push_by(&policies.olga, "reviewed", set).await;
        assert_refused(again, Code::AlreadyExists, "POLICY_VERSION_EXISTS");
    }
    let gone = policies.activate_by(&policies.rita, "reviewed", true).await;
    assert_refused(gone, Code::NotFound, "POLICY_VERSION_NOT_FOUND");
    assert_eq!(reviewed.state(), State::Pushed);
    // What is in force stays, however many come after it.
    policies.activate_by(&policies.rita, "f0", true).await.unwrap();
    for number in 100..200 {
        policies.push_by(&policies.olga, &format!("f{number}"), needing("a")).await.unwrap();
    }
    let token = policies.token("a", "a").await;
    assert_eq!(policies.call(RESERVE, Some(&token), &[STOCK]).await, Answer::Passes);
}

#[tokio::test]
async fn a_version_in_a_state_of_a_later_release_lets_nobody_in_and_can_be_retired() {
    let policies = Policies::start().await;
    let token = policies.token("a", "a").await;
    policies.enforce("v1", needing("a")).await;
    policies.enforce("v2", needing("a")).await;
    let later = Query::update()
        .table("policy_versions")
        .value("state", "TRIAL")
        .and_where(Expr::col("version").eq("v2"))
        .to_owned();
    policies.api.server.data.connect().await.execute(&later).await.unwrap();
    policies.call(RESERVE, Some(&token), &[STOCK]).await.is_refused(403, "declares no access rule");
    policies.retire_by(&policies.rita, "v2", true).await.unwrap();
    assert_eq!(policies.call(RESERVE, Some(&token), &[STOCK]).await, Answer::Passes);
}
