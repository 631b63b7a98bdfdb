//! Owns what `/openapi.json` promises: it tells of what is served, and of nothing else. A linter of others reads it in tests/clients.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use signet::model::BuiltInRole;

use super::client::HttpClient;
use crate::{admin::AdminApi, harness::TestServer};

async fn document(client: HttpClient) -> Value {
    client.get("/openapi.json").await.ok()
}

fn paths(document: &Value) -> &Map<String, Value> {
    document["paths"].as_object().unwrap()
}

/// All that `value` refers to.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "$ref" => {
                        found.insert(target.clone());
                    }
                    member => references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn it_tells_of_every_path_that_is_served_and_refers_to_nothing_that_is_not_there() {
    let server = TestServer::start(&["--model-api=on"]).await;
    let admin = TestServer::start(&["--explorer=admin"]).await;
    let of_admin = HttpClient::new(admin.started.admin_addr.unwrap());
    for (client, rpcs) in [(server.http(), 13), (of_admin, 79)] {
        let document = document(client).await;
        assert_eq!(document["openapi"], "3.1.1");
        assert_eq!(document["servers"], json!([{ "url": "/", "description": "Where this document is." }]));
        let (mut ids, mut calls) = (BTreeSet::new(), 0);
        for (path, item) in paths(&document) {
            assert_eq!(item.get("servers"), None, "{path}");
            for (method, operation) in item.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].to_string()), "{path}");
                assert!(operation["responses"]["200"].is_object(), "{path}");
                let request =
                    client.request(&method.to_uppercase(), path).header("content-type", "application/json");
                let answer = client.send(request, if method == "post" { "{}" } else { "" }).await;
                assert!(![404, 405].contains(&answer.status().as_u16()), "{method} {path}: {answer:?}");
                calls += usize::from(path.starts_with("/identity."));
            }
        }
        assert_eq!(calls, rpcs);
        let mut targets = BTreeSet::new();
        references(&document, &mut targets);
        for target in targets {
            let schema = document.pointer(target.trim_start_matches('#'));
            assert!(schema.is_some_and(Value::is_object), "{target}");
        }
    }
}

#[tokio::test]
async fn an_rpc_has_its_comments_its_fields_its_errors_and_who_may_call() {
    let server = TestServer::start(&[]).await;
    let document = document(server.http()).await;
    let operation =
        |method: &str| &paths(&document)[&format!("/identity.v1.IdentityService/{method}")]["post"];
    let sign_up = operation("SignUp");
    assert_eq!((&sign_up["summary"], &sign_up["security"]), (&json!("Creates an account"), &json!([])));
    for (status, reason) in [
        ("400", "INVALID_FIELDS"),
        ("403", "SIGN_UP_OFF"),
        ("409", "USERNAME_TAKEN"),
        ("429", "TOO_MANY_ATTEMPTS"),
        ("503", "UNAVAILABLE"),
    ] {
        let said = sign_up["responses"][status]["description"].as_str().unwrap_or_default();
        assert!(said.contains(&format!("`{reason}`: ")), "{status}: {said}");
    }
    assert_eq!(sign_up["responses"].get("401"), None, "no token is asked for");
    let example = &sign_up["requestBody"]["content"]["application/json"]["example"];
    assert_eq!(example, &json!({ "username": "alice", "password": "correct horse" }));
    let example = &operation("IssueToken")["requestBody"]["content"]["application/json"]["example"];
    assert_eq!(example, &json!({ "password": { "username": "alice", "password": "correct horse" } }));

    let schemas = &document["components"]["schemas"];
    let request = &schemas["identity.v1.SignUpRequest"];
    assert_eq!(request["required"], json!(["username", "password"]));
    assert_eq!(request["additionalProperties"], json!(false), "what it does not have is refused");
    assert!(
        request["properties"]["username"]["description"].as_str().unwrap().contains("1 to 254 characters")
    );
    for (field, min, max) in [
        ("username", json!(1), json!(254)),
        ("password", json!(8), json!(256)),
        ("email", json!(1), json!(254)),
        ("displayName", json!(1), json!(null)),
    ] {
        let bounds = &request["properties"][field];
        assert_eq!((&bounds["minLength"], &bounds["maxLength"]), (&min, &max), "{field}");
    }
    for request in ["ChangePasswordRequest", "SetNewPasswordRequest"] {
        let bounds = &schemas[format!("identity.v1.{request}")]["properties"]["newPassword"];
        assert_eq!((&bounds["minLength"], &bounds["maxLength"]), (&json!(8), &json!(256)), "{request}");
    }
    let login = &schemas["identity.v1.PasswordGrant"]["properties"]["password"];
    assert_eq!(login.get("minLength"), None, "what was imported may break the rules of new ones");
    let user = &schemas["identity.v1.User"];
    assert_eq!(user.get("additionalProperties"), None, "the next release may have more");
    assert_eq!(user["properties"]["createTime"]["format"], "date-time");
    assert_eq!(schemas["identity.v1.IntrospectTokenResponse"]["properties"]["exp"]["type"], "string");

    let get_me = &operation("GetMe")["security"];
    assert_eq!(get_me, &json!([{ "password": ["profile"] }, { "bearer": [] }]));
    let userinfo = &paths(&document)["/oauth2/userinfo"]["get"]["security"];
    assert_eq!(userinfo, get_me, "the lock is for the endpoints of OAuth, too");
    let introspect = &paths(&document)["/oauth2/introspect"]["post"]["security"];
    assert_eq!(
        introspect,
        &json!([{ "client": [] }, { "clientCredentials": ["introspect"] }, { "bearer": [] }])
    );
    let token = paths(&document)["/identity.v1.TokenService/IntrospectToken"]["post"]["security"].clone();
    assert_eq!(token, json!([{ "clientCredentials": ["introspect"] }, { "bearer": [] }]));
    let flows = &document["components"]["securitySchemes"];
    assert_eq!(flows["password"]["flows"]["password"]["tokenUrl"], "/oauth2/token");
    assert_eq!(flows["clientCredentials"]["flows"]["clientCredentials"]["tokenUrl"], "/oauth2/token");
    assert_eq!(
        flows["bearer"],
        json!({ "type": "http", "scheme": "bearer", "description": flows["bearer"]["description"] })
    );
}

