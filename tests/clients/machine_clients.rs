//! Owns the path of a service: registered by the operator, it gets a token of its own and asks what another is worth.

use serde_json::json;

use crate::{grpcurl, signet::Signet};

#[test]
fn a_service_gets_a_token_and_introspects_a_users() {
    let signet = Signet::start();
    let registered = signet.operate(&["clients", "create", "gateway", "--scope", "introspect"]);
    let (id, secret) = (&registered["id"], &registered["secret"]);
    let mut request =
        json!({ "client_credentials": {}, "client": { "client_id": id, "client_secret": secret } });
    let issued = grpcurl::call(&signet, None, "IssueToken", &request).expect("the secret is right");
    let token = issued["accessToken"].as_str().expect("a token");
    let rest =
        json!({ "accessToken": token, "tokenType": "Bearer", "expiresIn": 900, "scope": "introspect" });
    assert_eq!(issued, rest);

    let user = grpcurl::sign_up(&signet, "alice", "correct horse");
    let introspect = |token: &str, of: &str| {
        grpcurl::call_of(&signet, "TokenService", Some(token), "IntrospectToken", &json!({ "token": of }))
    };
    let told = introspect(token, &user).expect("the client has the scope");
    let expected = json!({
        "active": true, "scope": "profile account", "clientId": "signet", "username": "alice", "tokenType": "Bearer",
        "aud": ["signet"], "iss": "http://127.0.0.1:8080",
        "exp": told["exp"], "iat": told["iat"], "sub": told["sub"], "jti": told["jti"], "amr": ["pwd"],
        "authTime": told["authTime"],
    });
    assert_eq!(told, expected);
    assert_eq!(introspect(token, "nonsense").expect("no error"), json!({}));
    let refusal = introspect(&user, &user).expect_err("users introspect nothing");
    assert_eq!((refusal.exit_code, refusal.reason()), (71, "INSUFFICIENT_SCOPE"));
    let refusal = grpcurl::refusal(&signet, Some(token), "GetMe", &json!({}));
    assert_eq!((refusal.exit_code, refusal.reason()), (71, "INSUFFICIENT_SCOPE"));
    assert_eq!(refusal.detail("ErrorInfo").expect("it was read")["metadata"]["required_scope"], "profile");

    request["client"]["client_secret"] = json!("wrong");
    let refusal = grpcurl::refusal(&signet, None, "IssueToken", &request);
    assert_eq!((refusal.exit_code, refusal.reason()), (80, "INVALID_CLIENT"));

    let keys = grpcurl::call_of(&signet, "TokenService", None, "GetJwks", &json!({})).expect("it is public");
    assert_eq!(keys["keys"][0]["alg"], "ES256", "{keys}");
}
