//! Owns unary calls: what they get, at which address, within which limits.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use prost::Message;
use serde_json::json;
use signet::{
    model::BuiltInRole,
    proto::identity::v1::{GetMeRequest, GetMeResponse},
};

use super::{Caller, GET_JWKS, GET_ME, ISSUE_TOKEN, SIGN_UP, login};
use crate::{
    admin::AdminApi,
    harness::{PASSWORD, TestServer},
};

const CREATE_ROLE: &str = "/identity.admin.v1.RoleService/CreateRole";
const LIST_ROLES: &str = "/identity.admin.v1.RoleService/ListRoles";

#[tokio::test]
async fn somebody_signs_up_logs_in_and_reads_their_account_with_json_alone() {
    let server = TestServer::start(&[]).await;
    for (caller, name) in Caller::of(&server).by_both().iter().zip(["alice", "bob"]) {
        let sign_up = json!({ "username": name, "password": PASSWORD, "displayName": "Somebody" });
        let answer = caller.post(SIGN_UP, &[], &sign_up).await;
        let user = &answer.ok()["user"];
        assert_eq!((&user["username"], &user["displayName"]), (&json!(name), &json!("Somebody")));
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.header("x-request-id").is_empty());
        // Names as the proto spells them are understood, too; and an integer of 32 bits is a number.
        let login = caller.log_in(name, PASSWORD).await.ok();
        assert!(login["accessToken"].is_string() && login["expiresIn"].is_number(), "{login}");
        let token = format!("Bearer {}", login["accessToken"].as_str().unwrap());
        let refreshed = json!({ "refresh_token": { "refresh_token": login["refreshToken"] } });
        caller.post(ISSUE_TOKEN, &[], &refreshed).await.ok();
        let me = caller.post(GET_ME, &[("authorization", &token)], &json!({})).await.ok();
        assert_eq!((&me["user"]["username"], &me["user"]["id"]), (&json!(name), &user["id"]));
        assert!(me["user"]["createTime"].as_str().unwrap().ends_with('Z'), "{me}");
    }
}

#[tokio::test]
async fn protobuf_is_taken_as_it_is_and_answered_so() {
    let server = TestServer::start(&[]).await;
    let token = Caller::of(&server).token_of_new("alice").await;
    for caller in Caller::of(&server).by_both() {
        let headers = [
            ("content-type", "application/proto"),
            ("authorization", &token),
            ("connect-protocol-version", "1"),
        ];
        let answer = caller.send("POST", GET_ME, &headers, GetMeRequest {}.encode_to_vec()).await;
        assert_eq!((answer.status(), answer.header("content-type")), (200, "application/proto"));
        let me = GetMeResponse::decode(answer.0.body().clone()).unwrap();
        assert_eq!(me.user.unwrap().username, "alice");
        let wrong = caller.send("POST", GET_ME, &headers, vec![0xff]).await;
        wrong.assert_refused(400, "invalid_argument", "MALFORMED_REQUEST");
    }
}

#[tokio::test]
async fn an_error_says_by_json_what_it_says_by_grpc() {
    let server = TestServer::start(&[]).await;
    Caller::of(&server).token_of_new("alice").await;
    for caller in Caller::of(&server).by_both() {
        let wrong = caller.log_in("alice", "wrong").await;
        wrong.assert_refused(401, "unauthenticated", "INVALID_CREDENTIALS");
        let taken = caller.post(SIGN_UP, &[], &json!({ "username": "alice", "password": PASSWORD })).await;
        taken.assert_refused(409, "already_exists", "USERNAME_TAKEN");
        let bad = caller.post(SIGN_UP, &[], &json!({ "username": "a b", "password": "short" })).await;
        let error = bad.assert_refused(400, "invalid_argument", "INVALID_FIELDS");
        let fields: Vec<_> = super::violations(&error).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["username", "password"]);
        let answer = caller.post(GET_ME, &[("x-request-id", "mine")], &json!({})).await;
        let error = answer.assert_refused(401, "unauthenticated", "TOKEN_MISSING");
        assert_eq!(super::debug(&error, "google.rpc.RequestInfo")["requestId"], "mine");
    }
}

#[tokio::test]
async fn whoever_may_not_call_hears_that_before_anything_of_the_message() {
    let server = TestServer::start(&[]).await;
    let answer = Caller::of(&server).post(GET_ME, &[], &json!({ "nonsense": [1] })).await;
    answer.assert_refused(401, "unauthenticated", "TOKEN_MISSING");
}

