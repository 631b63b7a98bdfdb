//! Owns private keys: making them, what they sign, and what verifies their signatures.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::{SecureRandom, SystemRandom},
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Jwk, PublicKey, VerifyingKey};
use crate::model::{Error, KeyId, SigningAlg};

/// The size of a key for HS256: that of its hash (RFC 7518 section 3.2).
const HS256_BYTES: usize = 32;

/// What a PKCS#8 key is of, by its algorithm (RFC 5480, RFC 8410, RFC 8017).
const PKCS8_ALGORITHMS: [(ObjectIdentifier, SigningAlg); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"), SigningAlg::Es256),
    (ObjectIdentifier::new_unwrap("1.3.101.112"), SigningAlg::EdDsa),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"), SigningAlg::Rs256),
];

/// A private key, or the secret of a symmetric algorithm.
pub struct PrivateKey {
    kid: KeyId,
    alg: SigningAlg,
    bytes: Zeroizing<Vec<u8>>,
    /// What verifies its signatures.
    jwk: Jwk,
}

/// What signs with a private key.
pub struct Signer {
    header: Header,
    key: EncodingKey,
}

impl PrivateKey {
    /// A new key for `alg`. To be called where a second of computing stands in nobody's way: so long an RSA key takes.
    ///
    /// # Errors
    /// [`Error::Internal`] if none can be made.
    pub fn generate(alg: SigningAlg) -> Result<Self, Error> {
        let failed = |_| Error::internal(format!("no {alg} key could be made"));
        let random = SystemRandom::new();
        let bytes = match alg {
            SigningAlg::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            SigningAlg::EdDsa => Ed25519KeyPair::generate_pkcs8v1(&random).map_err(failed)?.as_ref().to_vec(),
            SigningAlg::Rs256 => {
                let pair = rsa::KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                let info = PrivateKeyInfoRef::try_from(der.as_ref())
                    .map_err(|error| Error::internal(format!("PKCS#8: {error}")))?;
                info.private_key.as_bytes().to_vec()
            }
            SigningAlg::Hs256 => {
                let mut secret = vec![0; HS256_BYTES];
                random.fill(&mut secret).map_err(failed)?;
                secret
            }
        };
        Self::from_bytes(alg, Zeroizing::new(bytes))
    }

    /// The key whose [`Self::bytes`] are these.
    ///
    /// # Errors
    /// [`Error::Internal`] if they are not those of a key for `alg`.
    pub fn from_bytes(alg: SigningAlg, bytes: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let jwk = jwk::Jwk::from_encoding_key(&encoding_key(alg, &bytes), Algorithm::from(alg));
        let jwk = Jwk(jwk.map_err(Error::internal)?);
        let kid = jwk.thumbprint().map_err(Error::internal)?;
        Ok(Self { kid, alg, bytes, jwk })
    }

    /// The key in `text`: PKCS#8 in PEM, which signs by the algorithm of its kind.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let not_pkcs8 = "holds no private key in PKCS#8 (`openssl pkcs8 -topk8 -nocrypt`)";
        let (label, document) =
            SecretDocument::from_pem(text).map_err(|error| format!("is not PEM: {error}"))?;
        if label != "PRIVATE KEY" {
            return Err(not_pkcs8.to_owned());
        }
        let info = PrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| not_pkcs8.to_owned())?;
        let known = PKCS8_ALGORITHMS.iter().find(|(of, _)| *of == info.algorithm.oid);
        let (_, alg) = known.ok_or("holds a key of a kind that is not supported: ES256, EdDSA or RS256")?;
        let bytes = if *alg == SigningAlg::Rs256 { info.private_key.as_bytes() } else { document.as_bytes() };
        Self::from_bytes(*alg, Zeroizing::new(bytes.to_vec()))
            .map_err(|_| format!("holds a key that {alg} cannot sign with"))
    }

    /// What the key is kept as: PKCS#8 (ES256, EdDSA), PKCS#1 (RS256), or the secret itself (HS256).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key's id, its thumbprint (RFC 7638).
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The one algorithm that it signs by.
    #[must_use]
    pub const fn algorithm(&self) -> SigningAlg {
        self.alg
    }

    /// What signs with the key, and says that what it signs is of the type `typ`.
    #[must_use]
    pub fn signer(&self, typ: &str) -> Signer {
        let header = Header {
            typ: Some(typ.to_owned()),
            kid: Some(self.kid.0.clone()),
            ..Header::new(Algorithm::from(self.alg))
        };
        Signer { header, key: encoding_key(self.alg, &self.bytes) }
    }

    /// What verifies the key's signatures.
    ///
    /// # Errors
    /// [`Error::Internal`] if it is not a key after all.
    pub fn verifying_key(&self) -> Result<VerifyingKey, Error> {
        if !self.alg.is_asymmetric() {
            return Ok(VerifyingKey::symmetric(self.kid.clone(), &self.bytes));
        }
        let public = PublicKey::of(&self.jwk);
        let key = public.and_then(|public| VerifyingKey::new(self.kid.clone(), public));
        key.map_err(|problem| Error::internal(format!("the key {} {problem}", self.kid)))
    }

    /// The public key, for others to verify with. None of a symmetric key: whoever has it can sign.
    #[must_use]
    pub fn public_jwk(&self) -> Option<Jwk> {
        let alg = Algorithm::from(self.alg).into();
        self.alg.is_asymmetric().then(|| self.jwk.clone().with(alg, self.kid.0.clone()))
    }
}

