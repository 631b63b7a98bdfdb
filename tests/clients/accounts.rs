//! Owns the path of a new user: signing up, getting a token, being recognised.

use serde_json::json;

use crate::{grpcurl, signet::Signet};

#[test]
fn a_user_signs_up_gets_a_token_and_is_recognised() {
    let signet = Signet::start();
    let request = json!({
        "username": "Alice", "password": "correct horse", "email": "alice@example.org", "displayName": "Alice A",
    });
    let signed_up = grpcurl::call(&signet, None, "SignUp", &request).expect("all rules are kept");
    let user = &signed_up["user"];
    let id = user["id"].as_str().expect("an id").to_owned();
    assert_eq!((id.len(), &id[14..15]), (36, "7"), "a UUIDv7: {id}");
    let created = user["createTime"].as_str().expect("a time");
    assert!(created.ends_with('Z') && created.starts_with("20"), "{created}");
    assert_eq!(
        signed_up,
        json!({ "user": {
            "id": id, "username": "Alice", "email": "alice@example.org", "displayName": "Alice A",
            "isActive": true, "createTime": created, "updateTime": created,
        } })
    );

    // Another spelling of the same name (RFC 8265).
    let grant = json!({ "password": { "username": "aLICE", "password": "correct horse" } });
    let issued = grpcurl::call(&signet, None, "IssueToken", &grant).expect("the password is right");
    let token = issued["accessToken"].as_str().expect("a token");
    assert_eq!(token.split('.').count(), 3, "a JWT: {token}");
    // An int64 is a string in protobuf's JSON.
    let refresh_token = issued["refreshToken"].as_str().expect("a refresh token");
    let rest = json!({
        "accessToken": token, "tokenType": "Bearer", "expiresIn": 900, "scope": "profile account",
        "refreshToken": refresh_token,
    });
    assert_eq!(issued, rest);

    let me = grpcurl::call(&signet, Some(token), "GetMe", &json!({})).expect("the token is good");
    assert_eq!(me, signed_up);

    let grant = json!({ "refresh_token": { "refresh_token": refresh_token } });
    let refreshed = grpcurl::call(&signet, None, "IssueToken", &grant).expect("the refresh token is new");
    let token = refreshed["accessToken"].as_str().expect("a token");
    assert_eq!(
        grpcurl::call(&signet, Some(token), "GetMe", &json!({})).expect("the token is good"),
        signed_up
    );
}

#[test]
fn what_a_user_did_not_give_is_absent() {
    let signet = Signet::start();
    let request = json!({ "username": "bob", "password": "correct horse" });
    let user = &grpcurl::call(&signet, None, "SignUp", &request).expect("all rules are kept")["user"];
    let fields: Vec<_> = user.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, ["createTime", "id", "isActive", "updateTime", "username"]);
}
