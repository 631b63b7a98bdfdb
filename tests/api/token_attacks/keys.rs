//! Owns the attacks on the signature: no key, the wrong key, and a key for another algorithm.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, ThumbprintHash},
};
use pkcs8::PrivateKeyInfoRef;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use signet::model::SigningAlg;
use tonic::Code;

use super::{Target, algorithm, encoding_key, sign, unsigned};
use crate::harness::{TestServer, assert_refused};

const ALL: [SigningAlg; 4] = [SigningAlg::Es256, SigningAlg::EdDsa, SigningAlg::Rs256, SigningAlg::Hs256];

/// A private key of the attacker's own.
fn attackers_key(alg: SigningAlg) -> EncodingKey {
    let random = SystemRandom::new();
    let bytes = match alg {
        SigningAlg::Es256 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap().as_ref().to_vec()
        }
        SigningAlg::EdDsa => Ed25519KeyPair::generate_pkcs8v1(&random).unwrap().as_ref().to_vec(),
        SigningAlg::Rs256 => {
            let der: Pkcs8V1Der<'_> = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
            PrivateKeyInfoRef::try_from(der.as_ref()).unwrap().private_key.as_bytes().to_vec()
        }
        SigningAlg::Hs256 => b"a secret of the attacker's own!!".to_vec(),
    };
    encoding_key(alg, &bytes)
}

/// The forms in which a key that is published can be fed to HMAC by mistake: the bytes of the key, its SPKI document, that
/// as PEM text, and the text of the JWK.
async fn published_forms(target: &Target) -> Vec<Vec<u8>> {
    let private = &target.private_key;
    let (raw, spki): (Vec<u8>, PublicKeyX509Der<'_>) = match target.alg {
        SigningAlg::Es256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).unwrap();
            (pair.public_key().as_ref().to_vec(), pair.public_key().as_der().unwrap())
        }
        SigningAlg::EdDsa => {
            let pair = Ed25519KeyPair::from_pkcs8(private).unwrap();
            (pair.public_key().as_ref().to_vec(), pair.public_key().as_der().unwrap())
        }
        SigningAlg::Rs256 => {
            let pair = rsa::KeyPair::from_der(private).unwrap();
            (pair.public_key().as_ref().to_vec(), pair.public_key().as_der().unwrap())
        }
        // Nothing is published: what is left is to guess.
        SigningAlg::Hs256 => return Vec::new(),
    };
    let lines: Vec<_> = STANDARD.encode(spki.as_ref()).into_bytes().chunks(64).map(<[u8]>::to_vec).collect();
    let pem =
        [&b"-----BEGIN PUBLIC KEY-----\n"[..], &lines.join(&b'\n'), b"\n-----END PUBLIC KEY-----"].concat();
    let jwks = target.server.http_get("/.well-known/jwks.json").await.into_body();
    let set: Value = serde_json::from_str(&jwks).unwrap();
    let jwk = set["keys"][0].clone();
    assert_eq!(jwk["kid"], target.kid.0);
    let mut forms = vec![raw, spki.as_ref().to_vec(), [&pem[..], b"\n"].concat(), pem];
    forms.extend([jwks.into_bytes(), jwk.to_string().into_bytes()]);
    for member in ["x", "y", "n", "e"].into_iter().filter_map(|name| jwk[name].as_str()) {
        forms.extend([member.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(member).unwrap()]);
    }
    forms
}

#[tokio::test]
async fn a_token_that_claims_to_need_no_signature_is_refused() {
    for alg in ALL {
        let target = Target::new(alg).await;
        let signature = target.genuine.rsplit('.').next().unwrap().to_owned();
        for none in ["none", "None", "NONE", "nOnE", " none", "none ", "", "null"] {
            let header = target.header_with("alg", none.into());
            let message = unsigned(header.to_string(), target.claims().to_string());
            for ending in ["", ".", &format!(".{signature}"), ".AA"] {
                target.refuses(&format!("{message}{ending}")).await;
            }
            // Even a signature by the right key does not help.
            let token = target.signed(&header, &target.claims());
            target.refuses(&token).await;
        }
        target.still_serves().await;
    }
}

#[tokio::test]
async fn an_algorithm_that_is_no_algorithm_is_refused() {
    let target = Target::new(SigningAlg::Es256).await;
    for odd in
        [json!(null), json!(0), json!(["ES256"]), json!({}), json!("es256"), json!("ES256K"), json!("ES512")]
    {
        let token = target.signed(&target.header_with("alg", odd), &target.claims());
        target.refuses(&token).await;
    }
    let mut header = target.header();
    header.as_object_mut().unwrap().remove("alg");
    let token = target.signed(&header, &target.claims());
    target.refuses(&token).await;
    target.still_serves().await;
}

