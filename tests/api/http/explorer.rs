//! Owns what browsers are shown: the page at `/`, and the explorer, for whom it is there and for whom not.

use std::io::Read;

use flate2::read::GzDecoder;
use http::request::Builder;
use serde_json::{Value, json};

use super::{
    TOKEN,
    client::{Answer, HttpClient, encoded},
    password_form, text,
};
use crate::harness::{PASSWORD, TestServer};

const SIGN_UP: &str = "/identity.v1.IdentityService/SignUp";
const ISSUE_TOKEN: &str = "/identity.v1.IdentityService/IssueToken";
const GET_ME: &str = "/identity.v1.IdentityService/GetMe";
const GET_JWKS: &str = "/identity.v1.TokenService/GetJwks";
const LIST_USERS: &str = "/identity.admin.v1.UserService/ListUsers";

/// Everything that the explorer's page loads.
const PAGES: [&str; 5] = [
    "/explorer",
    "/explorer/swagger-ui-bundle.js",
    "/explorer/swagger-ui.css",
    "/explorer/explorer.js",
    "/explorer/page.css",
];

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

const POLICY: &str = "default-src 'none'; form-action 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
    style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

fn with(request: Builder, headers: &[(&str, &str)]) -> Builder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

async fn get(client: HttpClient, path: &str, headers: &[(&str, &str)]) -> Answer {
    client.send(with(client.request("GET", path), headers), "").await
}

/// Calls `path` by Connect.
async fn call(client: HttpClient, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let request = client.request("POST", path).header("content-type", "application/json");
    client.send(with(request, headers), &body.to_string()).await
}

fn login(username: &str) -> Value {
    json!({ "password": { "username": username, "password": PASSWORD } })
}

