//! Owns what discovery promises: RFC 8414, and OpenID Connect Discovery 1.0.

use serde_json::{Value, json};

use super::{TOKEN, password_form};
use crate::harness::{PASSWORD, TestServer};

const OPENID: &str = "/.well-known/openid-configuration";
const CLIENTS_AND_NONE: [&str; 4] = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
const RFC_8414: &str = "/.well-known/oauth-authorization-server";

#[tokio::test]
async fn what_is_said_is_what_is_served() {
    let server = TestServer::start(&["--issuer=https://id.example"]).await;
    let expected = json!({
        "issuer": "https://id.example",
        "token_endpoint": "https://id.example/oauth2/token",
        "revocation_endpoint": "https://id.example/oauth2/revoke",
        "introspection_endpoint": "https://id.example/oauth2/introspect",
        "userinfo_endpoint": "https://id.example/oauth2/userinfo",
        "jwks_uri": "https://id.example/.well-known/jwks.json",
        "grant_types_supported": ["password", "refresh_token", "client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": CLIENTS_AND_NONE,
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA", "RS256", "PS256"],
        "revocation_endpoint_auth_methods_supported": CLIENTS_AND_NONE,
        "revocation_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA", "RS256", "PS256"],
        "introspection_endpoint_auth_methods_supported":
            ["client_secret_basic", "client_secret_post", "private_key_jwt", "Bearer"],
        "introspection_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA", "RS256", "PS256"],
        "scopes_supported": ["profile", "account", "introspect"],
        "claims_supported":
            ["sub", "preferred_username", "name", "email", "email_verified", "updated_at", "attributes", "amr", "auth_time"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    for http in [server.http(), server.http().h2c()] {
        for path in [OPENID, RFC_8414] {
            let answer = http.get(path).await;
            assert_eq!(answer.ok(), expected);
            assert_eq!(answer.header("cache-control"), "public, max-age=300");
        }
    }
    // Every endpoint is there, at the path that is said.
    for (name, url) in expected.as_object().unwrap() {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            let path = url.as_str().unwrap().strip_prefix("https://id.example").unwrap();
            assert_ne!(server.http().get(path).await.status(), 404, "{name}");
        }
    }
    let head = server.http().send(server.http().request("HEAD", OPENID), "").await;
    assert_eq!((head.status().as_u16(), head.0.body().as_str()), (200, ""));
}

#[tokio::test]
async fn the_host_header_leads_nobody_elsewhere() {
    let server = TestServer::start(&[]).await;
    let honest = server.http().get(OPENID).await.ok();
    let forged = http::Request::get(OPENID)
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("forwarded", "host=evil.example;proto=https");
    assert_eq!(server.http().send(forged, "").await.ok(), honest);
    assert!(!honest.to_string().contains("evil"));
    let by_authority = http::Request::get(format!("http://evil.example{OPENID}"));
    assert_eq!(server.http().h2c().send(by_authority, "").await.ok(), honest);
}

#[tokio::test]
async fn an_issuer_with_a_path_is_served_wherever_clients_look_for_it() {
    for issuer in ["https://example.com/tenant/a", "https://example.com/tenant/a/"] {
        let server = TestServer::start(&[&format!("--issuer={issuer}")]).await;
        let (http, base) = (server.http(), "https://example.com");
        server.client().await.sign_up("alice", PASSWORD).await.unwrap();
        let expected = http.get(OPENID).await.ok();
        assert_eq!(expected["issuer"], issuer);
        assert_eq!(expected["token_endpoint"], format!("{base}/tenant/a/oauth2/token"));
        for path in [
            // RFC 8414 section 3.1, OpenID Connect Discovery 1.0 section 4.1, and both for a proxy that takes the path off.
            format!("{RFC_8414}/tenant/a"),
            format!("{OPENID}/tenant/a"),
            format!("/tenant/a{OPENID}"),
            format!("/tenant/a{RFC_8414}"),
            RFC_8414.to_owned(),
        ] {
            assert_eq!(http.get(&path).await.ok(), expected, "{path}");
        }
        let path = |name: &str| expected[name].as_str().unwrap().strip_prefix(base).unwrap().to_owned();
        for endpoint in [path("token_endpoint"), TOKEN.to_owned()] {
            http.post(&endpoint, &password_form("alice", PASSWORD)).await.ok();
        }
        assert_eq!(http.get(&path("jwks_uri")).await.status(), 200);
        assert_eq!(http.get("/tenant/b/oauth2/token").await.status(), 404);
    }
}

#[tokio::test]
async fn the_algorithms_are_those_of_the_keys() {
    for (alg, expected) in [("EdDSA", json!(["EdDSA"])), ("HS256", Value::Null)] {
        let server = TestServer::start(&[&format!("--signing-alg={alg}")]).await;
        let metadata = server.http().get(RFC_8414).await.ok();
        // A symmetric key verifies for nobody else (RFC 8414 section 3.2: what has no value is left out).
        assert_eq!(metadata["id_token_signing_alg_values_supported"], expected, "{alg}");
    }
}
