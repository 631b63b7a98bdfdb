//! Owns what changes of a version's state let through, and who may make them.

use signet::proto::identity::policy::v1::{ActivatePolicyVersionRequest, policy_version::State};
use tonic::{Code, Status};

use super::{Answer, Policies, RESERVE, STOCK, method, needing, set};
use crate::harness::{assert_refused, with_token};

/// That a change was refused since calls of `method` would pass.
#[track_caller]
fn widens<T: std::fmt::Debug>(changed: Result<T, Status>, method: &str) {
    let refused = assert_refused(changed, Code::PermissionDenied, "POLICY_WIDENS");
    assert!(refused.message().contains(method), "{refused:?}");
}

#[tokio::test]
async fn the_first_activation_takes_the_scope_and_the_word() {
    let policies = Policies::start().await;
    policies.push("v1", needing("stock.write")).await;
    widens(policies.activate_by(&policies.olga, "v1", false).await, RESERVE);
    widens(policies.activate_by(&policies.olga, "v1", true).await, RESERVE);
    widens(policies.activate_by(&policies.rita, "v1", false).await, RESERVE);
    let active = policies.activate_by(&policies.rita, "v1", true).await.unwrap();
    assert_eq!(active.state(), State::Active);
    let again = policies.activate_by(&policies.olga, "v1", false).await.unwrap();
    assert_eq!(again, active, "it is active already");
    assert_eq!(policies.api.audited("policy.activated", 1).await[0]["outcome"], "success");
    // Of olga's two, the second is told later, with how many there were.
    let refused = policies.api.audited("admin.refused", 2).await;
    assert!(refused.iter().all(|line| line["reason"] == "policy_widens"), "{refused:#?}");
}

#[tokio::test]
async fn a_strict_version_beside_a_lax_one_is_not_retired_by_who_may_not_widen() {
    let policies = Policies::start().await;
    let token = policies.token("reader", "stock.read").await;
    policies.enforce("strict", needing("stock.write")).await;
    policies.push("lax", set(&method("Reserve", "public: {}"))).await;
    // Both must be kept, so this opens nothing.
    policies.activate_by(&policies.olga, "lax", false).await.unwrap();
    policies.call(RESERVE, Some(&token), &[STOCK]).await.is_refused(403, "stock.write");
    widens(policies.retire_by(&policies.olga, "strict", false).await, RESERVE);
    widens(policies.shadow_by(&policies.olga, "strict", true).await, RESERVE);
    policies.retire_by(&policies.olga, "lax", false).await.unwrap();
    policies.activate_by(&policies.olga, "lax", false).await.unwrap();
    policies.retire_by(&policies.rita, "strict", true).await.unwrap();
    assert_eq!(policies.call(RESERVE, Some(&token), &[STOCK]).await, Answer::Passes);
    assert_eq!(policies.call(RESERVE, None, &[STOCK]).await, Answer::Passes, "a public method is open");
    // Back to the strict one, by whom it was refused before: that opens nothing.
    policies.activate_by(&policies.olga, "strict", false).await.unwrap();
    policies.call(RESERVE, Some(&token), &[STOCK]).await.is_refused(403, "stock.write");
}

#[tokio::test]
async fn the_last_active_version_to_shadow_opens_what_the_routes_let_through() {
    let policies = Policies::start().await;
    let token = policies.token("reader", "stock.read").await;
    policies.enforce("v1", needing("stock.write")).await;
    widens(policies.shadow_by(&policies.olga, "v1", true).await, "every method");
    policies.shadow_by(&policies.rita, "v1", true).await.unwrap();
    let route = [STOCK, ("signet.require_audience", "stock")];
    assert_eq!(policies.call(RESERVE, Some(&token), &route).await, Answer::Passes, "the route's keys decide");
    policies.call(RESERVE, Some(&token), &[STOCK]).await.is_refused(403, "no version in force");
    // From SHADOW to ACTIVE a route without another key lets calls pass that it refused.
    widens(
        policies.activate_by(&policies.olga, "v1", false).await,
        "now whom the other keys of each route let in",
    );
    policies.retire_by(&policies.olga, "v1", false).await.unwrap();
    policies.call(RESERVE, Some(&token), &route).await.is_refused(403, "no version in force");
}

#[tokio::test]
async fn a_scope_is_renamed_in_three_steps_and_no_valid_call_is_refused() {
    let policies = Policies::start().await;
    let either = set(&method("Reserve", r#"authenticated: { any_scopes: ["old", "new"] }"#));
    let (old, new) = (policies.token("before", "old").await, policies.token("after", "new").await);
    let passes = async |token: &str| policies.call(RESERVE, Some(token), &[STOCK]).await == Answer::Passes;
    policies.enforce("v1", needing("old")).await;
    policies.push("v2", either).await;
    policies.push("v3", needing("new")).await;
    assert_eq!((passes(&old).await, passes(&new).await), (true, false));
    // 1: both versions of the service run; then the one before is gone.
    policies.activate_by(&policies.rita, "v2", false).await.unwrap();
    assert!(passes(&old).await);
    policies.retire_by(&policies.rita, "v1", true).await.unwrap();
    // 2: clients get the new scope.
    assert_eq!((passes(&old).await, passes(&new).await), (true, true));
    // 3: nobody needs the old one any more.
    policies.activate_by(&policies.rita, "v3", false).await.unwrap();
    assert!(passes(&new).await);
    policies.retire_by(&policies.rita, "v2", false).await.unwrap();
    assert_eq!((passes(&old).await, passes(&new).await), (false, true));
}

#[tokio::test]
async fn a_new_method_is_opened_by_who_may_widen_alone() {
    let policies = Policies::start().await;
    policies.enforce("v1", needing("stock.write")).await;
    let rule = r#"authenticated: { required_scopes: "stock.write" }"#;
    policies.push("v2", set(&[method("Reserve", rule), method("Count", rule)].concat())).await;
    widens(policies.activate_by(&policies.olga, "v2", false).await, "/stock.v1.Stock/Count");
    policies.activate_by(&policies.rita, "v2", true).await.unwrap();
}

#[tokio::test]
async fn what_is_only_checked_changes_nothing_and_an_etag_must_be_that_of_now() {
    let policies = Policies::start().await;
    let pushed = policies.push("v1", needing("stock.write")).await;
    let ask = async |etag: &str, validate_only| {
        let request = ActivatePolicyVersionRequest {
            service: "stock".to_owned(),
            version: "v1".to_owned(),
            allow_widening: true,
            etag: etag.to_owned(),
            validate_only,
            ..Default::default()
        };
        policies.client.clone().activate_policy_version(with_token(request, &policies.rita)).await
    };
    ask(&pushed.etag, true).await.unwrap();
    policies.call(RESERVE, None, &[STOCK]).await.is_refused(403, "no version in force");
    ask(&pushed.etag, false).await.unwrap();
    policies.call(RESERVE, None, &[STOCK]).await.is_refused(401, "needs an access token");
    assert_refused(ask(&pushed.etag, false).await, Code::Aborted, "ETAG_MISMATCH");
}