#[tokio::test]
async fn a_browser_is_shown_a_page_at_the_root_and_others_that_nothing_is_there() {
    let server = TestServer::start(&["--issuer=http://localhost:8080"]).await;
    for client in [server.http(), server.http().h2c()] {
        let page = get(client, "/", &[("accept", BROWSER)]).await;
        assert_eq!((page.status().as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
        let body = page.0.body();
        for shown in
            ["http://localhost:8080", "It is ready", "/openapi.json", "\"explorer\"", "/oauth2/token"]
        {
            assert!(body.contains(shown), "{shown}: {body}");
        }
        for accept in [&[][..], &[("accept", "*/*")], &[("accept", "application/json")]] {
            let answer = get(client, "/", accept).await;
            answer.assert_refused(404, "not_found", "");
            assert_eq!(answer.header("vary"), "accept");
        }
        let head = client.send(client.request("HEAD", "/").header("accept", BROWSER), "").await;
        assert_eq!((head.status().as_u16(), head.0.body().as_str()), (200, ""));
    }
    let without = TestServer::start(&["--explorer=off"]).await;
    let page = get(without.http(), "/", &[("accept", BROWSER)]).await;
    assert!(!page.0.body().contains("\"explorer\"") && page.0.body().contains("--explorer"), "{page:?}");
}

#[tokio::test]
async fn every_page_and_every_refusal_of_one_has_the_headers_that_bind_it() {
    let server = TestServer::start(&[]).await;
    let refused = [("x-forwarded-for", "192.0.2.1")];
    let none = ["/explorer/no-such-file", "/explorer/", "/explorer/a/b", "/explorer/%ff"];
    for path in PAGES.into_iter().chain(["/", "/openapi.json"]).chain(none) {
        for headers in [&[][..], &refused, &[("accept", BROWSER)]] {
            let answer = get(server.http(), path, headers).await;
            assert_eq!(answer.header("content-security-policy"), POLICY, "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
            assert!(["no-cache", "no-store"].contains(&answer.header("cache-control")), "{path}: {answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        }
    }
    // No script stands in a page, and none comes from elsewhere.
    for path in ["/", "/explorer"] {
        let page = get(server.http(), path, &[("accept", BROWSER)]).await;
        for script in page.0.body().split("<script").skip(1) {
            assert!(
                script.starts_with(" src=\"explorer/") && script.contains("\"></script>"),
                "{path}: {script}"
            );
        }
        for attribute in ["onclick", "onload", "javascript:", "http-equiv"] {
            assert!(!page.0.body().contains(attribute), "{path}: {attribute}");
        }
    }
}

#[tokio::test]
async fn a_copy_is_kept_as_long_as_it_is_the_same_and_compressed_for_who_takes_that() {
    let server = TestServer::start(&[]).await;
    for path in &PAGES[1..] {
        let client = server.http();
        let plain = get(client, path, &[]).await;
        assert_eq!((plain.status().as_u16(), plain.header("content-encoding")), (200, ""), "{path}");
        let request = client.request("GET", path).header("accept-encoding", "gzip, deflate, br");
        let compressed = client.exchange(request, bytes::Bytes::new()).await;
        let told =
            |name: &str| compressed.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        // Signet's own two are too short to gain by it.
        let is_compressed = path.contains("swagger-ui");
        assert_eq!(told("content-encoding"), if is_compressed { "gzip" } else { "" }, "{path}");
        assert_eq!((told("vary"), plain.header("vary")), ("accept-encoding", "accept-encoding"), "{path}");
        let tag = plain.header("etag").to_owned();
        if is_compressed {
            let mut text = String::new();
            GzDecoder::new(&compressed.body()[..]).read_to_string(&mut text).unwrap();
            assert!(text == *plain.0.body(), "{path}");
            assert!(compressed.body().len() < text.len() / 2 && told("etag") != tag, "{path}");
        } else {
            assert_eq!(compressed.body(), plain.0.body().as_bytes(), "{path}");
        }
        let again = get(client, path, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status().as_u16(), again.0.body().as_str()), (304, ""), "{path}");
    }
    let bundle = get(server.http(), PAGES[1], &[]).await;
    assert!(bundle.0.body().contains("SwaggerUIBundle") && bundle.0.body().len() > 1_000_000);
}

#[tokio::test]
async fn by_itself_it_is_there_only_if_http_and_the_issuer_are_of_this_machine() {
    for (args, is_there) in [
        (&["--issuer=http://127.0.0.1:8080"][..], true),
        (&["--issuer=https://localhost:8443/auth"], true),
        (&["--issuer=http://[::1]:8080"], true),
        (&["--issuer=https://id.example"], false),
        (&["--issuer=http://127.0.0.1:8080", "--http-addr=0.0.0.0:0"], false),
        (&["--issuer=https://id.example", "--explorer=on"], true),
        (&["--issuer=https://id.example", "--http-addr=0.0.0.0:0", "--explorer=on"], true),
        (&["--issuer=http://127.0.0.1:8080", "--explorer=off"], false),
        (&["--issuer=http://127.0.0.1:8080", "--explorer=admin"], false),
    ] {
        let server = TestServer::start(args).await;
        let mut addr = server.started.http_addr;
        addr.set_ip([127, 0, 0, 1].into());
        let client = HttpClient::new(addr);
        let (page, keys) = (client.get("/explorer").await, call(client, GET_JWKS, &[], &json!({})).await);
        let expected = if is_there { 200 } else { 404 };
        assert_eq!((page.status().as_u16(), keys.status().as_u16()), (expected, expected), "{args:?}");
        let told = server.started.explorer_url.as_ref();
        let is_told = told.is_some_and(|url| url.ends_with("/explorer"));
        assert_eq!(is_told, is_there || args.contains(&"--explorer=admin"), "{args:?}");
    }
}

#[tokio::test]
async fn what_a_proxy_forwards_finds_nothing_unless_the_operator_has_put_it_there() {
    let forwarded = [
        ("forwarded", "for=192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("x-forwarded-made-up", ""),
        ("via", "1.1 proxy"),
    ];
    let by_itself = TestServer::start(&[]).await;
    let set = TestServer::start(&["--explorer=on"]).await;
    for header in forwarded {
        for path in PAGES {
            get(by_itself.http(), path, &[header]).await.assert_refused(404, "not_found", "");
            assert_eq!(get(set.http(), path, &[header]).await.status(), 200, "{header:?} {path}");
        }
        call(by_itself.http(), GET_JWKS, &[header], &json!({})).await.assert_refused(404, "not_found", "");
        call(set.http(), GET_JWKS, &[header], &json!({})).await.ok();
        let page = get(by_itself.http(), "/", &[header, ("accept", BROWSER)]).await;
        assert!(page.status() == 200 && !page.0.body().contains("href=\"explorer\""), "{page:?}");
        // What is not the explorer's is served as ever.
        assert_eq!(get(by_itself.http(), "/.well-known/jwks.json", &[header]).await.status(), 200);
    }
}

#[tokio::test]
async fn it_answers_to_this_machines_names_addresses_and_the_issuers_host_alone() {
    let server = TestServer::start(&["--issuer=https://id.example:8443/auth", "--explorer=on"]).await;
    let client = server.http().h2c();
    let ask = async |host: &str, path: &str| {
        let request = http::Request::get(format!("http://{host}{path}"));
        client.send(request, "").await
    };
    let keys = format!("{GET_JWKS}?connect=v1&encoding=json&message=%7B%7D");
    for path in PAGES.into_iter().chain([keys.as_str()]) {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "[::1]:1", "id.example", "10.0.0.1"] {
            assert_eq!(ask(host, path).await.status(), 200, "{host} {path}");
        }
        for host in ["evil.example", "localhost.evil.example", "a.id.example", "signet.identity.svc"] {
            ask(host, path).await.assert_refused(421, "access_denied", "HOST_NOT_ALLOWED");
        }
    }
}

#[tokio::test]
async fn the_rpcs_of_identity_v1_are_called_beside_it_by_connect_and_nothing_else_is() {
    let server = TestServer::start(&[]).await;
    for (client, name) in [(server.http(), "alice"), (server.http().h2c(), "bob")] {
        call(client, SIGN_UP, &[], &json!({ "username": name, "password": PASSWORD })).await.ok();
        let tokens = call(client, ISSUE_TOKEN, &[], &login(name)).await.ok();
        let token = format!("Bearer {}", text(&tokens, "accessToken"));
        let me = call(client, GET_ME, &[("authorization", &token)], &json!({})).await.ok();
        assert_eq!(me["user"]["username"], name);
        // The same layers: access, the rules of JSON, the bounds.
        let refused = call(client, GET_ME, &[], &json!({})).await;
        assert_eq!((refused.status().as_u16(), &refused.json()["code"]), (401, &json!("unauthenticated")));
        let refused = call(client, SIGN_UP, &[], &json!({ "user_name": "carol" })).await;
        assert!(refused.0.body().contains("UNKNOWN_FIELD"), "{refused:?}");
        // The admin API, health and reflection are elsewhere.
        for path in [LIST_USERS, "/grpc.health.v1.Health/Check", "/identity.v1.IdentityService"] {
            call(client, path, &[], &json!({})).await.assert_refused(404, "not_found", "");
        }
        // gRPC and gRPC-Web are spoken at --grpc-addr.
        for kind in
            ["application/grpc", "Application/gRPC", "application/grpc+proto", "application/grpc-web+proto"]
        {
            let request = client.request("POST", GET_JWKS).header("content-type", kind);
            client.send(request, "").await.assert_refused(404, "not_found", "");
        }
    }
    // They count as calls, too.
    let metrics = server.operations_get("/metrics").await.into_body();
    let is_counted = |line: &str| line.starts_with("grpc_") && line.contains("\"SignUp\"");
    assert!(metrics.lines().any(is_counted), "{metrics}");
}

#[tokio::test]
async fn its_own_page_may_call_and_no_other_page_may() {
    let server = TestServer::start(&[]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let client = server.http();
    let own = format!("http://{}", server.started.http_addr);
    call(client, ISSUE_TOKEN, &[("origin", &own), ("sec-fetch-site", "same-origin")], &login("alice"))
        .await
        .ok();
    let form = encoded(&password_form("alice", PASSWORD));
    client.send(client.form(TOKEN).header("origin", &own), &form).await.ok();

    let port = server.started.http_addr.port();
    for origin in [
        "https://evil.example".to_owned(),
        "null".to_owned(),
        format!("https://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        "http://127.0.0.1:1".to_owned(),
    ] {
        let refused = call(client, ISSUE_TOKEN, &[("origin", &origin)], &login("alice")).await;
        assert_eq!(refused.status(), 403, "{origin}");
        assert!(refused.0.body().contains("permission_denied"), "{refused:?}");
        let refused = client.send(client.form(TOKEN).header("origin", &origin), &form).await;
        refused.assert_refused(403, "access_denied", "ORIGIN_NOT_ALLOWED");
    }
    // Without the explorer, no page of this origin is served.
    let without = TestServer::start(&["--explorer=off"]).await;
    let own = format!("http://{}", without.started.http_addr);
    let refused = without.http().send(without.http().form(TOKEN).header("origin", &own), &form).await;
    refused.assert_refused(403, "access_denied", "ORIGIN_NOT_ALLOWED");
}

#[tokio::test]
async fn below_the_issuers_path_it_is_whether_a_proxy_takes_that_off_or_hands_it_on() {
    let server = TestServer::start(&["--issuer=https://localhost:8443/auth", "--explorer=on"]).await;
    for client in [server.http(), server.http().h2c()] {
        for path in PAGES.into_iter().chain(["/openapi.json"]) {
            let (root, below) = (client.get(path).await, client.get(&format!("/auth{path}")).await);
            assert_eq!((below.status().as_u16(), below.0.body()), (200, root.0.body()), "{path}");
            assert_eq!(below.header("content-security-policy"), POLICY, "{path}");
        }
        let page = get(client, "/auth/", &[("accept", BROWSER)]).await;
        assert!(page.status() == 200 && page.0.body().contains("href=\"explorer\""), "{page:?}");
        call(client, &format!("/auth{GET_JWKS}"), &[], &json!({})).await.ok();
        let keys = format!("/auth{GET_JWKS}?connect=v1&encoding=json&message=%7B%7D");
        assert_eq!(client.get(&keys).await.status(), 200);
        // Nothing on it leads beside that path.
        for path in ["/auth/", "/auth/explorer"] {
            let page = get(client, path, &[("accept", BROWSER)]).await;
            assert!(!page.0.body().contains("=\"/"), "{path}: {page:?}");
        }
        for path in ["/auth/auth/explorer", "/other/explorer", &format!("/other{GET_JWKS}")] {
            call(client, path, &[], &json!({})).await.assert_refused(404, "not_found", "");
        }
    }
    // Whom it does not answer, it does not answer there.
    let client = server.http().h2c();
    let ask =
        async |path: &str| client.send(http::Request::get(format!("http://evil.example{path}")), "").await;
    for path in ["/auth/explorer", "/auth/explorer/page.css", &format!("/auth{GET_JWKS}")] {
        ask(path).await.assert_refused(421, "access_denied", "HOST_NOT_ALLOWED");
    }
}

#[tokio::test]
async fn a_password_counts_there_as_at_the_token_endpoint() {
    let server = TestServer::start(&["--http-password-grant=off"]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let refresh_token = client.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    let refused = call(server.http(), ISSUE_TOKEN, &[], &login("alice")).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.0.body().contains("UNSUPPORTED_GRANT_TYPE"), "{refused:?}");
    // As the document says.
    let document = server.http().get("/openapi.json").await.ok();
    let told = &document["paths"][ISSUE_TOKEN]["post"]["responses"]["400"]["description"];
    assert!(told.as_str().unwrap().contains("`UNSUPPORTED_GRANT_TYPE`: "), "{told}");
    // One refusal there, and one at the token endpoint, are counted as the grant's.
    let refused = server.http().post(TOKEN, &password_form("alice", PASSWORD)).await;
    refused.assert_refused(400, "unsupported_grant_type", "UNSUPPORTED_GRANT_TYPE");
    let refused = server.operations_get("/metrics").await.into_body();
    let counted = r#"signet_logins_total{result="refused"} 2"#;
    assert!(refused.lines().any(|line| line == counted), "{refused}");
    let refresh = json!({ "refreshToken": { "refreshToken": refresh_token } });
    call(server.http(), ISSUE_TOKEN, &[], &refresh).await.ok();
    // gRPC's own address is not concerned.
    call(HttpClient::new(server.started.grpc_addr), ISSUE_TOKEN, &[], &login("alice")).await.ok();
}

#[tokio::test]
async fn that_of_the_admin_api_is_at_its_address_alone_and_only_if_it_is_asked_for() {
    let without = TestServer::start(&[]).await;
    let admin = HttpClient::new(without.started.admin_addr.unwrap());
    for path in PAGES.into_iter().chain(["/openapi.json"]) {
        assert_ne!(admin.get(path).await.status(), 200, "{path}");
    }
    assert_ne!(admin.post(TOKEN, &password_form("alice", PASSWORD)).await.status(), 200);

    let server = TestServer::start(&["--explorer=admin"]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let addr = server.started.admin_addr.unwrap();
    let admin = HttpClient::new(addr);
    assert_eq!(server.started.explorer_url, Some(format!("http://{addr}/explorer")));
    for path in PAGES {
        let answer = admin.get(path).await;
        assert_eq!(
            (answer.status().as_u16(), answer.header("content-security-policy")),
            (200, POLICY),
            "{path}"
        );
        get(admin, path, &[("via", "1.1 proxy")]).await.assert_refused(404, "not_found", "");
    }
    let evil = admin.h2c().send(http::Request::get("http://evil.example/explorer"), "").await;
    evil.assert_refused(421, "access_denied", "HOST_NOT_ALLOWED");
    // Nor is what stands beside it for others.
    let form = encoded(&password_form("alice", PASSWORD));
    let request = http::Request::post(format!("http://evil.example{TOKEN}"));
    let evil =
        admin.h2c().send(request.header("content-type", "application/x-www-form-urlencoded"), &form).await;
    evil.assert_refused(421, "access_denied", "HOST_NOT_ALLOWED");
    let forwarded = admin.send(admin.form(TOKEN).header("x-forwarded-for", "192.0.2.1"), &form).await;
    forwarded.assert_refused(404, "not_found", "");
    assert_eq!(forwarded.header("content-security-policy"), POLICY);

    // Its page gets a token, and calls: at its own origin.
    let own = format!("http://{addr}");
    let refused = admin.send(admin.form(TOKEN).header("origin", "http://localhost:1"), &form).await;
    assert_eq!(refused.status(), 403);
    let token = admin.send(admin.form(TOKEN).header("origin", &own), &form).await.ok();
    let token = format!("Bearer {}", text(&token, "access_token"));
    let headers = [("origin", own.as_str()), ("authorization", token.as_str())];
    let users = call(admin, LIST_USERS, &headers, &json!({})).await;
    assert!(users.status() == 403 && users.0.body().contains("INSUFFICIENT_SCOPE"), "{users:?}");
    call(admin, GET_ME, &headers, &json!({})).await.ok();
    let other =
        call(admin, GET_ME, &[("origin", "http://localhost:1"), ("authorization", &token)], &json!({})).await;
    assert_eq!(other.status(), 403);

    // And at --http-addr there is none.
    assert_eq!(server.http().get("/explorer").await.status(), 404);
    assert_eq!(call(server.http(), GET_JWKS, &[], &json!({})).await.status(), 404);
}
