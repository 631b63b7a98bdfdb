//! Owns whose `x-forwarded-client-cert` is believed: a trusted proxy's, by the certificate that it has shown itself.

use signet::proto::identity::v1::{ClientCredentialsGrant, IssueTokenRequest, issue_token_request::Grant};
use tonic::{Code, Request};

use super::Secured;
use crate::{
    clients::{Registered, client_credentials, request},
    harness::{Client, TestServer, assert_refused},
};

const GATEWAY: &str = "spiffe://example.org/gateway";
const BILLING: &str = "spiffe://example.org/billing";
const HEADER: &str = "x-forwarded-client-cert";

/// What `client` is answered that asks for a token, with each of `lines` as a header.
async fn ask(client: &Client, who: Option<&Registered>, lines: &[&str]) -> Result<String, tonic::Status> {
    let message: IssueTokenRequest = match who {
        Some(who) => client_credentials(who.with(None)),
        None => request(Grant::ClientCredentials(ClientCredentialsGrant {}), None),
    };
    let mut request = Request::new(message);
    for line in lines {
        request.metadata_mut().append(HEADER, line.parse().unwrap());
    }
    Ok(client.clone().0.issue_token(request).await?.into_inner().access_token)
}

fn envoys(uri: &str) -> String {
    format!(r#"By={GATEWAY};Hash=00ff;Subject="CN=\"x\",URI={GATEWAY}";URI={uri};DNS="#)
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_whom_it_has_verified() {
    let secured = Secured::mutual(&[&format!("--trusted-proxy={GATEWAY},proxy.example.org")]).await;
    let billing = secured.register_by("billing", BILLING).await;
    let orders = secured.register_by("orders", "orders.example.org").await;
    for names in [&[GATEWAY][..], &["proxy.example.org"]] {
        let proxy = secured.named(names).await;
        ask(&proxy, Some(&billing), &[&envoys(BILLING)]).await.unwrap();
        let token = ask(&proxy, None, &[&envoys(BILLING)]).await.unwrap();
        assert_eq!(crate::clients::claims(&token)["sub"], billing.id);
        ask(&proxy, Some(&orders), &["Hash=0;DNS=x.example.org;DNS=orders.example.org"]).await.unwrap();
    }
    let own = secured.authority.issue(&[GATEWAY]);
    let fields = [("grant_type", "client_credentials")];
    let answer = secured.post(Some(&own), "/oauth2/token", &[(HEADER, &envoys(BILLING))], &fields).await;
    assert_eq!(answer.ok()["scope"], "a introspect");
    let refused = secured.post(Some(&own), "/oauth2/token", &[], &fields).await;
    refused.assert_refused(401, "invalid_client", "INVALID_CLIENT");
}

#[tokio::test]
async fn what_a_proxy_does_not_clearly_say_stands_for_nobody() {
    let secured = Secured::mutual(&[&format!("--trusted-proxy={GATEWAY}")]).await;
    let billing = secured.register_by("billing", BILLING).await;
    // A proxy that is registered as a client is a proxy.
    let gateway = secured.register_by("gateway", GATEWAY).await;
    let proxy = secured.named(&[GATEWAY]).await;
    let (good, other) = (envoys(BILLING), envoys("spiffe://example.org/other"));
    for lines in [
        &[][..],
        &[""],
        &[&good, &good],
        &[&other, &good],
        &[&format!("{good},{other}")],
        &[&format!("{good},")],
        &[&format!("{good};URI=spiffe://example.org/other")],
        &[&format!("{good};URI={BILLING}")],
        &[&format!(r#"Subject="{good}"#)],
        &[&format!(r#"Subject="URI={BILLING}""#)],
        &[BILLING],
        &["URI=spiffe://example.org/billing/"],
    ] {
        for who in [Some(&billing), Some(&gateway), None] {
            let refused = ask(&proxy, who, lines).await;
            assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
        }
    }
    // What came to it from further away does no harm, and no good.
    ask(&proxy, Some(&billing), &[&format!("{other},{good}")]).await.unwrap();
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let secured = Secured::mutual(&[&format!("--trusted-proxy={GATEWAY}")]).await;
    let billing = secured.register_by("billing", BILLING).await;
    let orders = secured.register_by("orders", "spiffe://example.org/orders").await;
    for names in [
        &["spiffe://example.org/orders"][..],
        &["spiffe://example.org/gateway/x"],
        &["spiffe://other.org/gateway"],
        &[GATEWAY, "spiffe://example.org/orders"],
        &["gateway.example.org"],
    ] {
        let client = secured.named(names).await;
        for who in [Some(&billing), None] {
            let is_orders = who.is_none() && names == ["spiffe://example.org/orders"];
            match ask(&client, who, &[&envoys(BILLING)]).await {
                // For itself it may ask, whatever else it sends.
                Ok(token) if is_orders => assert_eq!(crate::clients::claims(&token)["sub"], orders.id),
                answer => drop(assert_refused(answer, Code::Unauthenticated, "INVALID_CLIENT")),
            }
        }
    }
    let fields = [("grant_type", "client_credentials"), ("client_id", &billing.id)];
    let refused = secured.post(None, "/oauth2/token", &[(HEADER, &envoys(BILLING))], &fields).await;
    refused.assert_refused(401, "invalid_client", "INVALID_CLIENT");
}

#[tokio::test]
async fn without_tls_the_header_means_nothing() {
    let server = TestServer::start(&["--standing-cache-max-age=0s"]).await;
    let operator = crate::clients::operator(&server).await;
    let billing = crate::clients::register(&operator, "billing", super::wanted(BILLING)).await.unwrap();
    for who in [Some(&billing), None] {
        let refused = ask(&server.client().await, who, &[&envoys(BILLING)]).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    }
}
