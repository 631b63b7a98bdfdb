//! Owns what registered clients are promised over HTTP: each way to prove who they are, and no two at once.

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{
    TOKEN, USERINFO,
    client::{Answer, encoded},
    password_form, refresh_form, text,
};
use crate::{
    clients::{
        Registered, Service, Wanted,
        assertions::{Pair, sign},
    },
    harness::PASSWORD,
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(super) const OWN: (&str, &str) = ("grant_type", "client_credentials");

impl Registered {
    /// What it says in its form to prove who it is.
    pub(super) fn by_post(&self) -> [(&str, &str); 2] {
        [("client_id", &self.id), ("client_secret", &self.secret)]
    }

    /// What it says in `authorization` to prove who it is.
    pub(super) fn by_basic(&self) -> String {
        basic(&self.id, &self.secret)
    }
}

pub(super) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

impl Service {
    /// Posts a form with an `authorization`.
    pub(super) async fn post_as(&self, path: &str, authorization: &str, fields: &[(&str, &str)]) -> Answer {
        let http = self.server.http();
        http.send(http.form(path).header("authorization", authorization), &encoded(fields)).await
    }

    /// A token of the client itself.
    pub(super) async fn own_token(&self, registered: &Registered) -> String {
        let fields = [&[OWN][..], &registered.by_post()].concat();
        text(&self.server.http().post(TOKEN, &fields).await.ok(), "access_token").to_owned()
    }
}

/// The claims of a token, decoded without looking at its signature.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn a_secret_is_taken_in_the_header_or_in_the_form() {
    let service = Service::start().await;
    let registered = service.register("billing", Wanted::confidential("orders:read orders:write")).await;
    let http = service.server.http();
    let by_basic = service.post_as(TOKEN, &registered.by_basic(), &[OWN]).await;
    let by_both_names =
        service.post_as(TOKEN, &registered.by_basic(), &[OWN, ("client_id", &registered.id)]).await;
    let by_post = http.post(TOKEN, &[&[OWN][..], &registered.by_post()].concat()).await;
    for answer in [by_basic, by_both_names, by_post] {
        let body = answer.ok();
        assert_eq!(body["scope"], "orders:read orders:write");
        assert_eq!(body.get("refresh_token"), None, "it can ask again (RFC 6749 section 4.4.3)");
        let claims = claims(text(&body, "access_token"));
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(registered.id), &json!(registered.id)));
    }
}

