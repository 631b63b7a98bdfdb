//! Owns what clients get who speak REST and JSON through Envoy's transcoder.

use std::{env, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    envoy::Envoy,
    requests::{Answer, Request},
    signet::Signet,
};

/// A transcoder before Signet.
struct Rest {
    signet: Signet,
    envoy: Envoy,
}

impl Rest {
    async fn start() -> Self {
        let signet = Signet::start(&["--ext-authz=on"]);
        let set = signet.operate(&["descriptor"])["descriptor_set"].as_str().unwrap().to_owned();
        let set = STANDARD.decode(set).unwrap();
        let directory = tempfile::TempDir::new().unwrap();
        let file = directory.path().join("api.binpb");
        std::fs::write(&file, set).unwrap();
        let ports = [(50051, signet.grpc.port()), (8080, signet.http.port())];
        let change = ("proto_descriptor: api.binpb", &*format!("proto_descriptor: {}", file.display()));
        let envoy = Envoy::start("rest.yaml", &ports, &[change]).await;
        Self { signet, envoy }
    }

    async fn send(&self, request: Request) -> (u16, Value) {
        let Answer { status, body, .. } = request.send(self.envoy.addr).await.expect("Envoy answers");
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::of("POST", path).header("Content-Type", "application/json");
        self.send(request.body(&body.to_string())).await
    }

    /// Posts a form to `path`, as `content_type`.
    async fn post_form(&self, path: &str, content_type: &str, form: &str) -> (u16, Value) {
        self.send(Request::of("POST", path).header("Content-Type", content_type).body(form)).await
    }
}

fn reason(body: &Value) -> &str {
    body["details"][0]["reason"].as_str().unwrap_or_else(|| panic!("{body}"))
}

#[tokio::test]
async fn a_client_signs_up_gets_a_token_and_is_recognised() {
    let rest = Rest::start().await;
    let account = json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" });
    let (status, user) = rest.post("/auth/signup", &account).await;
    assert_eq!(
        (status, &user["username"], &user["email"]),
        (200, &json!("alice"), &account["email"]),
        "{user}"
    );
    assert!(user["id"].is_string() && user["create_time"].is_string() && user.get("password").is_none());
    assert_eq!(user["is_active"], json!(true));

    let grant = json!({ "password": { "username": "alice", "password": "correct horse" } });
    let (status, token) = rest.post("/auth/token", &grant).await;
    assert_eq!((status, &token["token_type"]), (200, &json!("Bearer")), "{token}");
    assert_eq!(token["expires_in"], json!(900), "a number, as OAuth has it");
    let access_token = token["access_token"].as_str().unwrap();
    let (status, me) = rest.send(Request::get("/users/me").bearer(access_token)).await;
    assert_eq!((status, &me), (200, &user));
}

