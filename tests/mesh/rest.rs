//! Owns what clients get who speak REST and JSON through Envoy's transcoder.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    envoy::Envoy,
    requests::{Answer, Request},
    signet::Signet,
};

/// A transcoder before Signet.
struct Rest {
    _signet: Signet,
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
        let change = ("proto_descriptor: api.binpb", &*format!("proto_descriptor: {}", file.display()));
        let envoy = Envoy::start("rest.yaml", &[(50051, signet.grpc.port())], &[change]).await;
        Self { _signet: signet, envoy }
    }

    async fn send(&self, request: Request) -> (u16, Value) {
        let Answer { status, body, .. } = request.send(self.envoy.addr).await.expect("Envoy answers");
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::of("POST", path).header("Content-Type", "application/json");
        self.send(request.body(&body.to_string())).await
    }
}

fn reason(body: &Value) -> &str {
    body["details"][0]["reason"].as_str().unwrap_or_else(|| panic!("{body}"))
}

#[tokio::test]
async fn a_client_signs_up_gets_a_token_and_is_recognised() {
    let rest = Rest::start().await;
    let account = json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" });
    let (status, mut made) = rest.post("/auth/signup", &account).await;
    let user = made["user"].take();
    assert_eq!(
        (status, &user["username"], &user["email"]),
        (200, &json!("alice"), &account["email"]),
        "{user}"
    );
    assert!(user["id"].is_string() && user["create_time"].is_string() && user.get("password").is_none());

    let grant = json!({ "password": { "username": "alice", "password": "correct horse" } });
    let (status, token) = rest.post("/auth/token", &grant).await;
    assert_eq!((status, &token["token_type"]), (200, &json!("Bearer")), "{token}");
    let access_token = token["access_token"].as_str().unwrap();
    let (status, me) = rest.send(Request::get("/users/me").bearer(access_token)).await;
    assert_eq!((status, &me["user"]), (200, &user));
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
