//! Owns what clients of the model service get: its answers and errors, and sessions that end with their only token.

use std::time::Duration;

use serde_json::{Value, json};
use signet::proto::identity::v1::{ChangePasswordRequest, RevokeTokenRequest, Session};
use tonic::Code;

use super::{
    TOKEN,
    client::{Answer, MULTIPART, encoded, in_parts},
    log_in_new, password_form, text,
};
use crate::{
    clients::claims,
    harness::{PASSWORD, TestServer, assert_refused, with_token},
};

const ON: &str = "--model-api=on";
const SIGN_UP: &str = "/auth/signup";
const LOG_IN: &str = "/auth/token";
const ME: &str = "/users/me";

/// A server that clients of the model service call.
struct Model(TestServer);

impl Model {
    async fn start(args: &[&str]) -> Self {
        Self(TestServer::start(&[&[ON], args].concat()).await)
    }

    async fn post_json(&self, path: &str, body: &str) -> Answer {
        let http = self.0.http();
        http.send(http.request("POST", path).header("content-type", "application/json"), body).await
    }

    async fn sign_up(&self, username: &str) -> Value {
        self.post_json(SIGN_UP, &json!({ "username": username, "password": PASSWORD }).to_string()).await.ok()
    }

    async fn log_in(&self, username: &str, password: &str, more: &[(&str, &str)]) -> Answer {
        let form = [&[("username", username), ("password", password)], more].concat();
        self.0.http().post(LOG_IN, &form).await
    }

    async fn token(&self, more: &[(&str, &str)]) -> String {
        text(&self.log_in("alice", PASSWORD, more).await.ok(), "access_token").to_owned()
    }

    async fn me(&self, token: &str) -> Answer {
        self.0.http().get_with_token(ME, token).await
    }

    /// The sessions of alice, as the holder of `token` sees them.
    async fn sessions(&self, token: &str) -> Vec<Session> {
        self.0.client().await.sessions(token).await
    }
}