#[tokio::test]
async fn a_published_key_is_no_secret_to_sign_with() {
    for alg in ALL {
        let target = Target::new(alg).await;
        let mut secrets = published_forms(&target).await;
        secrets.extend([Vec::new(), b"secret".to_vec(), target.kid.0.clone().into_bytes(), vec![0; 32]]);
        for hmac in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = target.header_with("alg", serde_json::to_value(hmac).unwrap());
            for secret in &secrets {
                let key = EncodingKey::from_secret(secret);
                let token = sign(header.to_string(), target.claims().to_string(), &key, hmac);
                target.refuses(&token).await;
                // The same signature, under the algorithm that the key is for.
                let token = sign(target.header().to_string(), target.claims().to_string(), &key, hmac);
                target.refuses(&token).await;
            }
        }
        target.still_serves().await;
    }
}

#[tokio::test]
async fn a_foreign_key_is_refused_under_its_own_id_and_under_the_servers() {
    let attackers: Vec<_> = ALL.into_iter().map(|alg| (alg, attackers_key(alg))).collect();
    for alg in ALL {
        let target = Target::new(alg).await;
        let claims = target.claims().to_string();
        for (theirs, key) in &attackers {
            let jwk = Jwk::from_encoding_key(key, algorithm(*theirs)).unwrap();
            let own_kid = jwk.thumbprint(ThumbprintHash::SHA256).unwrap();
            for kid in [own_kid.as_str(), target.kid.0.as_str()] {
                let header = json!({ "typ": "at+jwt", "alg": theirs.name(), "kid": kid });
                target.refuses(&sign(header.to_string(), &claims, key, algorithm(*theirs))).await;
                // It says that it is what the server's key is for.
                let header = json!({ "typ": "at+jwt", "alg": alg.name(), "kid": kid });
                target.refuses(&sign(header.to_string(), &claims, key, algorithm(*theirs))).await;
            }
        }
        target.still_serves().await;
    }
}

#[tokio::test]
async fn the_right_key_under_the_name_of_another_algorithm_is_refused() {
    for alg in ALL {
        let target = Target::new(alg).await;
        for other in
            ["HS256", "HS384", "HS512", "ES256", "ES384", "EdDSA", "RS256", "RS384", "PS256", "PS512"]
        {
            if other != alg.name() {
                let token = target.signed(&target.header_with("alg", other.into()), &target.claims());
                target.refuses(&token).await;
            }
        }
        target.still_serves().await;
    }
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_is_never_believed() {
    let target = Target::new(SigningAlg::Es256).await;
    let key = attackers_key(SigningAlg::Es256);
    let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    let own_kid = jwk.thumbprint(ThumbprintHash::SHA256).unwrap();
    let jwk = serde_json::to_value(&jwk).unwrap();
    let brought = [
        ("jwk", jwk.clone()),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("jwks", json!({ "keys": [jwk] })),
    ];
    for (member, value) in brought {
        for kid in [Some(json!(own_kid)), Some(json!(target.kid.0)), None] {
            let mut header = target.header_with(member, value.clone());
            match kid {
                Some(kid) => header["kid"] = kid,
                None => drop(header.as_object_mut().unwrap().remove("kid")),
            }
            let token = sign(header.to_string(), target.claims().to_string(), &key, Algorithm::ES256);
            target.refuses(&token).await;
        }
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_key_id_that_is_no_key_of_the_server_is_refused_whatever_it_says() {
    let target = Target::new(SigningAlg::Es256).await;
    let long = "k".repeat(5_000);
    let upper = target.kid.0.to_uppercase();
    for kid in [
        "",
        " ",
        "*",
        "../../../etc/passwd",
        "/dev/null",
        "' OR '1'='1",
        "\0",
        "%",
        "\u{1f511}",
        &long,
        &upper,
    ] {
        let token = target.signed(&target.header_with("kid", kid.into()), &target.claims());
        target.refuses(&token).await;
    }
    for kid in [json!(null), json!(0), json!([target.kid.0]), json!({ "kid": target.kid.0 })] {
        let token = target.signed(&target.header_with("kid", kid), &target.claims());
        target.refuses(&token).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_does_not_outlive_its_key() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    client.get_me(&token).await.unwrap();
    let (data, clock) = server.stop().await;
    let db = data.connect().await;
    db.execute_unprepared("DELETE FROM signing_keys").await.unwrap();
    db.close().await.unwrap();

    let server = TestServer::start_in(data, clock, &[]).await;
    let mut client = server.client().await;
    assert_refused(client.get_me(&token).await, Code::Unauthenticated, "TOKEN_INVALID");
    let token = client.log_in("alice", crate::harness::PASSWORD).await.unwrap().access_token;
    client.get_me(&token).await.unwrap();
}