#[tokio::test]
async fn the_examples_of_what_is_created_can_be_sent_as_they_are() {
    let api = AdminApi::start_with(&["--explorer=admin"]).await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let token = format!("Bearer {token}");
    let admin = HttpClient::new(api.server.started.admin_addr.unwrap());
    let document = document(admin).await;
    let mut sent = BTreeMap::new();
    for (path, item) in paths(&document) {
        let (service, method) = path.rsplit_once('/').unwrap();
        if !service.starts_with("/identity.admin.v1.") || !method.starts_with("Create") {
            continue;
        }
        let example = &item["post"]["requestBody"]["content"]["application/json"]["example"];
        let request = admin.request("POST", path).header("content-type", "application/json");
        let request = request.header("authorization", &token);
        let answer = admin.send(request, &example.to_string()).await;
        sent.insert(method.to_owned(), (answer.status().as_u16(), answer.0.body().clone()));
    }
    let missing = ["CreateBinding", "CreateMembership"];
    assert_eq!(sent.len(), 7, "{sent:?}");
    for (method, (status, body)) in sent {
        // What these two need is of ids that only who reads them knows.
        let is_missing = missing.contains(&method.as_str());
        assert_eq!(status, if is_missing { 404 } else { 200 }, "{method}: {body}");
        assert_eq!(body.contains("_NOT_FOUND"), is_missing, "{method}: {body}");
    }
}

#[tokio::test]
async fn it_says_what_the_settings_have_served() {
    let without = document(TestServer::start(&["--http-password-grant=off"]).await.http()).await;
    assert_eq!(without["components"]["securitySchemes"].get("password"), None);
    let get_me = &paths(&without)["/identity.v1.IdentityService/GetMe"]["post"]["security"];
    assert_eq!(get_me, &json!([{ "bearer": [] }]));
    assert!(!paths(&without).contains_key("/auth/token"));
    let grants = &paths(&without)["/oauth2/token"]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
        ["schema"];
    assert_eq!(grants["properties"]["grant_type"]["enum"], json!(["refresh_token", "client_credentials"]));

    // Where the RPCs are not at this address, it says where they are; to whom a proxy forwards, too.
    let off = TestServer::start(&["--explorer=off"]).await;
    let by_itself = TestServer::start(&[]).await;
    let http = by_itself.http();
    let forwarded = http.send(http.request("GET", "/openapi.json").header("via", "1.1 proxy"), "").await.ok();
    for (server, document) in [(&off, document(off.http()).await), (&by_itself, forwarded)] {
        let rpc = &paths(&document)["/identity.v1.IdentityService/GetMe"]["servers"][0];
        assert_eq!(rpc["url"], "http://{host}:{port}");
        assert_eq!(rpc["variables"]["port"]["default"], server.started.grpc_addr.port().to_string());
        assert_eq!(paths(&document)["/oauth2/token"].get("servers"), None);
    }
}

#[tokio::test]
async fn a_copy_is_kept_as_long_as_it_is_the_same() {
    let server = TestServer::start(&[]).await;
    let http = server.http();
    let first = http.get("/openapi.json").await;
    let tag = first.header("etag").to_owned();
    assert_eq!(first.header("cache-control"), "no-cache");
    let again = http.send(http.request("GET", "/openapi.json").header("if-none-match", &tag), "").await;
    assert_eq!((again.status().as_u16(), again.0.body().as_str()), (304, ""));
    let other = http
        .send(http.request("GET", "/openapi.json").header("if-none-match", &tag).header("via", "1"), "")
        .await;
    assert_eq!(other.status(), 200, "what others are told is another document");
}
