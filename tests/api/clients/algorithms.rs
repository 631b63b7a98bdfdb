//! Owns that every algorithm that tokens can be signed with carries the whole of what is done with them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use signet::{model::SigningAlg, proto::identity::v1::GetJwksRequest};

use super::{Service, Wanted, alice, refresh, request};
use crate::keys::published;

/// The header of a token.
fn header(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

#[tokio::test]
async fn every_algorithm_carries_logins_refreshes_clients_and_introspection() {
    for alg in [SigningAlg::Es256, SigningAlg::EdDsa, SigningAlg::Rs256, SigningAlg::Hs256] {
        let name = alg.name();
        let mut service = Service::start_with(&[&format!("--signing-alg={name}")]).await;
        let gateway = service.register("gateway", Wanted::confidential("orders introspect")).await;
        let login = service.issue(request(alice(), None)).await.unwrap();
        let again = service.issue(request(refresh(&login.refresh_token.unwrap()), None)).await.unwrap();
        let own = service.token_of(&gateway).await;

        for user in [&login.access_token, &again.access_token] {
            assert_eq!(service.client.get_me(user).await.unwrap().username, "alice", "{name}");
            let told = service.introspect(user, &own).await.unwrap();
            assert_eq!((told.active, told.username.as_deref()), (true, Some("alice")), "{name}");
        }
        let told = service.introspect(&own, &own).await.unwrap();
        assert_eq!((told.active, told.client_id.as_deref()), (true, Some(gateway.id.as_str())), "{name}");
        let next = service.introspect(&again.refresh_token.unwrap(), &own).await.unwrap();
        assert!(next.active, "{name}");

        let kid = service.server.started.signing_key.0.as_str();
        for token in [&login.access_token, &again.access_token, &own] {
            let header = header(token);
            let told = ["alg", "typ", "kid"].map(|member| header[member].as_str().unwrap());
            assert_eq!(told, [name, "at+jwt", kid]);
        }
        // Whoever verifies without asking finds the key in both places; a symmetric one in none.
        let expected =
            if alg == SigningAlg::Hs256 { vec![] } else { vec![(kid.to_owned(), name.to_owned())] };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let over_http = published(&service.server).await;
        let over_http: Vec<_> = over_http.iter().map(|key| (text(&key["kid"]), text(&key["alg"]))).collect();
        let over_grpc = service.tokens.get_jwks(GetJwksRequest {}).await.unwrap().into_inner().keys;
        let over_grpc: Vec<_> = over_grpc.into_iter().map(|key| (key.kid, key.alg)).collect();
        assert_eq!((&over_http, &over_grpc), (&expected, &expected), "{name}");
    }
}
