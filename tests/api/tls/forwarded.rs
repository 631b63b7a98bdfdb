//! Owns whose `x-forwarded-client-cert` is believed: a trusted proxy's, by the certificate that it has shown itself.

use std::time::Duration;

use signet::{
    base::Timestamp,
    proto::identity::v1::{ClientCredentialsGrant, IssueTokenRequest, issue_token_request::Grant},
};
use tonic::{Code, Request};

use super::Secured;
use crate::{
    clients::{Registered, client_credentials, request},
    harness::{Client, TestServer, assert_refused},
    support::pki::Authority,
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

/// What a proxy tells of a client with `names`.
fn told(secured: &Secured, names: &[&str]) -> String {
    secured.authority.issue(names).forwarded()
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_whom_it_has_verified() {
    let secured = Secured::mutual(&[&format!("--trusted-proxy={GATEWAY},proxy.example.org")]).await;
    let billing = secured.register_by("billing", BILLING).await;
    let orders = secured.register_by("orders", "orders.example.org").await;
    let by_id = told(&secured, &[BILLING]);
    for names in [&[GATEWAY][..], &["proxy.example.org"]] {
        let proxy = secured.named(names).await;
        ask(&proxy, Some(&billing), &[&by_id]).await.unwrap();
        let token = ask(&proxy, None, &[&by_id]).await.unwrap();
        assert_eq!(crate::clients::claims(&token)["sub"], billing.id);
        let by_name = told(&secured, &["x.example.org", "orders.example.org"]);
        ask(&proxy, Some(&orders), &[&by_name]).await.unwrap();
        // Envoy may tell more of it.
        ask(&proxy, Some(&billing), &[&format!("{by_id};Subject=\"CN=x\";URI={BILLING};DNS=")])
            .await
            .unwrap();
    }
    let own = secured.authority.issue(&[GATEWAY]);
    let fields = [("grant_type", "client_credentials")];
    let answer = secured.post(Some(&own), "/oauth2/token", &[(HEADER, &by_id)], &fields).await;
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
    let (good, other) = (told(&secured, &[BILLING]), told(&secured, &["spiffe://example.org/other"]));
    for lines in [
        &[][..],
        &[""],
        &[&good, &good],
        &[&other, &good],
        // Only what the nearest proxy has verified may stand there, and nothing that it has not.
        &[&format!("{good},{other}")],
        &[&format!("{other},{good}")],
        &[&format!("{other};URI=https://x/,{good}")],
        &[&format!("{other};URI=https://x/;{good}")],
        &[&format!("{good},")],
        &[&format!("Subject=\"{good}")],
        &[&format!("Hash=00;URI={BILLING}")],
        &[&format!("URI={BILLING}")],
        &[BILLING],
        &[&told(&secured, &[BILLING, "spiffe://example.org/other"])],
        &[&secured.authority.issue_until(&[BILLING], (2020, 1, 1)).forwarded()],
    ] {
        for who in [Some(&billing), Some(&gateway), None] {
            let refused = ask(&proxy, who, lines).await;
            assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
        }
    }
}

#[tokio::test]
async fn a_forwarded_certificate_counts_until_it_expires_however_old_the_connections_are() {
    let secured = Secured::mutual(&[&format!("--trusted-proxy={GATEWAY}")]).await;
    let billing = secured.register_by("billing", BILLING).await;
    let proxy = secured.named(&[GATEWAY]).await;
    let expires = secured.authority.issue_until(&[BILLING], (2100, 1, 1)).forwarded();
    let clock = &secured.server.clock;
    ask(&proxy, Some(&billing), &[&expires]).await.unwrap();
    let until = "2100-01-01T00:00:00Z".parse::<Timestamp>().unwrap();
    clock.advance(Duration::from_micros(u64::try_from(until.as_micros() - clock.now().as_micros()).unwrap()));
    ask(&proxy, Some(&billing), &[&expires]).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert_refused(ask(&proxy, Some(&billing), &[&expires]).await, Code::Unauthenticated, "INVALID_CLIENT");
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
            match ask(&client, who, &[&told(&secured, &[BILLING])]).await {
                // For itself it may ask, whatever else it sends.
                Ok(token) if is_orders => assert_eq!(crate::clients::claims(&token)["sub"], orders.id),
                answer => drop(assert_refused(answer, Code::Unauthenticated, "INVALID_CLIENT")),
            }
        }
    }
    let fields = [("grant_type", "client_credentials"), ("client_id", &billing.id)];
    let refused =
        secured.post(None, "/oauth2/token", &[(HEADER, &told(&secured, &[BILLING]))], &fields).await;
    refused.assert_refused(401, "invalid_client", "INVALID_CLIENT");
}

#[tokio::test]
async fn without_tls_the_header_means_nothing() {
    let server = TestServer::start(&["--standing-cache-max-age=0s"]).await;
    let operator = crate::clients::operator(&server).await;
    let billing = crate::clients::register(&operator, "billing", super::wanted(BILLING)).await.unwrap();
    for who in [Some(&billing), None] {
        let line = Authority::new("tests").issue(&[BILLING]).forwarded();
        let refused = ask(&server.client().await, who, &[&line]).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    }
}
