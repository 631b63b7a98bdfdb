//! Owns what `POST /oauth2/token` promises.

use signet::{model::UserId, proto::identity::v1::ListSessionsRequest};

use super::{
    TOKEN, USERINFO,
    client::{Answer, MULTIPART, encoded, in_parts},
    log_in_new, password_form, refresh_form, text,
};
use crate::harness::{PASSWORD, TestServer, with_token};

#[tokio::test]
async fn a_password_is_exchanged_as_rfc_6749_says() {
    let server = TestServer::start(&["--access-token-ttl=5m"]).await;
    let user = server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    for client in [server.http(), server.http().h2c()] {
        let answer = client.post(TOKEN, &password_form("Alice", PASSWORD)).await;
        let body = answer.ok();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&"Bearer".into(), &300.into()));
        assert_eq!(body["scope"], "profile account");
        assert_eq!(body.as_object().unwrap().len(), 5, "nothing else is told: {body}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("pragma"), "no-cache");
        // It is the same token that gRPC takes.
        let access = text(&body, "access_token");
        assert_eq!(server.client().await.get_me(access).await.unwrap().id, user.id);
        assert_eq!(text(&client.get_with_token(USERINFO, access).await.ok(), "sub"), user.id);
    }
}

/// What `FastAPI`'s `OAuth2PasswordRequestForm` is sent by its own documentation page, and by clients written against it.
#[tokio::test]
async fn a_form_with_empty_and_unknown_parameters_is_taken() {
    let server = TestServer::start(&[]).await;
    log_in_new(&server, "alice").await;
    let http = server.http();
    for more in [
        &[("scope", ""), ("client_id", ""), ("client_secret", "")][..],
        &[("client_id", "signet")],
        &[("audience", ""), ("utm_source", "1"), ("utm_source", "2")],
    ] {
        http.post(TOKEN, &[&password_form("alice", PASSWORD)[..], more].concat()).await.ok();
    }
    // A browser's console for APIs whose fields for a client are left empty.
    let request = http.form(TOKEN).header("authorization", "Basic Og==");
    http.send(request, &encoded(&password_form("alice", PASSWORD))).await.ok();
    let request = http
        .request("POST", TOKEN)
        .header("content-type", "Application/x-www-form-urlencoded; charset=UTF-8");
    http.send(request, &encoded(&password_form("alice", PASSWORD))).await.ok();
}