/// Clients that were written for another service, the one that `FastAPI`'s tutorial builds: all they are given is where Signet is.
#[tokio::test]
async fn clients_of_a_fastapi_service_work_unchanged() {
    let rest = Rest::start().await;
    let python = env::var_os("SIGNET_TEST_OAUTH_CLIENTS").expect(
        "SIGNET_TEST_OAUTH_CLIENTS is not set: scripts/test fetches the clients and runs these tests",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mesh/rest/fastapi_clients.py");
    let output = Command::new(Path::new(&python).join("bin/python"))
        .arg(script)
        .arg(format!("http://{}", rest.envoy.addr))
        .output()
        .expect("Python runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    println!("{stdout}");
}

#[tokio::test]
async fn a_form_is_a_token_request_in_every_spelling_and_nothing_else_is() {
    let rest = Rest::start().await;
    rest.signet.sign_up().await;
    let good = "username=alice&password=correct+horse+battery";
    for content_type in [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "Application/X-WWW-Form-URLEncoded",
    ] {
        for form in [
            good.to_owned(),
            format!("grant_type=password&{good}"),
            format!("{good}&grant_type=password"),
            format!("grant_type=&{good}"),
            format!("{good}&grant_type="),
            // As the page sends it that FastAPI makes of a service.
            format!("grant_type=password&{good}&scope=&client_id=&client_secret="),
        ] {
            for path in ["/auth/token", "/token"] {
                let (status, token) = rest.post_form(path, content_type, &form).await;
                assert_eq!((status, &token["token_type"]), (200, &json!("Bearer")), "{form}: {token}");
                assert!(token["access_token"].is_string() && token["refresh_token"].is_string(), "{token}");
            }
        }
    }
    let form = "application/x-www-form-urlencoded";
    for (body, status, reason) in [
        ("", 400, "INVALID_FIELDS"),
        ("grant_type=&username=alice", 400, "INVALID_FIELDS"),
        ("grant_type=&grant_type=&username=alice&password=x", 400, "INVALID_FIELDS"),
        ("username=alice&password=wrong", 400, "INVALID_CREDENTIALS"),
        ("username=alice&password=grant_type=x", 400, "INVALID_CREDENTIALS"),
        ("grant_type=implicit&username=alice", 400, "UNSUPPORTED_GRANT_TYPE"),
        ("grant_type=password&grant_type=password&username=alice&password=x", 400, "INVALID_FIELDS"),
        ("username=%FF", 400, "MALFORMED_REQUEST"),
        // What a service of FastAPI's takes as it comes.
        ("username=alice&password=correct+horse+battery&scope=me", 400, "INVALID_SCOPE"),
        ("username=alice&password=correct+horse+battery&client_id=string", 401, "INVALID_CLIENT"),
    ] {
        let (got, answer) = rest.post_form("/token", form, body).await;
        assert_eq!((got, answer["reason"].as_str()), (status, Some(reason)), "{body}: {answer}");
        assert!(answer["error"].is_string() && answer["error_description"].is_string(), "{answer}");
    }
    let (status, answer) = rest.post("/token", &json!({ "username": "alice" })).await;
    assert_eq!((status, answer["reason"].as_str()), (415, Some("MALFORMED_REQUEST")), "{answer}");
    // The form's routes lead to one place.
    for path in [
        "/auth/token/../introspect",
        "/token/../oauth2/introspect",
        "/token/x",
        "/oauth2/token",
        "/oauth2/introspect",
        "/metrics",
    ] {
        let request = Request::of("POST", path).header("Content-Type", form).body("token=x");
        assert_eq!(rest.send(request).await.0, 404, "{path}");
    }
    for method in ["GET", "PUT"] {
        for path in ["/auth/token", "/token"] {
            let request = Request::of(method, path).header("Content-Type", form);
            assert_eq!(rest.send(request).await.0, 405, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_form_in_parts_is_a_token_request_too() {
    let rest = Rest::start().await;
    rest.signet.sign_up().await;
    let part = |name: &str, value: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let account = part("username", "alice") + &part("password", "correct horse battery");
    let grant = |value: &str| part("grant_type", value);
    for path in ["/auth/token", "/token"] {
        for content_type in ["multipart/form-data; boundary=x", "Multipart/Form-Data; boundary=\"x\""] {
            for form in [
                account.clone(),
                grant("password") + &account,
                grant("") + &account,
                account.clone() + &grant(""),
            ] {
                let (status, token) = rest.post_form(path, content_type, &format!("{form}--x--\r\n")).await;
                assert_eq!((status, &token["token_type"]), (200, &json!("Bearer")), "{form}: {token}");
            }
        }
        let multipart = "multipart/form-data; boundary=x";
        let other = grant("implicit") + &account + "--x--\r\n";
        let (status, answer) = rest.post_form(path, multipart, &other).await;
        assert_eq!((status, answer["reason"].as_str()), (400, Some("UNSUPPORTED_GRANT_TYPE")), "{answer}");
        let (status, answer) = rest.post_form(path, multipart, "--x").await;
        assert_eq!((status, answer["reason"].as_str()), (400, Some("MALFORMED_REQUEST")), "{answer}");
    }
}

#[tokio::test]
async fn services_behind_it_find_the_keys() {
    let rest = Rest::start().await;
    let (status, keys) = rest.send(Request::get("/.well-known/jwks.json")).await;
    assert_eq!((status, keys["keys"][0]["alg"].as_str()), (200, Some("ES256")), "{keys}");
    assert_eq!(rest.send(Request::get("/.well-known/openid-configuration")).await.0, 404);
}

#[tokio::test]
async fn errors_have_their_http_status_and_their_reason() {
    let rest = Rest::start().await;
    let account = json!({ "username": "alice", "password": "correct horse" });
    rest.post("/auth/signup", &account).await;
    let (status, body) = rest.post("/auth/signup", &account).await;
    assert_eq!((status, reason(&body)), (409, "USERNAME_TAKEN"));
    let (status, body) = rest.post("/auth/signup", &json!({ "username": "al ice", "password": "x" })).await;
    assert_eq!((status, reason(&body)), (400, "INVALID_FIELDS"));
    let fields: Vec<_> = body["details"][1]["field_violations"].as_array().unwrap().iter().collect();
    assert_eq!((fields.len(), &fields[0]["field"]), (2, &json!("username")), "{body}");
    let grant = json!({ "password": { "username": "alice", "password": "wrong horse" } });
    let (status, body) = rest.post("/auth/token", &grant).await;
    assert_eq!((status, reason(&body)), (401, "INVALID_CREDENTIALS"));
    let (status, body) = rest.send(Request::get("/users/me")).await;
    assert_eq!((status, reason(&body)), (401, "TOKEN_MISSING"));
    let (status, body) = rest.send(Request::get("/users/me").bearer("a.b.c")).await;
    assert_eq!((status, reason(&body)), (401, "TOKEN_INVALID"));
    assert_eq!(rest.post("/auth/signup", &json!("not an object")).await.0, 400);
    for elsewhere in
        ["/", "/users/you", "/envoy.service.auth.v3.Authorization/Check", "/grpc.health.v1.Health/Check"]
    {
        assert_eq!(rest.post(elsewhere, &json!({})).await.0, 404, "{elsewhere}");
    }
}