#[tokio::test]
async fn a_signed_assertion_is_taken_once() {
    let service = Service::start().await;
    let pair = Pair::new(Algorithm::ES256);
    let key = pair.jwk.to_string();
    let registered =
        service.register("signer", Wanted { public_key: Some(&key), ..Wanted::confidential("a") }).await;
    let metadata = service.server.http().get("/.well-known/oauth-authorization-server").await.ok();
    let now = service.server.clock.now().as_secs();
    // By both names under which this service is known to clients.
    for (number, audience) in ["issuer", "token_endpoint"].iter().enumerate() {
        let claims = json!({
            "iss": registered.id, "sub": registered.id, "aud": metadata[*audience], "exp": now + 60,
            "jti": format!("{number}"),
        });
        let assertion = sign(&json!({"alg": "ES256"}), &claims, &pair.private, Algorithm::ES256);
        let form = [OWN, ("client_assertion_type", JWT_BEARER), ("client_assertion", &assertion)];
        service.server.http().post(TOKEN, &form).await.ok();
        let replayed = service.server.http().post(TOKEN, &form).await;
        replayed.assert_refused(401, "invalid_client", "INVALID_CLIENT");
    }
    let unknown = [OWN, ("client_assertion_type", "saml2"), ("client_assertion", "x")];
    let refused = service.server.http().post(TOKEN, &unknown).await;
    refused.assert_refused(400, "invalid_request", "INVALID_FIELDS");
    assert_eq!(refused.violations(), [("client_assertion_type".to_owned(), "MALFORMED".to_owned())]);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_client_the_answer_is_the_same() {
    let service = Service::start().await;
    let good = service.register("good", Wanted::confidential("a")).await;
    let other = service.register("other", Wanted::confidential("a")).await;
    let public = service.register("public", Wanted::public("profile")).await;
    let disabled = service.register("disabled", Wanted::confidential("a")).await;
    service.set_active(&disabled, false).await;
    let nobody = "01a20a05-adfd-7f0f-a948-424ae62fc105";
    let mut answers = Vec::new();
    for (id, secret) in [
        (good.id.as_str(), other.secret.as_str()),
        (&good.id, "wrong"),
        (&good.id, ""),
        ("good", &good.secret),
        (&public.id, ""),
        (&public.id, "x"),
        (&disabled.id, &disabled.secret),
        (nobody, &good.secret),
        ("signet", &good.secret),
        ("signet", ""),
        ("é:\"", "%"),
    ] {
        answers.push(
            service.server.http().post(TOKEN, &[OWN, ("client_id", id), ("client_secret", secret)]).await,
        );
        answers.push(service.post_as(TOKEN, &basic(id, secret), &[OWN]).await);
    }
    for scheme in ["Bearer x", "Basic !", "Basic", "Digest x"] {
        answers.push(service.post_as(TOKEN, scheme, &[OWN]).await);
    }
    answers.push(service.server.http().post(TOKEN, &[OWN]).await);
    let first = answers[0].0.body().clone();
    for answer in answers {
        answer.assert_refused(401, "invalid_client", "INVALID_CLIENT");
        assert_eq!(answer.header("www-authenticate"), r#"Basic realm="signet""#);
        assert_eq!(answer.0.body(), &first);
    }
}

#[tokio::test]
async fn more_than_one_way_to_say_who_asks_is_refused() {
    let service = Service::start().await;
    let (good, other) = (
        service.register("good", Wanted::confidential("a")).await,
        service.register("other", Wanted::confidential("a")).await,
    );
    let assertion = [("client_assertion_type", JWT_BEARER), ("client_assertion", "a.b.c")];
    for more in [&good.by_post()[..], &other.by_post(), &[("client_id", &*other.id)], &assertion] {
        let refused = service.post_as(TOKEN, &good.by_basic(), &[&[OWN][..], more].concat()).await;
        refused.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
    }
    let refused =
        service.server.http().post(TOKEN, &[&[OWN][..], &good.by_post(), &assertion].concat()).await;
    refused.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
    let http = service.server.http();
    let twice =
        http.form(TOKEN).header("authorization", good.by_basic()).header("authorization", other.by_basic());
    http.send(twice, &encoded(&[OWN])).await.assert_refused(400, "invalid_request", "MALFORMED_REQUEST");
}

#[tokio::test]
async fn scopes_and_audiences_are_those_that_were_allowed() {
    let service = Service::start().await;
    let wanted =
        Wanted { audiences: "https://orders.example https://bills.example", ..Wanted::confidential("a b") };
    let registered = service.register("billing", wanted).await;
    let ask = async |more: &[(&str, &str)]| {
        service.post_as(TOKEN, &registered.by_basic(), &[&[OWN][..], more].concat()).await
    };
    let audience = |answer: &Answer| claims(text(&answer.ok(), "access_token"))["aud"].clone();

    let all = ask(&[]).await;
    assert_eq!(all.ok()["scope"], "a b");
    assert_eq!(audience(&all), json!(["https://orders.example", "https://bills.example"]));
    let one = ask(&[("scope", "b"), ("resource", "https://bills.example")]).await;
    assert_eq!((one.ok()["scope"].clone(), audience(&one)), (json!("b"), json!("https://bills.example")));
    let both = ask(&[
        ("resource", "https://bills.example"),
        ("resource", ""),
        ("resource", "https://orders.example"),
    ])
    .await;
    assert_eq!(audience(&both), json!(["https://bills.example", "https://orders.example"]));

    // As clients of Auth0, Hydra and Zitadel name them.
    for (more, expected) in [
        (&[("audience", "https://bills.example")][..], json!("https://bills.example")),
        (
            &[("audience", "https://bills.example https://orders.example")],
            json!(["https://bills.example", "https://orders.example"]),
        ),
        (
            &[("audience", "https://bills.example"), ("resource", "https://bills.example")],
            json!("https://bills.example"),
        ),
        (
            &[("audience", "https://bills.example"), ("resource", "https://orders.example")],
            json!(["https://orders.example", "https://bills.example"]),
        ),
    ] {
        assert_eq!(audience(&ask(more).await), expected, "{more:?}");
    }

    for scope in ["c", "a c", "profile", "a  b", "\""] {
        ask(&[("scope", scope)]).await.assert_refused(400, "invalid_scope", "INVALID_SCOPE");
    }
    for resource in ["https://evil.example", "https://orders.example/", "é"] {
        ask(&[("resource", resource)]).await.assert_refused(400, "invalid_target", "INVALID_AUDIENCE");
        ask(&[("audience", resource)]).await.assert_refused(400, "invalid_target", "INVALID_AUDIENCE");
    }
    let beside = ask(&[("audience", "nobody"), ("resource", "https://bills.example")]).await;
    beside.assert_refused(400, "invalid_target", "INVALID_AUDIENCE");
    let twice = ask(&[("scope", "a"), ("scope", "b")]).await;
    twice.assert_refused(400, "invalid_request", "INVALID_FIELDS");
}

#[tokio::test]
async fn a_session_belongs_to_the_client_that_opened_it() {
    let service = Service::start().await;
    let http = service.server.http();
    let owner = service.register("owner", Wanted::confidential("profile orders:read")).await;
    let other = service.register("other", Wanted::confidential("profile")).await;
    let public = service.register("public", Wanted::public("profile")).await;

    let login = service.post_as(TOKEN, &owner.by_basic(), &password_form("alice", PASSWORD)).await.ok();
    assert_eq!(login["scope"], "profile orders:read");
    let refresh = text(&login, "refresh_token");
    for (what, answer) in [
        ("nobody in particular", http.post(TOKEN, &refresh_form(refresh)).await),
        (
            "the first-party client",
            http.post(TOKEN, &[&refresh_form(refresh)[..], &[("client_id", "signet")]].concat()).await,
        ),
        ("another client", service.post_as(TOKEN, &other.by_basic(), &refresh_form(refresh)).await),
    ] {
        answer.assert_refused(400, "invalid_grant", "REFRESH_TOKEN_INVALID");
        assert!(!answer.0.body().contains(refresh), "{what}");
    }
    let unproven =
        http.post(TOKEN, &[&refresh_form(refresh)[..], &[("client_id", &*owner.id)]].concat()).await;
    unproven.assert_refused(401, "invalid_client", "INVALID_CLIENT");
    // None of that has used it up. It may narrow, and not widen.
    let wider = [&refresh_form(refresh)[..], &[("scope", "profile orders:write")]].concat();
    service.post_as(TOKEN, &owner.by_basic(), &wider).await.assert_refused(
        400,
        "invalid_scope",
        "INVALID_SCOPE",
    );
    let narrower = [&refresh_form(refresh)[..], &[("scope", "orders:read")]].concat();
    let less = service.post_as(TOKEN, &owner.by_basic(), &narrower).await.ok();
    assert_eq!(less["scope"], "orders:read");
    let refused = http.get_with_token(USERINFO, text(&less, "access_token")).await;
    refused.assert_refused(403, "insufficient_scope", "INSUFFICIENT_SCOPE");
    assert!(refused.header("www-authenticate").contains(r#"scope="profile""#), "{refused:?}");

    // A public client only says who it is: in the form, or as some libraries do, in the header with no secret.
    let fields = password_form("alice", PASSWORD);
    let login = http.post(TOKEN, &[&fields[..], &[("client_id", &*public.id)]].concat()).await.ok();
    let refresh = text(&login, "refresh_token");
    service.post_as(TOKEN, &basic(&public.id, ""), &refresh_form(refresh)).await.ok();
    service.post_as(TOKEN, &basic("signet", ""), &fields).await.ok();
}

#[tokio::test]
async fn a_clients_own_token_is_no_users() {
    let service = Service::start().await;
    let registered = service.register("billing", Wanted::confidential("profile a")).await;
    let token = service.own_token(&registered).await;
    let refused = service.server.http().get_with_token(USERINFO, &token).await;
    refused.assert_refused(403, "insufficient_scope", "INSUFFICIENT_SCOPE");
    service.set_active(&registered, false).await;
    let refused = service.server.http().get_with_token(USERINFO, &token).await;
    refused.assert_refused(401, "invalid_token", "TOKEN_REVOKED");
}
