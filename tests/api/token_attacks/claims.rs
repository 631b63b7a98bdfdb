//! Owns what a token must say to be believed: these are all signed by the server's own key.

use std::time::Duration;

use serde_json::{Value, json};
use signet::model::SigningAlg;

use super::Target;
use crate::clients::{Wanted, operator, register};

/// What a token lives for, in seconds: the default.
const TTL: i64 = 900;

/// How far clocks may be apart, in seconds: the default.
const LEEWAY: i64 = 5;

/// What is said of the login since a later release than those whose tokens may still come.
const OF_THE_LOGIN: [&str; 2] = ["amr", "auth_time"];

async fn target() -> Target {
    Target::new(SigningAlg::Es256).await
}

#[tokio::test]
async fn a_token_of_another_type_is_refused() {
    let target = target().await;
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!("id_token"),
        json!("id_token+jwt"),
        json!("logout+jwt"),
        json!("at+jwt2"),
        json!("at+jwt; charset=utf-8"),
        json!(" at+jwt"),
        json!("text/at+jwt"),
        json!("application/application/at+jwt"),
        json!("applicatio\u{f1}/at+jwt"),
        json!(""),
        json!(null),
        json!(1),
        json!(["at+jwt"]),
    ] {
        let token = target.signed(&target.header_with("typ", typ), &target.claims());
        target.refuses(&token).await;
    }
    let mut header = target.header();
    header.as_object_mut().unwrap().remove("typ");
    let token = target.signed(&header, &target.claims());
    target.refuses(&token).await;
    target.still_serves().await;
}

#[tokio::test]
async fn the_type_may_be_written_as_a_media_type_and_opens_nothing_without_the_signature() {
    let target = target().await;
    for typ in ["application/at+jwt", "AT+JWT", "Application/At+Jwt"] {
        let token = target.signed(&target.header_with("typ", typ.into()), &target.claims());
        target.accepts(&token).await;
        let (message, _) = token.rsplit_once('.').unwrap();
        let (_, genuine_signature) = target.genuine.rsplit_once('.').unwrap();
        let forged = [format!("{message}."), format!("{message}.{genuine_signature}")];
        for token in forged {
            target.refuses(&token).await;
        }
    }
    target.still_serves().await;
}

