//! Owns the public keys of clients: reading what an operator registers, and verifying with it.

use std::collections::HashSet;

use pkcs8::der::Document;
use serde_json::Value;

use crate::jose::{Jwk, JwkSet, KID_MAX_BYTES, PublicKey, is_secret};

/// How many keys a client may have: an assertion that names none is tried with each.
const MAX_KEYS: usize = 8;

/// The public keys of a client.
#[derive(Debug, Default)]
pub(super) struct ClientKeys(Vec<ClientKey>);

#[derive(Debug)]
struct ClientKey {
    kid: String,
    key: PublicKey,
}

impl ClientKeys {
    /// The keys of a JWK Set as [`read_public_keys`] returned it.
    pub(super) fn from_stored(jwks: &str) -> Result<Self, String> {
        let set: JwkSet = serde_json::from_str(jwks).map_err(|error| error.to_string())?;
        set.keys.iter().map(ClientKey::new).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the key `kid`, or without one any key, verifies `signature` of `message` by the algorithm `alg`, which must be the
    /// key's own.
    pub(super) fn verify(&self, kid: Option<&str>, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        self.0
            .iter()
            .filter(|key| kid.is_none_or(|kid| kid == key.kid) && key.key.algorithm_name() == alg)
            .any(|key| key.key.verifies(message, signature))
    }
}

impl ClientKey {
    fn new(jwk: &Jwk) -> Result<Self, String> {
        let key = PublicKey::of(jwk)?;
        let kid = jwk.kid().ok_or("has no `kid`")?;
        Ok(Self { kid: kid.to_owned(), key })
    }
}

/// The public keys that `text` holds, a PEM `PUBLIC KEY`, a JWK or a JWK Set, as a JWK Set in which each key has a `kid` and its one
/// algorithm. An RSA key that names none gets RS256.
///
/// # Errors
/// What is wrong with it: the rest of a sentence that begins with the file.
pub fn read_public_keys(text: &str) -> Result<String, String> {
    let keys = if text.contains("-----BEGIN ") { vec![from_pem(text)?] } else { from_json(text)? };
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(format!("must hold 1 to {MAX_KEYS} keys"));
    }
    let mut kids = HashSet::new();
    let mut set = JwkSet { keys: Vec::with_capacity(keys.len()) };
    for key in keys {
        let key = normalised(key).map_err(|problem| format!("holds a key that {problem}"))?;
        if !kids.insert(key.kid().map(str::to_owned)) {
            return Err("holds two keys with one `kid`".to_owned());
        }
        set.keys.push(key);
    }
    serde_json::to_string(&set).map_err(|error| error.to_string())
}

/// The key with nothing but what is needed of it.
fn normalised(jwk: Jwk) -> Result<Jwk, String> {
    let key = PublicKey::of(&jwk)?;
    let kid = match jwk.kid() {
        Some(kid) if kid.is_empty() || kid.len() > KID_MAX_BYTES => {
            return Err(format!("has a `kid` of 0 or more than {KID_MAX_BYTES} bytes"));
        }
        Some(kid) => kid.to_owned(),
        None => jwk.thumbprint()?.0,
    };
    Ok(jwk.for_signatures(&key, kid))
}

fn from_json(text: &str) -> Result<Vec<Jwk>, String> {
    let is_neither = || "is neither PEM, nor a JWK, nor a JWK Set".to_owned();
    let value: Value = serde_json::from_str(text).map_err(|_| is_neither())?;
    let keys = match value.get("keys") {
        Some(keys) => keys.as_array().cloned().ok_or_else(is_neither)?,
        None => vec![value],
    };
    if keys.iter().any(is_secret) {
        return Err("holds a private or symmetric key: register the public part alone".to_owned());
    }
    keys.into_iter().map(|key| serde_json::from_value(key).map_err(|_| is_neither())).collect()
}

fn from_pem(text: &str) -> Result<Jwk, String> {
    let (label, document) = Document::from_pem(text).map_err(|error| format!("is not PEM: {error}"))?;
    if label.contains("PRIVATE") {
        return Err("holds a private key: register the public part alone (`openssl pkey -pubout`)".to_owned());
    }
    if label != "PUBLIC KEY" {
        return Err(format!("holds a PEM `{label}`, not a `PUBLIC KEY` (`openssl pkey -pubout`)"));
    }
    Jwk::from_spki(document.as_bytes())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, PublicKeyX509Der},
        rand::SystemRandom,
        rsa::{KeyPair as RsaKeyPair, KeySize},
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
    };
    use base64ct::{Base64UrlUnpadded, Encoding};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let lines: Vec<_> = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der)
            .into_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    fn keys(text: &str) -> Vec<Value> {
        let set: Value = serde_json::from_str(&read_public_keys(text).unwrap()).unwrap();
        set["keys"].as_array().unwrap().clone()
    }

    #[test]
    fn pem_of_every_kind_is_read_and_gets_its_algorithm() {
        let random = SystemRandom::new();
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref()).unwrap();
        let ed = Ed25519KeyPair::generate().unwrap();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let spki: [PublicKeyX509Der<'_>; 3] = [
            ec.public_key().as_der().unwrap(),
            ed.public_key().as_der().unwrap(),
            rsa.public_key().as_der().unwrap(),
        ];
        for (der, alg) in spki.iter().zip(["ES256", "EdDSA", "RS256"]) {
            let keys = keys(&pem("PUBLIC KEY", der.as_ref()));
            assert_eq!(
                (keys.len(), keys[0]["alg"].as_str(), keys[0]["use"].as_str()),
                (1, Some(alg), Some("sig"))
            );
            assert_eq!(keys[0]["kid"].as_str().map(str::len), Some(43), "a thumbprint");
        }
        for (label, der) in [("PRIVATE KEY", private.as_ref()), ("CERTIFICATE", spki[0].as_ref())] {
            let problem = read_public_keys(&pem(label, der)).unwrap_err();
            assert!(problem.contains("public") || problem.contains("PUBLIC KEY"), "{problem}");
        }
    }

    #[test]
    fn what_is_no_usable_public_key_is_refused_with_its_reason() {
        let x = Base64UrlUnpadded::encode_string(&[7; 32]);
        let okp = |extra: Value| {
            let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
            key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            key
        };
        for (json, problem) in [
            (okp(json!({ "d": x })), "private"),
            (json!({ "kty": "oct", "k": x }), "symmetric"),
            (okp(json!({ "use": "enc" })), "not for signatures"),
            (okp(json!({ "alg": "RS256" })), "`alg`"),
            (okp(json!({ "alg": "HS256" })), "`alg`"),
            (okp(json!({ "kid": "" })), "`kid`"),
            (json!({ "keys": [okp(json!({ "kid": "a" })), okp(json!({ "kid": "a" }))] }), "one `kid`"),
            (json!({ "keys": [] }), "1 to 8 keys"),
            (json!({ "keys": "none" }), "neither PEM"),
            (json!({ "kty": "EC", "crv": "P-256", "x": x, "y": x }), "its curve"),
            (json!({ "kty": "EC", "crv": "P-384", "x": x, "y": x }), "neither of P-256"),
            (json!({ "kty": "RSA", "n": x, "e": "AQAB" }), "2048"),
            (json!({}), "neither"),
        ] {
            let refused = read_public_keys(&json.to_string()).unwrap_err();
            assert!(refused.contains(problem), "{json}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in ".{0,200}", pem in any::<bool>()) {
            let text = if pem { format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n") } else { text };
            let _ = read_public_keys(&text);
        }
    }
}
