//! Owns whether a service behind Envoy gets its caller's token: only where somebody has asked for it.

use signet::proto::envoy::service::auth::v3::check_response::HttpResponse;

use crate::{
    ext_authz::{Sidecar, http},
    harness::TestServer,
};

/// Whether Envoy takes the token off a request with `headers`, on a route with the rules `extensions`.
async fn taken_off(sidecar: &Sidecar, headers: &[(&str, &str)], extensions: &[(&str, &str)]) -> bool {
    let answer = sidecar.answer(http(headers), extensions).await.unwrap();
    let Some(HttpResponse::OkResponse(allowed)) = answer.http_response else { panic!("denied") };
    assert!(allowed.headers.iter().all(|set| set.header.as_ref().unwrap().key != "authorization"));
    allowed.headers_to_remove.iter().any(|name| name == "authorization")
}

#[tokio::test]
async fn a_service_gets_the_token_where_its_route_or_the_operator_asks_for_it() {
    let (allow, deny) = (("signet.forward_token", "allow"), ("signet.forward_token", "deny"));
    for (flag, by_default) in [(&[][..], false), (&["--ext-authz-forward-token=on"], true)] {
        let server = TestServer::start(&[&["--ext-authz=on"], flag].concat()).await;
        let token = format!("Bearer {}", server.client().await.token_of_new("alice").await);
        let (sidecar, shown) = (Sidecar::of(&server).await, [("authorization", token.as_str())]);
        assert_eq!(taken_off(&sidecar, &shown, &[]).await, !by_default);
        assert!(!taken_off(&sidecar, &shown, &[allow]).await);
        assert!(taken_off(&sidecar, &shown, &[deny]).await);
        // Where everybody may pass, whoever shows a token is not treated worse.
        let anonymous = ("signet.anonymous", "allow");
        assert_eq!(taken_off(&sidecar, &shown, &[anonymous]).await, !by_default);
        assert_eq!(taken_off(&sidecar, &[], &[anonymous]).await, !by_default);
    }
}
