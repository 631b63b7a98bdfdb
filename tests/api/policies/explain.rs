//! Owns that a refusal is explained: each rule, what the token gives, and what would have sufficed.

use signet::proto::identity::{
    policy::v1::{ExplainCallRequest, ExplainCallResponse, explain_call_response::Verdict},
    v1::access::Callers,
};
use tonic::Code;

use super::{Policies, RESERVE, method, needing, set};
use crate::harness::{assert_refused, with_token};

impl Policies {
    async fn explained(&self, method: &str, token: &str) -> ExplainCallResponse {
        let (service, method, token) = ("stock".to_owned(), method.to_owned(), token.to_owned());
        let request = ExplainCallRequest { service, method, token };
        self.client.clone().explain_call(with_token(request, &self.rita)).await.unwrap().into_inner()
    }
}

#[tokio::test]
async fn each_verdict_is_explained() {
    let policies = Policies::start().await;
    let (a, ab) = (policies.token("a", "a").await, policies.token("ab", "a b").await);
    let nothing = policies.explained(RESERVE, &a).await;
    assert!(
        nothing.verdict() == Verdict::Refused
            && nothing.summary.contains("neither an active nor a SHADOW version"),
        "{nothing:?}"
    );

    policies.push("v0", needing("a")).await;
    policies.shadow_by(&policies.rita, "v0", true).await.unwrap();
    let undecided = policies.explained(RESERVE, &a).await;
    assert_eq!(undecided.verdict(), Verdict::RouteDecides, "{undecided:?}");
    policies.retire_by(&policies.rita, "v0", true).await.unwrap();

    policies.enforce("v1", needing("a")).await;
    let rule = r#"authenticated: { any_scopes: ["b", "c"], any_roles: "picker" }"#;
    policies.push("v2", set(&method("Reserve", rule))).await;
    policies.shadow_by(&policies.rita, "v2", false).await.unwrap();
    let passes = policies.explained(RESERVE, &a).await;
    assert_eq!(passes.verdict(), Verdict::Passes, "{passes:?}");
    assert_eq!((passes.caller(), &*passes.audiences), (Callers::Client, &["stock".to_owned()][..]));
    assert_eq!((passes.scopes, passes.rules.len()), (vec!["a".to_owned()], 2));
    assert_eq!(passes.rules[1].missing, ["one of the scopes b, c", "one of the roles picker at stock"]);
    assert!(passes.rules[0].passes && !passes.rules[1].passes);

    policies.activate_by(&policies.rita, "v2", false).await.unwrap();
    let refused = policies.explained(RESERVE, &ab).await;
    assert_eq!(refused.verdict(), Verdict::Refused, "{refused:?}");
    assert_eq!(refused.rules[1].missing, ["one of the roles picker at stock"]);

    // As Envoy asks: what stands behind the `?` is no part of the method, and makes a GET of it at most.
    let query = policies.explained(&format!("{RESERVE}?x=1"), &ab).await;
    assert_eq!(query.rules, refused.rules);
    let by_get = policies.explained(&format!("{RESERVE}?encoding=json&connect=v1"), &ab).await;
    assert!(by_get.rules[0].missing[0].starts_with("a call by POST"), "{by_get:?}");
    let slashless = policies.explained(&RESERVE[1..], &ab).await;
    assert!(slashless.summary.contains("a path begins with `/`"), "{slashless:?}");

    let none = policies.explained(RESERVE, "").await;
    assert_eq!(none.rules[0].missing, ["an access token"]);
    let bad = policies.explained(RESERVE, "x.y.z").await;
    assert!(bad.verdict() == Verdict::Refused && bad.authentication_problem.contains("invalid"), "{bad:?}");
    let unknown = policies.explained("/stock.v1.Stock/Missing", &ab).await;
    assert!(
        unknown.verdict() == Verdict::Refused && unknown.summary.contains("no active version knows"),
        "{unknown:?}"
    );

    let request =
        ExplainCallRequest { service: "stock".to_owned(), method: RESERVE.to_owned(), token: String::new() };
    let refused = policies.client.clone().explain_call(with_token(request, &policies.olga)).await;
    assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
}
