//! Owns private keys that sign JWTs: the assertions of a client (RFC 7523), and the tokens of the test issuer.

use std::fmt;

use aws_lc_rs::{
    rand::{self, SystemRandom},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256},
};
use base64ct::{Base64UrlUnpadded, Encoding};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use uuid::Uuid;

/// A private key of P-256 (ES256), Ed25519 (EdDSA) or RSA (RS256). It never shows itself.
pub(crate) enum SigningKey {
    /// P-256.
    Ec(EcdsaKeyPair),
    /// Ed25519.
    Ed(Ed25519KeyPair),
    /// RSA.
    Rsa(rsa::KeyPair),
}

impl SigningKey {
    /// The key in `pem`: PKCS#8, SEC 1 or PKCS#1.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the key, and says nothing of it.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, &'static str> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "is not in PEM")?;
        Self::from_der(der.secret_der())
            .ok_or("is neither of P-256, nor Ed25519, nor RSA of 2048 bits and more")
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Some(Self::Ec(pair));
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Some(Self::Ec(pair));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Some(Self::Ed(pair));
        }
        let pair = rsa::KeyPair::from_pkcs8(der).or_else(|_| rsa::KeyPair::from_der(der)).ok()?;
        Some(Self::Rsa(pair))
    }

    /// A new key of P-256.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn generate() -> Self {
        Self::Ec(
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the system gives random bytes"),
        )
    }

    /// The name of its algorithm in JOSE headers.
    pub(crate) const fn alg(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    /// `claims` as a compact JWT of the type `typ` (RFC 7519 section 7.1).
    ///
    /// # Errors
    /// If the key does not sign.
    pub(crate) fn sign(&self, typ: &str, kid: Option<&str>, claims: &Value) -> Result<String, &'static str> {
        let mut header = json!({ "typ": typ, "alg": self.alg() });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let input = format!("{}.{}", part(&header), part(claims));
        let signature = self.signature(input.as_bytes()).ok_or("does not sign")?;
        Ok(format!("{input}.{}", Base64UrlUnpadded::encode_string(&signature)))
    }

    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Ed(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }

    /// The public part of a key of P-256 as a JWK, with the id `kid`.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn public_jwk(&self, kid: &str) -> Option<Value> {
        use aws_lc_rs::signature::KeyPair;

        let Self::Ec(pair) = self else { return None };
        // The uncompressed point (SEC 1 section 2.3.3).
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..)?.split_at_checked(32)?;
        let [x, y] = [x, y].map(Base64UrlUnpadded::encode_string);
        Some(json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": x, "y": y }))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("alg", &self.alg()).finish_non_exhaustive()
    }
}

/// An id that nobody else has, of 122 random bits (RFC 9562 section 5.4).
pub(crate) fn unique_id() -> Uuid {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let text = base64ct::Base64::encode_string(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    #[test]
    fn keys_of_three_kinds_are_read_and_sign_and_show_nothing() {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8v1(&random).unwrap();
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        for (alg, der) in [("ES256", ec.as_ref()), ("EdDSA", ed.as_ref()), ("RS256", rsa.as_ref())] {
            let key = SigningKey::from_pem(pem("PRIVATE KEY", der).as_bytes()).unwrap();
            assert_eq!(key.alg(), alg);
            let token = key.sign("JWT", Some("k"), &json!({ "sub": "a" })).unwrap();
            assert_eq!(token.split('.').count(), 3);
            assert_eq!(format!("{key:?}"), format!("SigningKey {{ alg: \"{alg}\", .. }}"));
        }
        assert!(SigningKey::from_pem(b"no key").is_err());
        assert!(SigningKey::from_pem(pem("PRIVATE KEY", b"no key").as_bytes()).is_err());
    }

    #[test]
    fn an_id_comes_once() {
        assert_ne!(unique_id(), unique_id());
        assert_eq!(unique_id().get_version_num(), 4);
    }
}
