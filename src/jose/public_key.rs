//! Owns which JSON Web Keys verify signatures, each by one algorithm: RFC 7517, RFC 7518 section 6, RFC 8037.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use base64ct::{Base64UrlUnpadded, Encoding};
use jsonwebtoken::jwk::{
    self, AlgorithmParameters, EllipticCurve, KeyAlgorithm, KeyOperations, PublicKeyUse,
};

use super::Jwk;

/// What a public key verifies by: one algorithm for each kind of key, and PS256 for RSA, too.
pub const PUBLIC_KEY_ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "RS256", "PS256"];

/// The size of an RSA modulus: at least 2048 bits (RFC 7518 section 3.3), and no more than the verifier takes.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A public key and the one algorithm that it verifies: a signature cannot choose another (RFC 8725 section 3.1).
#[derive(Debug)]
pub struct PublicKey {
    alg: KeyAlgorithm,
    name: &'static str,
    bytes: Vec<u8>,
    key: ParsedPublicKey,
}

/// An algorithm, its name in JOSE headers, and what verifies by it.
type Verifying = (KeyAlgorithm, &'static str, &'static dyn VerificationAlgorithm);

impl PublicKey {
    /// The key that `jwk` holds. An RSA key that names no algorithm is for RS256.
    ///
    /// # Errors
    /// What is wrong with it: the rest of a sentence that begins with the key.
    pub fn of(jwk: &Jwk) -> Result<Self, String> {
        let common = &jwk.0.common;
        if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature)
            || common.key_operations.as_ref().is_some_and(|uses| !uses.contains(&KeyOperations::Verify))
        {
            return Err("is not for signatures".to_owned());
        }
        let ((alg, name, verifying), bytes) = parts(&jwk.0)?;
        let key = ParsedPublicKey::new(verifying, &bytes)
            .map_err(|_| "is not valid: no point of its curve, or no modulus and exponent")?;
        Ok(Self { alg, name, bytes, key })
    }

    /// The algorithm's name in JOSE headers: one of [`PUBLIC_KEY_ALGORITHMS`].
    #[must_use]
    pub const fn algorithm_name(&self) -> &'static str {
        self.name
    }

    /// Whether `signature` is the key's own of `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    pub(super) const fn alg(&self) -> KeyAlgorithm {
        self.alg
    }

    /// Whether this and `other` verify the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.alg == other.alg && self.bytes == other.bytes
    }
}

/// What verifies by the one algorithm of a key, and the key as that takes it.
fn parts(jwk: &jwk::Jwk) -> Result<(Verifying, Vec<u8>), String> {
    let named = jwk.common.key_algorithm;
    let (default, bytes) = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            // The uncompressed point (SEC 1 section 2.3.3).
            (KeyAlgorithm::ES256, [&[4][..], &coordinate(&key.x)?, &coordinate(&key.y)?].concat())
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (KeyAlgorithm::EdDSA, coordinate(&key.x)?)
        }
        AlgorithmParameters::RSA(key) => {
            let components = RsaPublicKeyComponents { n: decoded(&key.n)?, e: decoded(&key.e)? };
            if !RSA_MODULUS_BYTES.contains(&components.n.len()) {
                return Err("is not of 2048 to 8192 bits".to_owned());
            }
            let der: PublicKeyX509Der<'_> = components.as_der().map_err(|_| "is no RSA key")?;
            (KeyAlgorithm::RS256, der.as_ref().to_vec())
        }
        _ => return Err("is neither of P-256, nor Ed25519, nor RSA".to_owned()),
    };
    let alg = named.unwrap_or(default);
    let verifying: Verifying = match (default, alg) {
        (KeyAlgorithm::ES256, KeyAlgorithm::ES256) => (alg, "ES256", &ECDSA_P256_SHA256_FIXED),
        (KeyAlgorithm::EdDSA, KeyAlgorithm::EdDSA) => (alg, "EdDSA", &ED25519),
        (KeyAlgorithm::RS256, KeyAlgorithm::RS256) => (alg, "RS256", &RSA_PKCS1_2048_8192_SHA256),
        (KeyAlgorithm::RS256, KeyAlgorithm::PS256) => (alg, "PS256", &RSA_PSS_2048_8192_SHA256),
        _ => return Err("has an `alg` that is not one of ES256, EdDSA, RS256, PS256 for its kind".to_owned()),
    };
    Ok((verifying, bytes))
}

/// Both curves have coordinates of 32 bytes.
fn coordinate(text: &str) -> Result<Vec<u8>, String> {
    decoded(text).ok().filter(|bytes| bytes.len() == 32).ok_or_else(|| "is not of 32 bytes".to_owned())
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| "is not in base64url".to_owned())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_verifies_its_own_signatures_alone() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = Base64UrlUnpadded::encode_string(pair.public_key().as_ref());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        let key = PublicKey::of(&serde_json::from_value(jwk).unwrap()).unwrap();
        let signature = pair.sign(b"message");
        assert!(key.verifies(b"message", signature.as_ref()));
        assert!(!key.verifies(b"another", signature.as_ref()) && !key.verifies(b"message", b""));
        assert!(PUBLIC_KEY_ALGORITHMS.contains(&key.algorithm_name()));
    }
}
