//! Owns what JSON is read as: by the rules of proto3, strictly, and with the field that cannot be read.

use serde_json::json;
use signet::model::BuiltInRole;

use super::{Caller, ISSUE_TOKEN, SIGN_UP, violations};
use crate::{admin::AdminApi, harness::TestServer};

const HEADERS: [(&str, &str); 1] = [("content-type", "application/json")];

/// What is sent where a password should not be, and must not come back.
const SECRET: &str = "Zt7pQwX-secret";

#[tokio::test]
async fn a_field_that_cannot_be_read_is_named_and_its_value_is_not() {
    let server = TestServer::start(&[]).await;
    for (body, field, reason) in [
        (r#"{"username": 5, "password": "p"}"#, "username", "MALFORMED"),
        (r#"{"username": ["Zt7pQwX-secret"]}"#, "username", "MALFORMED"),
        (r#"{"username": {"a": "Zt7pQwX-secret"}}"#, "username", "MALFORMED"),
        (r#"{"displayName": true}"#, "display_name", "MALFORMED"),
        (r#"{"display_name": 1.5}"#, "display_name", "MALFORMED"),
        (r#"{"username": "a", "username": "b"}"#, "username", "MALFORMED"),
        (r#"{"displayName": "a", "display_name": "b"}"#, "display_name", "MALFORMED"),
        (r#"{"username": "a", "phone": "Zt7pQwX-secret"}"#, "phone", "UNKNOWN_FIELD"),
        (r#"{"Username": "a"}"#, "Username", "UNKNOWN_FIELD"),
    ] {
        let answer = Caller::of(&server).send("POST", SIGN_UP, &HEADERS, body).await;
        let error = answer.assert_refused(400, "invalid_argument", "INVALID_FIELDS");
        assert_eq!(violations(&error), [(field.to_owned(), reason.to_owned())], "{body}");
        assert!(!error.to_string().contains(SECRET), "{error}");
    }
}

#[tokio::test]
async fn a_path_leads_into_messages_and_one_of_several_fields_is_one() {
    let server = TestServer::start(&[]).await;
    for (body, field, reason) in [
        (r#"{"password": {"username": 1}}"#, "password.username", "MALFORMED"),
        (r#"{"password": {"nonsense": 1}}"#, "password.nonsense", "UNKNOWN_FIELD"),
        (r#"{"password": "Zt7pQwX-secret"}"#, "password", "MALFORMED"),
        (r#"{"password": {}, "refreshToken": {}}"#, "refresh_token", "MALFORMED"),
    ] {
        let answer = Caller::of(&server).send("POST", ISSUE_TOKEN, &HEADERS, body).await;
        let error = answer.assert_refused(400, "invalid_argument", "INVALID_FIELDS");
        assert_eq!(violations(&error), [(field.to_owned(), reason.to_owned())], "{body}");
        assert!(!error.to_string().contains(SECRET), "{error}");
    }
    // What is null is not set.
    let body = r#"{"refreshToken": null, "password": {"username": "nobody", "password": "p"}}"#;
    let answer = Caller::of(&server).send("POST", ISSUE_TOKEN, &HEADERS, body).await;
    answer.assert_refused(401, "unauthenticated", "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn lists_maps_times_masks_and_numbers_follow_the_rules_of_proto3() {
    const UPDATE_USER: &str = "/identity.admin.v1.UserService/UpdateUser";
    const CREATE_BINDING: &str = "/identity.admin.v1.RoleService/CreateBinding";
    const CREATE_ROLE: &str = "/identity.admin.v1.RoleService/CreateRole";
    const LIST_ROLES: &str = "/identity.admin.v1.RoleService/ListRoles";
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let token = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", &*token)];
    let caller = Caller::at(api.server.started.admin_addr.unwrap());
    for (path, body, field) in [
        (CREATE_ROLE, r#"{"role": {"scopes": ["a", 2]}}"#, "role.scopes[1]"),
        (CREATE_ROLE, r#"{"role": {"scopes": "a"}}"#, "role.scopes"),
        (CREATE_BINDING, r#"{"binding": {"expireTime": "tomorrow"}}"#, "binding.expire_time"),
        (UPDATE_USER, r#"{"user": {}, "updateMask": ["email"]}"#, "update_mask"),
        (UPDATE_USER, r#"{"user": {"attributes": []}}"#, "user.attributes"),
        (
            UPDATE_USER,
            r#"{"user": {"attributes": {"level": {"integerValue": 9.3e18}}}}"#,
            "user.attributes[\"level\"].integer_value",
        ),
        (
            UPDATE_USER,
            r#"{"user": {"attributes": {"level": {"integerValue": 1e999}}}}"#,
            "user.attributes[\"level\"].integer_value",
        ),
        (
            UPDATE_USER,
            r#"{"user": {"attributes": {"level": {"integerValue": "9223372036854775808"}}}}"#,
            "user.attributes[\"level\"].integer_value",
        ),
        (UPDATE_USER, r#"{"user": {"attributes": {"a": {}, "a": {}}}}"#, "user.attributes[\"a\"]"),
        (LIST_ROLES, r#"{"pageSize": 3000000000}"#, "page_size"),
        (LIST_ROLES, r#"{"pageSize": 1.5}"#, "page_size"),
        (LIST_ROLES, r#"{"pageSize": "x"}"#, "page_size"),
    ] {
        let answer = caller.send("POST", path, &headers, body).await;
        let error = answer.assert_refused(400, "invalid_argument", "INVALID_FIELDS");
        assert_eq!(violations(&error), [(field.to_owned(), "MALFORMED".to_owned())], "{body}");
    }
    for good in
        [r#"{"pageSize": 5}"#, r#"{"page_size": "5"}"#, r#"{"pageSize": 5.0}"#, r#"{"pageSize": null}"#]
    {
        assert_eq!(caller.send("POST", LIST_ROLES, &headers, good).await.status(), 200, "{good}");
    }
    let declared = json!({ "attribute": { "name": "level", "type": "INTEGER", "writer": "WRITER_ADMIN" } });
    let answer =
        caller.post("/identity.admin.v1.AttributeService/CreateAttribute", &headers[1..], &declared).await;
    let error = answer.assert_refused(400, "invalid_argument", "INVALID_FIELDS");
    assert_eq!(violations(&error), [("attribute.type".to_owned(), "MALFORMED".to_owned())]);
    assert!(error["message"].as_str().unwrap().contains("`TYPE_INTEGER`"), "{error}");
}

#[tokio::test]
async fn what_is_no_json_of_a_message_is_malformed() {
    let server = TestServer::start(&[]).await;
    let deep = r#"{"username":"#.repeat(40_000 / 12);
    let deep_list = format!(r#"{{"username":{}"#, "[".repeat(40_000));
    let heavy = format!(r#"{{"username":[{}]}}"#, "{},".repeat(20_000));
    for caller in Caller::of(&server).by_both() {
        for body in [
            &b""[..],
            b"{",
            b"{} {}",
            b"{'username': 1}",
            b"[]",
            b"null",
            b"\"a\"",
            b"{\"username\": \"\xff\"}",
            b"\xff\xfe{\0}\0",
            br#"{"username": "\ud800"}"#,
            br#"{"username": NaN}"#,
            deep_list.as_bytes(),
            heavy.as_bytes(),
        ] {
            let answer = caller.send("POST", SIGN_UP, &HEADERS, body.to_vec()).await;
            let error = answer.assert_refused(400, "invalid_argument", "MALFORMED_REQUEST");
            assert!(error.to_string().len() < 2_000, "{error}");
        }
        let answer = caller.send("POST", SIGN_UP, &HEADERS, &b"{\xff}"[..]).await;
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with("the first wrong byte is number 2"), "{message}");
        // The first field that cannot be is found first.
        let answer = caller.send("POST", SIGN_UP, &HEADERS, deep.clone()).await;
        assert_eq!(answer.status(), 400);
    }
    Caller::of(&server).token_of_new("alice").await;
}
