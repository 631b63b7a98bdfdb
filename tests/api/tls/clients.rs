//! Owns what a certificate is worth: it stands for the client that is registered by it, and for nobody else (RFC 8705 section 2.1).

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use signet::{
    audit::Reason,
    identity::Administrator,
    model::Error,
    proto::identity::v1::{
        ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, RevokeTokenRequest,
        issue_token_request::Grant,
    },
};
use tonic::Code;

use super::{SERVER, Secured, issue, wanted};
use crate::{
    clients::{
        Wanted, alice,
        audit::{Log, tells},
        client_credentials, request,
    },
    harness::{PASSWORD, assert_refused},
};

const BILLING: &str = "spiffe://example.org/ns/default/sa/billing";
const ORDERS: &str = "spiffe://example.org/ns/default/sa/orders";

/// A client asks for a token of its own, and says nothing of who it is.
fn nameless() -> IssueTokenRequest {
    request(Grant::ClientCredentials(ClientCredentialsGrant {}), None)
}

#[tokio::test]
async fn a_spiffe_id_stands_for_its_client_alone() {
    let log = Log::new();
    let secured = Secured::mutual(&[&log.flag()]).await;
    let billing = secured.register_by("billing", BILLING).await;
    assert_eq!(billing.secret, "", "it gets no secret");
    let of_billing = secured.named(&[BILLING]).await;
    for request in [client_credentials(billing.with(None)), nameless()] {
        let issued = issue(&of_billing, request).await.unwrap();
        assert_eq!((issued.scope.as_str(), issued.refresh_token), ("a introspect", None));
    }
    let empty = client_credentials(ClientAuthentication::default());
    issue(&of_billing, empty).await.unwrap();

    // Whoever is not billing is refused, with one answer, and the log knows why.
    let by_name = || client_credentials(billing.with(None));
    for (names, request) in [
        (&[ORDERS][..], by_name()),
        (&[BILLING, ORDERS], by_name()),
        (&["spiffe://example.org/ns/default/sa/billing/"], by_name()),
        (&[BILLING, ORDERS], nameless()),
        (&[ORDERS], nameless()),
        (&["billing.example.org"], nameless()),
    ] {
        let answer = issue(&secured.named(names).await, request).await;
        assert_refused(answer, Code::Unauthenticated, "INVALID_CLIENT");
    }
    // What repeats itself is told once, and summed up later.
    let lines = log.refusals(2).await;
    tells(&lines[0], Reason::WrongCertificate, Some(&billing.id));
    tells(&lines[1], Reason::UnknownClient, None);
}

#[tokio::test]
async fn a_certificate_stands_for_no_client_that_proves_itself_otherwise() {
    let secured = Secured::mutual(&[]).await;
    let by_secret = secured.register("by-secret", Wanted::confidential("a")).await.unwrap();
    let billing = secured.register_by("billing", BILLING).await;
    let client = secured.named(&[BILLING]).await;
    let refused = issue(&client, client_credentials(by_secret.with(None))).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    issue(&client, client_credentials(by_secret.by_secret())).await.unwrap();
    // A secret that is wrong is not made good by a certificate.
    let refused = issue(&client, client_credentials(billing.by_secret())).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    // And who says nothing is the first-party application still, whatever it shows.
    let mut alone = client.clone();
    alone.sign_up("alice", PASSWORD).await.unwrap();
    let session = alone.log_in("alice", PASSWORD).await.unwrap();
    assert_eq!(alone.get_me(&session.access_token).await.unwrap().username, "alice");
    let claims = crate::clients::claims(&session.access_token);
    assert_eq!(claims["client_id"], "signet");
}

#[tokio::test]
async fn a_dns_name_stands_for_its_client_if_that_is_named() {
    let secured = Secured::mutual(&[]).await;
    let orders = secured.register_by("orders", "orders.example.org").await;
    let client = secured.named(&["x.example.org", "Orders.example.org"]).await;
    issue(&client, client_credentials(orders.with(None))).await.unwrap();
    assert_refused(issue(&client, nameless()).await, Code::Unauthenticated, "INVALID_CLIENT");
    for names in [&["*.example.org"][..], &["orders.example.org.evil.example"], &["example.org"], &[ORDERS]] {
        let refused = issue(&secured.named(names).await, client_credentials(orders.with(None))).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    }
    // One certificate may stand for several clients: each says which it is.
    let second = secured.register_by("second", "orders.example.org").await;
    issue(&client, client_credentials(second.with(None))).await.unwrap();
}