impl Signer {
    /// The same, which does not say which key it is.
    #[must_use]
    pub fn without_kid(mut self) -> Self {
        self.header.kid = None;
        self
    }

    /// `claims` as a compact JWT (RFC 7519 section 7.1).
    ///
    /// # Errors
    /// [`Error::Internal`] if the key does not sign.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        jsonwebtoken::encode(&self.header, claims, &self.key).map_err(Error::internal)
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("kid", &self.header.kid).finish_non_exhaustive()
    }
}

fn encoding_key(alg: SigningAlg, bytes: &[u8]) -> EncodingKey {
    match alg {
        SigningAlg::Es256 => EncodingKey::from_ec_der(bytes),
        SigningAlg::EdDsa => EncodingKey::from_ed_der(bytes),
        SigningAlg::Rs256 => EncodingKey::from_rsa_der(bytes),
        SigningAlg::Hs256 => EncodingKey::from_secret(bytes),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::jose::CompactJws;

    #[test]
    fn what_a_key_of_each_algorithm_signs_it_verifies_and_no_other_does() {
        let all = [SigningAlg::Es256, SigningAlg::EdDsa, SigningAlg::Rs256, SigningAlg::Hs256];
        for alg in all {
            let [key, other] = [alg, alg].map(|alg| PrivateKey::generate(alg).unwrap());
            let text = key.signer("at+jwt").sign(&json!({ "sub": "alice" })).unwrap();
            let jws = CompactJws::parse(&text).unwrap();
            assert_eq!(
                (jws.header().alg.as_str(), jws.header().kid.as_ref()),
                (alg.name(), Some(&key.kid().0))
            );
            assert!(jws.header().is_of_type("at+jwt"));
            assert_eq!(jws.payload::<Value>().unwrap(), json!({ "sub": "alice" }));

            let (message, mut signature) = (jws.signing_input().as_bytes(), jws.signature().unwrap());
            let verifying = key.verifying_key().unwrap();
            assert!(verifying.verifies(message, &signature) && verifying.algorithm_name() == alg.name());
            assert!(!other.verifying_key().unwrap().verifies(message, &signature), "another key");
            signature[0] ^= 1;
            assert!(!verifying.verifies(message, &signature), "another signature");
        }
    }

    #[test]
    fn a_key_that_was_kept_is_the_same_and_shows_only_its_public_part() {
        for alg in [SigningAlg::Es256, SigningAlg::EdDsa, SigningAlg::Rs256, SigningAlg::Hs256] {
            let key = PrivateKey::generate(alg).unwrap();
            let kept = PrivateKey::from_bytes(alg, Zeroizing::new(key.bytes().to_vec())).unwrap();
            assert_eq!((kept.kid(), kept.algorithm()), (key.kid(), alg));
            assert_eq!(kept.public_jwk().is_some(), alg.is_asymmetric());
            if let Some(jwk) = kept.public_jwk() {
                assert_eq!((jwk.kid(), jwk.signing_alg()), (Some(key.kid().0.as_str()), Some(alg)));
                assert_eq!(jwk.thumbprint().unwrap(), *key.kid());
                assert!(!crate::jose::is_secret(&serde_json::to_value(&jwk).unwrap()));
            }
            assert!(!format!("{key:?}{:?}", key.signer("JWT")).contains("bytes"));
        }
        assert!(PrivateKey::from_bytes(SigningAlg::Es256, Zeroizing::new(vec![0; 32])).is_err());
    }
}
