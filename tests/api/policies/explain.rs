//! Owns that a refusal is explained: each rule, what the token gives, and what would have sufficed.

use signet::proto::identity::policy::v1::{ExplainCallRequest, ExplainCallResponse};
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
        !nothing.passes && nothing.summary.contains("neither an active nor a SHADOW version"),
        "{nothing:?}"
    );

    policies.enforce("v1", needing("a")).await;
    let rule = r#"authenticated: { any_scopes: ["b", "c"], any_roles: "picker" }"#;
    policies.push("v2", set(&method("Reserve", rule))).await;
    policies.shadow_by(&policies.rita, "v2", false).await.unwrap();
    let passes = policies.explained(RESERVE, &a).await;
    assert!(passes.passes, "{passes:?}");
    assert_eq!((passes.scopes, passes.rules.len()), (vec!["a".to_owned()], 2));
    assert_eq!(passes.rules[1].missing, ["one of the scopes b, c", "one of the roles picker at stock"]);
    assert!(passes.rules[0].passes && !passes.rules[1].passes);

    policies.activate_by(&policies.rita, "v2", false).await.unwrap();
    let refused = policies.explained(RESERVE, &ab).await;
    assert!(!refused.passes, "{refused:?}");
    assert_eq!(refused.rules[1].missing, ["one of the roles picker at stock"]);

    let none = policies.explained(RESERVE, "").await;
    assert_eq!(none.rules[0].missing, ["an access token"]);
    let bad = policies.explained(RESERVE, "x.y.z").await;
    assert!(!bad.passes && bad.token_problem.contains("invalid"), "{bad:?}");
    let unknown = policies.explained("/stock.v1.Stock/Missing", &ab).await;
    assert!(!unknown.passes && unknown.summary.contains("no active version knows"), "{unknown:?}");

    let request =
        ExplainCallRequest { service: "stock".to_owned(), method: RESERVE.to_owned(), token: String::new() };
    let refused = policies.client.clone().explain_call(with_token(request, &policies.olga)).await;
    assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
}