#[tokio::test]
async fn what_has_ended_on_an_open_connection_stands_for_nobody() {
    let secured = Secured::mutual(&[]).await;
    let billing = secured.register_by("billing", BILLING).await;
    // The clock stands at noon of the day before.
    let expires = secured.authority.issue_until(&[BILLING], (2026, 11, 24));
    let client = secured.client(&expires).await;
    let lasting = secured.named(&[BILLING]).await;
    issue(&client, nameless()).await.unwrap();
    secured.server.clock.advance(Duration::from_hours(13));
    assert_refused(issue(&client, nameless()).await, Code::Unauthenticated, "INVALID_CLIENT");
    issue(&lasting, nameless()).await.unwrap();

    let (who, by) = (billing.client_id().into(), Administrator::operator());
    let other = "spiffe://example.org/other".parse().unwrap();
    let set = |subject| secured.operator.set_certificate(&who, subject, &by);
    set(Some(&other)).await.unwrap();
    assert_refused(issue(&lasting, nameless()).await, Code::Unauthenticated, "INVALID_CLIENT");
    let renamed = secured.named(&["spiffe://example.org/other"]).await;
    issue(&renamed, nameless()).await.unwrap();
    set(None).await.unwrap();
    let refused = issue(&renamed, client_credentials(billing.with(None))).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");

    set(Some(&BILLING.parse().unwrap())).await.unwrap();
    issue(&lasting, nameless()).await.unwrap();
    secured.operator.set_active(&who, false, None, &by).await.unwrap();
    assert_refused(issue(&lasting, nameless()).await, Code::Unauthenticated, "INVALID_CLIENT");
}

#[tokio::test]
async fn a_spiffe_id_belongs_to_one_client() {
    let secured = Secured::mutual(&[]).await;
    let billing = secured.register_by("billing", BILLING).await;
    let orders = secured.register_by("orders", ORDERS).await;
    let refused = secured.register("second", wanted(BILLING)).await.err();
    assert!(matches!(refused, Some(Error::SpiffeIdTaken)), "{refused:?}");
    let refused = secured.register("billing", wanted("spiffe://a/b")).await.err();
    assert!(matches!(refused, Some(Error::ClientNameTaken)), "{refused:?}");
    // In every database by its bytes: another case is another workload.
    secured.register_by("shouting", &BILLING.replace("billing", "BILLING")).await;
    let (taken, by) = (BILLING.parse().unwrap(), Administrator::operator());
    let set = secured.operator.set_certificate(&orders.client_id().into(), Some(&taken), &by).await;
    assert!(matches!(set, Err(Error::SpiffeIdTaken)), "{set:?}");
    issue(&secured.named(&[ORDERS]).await, nameless()).await.unwrap();
    // As long as they may be, and different at the end alone.
    let long = |end: char| format!("spiffe://example.org/{}{end}", "x".repeat(2_048 - 22));
    secured.register_by("long-a", &long('a')).await;
    let long_b = secured.register_by("long-b", &long('b')).await;
    let issued = issue(&secured.named(&[&long('b')]).await, nameless()).await.unwrap();
    assert_eq!(crate::clients::claims(&issued.access_token)["sub"], long_b.id);
    secured.operator.delete(&billing.client_id().into(), None, &by).await.unwrap();
    secured.register_by("successor", BILLING).await;
}

