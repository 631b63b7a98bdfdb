//! Owns reading a public key as X.509 has it (`SubjectPublicKeyInfo`, RFC 5280 section 4.1.2.7) into a JWK.

use jsonwebtoken::{Algorithm, DecodingKey, jwk};
use pkcs8::{ObjectIdentifier, der::Decode, spki::SubjectPublicKeyInfoRef};

use super::Jwk;

/// `id-ecPublicKey` and `prime256v1` (RFC 5480), `rsaEncryption` (RFC 8017), `id-Ed25519` (RFC 8410).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

impl Jwk {
    /// The key in `der`, for the algorithm of its kind: RS256 if it is of RSA.
    ///
    /// # Errors
    /// What is wrong with it: the rest of a sentence that begins with the file.
    pub fn from_spki(der: &[u8]) -> Result<Self, String> {
        let info =
            SubjectPublicKeyInfoRef::from_der(der).map_err(|error| format!("is no public key: {error}"))?;
        let bytes = info.subject_public_key.raw_bytes();
        let curve = || info.algorithm.parameters_oid().ok();
        let (key, alg) = if info.algorithm.oid == ED25519_KEY {
            (DecodingKey::from_ed_der(bytes), Algorithm::EdDSA)
        } else if info.algorithm.oid == RSA_ENCRYPTION {
            (DecodingKey::from_rsa_der(bytes), Algorithm::RS256)
        } else if info.algorithm.oid == EC_PUBLIC_KEY && curve() == Some(P256) {
            (DecodingKey::from_ec_der(bytes), Algorithm::ES256)
        } else {
            return Err("holds a key that is neither of P-256, nor Ed25519, nor RSA".to_owned());
        };
        jwk::Jwk::from_decoding_key(&key, Some(alg))
            .map(Self)
            .map_err(|error| format!("holds a key that cannot be read: {error}"))
    }
}