#[tokio::test]
async fn the_admin_api_is_called_where_it_is_served_and_is_nowhere_else() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let token = format!("Bearer {token}");
    let role = json!({ "role": { "audience": "stock", "name": "picker", "scopes": ["stock.pick"] } });
    for caller in Caller::at(api.server.started.admin_addr.unwrap()).by_both() {
        let answer = caller.post(CREATE_ROLE, &[("authorization", &token)], &role).await;
        if answer.status() == 200 {
            assert_eq!(answer.ok()["role"]["scopes"], json!(["stock.pick"]));
        } else {
            // By the other version of HTTP, it is there.
            answer.assert_refused(409, "already_exists", "ROLE_EXISTS");
        }
        let listed =
            caller.post(LIST_ROLES, &[("authorization", &token)], &json!({ "audience": "stock" })).await;
        let names: Vec<_> =
            listed.ok()["roles"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
        assert!(names.contains(&json!("picker")), "{names:?}");
        caller.post(LIST_ROLES, &[], &json!({})).await.assert_refused(
            401,
            "unauthenticated",
            "TOKEN_MISSING",
        );
    }
    for caller in Caller::of(&api.server).by_both() {
        let answer = caller.post(CREATE_ROLE, &[("authorization", &token)], &role).await;
        answer.assert_refused(404, "unimplemented", "");
    }
}

#[tokio::test]
async fn what_there_is_not_is_said_so_in_json() {
    let server = TestServer::start(&["--ext-authz=on"]).await;
    for caller in Caller::of(&server).by_both() {
        for path in [
            "/identity.v1.IdentityService/Nonsense",
            "/made.up.Service/Method",
            // Envoy speaks gRPC, and the requests of a reflection are a stream.
            "/envoy.service.auth.v3.Authorization/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            caller.post(path, &[], &json!({})).await.assert_refused(404, "unimplemented", "");
        }
    }
}

#[tokio::test]
async fn a_call_has_the_time_that_its_client_gives_it() {
    let server = TestServer::start(&[]).await;
    for caller in Caller::of(&server).by_both() {
        let late = caller.post(ISSUE_TOKEN, &[("connect-timeout-ms", "0")], &login("alice", PASSWORD)).await;
        late.assert_refused(504, "deadline_exceeded", "DEADLINE_EXCEEDED");
        for (name, value) in [
            ("connect-timeout-ms", "1s"),
            ("connect-timeout-ms", "12345678901"),
            ("connect-protocol-version", "2"),
        ] {
            let answer = caller.post(ISSUE_TOKEN, &[(name, value)], &login("alice", PASSWORD)).await;
            answer.assert_refused(400, "invalid_argument", "MALFORMED_REQUEST");
        }
        // What gRPC would read is not Connect's.
        let answer = caller.post(ISSUE_TOKEN, &[("grpc-timeout", "0n")], &login("alice", "wrong")).await;
        answer.assert_refused(401, "unauthenticated", "INVALID_CREDENTIALS");
    }
}

#[tokio::test]
async fn a_message_is_bounded_as_any_other_is() {
    let server = TestServer::start(&["--max-message-bytes=2048"]).await;
    for caller in Caller::of(&server).by_both() {
        for padding in [2_100, 100_000] {
            let body = format!("{{{}}}", " ".repeat(padding));
            let headers = [("content-type", "application/json")];
            let answer = caller.send("POST", GET_ME, &headers, body).await;
            let error = answer.assert_refused(429, "resource_exhausted", "MESSAGE_TOO_LARGE");
            let metadata = super::debug(&error, "google.rpc.ErrorInfo")["metadata"].clone();
            assert_eq!(metadata, json!({ "max_message_bytes": "2048" }));
        }
    }
}

#[tokio::test]
async fn calls_are_measured_as_those_of_grpc_are() {
    let server = TestServer::start(&[]).await;
    let caller = Caller::of(&server);
    caller.log_in("nobody", PASSWORD).await.assert_refused(401, "unauthenticated", "INVALID_CREDENTIALS");
    caller.post("/made.up.Service/Method", &[], &json!({})).await;
    let metrics = server.scrape().await;
    let count = |method, code| {
        metrics.sum("grpc_server_handled_total", &[("grpc_method", method), ("grpc_code", code)])
    };
    assert_eq!(count("IssueToken", "Unauthenticated"), 1.0);
    assert_eq!(count("unknown", "Unimplemented"), 1.0);
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused() {
    let server = TestServer::start(&[]).await;
    for caller in Caller::of(&server).by_both() {
        for (name, values) in [
            ("connect-timeout-ms", ["60000", "0"]),
            ("connect-protocol-version", ["1", "1"]),
            ("content-encoding", ["identity", "gzip"]),
        ] {
            let answer = caller.post(GET_JWKS, &values.map(|value| (name, value)), &json!({})).await;
            let error = answer.assert_refused(400, "invalid_argument", "MALFORMED_REQUEST");
            assert!(error["message"].as_str().unwrap().contains(name), "{error}");
        }
        let both = [("content-type", "application/json"), ("content-type", "application/proto")];
        assert_eq!(caller.send("POST", GET_JWKS, &both, "{}").await.status(), 415);
    }
}