#[tokio::test]
async fn http_knows_clients_by_their_certificates_too() {
    let secured = Secured::mutual(&[]).await;
    let billing = secured.register_by("billing", BILLING).await;
    let own = secured.authority.issue(&[BILLING]);
    let other = secured.authority.issue(&[ORDERS]);
    let (id, grant) = (("client_id", billing.id.as_str()), ("grant_type", "client_credentials"));
    for fields in [&[grant, id][..], &[grant]] {
        let answer = secured.post(Some(&own), "/oauth2/token", &[], fields).await.ok();
        assert_eq!(answer["scope"], "a introspect");
        let refused = secured.post(Some(&other), "/oauth2/token", &[], fields).await;
        refused.assert_refused(401, "invalid_client", "INVALID_CLIENT");
        let refused = secured.post(None, "/oauth2/token", &[], fields).await;
        refused.assert_refused(401, "invalid_client", "INVALID_CLIENT");
    }

    // A user's session that was opened with it: it alone can refresh and revoke it.
    let mut user = secured.named(&[BILLING]).await;
    user.sign_up("alice", PASSWORD).await.unwrap();
    let session = issue(&user, request(alice(), Some(billing.with(None)))).await.unwrap();
    let refresh = session.refresh_token.unwrap();
    let asked = [("token", refresh.as_str())];
    for fields in [&asked[..], &[asked[0], id]] {
        let told = secured.post(Some(&own), "/oauth2/introspect", &[], fields).await.ok();
        assert_eq!((told["active"].as_bool(), told["username"].as_str()), (Some(true), Some("alice")));
        let refused = secured.post(Some(&other), "/oauth2/introspect", &[], fields).await;
        refused.assert_refused(401, "invalid_client", "INVALID_CLIENT");
        let refused = secured.post(None, "/oauth2/introspect", &[], fields).await;
        refused.assert_refused(401, "invalid_client", "INVALID_CLIENT");
    }
    let refused = secured.post(Some(&other), "/oauth2/revoke", &[], &[asked[0], id]).await;
    refused.assert_refused(401, "invalid_client", "INVALID_CLIENT");
    let revoke = RevokeTokenRequest { token: refresh.clone(), client: Some(billing.with(None)) };
    let refused = secured.named(&[ORDERS]).await.0.revoke_token(revoke).await;
    assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    assert_eq!(secured.post(Some(&own), "/oauth2/revoke", &[], &[asked[0], id]).await.status(), 200);
    let told = secured.post(Some(&own), "/oauth2/introspect", &[], &asked).await.ok();
    assert_eq!(told["active"], false);
}

#[tokio::test]
async fn discovery_offers_certificates_where_they_are_asked_for() {
    for (is_mutual, secured) in [(true, Secured::mutual(&[]).await), (false, Secured::plain(&[]).await)] {
        let metadata = secured.get("/.well-known/oauth-authorization-server").await.ok();
        for endpoint in ["token", "revocation", "introspection"] {
            let methods = metadata[format!("{endpoint}_endpoint_auth_methods_supported")].as_array().unwrap();
            assert_eq!(methods.iter().any(|method| method == "tls_client_auth"), is_mutual, "{metadata}");
        }
    }
}

/// By its RPCs at `--http-addr` the explorer opens no door that `--grpc-addr` keeps shut.
#[tokio::test]
async fn whoever_shows_no_certificate_calls_nothing_beside_the_explorer() {
    const GET_JWKS: &str = "/identity.v1.TokenService/GetJwks";
    let by_itself = Secured::mutual(&[]).await;
    assert_eq!(by_itself.server.started.explorer_url, None);

    let issuer = format!("--issuer=https://{SERVER}");
    let secured = Secured::mutual(&["--explorer=on", &issuer]).await;
    let call = || {
        Request::post(GET_JWKS)
            .header("host", SERVER)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap()
    };
    assert_eq!(secured.get("/explorer").await.status(), 200);
    assert_eq!(secured.exchange(None, call()).await.status(), 404);
    let document = secured.get("/openapi.json").await.ok();
    assert!(document["paths"][GET_JWKS]["servers"].is_array(), "they are elsewhere for who shows none");
    let own = secured.authority.issue(&[BILLING]);
    assert!(secured.exchange(Some(&own), call()).await.ok()["keys"].is_array());

    let plain = Secured::plain(&["--explorer=on", &issuer]).await;
    assert!(plain.exchange(None, call()).await.ok()["keys"].is_array());
}
