//! Owns the attacks on a token's form: cut, bent, padded, swollen, and no token at all.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use proptest::prelude::*;
use serde_json::json;
use signet::{
    auth::{Authenticator, Standing, Stands, Verifier},
    changes::Watermark,
    identity::{KeyRotation, Keyring, MasterKey},
    model::{Claims, Error, SigningAlg},
    proto::identity::v1::GetMeRequest,
    store::ChangeOrder,
};
use tonic::{
    Code, Request,
    metadata::{Ascii, MetadataValue},
};

use super::Target;
use crate::harness::{assert_refused, config, unaudited};

async fn target() -> Target {
    Target::new(SigningAlg::Es256).await
}

fn parts(token: &str) -> [String; 3] {
    token.split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
}

#[tokio::test]
async fn a_signature_with_any_byte_changed_is_refused() {
    let target = target().await;
    let [header, payload, signature] = parts(&target.genuine);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert_eq!(signature.len(), 64);
    let mut bent: Vec<Vec<u8>> = (0..64)
        .flat_map(|index| [0x01, 0x80].map(|bit| (index, bit)))
        .map(|(index, bit)| {
            let mut bent = signature.clone();
            bent[index] ^= bit;
            bent
        })
        .collect();
    // Cut, grown, empty, and the values at which ECDSA implementations have failed.
    bent.extend((0..64).map(|length| signature[..length].to_vec()));
    bent.extend([[&signature[..], &[0]].concat(), [&[0], &signature[..]].concat(), signature.repeat(2)]);
    bent.extend([vec![0; 64], vec![0xff; 64], [&[0; 31][..], &[1], &[0; 31], &[1]].concat()]);
    // As a DER document, which JWS does not use.
    bent.push([&[0x30, 0x44, 0x02, 0x20][..], &signature[..32], &[0x02, 0x20], &signature[32..]].concat());
    for signature in bent {
        target.refuses(&format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(signature))).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_with_any_character_changed_is_refused() {
    let target = target().await;
    let genuine = target.genuine.clone();
    for (index, character) in genuine.char_indices() {
        let other = if character == 'A' { "B" } else { "A" };
        target.refuses(&format!("{}{other}{}", &genuine[..index], &genuine[index + 1..])).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_cut_at_any_length_is_refused() {
    let target = target().await;
    let genuine = target.genuine.clone();
    for length in 0..genuine.len() {
        target.refuses(&genuine[..length]).await;
    }
    for start in 1..genuine.len() {
        target.refuses(&genuine[start..]).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_payload_changed_under_the_old_signature_is_refused() {
    let target = target().await;
    let bob = target.client.clone().token_of_new("bob").await;
    let [header, payload, signature] = parts(&target.genuine);
    let bobs = parts(&bob);
    // Alice's signature for Bob's claims, and Bob's for Alice's.
    target.refuses(&format!("{header}.{}.{signature}", bobs[1])).await;
    target.refuses(&format!("{header}.{payload}.{}", bobs[2])).await;
    for (member, value) in [
        ("exp", json!(target.now() + 1_000_000)),
        ("scope", json!("profile admin")),
        ("aud", json!("another")),
        ("jti", json!("0197c2f0-0000-7000-8000-000000000000")),
    ] {
        let claims = URL_SAFE_NO_PAD.encode(target.claims_with(member, value).to_string());
        target.refuses(&format!("{header}.{claims}.{signature}")).await;
    }
    // The same claims in other bytes.
    let claims = serde_json::to_string_pretty(&target.claims()).unwrap();
    target.refuses(&format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims))).await;
    target.still_serves().await;
}

#[tokio::test]
async fn what_is_not_three_parts_of_base64url_is_refused() {
    let target = target().await;
    let genuine = target.genuine.clone();
    let [header, payload, signature] = parts(&genuine);
    let mut bad: Vec<String> =
        ["a", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "null", "undefined", "{}", "%00", "<token>"]
            .map(str::to_owned)
            .to_vec();
    bad.extend([
        format!("{genuine}."),
        format!(".{genuine}"),
        format!("{header}..{payload}.{signature}"),
        format!("{header}.{payload}..{signature}"),
        format!("{header}.{genuine}"),
        format!("{genuine}.{signature}"),
        format!("{genuine},{genuine}"),
        format!("\"{genuine}\""),
        format!("Bearer {genuine}"),
        format!("{genuine}{genuine}"),
        // JWE has five parts.
        format!("{genuine}.{payload}.{signature}"),
    ]);
    for blank in [" ", "\t", "%20", "+", "/", "=", "==", "*", "!", "\\"] {
        // Behind `Bearer` there may be more than one space (RFC 9110 section 11.4).
        bad.extend((blank != " ").then(|| format!("{blank}{genuine}")));
        bad.extend([
            format!("{genuine}{blank}"),
            format!("{header}{blank}.{payload}.{signature}"),
            format!("{header}.{blank}{payload}.{signature}"),
            format!("{header}.{payload}{blank}.{signature}"),
            format!("{header}.{payload}.{blank}{signature}"),
        ]);
    }
    for token in bad {
        target.refuses(&token).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn base64url_has_one_spelling() {
    let target = target().await;
    let [header, payload, signature] = parts(&target.genuine);
    // 64 bytes leave four bits of the last character unused: they must be zero.
    let (rest, last) = signature.split_at(signature.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for character in alphabet.chars().filter(|character| !last.contains(*character)) {
        target.refuses(&format!("{header}.{payload}.{rest}{character}")).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_may_be_long_but_not_beyond_its_limit() {
    let target = target().await;
    let token_with = |padding: usize| {
        target.signed(&target.header_with("pad", "x".repeat(padding).into()), &target.claims())
    };
    let (long, too_long) = (token_with(5_000), token_with(6_200));
    assert!(long.len() < 8 * 1024 && too_long.len() > 8 * 1024);
    target.accepts(&long).await;
    target.refuses(&too_long).await;
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_of_a_megabyte_is_refused_and_harms_nobody() {
    let target = target().await;
    let refusal = async |length: usize| {
        // A client of its own: HTTP/2 may end the connection.
        target.server.client().await.get_me(&"a".repeat(length)).await
    };
    assert_refused(refusal(20_000).await, Code::ResourceExhausted, "HEADERS_TOO_LARGE");
    // HTTP/2 refuses by itself what is far beyond the limit: with a status of HTTP (431), which the client cannot place, and
    // then with the connection (ENHANCE_YOUR_CALM).
    assert_eq!(refusal(100_000).await.unwrap_err().code(), Code::Unknown);
    assert_eq!(refusal(1 << 20).await.unwrap_err().code(), Code::ResourceExhausted);
    target.still_serves().await;
}

#[tokio::test]
async fn an_authorization_that_is_not_ascii_is_refused() {
    let target = target().await;
    let genuine = target.genuine.clone().into_bytes();
    let values = [
        "Bearer \u{e9}".as_bytes().to_vec(),
        "B\u{e9}arer token".as_bytes().to_vec(),
        "Bearer \u{1f511}.\u{1f511}.\u{1f511}".as_bytes().to_vec(),
        b"Bearer \xff\xfe\xfd".to_vec(),
        b"\x80".to_vec(),
        [b"Bearer ", &genuine[..], b"\xc2\xa0"].concat(),
        [b"Bearer\xa0", &genuine[..]].concat(),
        // A Cyrillic letter that looks like the Latin one.
        [b"Bearer \xd0\xb5", &genuine[1..]].concat(),
    ];
    for value in values {
        let mut request = Request::new(GetMeRequest {});
        let value = MetadataValue::<Ascii>::try_from(&value[..]).unwrap();
        request.metadata_mut().insert("authorization", value);
        assert_refused(target.client.clone().0.get_me(request).await, Code::Unauthenticated, "TOKEN_INVALID");
    }
    target.still_serves().await;
}

// ===== anything at all =====

/// Every genuine token stands for somebody.
struct AlwaysGood;

impl Standing for AlwaysGood {
    type Found = ();

    async fn check(&self, _: &Claims) -> Result<Stands<()>, Error> {
        Ok(Stands::whole(None))
    }
}

/// Bytes that have something of a token: its parts, pieces of it, and noise between them.
fn token_like(genuine: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let mut pieces: Vec<Vec<u8>> = parts(genuine).map(String::into_bytes).to_vec();
    pieces.extend([b".".to_vec(), b"..".to_vec(), b"=".to_vec(), b" ".to_vec(), genuine.into()]);
    let noise = proptest::collection::vec(any::<u8>(), 0..32);
    let piece =
        prop_oneof![proptest::sample::select(pieces), noise, "[A-Za-z0-9_.-]{0,40}".prop_map(Into::into)];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

#[test]
fn no_bytes_but_a_genuine_token_are_ever_believed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (target, keyring) = runtime.block_on(async {
        let target = target().await;
        let hex = std::fs::read_to_string(target.server.data.path().join("master.key")).unwrap();
        let master_key = MasterKey::from_hex(&hex).unwrap();
        let store = target.server.store().await;
        let settings = config(&target.server.data, &[]).tokens.keys().unwrap();
        let clocks = target.server.clocks(&store);
        let audit = unaudited(&target.server.clock);
        let rotation = KeyRotation::new(store, master_key, settings, clocks, audit);
        let watermark = Arc::new(Watermark::new(&ChangeOrder::Ascending));
        let keyring = Keyring::open(rotation, watermark).await.unwrap();
        (target, keyring)
    });
    let settings = config(&target.server.data, &[]).tokens.verifying();
    let verifier = Verifier::new(Arc::new(keyring), target.server.clock.clone(), settings);
    let authenticator = Authenticator::new(Arc::new(verifier), AlwaysGood);
    let authenticate = |value: &[u8]| {
        let value = HeaderValue::from_bytes(value).ok()?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        Some(runtime.block_on(authenticator.authenticate(&headers)))
    };
    let bearer = |token: &[u8]| [b"Bearer ", token].concat();
    assert!(authenticate(&bearer(target.genuine.as_bytes())).unwrap().is_ok());

    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let anything = prop_oneof![
        token_like(&target.genuine),
        any::<String>().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..600),
    ];
    proptest!(config, |(bytes in anything)| {
        // However many spaces are between it and `Bearer`.
        prop_assume!(String::from_utf8_lossy(&bytes).trim_start_matches(' ') != target.genuine);
        for value in [bearer(&bytes), bytes.clone()] {
            // What is no header value never reaches the service.
            let Some(answer) = authenticate(&value) else { continue };
            prop_assert!(matches!(answer, Err(Error::TokenInvalid(_))), "{answer:?}");
        }
    });
    runtime.block_on(target.still_serves());
}