#[tokio::test]
async fn an_extension_that_is_critical_is_refused() {
    let target = target().await;
    for crit in [json!(["exp"]), json!(["b64"]), json!(["http://example.com/x"]), json!([]), json!("exp")] {
        let token = target.signed(&target.header_with("crit", crit), &target.claims());
        target.refuses(&token).await;
    }
    let mut header = target.header_with("crit", json!(["b64"]));
    header["b64"] = json!(false);
    let token = target.signed(&header, &target.claims());
    target.refuses(&token).await;
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_of_another_issuer_or_for_another_audience_is_refused() {
    let target = target().await;
    let issuer = target.claims()["iss"].as_str().unwrap().to_owned();
    let audience = target.claims()["aud"].as_str().unwrap().to_owned();
    let others = |genuine: &str| {
        [
            json!("https://attacker.example"),
            json!(""),
            json!(format!("{genuine}/")),
            json!(format!("{genuine} ")),
            json!(genuine.to_uppercase()),
            json!(&genuine[..genuine.len() - 1]),
            json!(["https://attacker.example"]),
            json!([]),
            json!([[genuine]]),
            json!({ "0": genuine }),
            json!(null),
            json!(1),
        ]
    };
    for (member, genuine) in [("iss", issuer), ("aud", audience)] {
        for other in others(&genuine) {
            let token = target.signed(&target.header(), &target.claims_with(member, other));
            target.refuses(&token).await;
        }
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_that_lacks_a_claim_is_refused() {
    let target = target().await;
    let mut names: Vec<String> = target.claims().as_object().unwrap().keys().cloned().collect();
    for required in ["exp", "iss", "aud", "sub", "iat", "jti", "client_id", "scope", "sid"] {
        assert!(names.iter().any(|name| name == required), "{required}");
    }
    names.retain(|name| !OF_THE_LOGIN.contains(&name.as_str()));
    for name in names {
        let mut claims = target.claims();
        claims.as_object_mut().unwrap().remove(&name);
        let token = target.signed(&target.header(), &claims);
        target.refuses(&token).await;
        let token = target.signed(&target.header(), &target.claims_with(&name, Value::Null));
        target.refuses(&token).await;
    }
    target.still_serves().await;
}

/// The release before says nothing of the login: of its tokens the session tells.
#[tokio::test]
async fn a_token_that_says_nothing_of_the_login_is_believed_and_its_session_is_asked() {
    let target = target().await;
    let operator = operator(&target.server).await;
    let inspector = register(&operator, "inspector", Wanted::confidential("introspect")).await.unwrap();
    let opened = target.now();
    target.server.clock.advance(Duration::from_mins(1));
    let mut claims = target.claims();
    for name in OF_THE_LOGIN {
        claims.as_object_mut().unwrap().remove(name).unwrap();
    }
    let token = target.signed(&target.header(), &claims);
    target.accepts(&token).await;
    let form = [("client_id", &*inspector.id), ("client_secret", &inspector.secret), ("token", &token)];
    let told = target.server.http().post("/oauth2/introspect", &form).await.ok();
    assert_eq!((&told["amr"], &told["auth_time"]), (&json!(["pwd"]), &json!(opened)), "{told}");
    target.still_serves().await;
}

#[tokio::test]
async fn a_claim_of_the_wrong_kind_is_refused() {
    let target = target().await;
    let late = target.now() + TTL;
    let not_a_time =
        [json!(late.to_string()), json!(true), json!([late]), json!({}), json!(1e300), json!("")];
    for time in ["exp", "iat", "nbf", "auth_time"] {
        for value in &not_a_time {
            let token = target.signed(&target.header(), &target.claims_with(time, value.clone()));
            target.refuses(&token).await;
        }
        // One more than an i64 holds.
        let token = target.signed(&target.header(), &target.claims_with(time, json!(1_u64 << 63)));
        target.refuses(&token).await;
    }
    for id in ["sub", "jti", "sid"] {
        for value in
            [json!("alice"), json!(""), json!(7), json!([]), json!("0197-"), json!("\u{661}".repeat(36))]
        {
            let token = target.signed(&target.header(), &target.claims_with(id, value));
            target.refuses(&token).await;
        }
    }
    for value in
        [json!("pwd"), json!(1), json!({}), json!([1]), json!([["pwd"]]), json!(["p wd"]), json!([""])]
    {
        let token = target.signed(&target.header(), &target.claims_with("amr", value));
        target.refuses(&token).await;
    }
    for text in ["client_id", "scope", "acr"] {
        for value in [json!(1), json!(["profile"]), json!({})] {
            let token = target.signed(&target.header(), &target.claims_with(text, value));
            target.refuses(&token).await;
        }
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_subject_that_nobody_is_has_no_standing() {
    let target = target().await;
    for nobody in ["00000000-0000-0000-0000-000000000000", "0197c2f0-0000-7000-8000-000000000000"] {
        let token = target.signed(&target.header(), &target.claims_with("sub", nobody.into()));
        target.refuses_as("TOKEN_REVOKED", &token).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_member_that_stands_twice_is_refused() {
    let target = target().await;
    let (header, claims) = (target.header(), target.claims());
    // Whichever of the two another verifier takes, this one takes neither.
    let twice = |object: &Value, name: &str, value: &Value| {
        let text = object.to_string();
        let (inner, member) = (&text[1..text.len() - 1], format!("{}:{value}", json!(name)));
        [format!("{{{member},{inner}}}"), format!("{{{inner},{member}}}")]
    };
    for (name, other) in [("alg", "none"), ("alg", "ES256"), ("kid", "other"), ("typ", "JWT")] {
        for header in twice(&header, name, &other.into()) {
            let token = target.signed_text(&header, claims.to_string());
            target.refuses(&token).await;
        }
    }
    for (name, genuine) in claims.as_object().unwrap() {
        for claims in twice(&claims, name, genuine) {
            let token = target.signed_text(header.to_string(), &claims);
            target.refuses(&token).await;
        }
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_payload_that_is_no_object_is_refused() {
    let target = target().await;
    let claims = target.claims().to_string();
    let nested = "[".repeat(3_000);
    let texts = [
        b"".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"\"text\"".to_vec(),
        b"{".to_vec(),
        nested.into_bytes(),
        format!("{claims}{claims}").into_bytes(),
        format!("\u{feff}{claims}").into_bytes(),
        format!("[{claims}]").into_bytes(),
        [claims.as_bytes(), b"\0"].concat(),
        vec![0xff; 32],
    ];
    for text in texts {
        let token = target.signed_text(target.header().to_string(), &text);
        target.refuses(&token).await;
        let token = target.signed_text(&text, &claims);
        target.refuses(&token).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_is_believed_neither_before_nor_after_its_time() {
    let target = target().await;
    let now = target.now();
    for member in ["nbf", "iat"] {
        for from in [now + LEEWAY + 1, now + TTL, i64::MAX] {
            let token = target.signed(&target.header(), &target.claims_with(member, from.into()));
            target.refuses(&token).await;
        }
        for from in [now + LEEWAY, now, 0, -1, i64::MIN] {
            let token = target.signed(&target.header(), &target.claims_with(member, from.into()));
            target.accepts(&token).await;
        }
    }
    for until in [now - LEEWAY, now - TTL, 1, 0, -1, i64::MIN] {
        let token = target.signed(&target.header(), &target.claims_with("exp", until.into()));
        target.refuses_as("TOKEN_EXPIRED", &token).await;
    }
    for until in [now - LEEWAY + 1, i64::MAX] {
        let token = target.signed(&target.header(), &target.claims_with("exp", until.into()));
        target.accepts(&token).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_that_was_refused_for_being_early_is_believed_once_its_time_has_come() {
    let target = target().await;
    let early = target.now() + 60;
    let token = target.signed(&target.header(), &target.claims_with("nbf", early.into()));
    target.refuses(&token).await;
    target.server.clock.advance(Duration::from_mins(1));
    target.accepts(&token).await;
    target.still_serves().await;
}
