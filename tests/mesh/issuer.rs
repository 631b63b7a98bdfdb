//! Owns an issuer of tokens that Signet would not issue, as whoever had a stolen key could make them.

use std::net::SocketAddr;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::upstream::Upstream;

const KID: &str = "stolen";

/// A key, and the keys that it publishes at any path.
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    published: Upstream,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        // Uncompressed: a byte that says so, and the two coordinates.
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let jwk =
            json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KID, "x": x, "y": y });
        let published = Upstream::saying(json!({ "keys": [jwk] }).to_string()).await;
        Self { key, published }
    }

    /// Where the keys are.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.published.addr
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": KID });
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let content = format!("{header}.{claims}");
        let signature = self.key.sign(&SystemRandom::new(), content.as_bytes()).unwrap();
        format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