/// Asserts a refusal's status and its `detail`, and that it says nothing else.
#[track_caller]
fn assert_detail(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(
        (answer.status().as_u16(), answer.json()),
        (status, json!({ "detail": detail })),
        "{answer:?}"
    );
    let challenge = if status == 401 { "Bearer" } else { "" };
    assert_eq!(answer.header("www-authenticate"), challenge, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
}

/// Asserts that fields were refused, by `type` and `loc`, and that nothing of what was sent comes back.
#[track_caller]
fn assert_problems(answer: &Answer, expected: &[(&str, Value)]) {
    let body = answer.json();
    assert_eq!(answer.status(), 422, "{answer:?}");
    let problems: Vec<_> = body["detail"].as_array().unwrap().iter().collect();
    let told: Vec<_> = problems.iter().map(|one| (text(one, "type"), one["loc"].clone())).collect();
    assert_eq!(told, expected, "{answer:?}");
    for problem in problems {
        assert_eq!(problem.as_object().unwrap().len(), 3, "neither `input` nor anything else: {problem}");
        assert!(!text(problem, "msg").is_empty());
    }
}

#[tokio::test]
async fn a_client_signs_up_logs_in_and_is_recognised_at_every_path() {
    let model = Model::start(&[]).await;
    for slash in ["", "/"] {
        let username = format!("Alice{}", slash.len());
        let account =
            json!({ "username": username, "password": PASSWORD, "email": "a@example.com" }).to_string();
        let signed_up = model.post_json(&format!("{SIGN_UP}{slash}"), &account).await;
        let user = signed_up.ok();
        assert_eq!((text(&user, "username"), user.as_object().unwrap().len()), (&*username, 2), "{user}");
        let form = [("username", &*username), ("password", PASSWORD)];
        let login = model.0.http().post(&format!("{LOG_IN}{slash}"), &form).await.ok();
        assert_eq!((text(&login, "token_type"), login.as_object().unwrap().len()), ("bearer", 2), "{login}");
        let token = text(&login, "access_token");
        let me = model.0.http().get_with_token(&format!("{ME}{slash}"), token).await;
        assert_eq!(me.ok(), json!({ "id": user["id"], "username": username, "is_active": true }));
        // It is the same user, and a token like others.
        assert_eq!(model.0.client().await.get_me(token).await.unwrap().id, text(&user, "id"));
    }
}

#[tokio::test]
async fn every_form_of_fastapi_is_a_login_of_the_built_in_client() {
    let model = Model::start(&[]).await;
    model.sign_up("alice").await;
    for more in [
        &[][..],
        &[("grant_type", "password")],
        &[("grant_type", "")],
        // As Swagger UI sends it.
        &[("grant_type", "password"), ("scope", ""), ("client_id", ""), ("client_secret", "")],
        &[("client_id", "string"), ("client_secret", "string")],
        &[("scope", "me items"), ("resource", "nobody"), ("audience", "nobody"), ("user_address", "::1")],
    ] {
        let http = model.0.http();
        let form = [&[("username", "alice"), ("password", PASSWORD)], more].concat();
        for (content_type, body) in
            [("application/x-www-form-urlencoded", encoded(&form)), (MULTIPART, in_parts(&form))]
        {
            for authorization in [None, Some("Basic Og=="), Some("Basic eDp5"), Some("Bearer x")] {
                let mut request = http.request("POST", LOG_IN).header("content-type", content_type);
                if let Some(value) = authorization {
                    request = request.header("authorization", value);
                }
                let login = http.send(request, &body).await.ok();
                let claims = claims(text(&login, "access_token"));
                assert_eq!(
                    (&claims["client_id"], &claims["aud"], &claims["scope"]),
                    (&json!("signet"), &json!("signet"), &json!("profile account")),
                    "{more:?}"
                );
            }
        }
    }
    // FastAPI passes over what the URL says.
    let form = encoded(&[("username", "alice"), ("password", PASSWORD)]);
    let request = model.0.http().request("POST", &format!("{LOG_IN}?next=%2F&username=nobody"));
    model
        .0
        .http()
        .send(request.header("content-type", "application/x-www-form-urlencoded"), &form)
        .await
        .ok();
    for (asked, expected) in [
        ("profile", "profile"),
        ("me profile signet.users.read", "profile"),
        ("account  profile", "profile account"),
        ("signet.users.write", "profile account"),
    ] {
        let claims = claims(&model.token(&[("scope", asked)]).await);
        assert_eq!(claims["scope"], expected, "{asked}");
    }
}

#[tokio::test]
async fn errors_are_those_that_clients_of_fastapi_know() {
    let model = Model::start(&[]).await;
    model.sign_up("alice").await;
    let account = json!({ "username": "ALICE", "password": PASSWORD }).to_string();
    assert_detail(&model.post_json(SIGN_UP, &account).await, 400, "Username already registered");
    for (username, password) in [("alice", "wrong"), ("nobody", PASSWORD), ("not a name", PASSWORD)] {
        let refused = model.log_in(username, password, &[]).await;
        assert_detail(&refused, 401, "Incorrect username or password");
    }
    let http = model.0.http();
    assert_detail(&http.get(ME).await, 401, "Not authenticated");
    for other in ["Basic YTpi", "Token x", "x"] {
        let answer = http.send(http.request("GET", ME).header("authorization", other), "").await;
        assert_detail(&answer, 401, "Not authenticated");
    }
    for bad in ["x", "a.b.c", ""] {
        assert_detail(&model.me(bad).await, 401, "Could not validate credentials");
    }
    let token = model.token(&[("scope", "account")]).await;
    let refused = model.me(&token).await;
    assert_eq!((refused.status().as_u16(), refused.json()["detail"].is_string()), (403, true), "{refused:?}");
    for (method, path) in [("GET", LOG_IN), ("PUT", SIGN_UP), ("POST", ME), ("DELETE", "/users/me/")] {
        let answer = http.send(http.request(method, path), "").await;
        assert_detail(&answer, 405, "Method Not Allowed");
        assert!(!answer.header("allow").is_empty());
    }
    // Refused by a layer.
    let long = http.request("POST", LOG_IN).header("content-type", "application/x-www-form-urlencoded");
    let answer = http.send(long, &"a".repeat(70_000)).await;
    assert_eq!((answer.status().as_u16(), answer.json()["detail"].is_string()), (413, true), "{answer:?}");
    let answer = http.send(http.request("GET", ME).header("x", "x".repeat(17_000)), "").await;
    assert_eq!((answer.status().as_u16(), answer.json()["detail"].is_string()), (431, true), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_is_refused_is_told_field_by_field_and_never_repeated() {
    let model = Model::start(&[]).await;
    let of = |field: &str| json!(["body", field]);
    for (body, expected) in [
        ("", &[("missing", json!(["body"]))][..]),
        ("{", &[("json_invalid", json!(["body"]))]),
        ("[]", &[("model_attributes_type", json!(["body"]))]),
        ("{}", &[("missing", of("username")), ("missing", of("password"))]),
        (r#"{"username":"alice"}"#, &[("missing", of("password"))]),
        (
            r#"{"username":1,"password":null}"#,
            &[("string_type", of("username")), ("string_type", of("password"))],
        ),
        // By Signet's own rules.
        (
            r#"{"username":"al ice","password":"hunter2"}"#,
            &[("value_error", of("username")), ("string_too_short", of("password"))],
        ),
        (r#"{"username":"alice","password":"password1"}"#, &[("value_error", of("password"))]),
    ] {
        let answer = model.post_json(SIGN_UP, body).await;
        assert_problems(&answer, expected);
        assert!(!answer.0.body().contains("hunter2"), "{answer:?}");
    }
    let http = model.0.http();
    let account = json!({ "username": "alice", "password": PASSWORD }).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let answer =
            http.send(http.request("POST", SIGN_UP).header("content-type", content_type), &account).await;
        assert_problems(&answer, &[("model_attributes_type", json!(["body"]))]);
    }
    for (form, expected) in [
        ("", &[("missing", of("username")), ("missing", of("password"))][..]),
        ("username=alice&password=", &[("missing", of("password"))]),
        ("grant_type=Password&username=alice&password=x", &[("string_pattern_mismatch", of("grant_type"))]),
        ("username=a&username=b&password=hunter2", &[("string_pattern_mismatch", of("username"))]),
    ] {
        assert_problems(&http.send(http.form(LOG_IN), form).await, expected);
    }
    // What is no form has no fields.
    let answer = model.post_json(LOG_IN, &account).await;
    assert_problems(&answer, &[("missing", of("username")), ("missing", of("password"))]);
    let answer = http.send(http.form(LOG_IN), "username=%ff").await;
    assert_eq!((answer.status().as_u16(), answer.json()["detail"].is_string()), (400, true));
}

#[tokio::test]
async fn it_is_off_unless_it_is_turned_on() {
    let server = TestServer::start(&[]).await;
    for path in [SIGN_UP, LOG_IN, ME] {
        server.http().get(path).await.assert_refused(404, "not_found", "");
    }
}

#[tokio::test]
async fn it_is_served_below_the_path_of_the_issuer_too() {
    let model = Model::start(&["--issuer=https://id.example/people"]).await;
    model.sign_up("alice").await;
    let form = [("username", "alice"), ("password", PASSWORD)];
    model.0.http().post("/people/auth/token", &form).await.ok();
}

#[tokio::test]
async fn what_is_turned_off_or_throttled_is_told_in_detail() {
    let model = Model::start(&["--sign-up=off", "--http-password-grant=off"]).await;
    let account = json!({ "username": "alice", "password": PASSWORD }).to_string();
    let refused = model.post_json(SIGN_UP, &account).await;
    assert_eq!((refused.status().as_u16(), refused.json()["detail"].is_string()), (403, true));
    // That setting is of another path.
    assert_detail(&model.log_in("alice", PASSWORD, &[]).await, 401, "Incorrect username or password");

    let model = Model::start(&["--account-failures=10", "--trusted-proxy-addresses=127.0.0.1"]).await;
    model.sign_up("alice").await;
    let http = model.0.http();
    let guess = async || {
        let request = http.form(LOG_IN).header("x-forwarded-for", "192.0.2.66");
        http.send(request, &encoded(&[("username", "alice"), ("password", "wrong")])).await
    };
    for _ in 0..10 {
        assert_eq!(guess().await.status(), 401);
    }
    let throttled = guess().await;
    assert_eq!((throttled.status().as_u16(), throttled.json()["detail"].is_string()), (429, true));
    assert!(throttled.header("retry-after").parse::<u64>().unwrap() > 0, "{throttled:?}");
}

#[tokio::test]
async fn a_session_has_no_refresh_token_and_ends_with_its_access_token() {
    let model = Model::start(&["--access-token-ttl=5m", "--clock-leeway=0s"]).await;
    model.sign_up("alice").await;
    let token = model.token(&[]).await;
    let sessions = model.sessions(&token).await;
    assert_eq!(sessions.len(), 1);
    let seconds = |time: &Option<prost_types::Timestamp>| time.as_ref().unwrap().seconds;
    assert_eq!(seconds(&sessions[0].expire_time) - seconds(&sessions[0].create_time), 300);

    model.0.clock.advance(Duration::from_secs(299));
    model.me(&token).await.ok();
    model.0.clock.advance(Duration::from_secs(2));
    assert_detail(&model.me(&token).await, 401, "Could not validate credentials");
    let later = model.token(&[]).await;
    assert_eq!(model.sessions(&later).await.len(), 1, "it is seen no more");

    // It can be ended before, as others.
    let mut client = model.0.client().await;
    client.0.revoke_token(RevokeTokenRequest { token: later.clone(), client: None }).await.unwrap();
    assert_detail(&model.me(&later).await, 401, "Could not validate credentials");
}

#[tokio::test]
async fn whoever_changes_a_password_by_such_a_session_gets_another_one_like_it() {
    let model = Model::start(&["--access-token-ttl=5m"]).await;
    model.sign_up("alice").await;
    let token = model.token(&[]).await;
    let new = "another horse entirely";
    let change =
        ChangePasswordRequest { current_password: PASSWORD.to_owned(), new_password: new.to_owned() };
    let mut client = model.0.client().await;
    let changed = client.0.change_password(with_token(change, &token)).await.unwrap().into_inner();
    assert_eq!(changed.refresh_token, None);
    assert_detail(&model.me(&token).await, 401, "Could not validate credentials");
    let token = changed.access_token.unwrap();
    model.me(&token).await.ok();
    model.0.clock.advance(Duration::from_secs(301));
    let next = text(&model.log_in("alice", new, &[]).await.ok(), "access_token").to_owned();
    assert_eq!(model.sessions(&next).await.len(), 1);
}

#[tokio::test]
async fn scripts_that_log_in_at_each_call_push_nobody_out() {
    let model = Model::start(&["--access-token-ttl=5m"]).await;
    let device = log_in_new(&model.0, "alice").await;
    // Of one moment, none would be the oldest.
    let next = async || {
        model.0.clock.advance(Duration::from_millis(1));
        model.token(&[]).await
    };
    let first = next().await;
    let second = next().await;
    for _ in 2..100 {
        next().await;
    }
    model.me(&first).await.ok();
    // The hundred and first ends the oldest of its kind, and no other.
    let last = next().await;
    assert_detail(&model.me(&first).await, 401, "Could not validate credentials");
    for token in [&second, &last, text(&device, "access_token")] {
        model.me(token).await.ok();
    }
    let mut client = model.0.client().await;
    client.refresh(text(&device, "refresh_token")).await.unwrap();
    // Nor do logins with refresh tokens end such a session.
    model.0.http().post(TOKEN, &password_form("alice", PASSWORD)).await.ok();
    model.me(&second).await.ok();
    assert_refused(client.refresh(&"A".repeat(86)).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");

    // Those whose time is over make room unheard of.
    model.0.clock.advance(Duration::from_secs(299));
    let lasting = model.token(&[]).await;
    model.0.clock.advance(Duration::from_secs(2));
    for _ in 0..99 {
        model.token(&[]).await;
    }
    model.me(&lasting).await.ok();
    model.token(&[]).await;
    assert_detail(&model.me(&lasting).await, 401, "Could not validate credentials");
}

#[tokio::test]
async fn pages_that_are_named_may_call_it_and_others_may_not() {
    let model = Model::start(&["--web-origins=https://app.example"]).await;
    model.sign_up("alice").await;
    let http = model.0.http();
    let form = encoded(&[("username", "alice"), ("password", PASSWORD)]);
    for (origin, status, allowed) in
        [("https://app.example", 200, "https://app.example"), ("https://evil.example", 403, "")]
    {
        let preflight = http
            .request("OPTIONS", LOG_IN)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,x-requested-with");
        for answer in [
            http.send(preflight, "").await,
            http.send(http.form(LOG_IN).header("origin", origin), &form).await,
        ] {
            assert_eq!(answer.status(), status, "{answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{answer:?}");
        }
    }
    let answer = http.send(http.form(LOG_IN).header("origin", "https://evil.example"), &form).await;
    assert!(answer.json()["detail"].is_string(), "{answer:?}");
}