#[tokio::test]
async fn every_character_of_a_password_comes_through() {
    let server = TestServer::start(&[]).await;
    for (number, password) in
        ["a&b=c+d%20e f", "100% sicher; ja?", "pässwörd \u{1f40e}\u{1f50b}", "%%%%+++&&&==="]
            .iter()
            .enumerate()
    {
        let username = format!("user{number}");
        server.client().await.sign_up(&username, password).await.unwrap();
        server.http().post(TOKEN, &password_form(&username, password)).await.ok();
        let wrong = password.replace('+', " ").replace('%', "%25").to_uppercase();
        let refused = server.http().post(TOKEN, &password_form(&username, &wrong)).await;
        refused.assert_refused(400, "invalid_grant", "INVALID_CREDENTIALS");
    }
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_once_over_whichever_protocol() {
    let server = TestServer::start(&[]).await;
    let first = log_in_new(&server, "alice").await;
    let http = server.http();
    let second = http.post(TOKEN, &refresh_form(text(&first, "refresh_token"))).await.ok();
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    // The answer was lost: the same again.
    let again = http.post(TOKEN, &refresh_form(text(&first, "refresh_token"))).await.ok();
    assert_eq!(again["refresh_token"], second["refresh_token"]);
    let third = http.post(TOKEN, &refresh_form(text(&second, "refresh_token"))).await.ok();
    let replayed = http.post(TOKEN, &refresh_form(text(&first, "refresh_token"))).await;
    replayed.assert_refused(400, "invalid_grant", "REFRESH_TOKEN_REUSED");
    let ended = http.post(TOKEN, &refresh_form(text(&third, "refresh_token"))).await;
    ended.assert_refused(400, "invalid_grant", "REFRESH_TOKEN_INVALID");
    for garbage in ["x", &"A".repeat(86), &"é".repeat(5_000)] {
        http.post(TOKEN, &refresh_form(garbage)).await.assert_refused(
            400,
            "invalid_grant",
            "REFRESH_TOKEN_INVALID",
        );
    }
}

#[tokio::test]
async fn a_session_says_where_it_was_opened() {
    let server = TestServer::start(&[]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let http = server.http();
    let request = http.form(TOKEN).header("user-agent", "an app/1.0");
    let body = http.send(request, &encoded(&password_form("alice", PASSWORD))).await.ok();
    let list = with_token(ListSessionsRequest::default(), text(&body, "access_token"));
    let sessions = server.client().await.0.list_sessions(list).await.unwrap().into_inner().sessions;
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].user_agent.as_deref(), Some("an app/1.0"));
    assert_eq!(sessions[0].address.as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn every_failed_login_gets_the_same_answer() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let disabled = client.sign_up("disabled", PASSWORD).await.unwrap();
    let id = UserId(disabled.id.parse().unwrap());
    server
        .store()
        .await
        .set_active(id, false, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();
    let mut answers = Vec::new();
    for (username, password) in [
        ("alice", "wrong password"),
        ("alice", &"x".repeat(60_000)),
        ("nobody", PASSWORD),
        ("not a name", PASSWORD),
        ("disabled", PASSWORD),
    ] {
        let answer = server.http().post(TOKEN, &password_form(username, password)).await;
        answer.assert_refused(400, "invalid_grant", "INVALID_CREDENTIALS");
        let Answer(response) = answer;
        let (mut head, body) = response.into_parts();
        for of_one in ["date", "x-request-id"] {
            head.headers.remove(of_one);
        }
        answers.push((head.headers, body));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

#[tokio::test]
async fn what_is_missing_or_repeated_is_named() {
    let server = TestServer::start(&[]).await;
    for (body, expected) in [
        ("", &[("grant_type", "REQUIRED")][..]),
        ("grant_type=", &[("grant_type", "REQUIRED")]),
        ("grant_type=password", &[("username", "REQUIRED"), ("password", "REQUIRED")]),
        ("grant_type=password&username=alice&password=", &[("password", "REQUIRED")]),
        ("grant_type=refresh_token", &[("refresh_token", "REQUIRED")]),
        ("grant_type=password&grant_type=password", &[("grant_type", "MALFORMED")]),
        ("grant_type=password&username=a&username=b&password=x", &[("username", "MALFORMED")]),
        ("grant_type=password&client_id=signet&client_id=", &[("client_id", "MALFORMED")]),
        ("grant_type=password&username=a&password=&password=x", &[("password", "MALFORMED")]),
    ] {
        let answer = server.http().send(server.http().form(TOKEN), body).await;
        answer.assert_refused(400, "invalid_request", "INVALID_FIELDS");
        let violations = answer.violations();
        let violations: Vec<_> =
            violations.iter().map(|(field, reason)| (field.as_str(), reason.as_str())).collect();
        assert_eq!(violations, expected, "{body}");
        // Whoever sends an empty one hears what that is.
        let says_empty = answer.0.body().contains("must be set: an empty one counts as absent");
        assert_eq!(
            says_empty,
            ["grant_type=", "grant_type=password&username=alice&password="].contains(&body)
        );
    }
}

/// As `FormData` of browsers and Node.js, `requests` with `files` and `curl -F` send it.
#[tokio::test]
async fn a_form_in_parts_is_a_form() {
    let server = TestServer::start(&[]).await;
    let first = log_in_new(&server, "alice").await;
    let http = server.http();
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let request = http.request("POST", path).header("content-type", MULTIPART);
        http.send(request, &in_parts(fields)).await
    };
    let answer = post(TOKEN, &password_form("alice", PASSWORD)).await.ok();
    assert!(answer["refresh_token"].is_string(), "{answer}");
    post(TOKEN, &refresh_form(text(&first, "refresh_token"))).await.ok();
    assert_eq!(post("/oauth2/revoke", &[("token", text(&answer, "refresh_token"))]).await.status(), 200);
    post(TOKEN, &refresh_form(text(&answer, "refresh_token"))).await.assert_refused(
        400,
        "invalid_grant",
        "REFRESH_TOKEN_INVALID",
    );
    let empty = post(TOKEN, &[("grant_type", ""), ("username", "alice")]).await;
    empty.assert_refused(400, "invalid_request", "INVALID_FIELDS");
    assert_eq!(empty.violations(), [("grant_type".to_owned(), "REQUIRED".to_owned())]);
    for broken in ["", "--x", "--x\r\n\r\n\r\n--x--", "grant_type=password&username=alice"] {
        let request = http.form(TOKEN);
        let request = request.header("content-type", MULTIPART);
        assert_eq!(http.send(request, broken).await.status(), 415, "two content types");
        let request = http.request("POST", TOKEN).header("content-type", MULTIPART);
        http.send(request, broken).await.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
    }
}

#[tokio::test]
async fn what_is_no_form_or_not_in_the_body_is_refused_clearly() {
    let server = TestServer::start(&[]).await;
    log_in_new(&server, "alice").await;
    let http = server.http();
    let good = encoded(&password_form("alice", PASSWORD));
    let json = r#"{"grant_type":"password","username":"alice","password":"x"}"#;
    for (content_type, body) in [
        (Some("application/json"), json),
        (Some("multipart/mixed; boundary=x"), "--x--"),
        (Some("text/plain"), good.as_str()),
        (None, good.as_str()),
    ] {
        let request = http.request("POST", TOKEN);
        let request =
            content_type.into_iter().fold(request, |request, value| request.header("content-type", value));
        http.send(request, body).await.assert_refused(415, "invalid_request", "MALFORMED_REQUEST");
    }
    for body in ["grant_type=%", "grant_type=password&username=%ff", "grant_type=password&password=\u{0}%0"] {
        http.send(http.form(TOKEN), body).await.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
    }
    // RFC 6749 section 2.3.1: never in the URL, where they are logged.
    let in_the_url = http.form(&format!("{TOKEN}?{good}"));
    let refused = http.send(in_the_url, &good).await;
    refused.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
    assert!(!refused.0.body().contains("alice"));
}

#[tokio::test]
async fn grant_types_that_are_not_exchanged_are_refused() {
    let server = TestServer::start(&[]).await;
    for grant_type in ["authorization_code", "implicit", "Password", "é", "password "] {
        let answer = server.http().post(TOKEN, &[("grant_type", grant_type), ("code", "x")]).await;
        answer.assert_refused(400, "unsupported_grant_type", "UNSUPPORTED_GRANT_TYPE");
    }
}

#[tokio::test]
async fn passwords_are_not_exchanged_where_that_is_turned_off() {
    let server = TestServer::start(&["--http-password-grant=off"]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let http = server.http();
    let refused = http.post(TOKEN, &password_form("alice", PASSWORD)).await;
    refused.assert_refused(400, "unsupported_grant_type", "UNSUPPORTED_GRANT_TYPE");
    // Over gRPC they are, and what came of it can be refreshed here.
    let token = client.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    http.post(TOKEN, &refresh_form(&token)).await.ok();
    let metadata = http.get("/.well-known/oauth-authorization-server").await.ok();
    assert_eq!(metadata["grant_types_supported"], serde_json::json!(["refresh_token", "client_credentials"]));
}

#[tokio::test]
async fn a_client_that_is_not_known_is_refused() {
    let server = TestServer::start(&[]).await;
    log_in_new(&server, "alice").await;
    let http = server.http();
    let unknown = [&password_form("alice", PASSWORD)[..], &[("client_id", "nobody")]].concat();
    let by_header = http.form(TOKEN).header("authorization", "Basic c2lnbmV0OnNlY3JldA==");
    for answer in [
        http.post(TOKEN, &unknown).await,
        http.send(by_header, &encoded(&password_form("alice", PASSWORD))).await,
    ] {
        answer.assert_refused(401, "invalid_client", "INVALID_CLIENT");
        assert_eq!(answer.header("www-authenticate"), r#"Basic realm="signet""#);
    }
}

#[tokio::test]
async fn a_page_of_another_site_guesses_nothing_from_its_readers_address() {
    let server = TestServer::start(&[]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let http = server.http();
    for (site, expected) in [("cross-site", 403), ("same-site", 200), ("same-origin", 200), ("none", 200)] {
        let request = http::Request::post(TOKEN)
            .header("host", "localhost")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", site);
        let answer = http.send(request, &encoded(&password_form("alice", PASSWORD))).await;
        assert_eq!(answer.status(), expected, "{site}");
        if expected == 403 {
            answer.assert_refused(403, "access_denied", "ORIGIN_NOT_ALLOWED");
        }
    }
}

/// A browser tells an origin by Fetch Metadata only where the URL is one of TLS, and takes a neighbour's for one of the same site.
#[tokio::test]
async fn a_page_whose_origin_is_not_allowed_guesses_nothing_from_its_readers_address() {
    let server = TestServer::start(&["--web-origins=https://app.example"]).await;
    server.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let http = server.http();
    for (origin, is_allowed) in [
        ("https://app.example", true),
        ("https://evil.example", false),
        ("https://neighbour.app.example", false),
        ("http://app.example", false),
        ("https://app.example.evil.example", false),
        ("null", false),
        ("", false),
        // As a page says whose host name, a stranger's, is made to lead here (DNS rebinding).
        ("http://127.0.0.1", false),
    ] {
        for path in [TOKEN, "/oauth2/revoke", "/oauth2/introspect", "/oauth2/userinfo"] {
            let request = http.form(path).header("origin", origin).header("sec-fetch-site", "same-site");
            let answer = http.send(request, &encoded(&password_form("alice", PASSWORD))).await;
            if is_allowed {
                assert_ne!(answer.status(), 403, "{origin} {path}");
            } else {
                answer.assert_refused(403, "access_denied", "ORIGIN_NOT_ALLOWED");
            }
        }
    }
    // What is no browser sends none.
    http.post(TOKEN, &password_form("alice", PASSWORD)).await.ok();
}
