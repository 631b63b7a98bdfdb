//! Owns JSON Web Keys and sets of them (RFC 7517), and their thumbprints (RFC 7638).

use std::fmt;

use jsonwebtoken::{
    Algorithm,
    jwk::{self, CommonParameters, KeyAlgorithm, PublicKeyUse, ThumbprintHash},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PublicKey;
use crate::model::{KeyId, SigningAlg};

/// The longest `kid` in bytes that is read.
pub const KID_MAX_BYTES: usize = 255;

/// The members of a JWK that are secret (RFC 7518 section 6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A JSON Web Key. That it is a key of its kind, [`PublicKey::of`] finds out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Jwk(pub(super) jwk::Jwk);

/// A JWK Set (RFC 7517 section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// Without what the key is made of: of a symmetric one that is the secret.
impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alg = self.0.common.key_algorithm;
        f.debug_struct("Jwk").field("kid", &self.kid()).field("alg", &alg).finish_non_exhaustive()
    }
}

impl Jwk {
    /// The key's id, if it has one (`kid`).
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.0.common.key_id.as_deref()
    }

    /// The algorithm that it is for (`alg`), if it is one that the service signs with.
    #[must_use]
    pub const fn signing_alg(&self) -> Option<SigningAlg> {
        match self.0.common.key_algorithm {
            Some(KeyAlgorithm::ES256) => Some(SigningAlg::Es256),
            Some(KeyAlgorithm::EdDSA) => Some(SigningAlg::EdDsa),
            Some(KeyAlgorithm::RS256) => Some(SigningAlg::Rs256),
            Some(KeyAlgorithm::HS256) => Some(SigningAlg::Hs256),
            _ => None,
        }
    }

    /// The key's SHA-256 thumbprint (RFC 7638).
    ///
    /// # Errors
    /// If the key is of a kind that has none.
    pub fn thumbprint(&self) -> Result<KeyId, String> {
        self.0.thumbprint(ThumbprintHash::SHA256).map(KeyId).map_err(|error| error.to_string())
    }

    /// The key, for signatures by the algorithm of `key` alone, which was made of it, and with the id `kid`. Nothing else that was said of
    /// it is kept.
    #[must_use]
    pub fn for_signatures(self, key: &PublicKey, kid: String) -> Self {
        self.with(key.alg(), kid)
    }

    pub(super) fn with(self, alg: KeyAlgorithm, kid: String) -> Self {
        let common = CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(alg),
            key_id: Some(kid),
            ..CommonParameters::default()
        };
        Self(jwk::Jwk { common, algorithm: self.0.algorithm })
    }
}

/// Whether `jwk` holds what must be known to nobody else: a private key, or a symmetric one.
#[must_use]
pub fn is_secret(jwk: &Value) -> bool {
    PRIVATE_MEMBERS.iter().any(|member| jwk.get(member).is_some())
}

impl From<SigningAlg> for Algorithm {
    fn from(alg: SigningAlg) -> Self {
        match alg {
            SigningAlg::Es256 => Self::ES256,
            SigningAlg::EdDsa => Self::EdDSA,
            SigningAlg::Rs256 => Self::RS256,
            SigningAlg::Hs256 => Self::HS256,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn thumbprints_are_those_of_the_rfcs() {
        // RFC 7638 section 3.1, RFC 8037 appendix A.3.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
        let okp =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        for (jwk, thumbprint) in [
            (rsa, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (okp, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        ] {
            let jwk: Jwk = serde_json::from_value(jwk).unwrap();
            assert_eq!(jwk.thumbprint().unwrap().0, thumbprint);
        }
    }

    #[test]
    fn a_log_that_is_told_a_key_has_no_secret_of_it() {
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let jwk = json!({ "kty": "oct", "alg": "HS256", "kid": "ours", "k": secret });
        let keys = JwkSet { keys: vec![serde_json::from_value(jwk).unwrap()] };
        let told = format!("{keys:?}");
        assert!(told.contains("ours") && told.contains("HS256"), "{told}");
        assert!(!told.contains(secret), "{told}");
    }

    #[test]
    fn a_key_for_signatures_says_nothing_else_of_itself() {
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "key_ops": ["verify"], "x5u": "https://attacker.example",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
        });
        let jwk: Jwk = serde_json::from_value(jwk).unwrap();
        let key = PublicKey::of(&jwk).unwrap();
        let bare = jwk.for_signatures(&key, "k".to_owned());
        assert_eq!((bare.kid(), bare.signing_alg()), (Some("k"), Some(SigningAlg::Es256)));
        let mut members: Vec<_> =
            serde_json::to_value(&bare).unwrap().as_object().unwrap().keys().cloned().collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
}
