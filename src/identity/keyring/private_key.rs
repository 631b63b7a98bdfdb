//! Owns private keys: making, sealing and opening them, and what each signs and is verified with.

use std::sync::Arc;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::{SecureRandom, SystemRandom},
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use pkcs8::PrivateKeyInfoRef;
use zeroize::Zeroizing;

use super::KeyringError;
use crate::{
    auth::VerifyingKey,
    identity::MasterKey,
    model::{Claims, Error, KeyId, SigningAlg, claims::ACCESS_TOKEN_TYP},
    store::{Store, StoredKey},
};

/// A private key, open.
pub(super) struct PrivateKey {
    pub(super) kid: KeyId,
    pub(super) alg: SigningAlg,
    /// PKCS#8 (ES256, EdDSA), PKCS#1 (RS256), or the secret itself (HS256).
    bytes: Zeroizing<Vec<u8>>,
    /// What verifies its signatures.
    jwk: Jwk,
}

impl PrivateKey {
    /// A new key, made on a thread of its own: an RSA key takes a second of computing.
    pub(super) async fn make(alg: SigningAlg) -> Result<Self, Error> {
        tokio::task::spawn_blocking(move || Self::generate(alg)).await.map_err(Error::internal)?
    }

    fn generate(alg: SigningAlg) -> Result<Self, Error> {
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
                let mut secret = vec![0; 32];
                random.fill(&mut secret).map_err(failed)?;
                secret
            }
        };
        Self::new(alg, Zeroizing::new(bytes))
    }

    fn new(alg: SigningAlg, bytes: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let jwk = Jwk::from_encoding_key(&encoding_key(alg, &bytes), Algorithm::from(alg))
            .map_err(Error::internal)?;
        let kid = KeyId(jwk.thumbprint(ThumbprintHash::SHA256).map_err(Error::internal)?);
        Ok(Self { kid, alg, bytes, jwk })
    }

    /// The key in the row `stored`.
    pub(super) fn open(stored: &StoredKey, master_key: &MasterKey) -> Result<Self, KeyringError> {
        let bytes = unseal(stored, master_key)?;
        let alg = stored.alg.parse().map_err(|error: String| Error::internal(error))?;
        let key = Self::new(alg, bytes)?;
        // The seal binds the key to its row; the thumbprint binds the row to the key.
        if key.kid != stored.kid {
            return Err(
                Error::internal(format!("the signing key {} is not what its id says", stored.kid)).into()
            );
        }
        Ok(key)
    }

    /// The private part as it is kept.
    pub(super) fn seal(&self, master_key: &MasterKey) -> Result<Vec<u8>, Error> {
        master_key.seal(&self.bytes, &seal_context(&self.kid, self.alg.name())).map_err(Error::internal)
    }

    /// The key, ready for use.
    pub(super) fn ready(&self) -> Result<ReadyKey, Error> {
        let header = Header {
            typ: Some(ACCESS_TOKEN_TYP.to_owned()),
            kid: Some(self.kid.0.clone()),
            ..Header::new(Algorithm::from(self.alg))
        };
        let verifying = VerifyingKey::new(self.kid.clone(), self.alg, &self.jwk).map_err(Error::internal)?;
        Ok(ReadyKey {
            header,
            signing: encoding_key(self.alg, &self.bytes),
            verifying: Arc::new(verifying),
            published: self.alg.is_asymmetric().then(|| self.published()),
        })
    }

    /// The key as the JWKS shows it.
    fn published(&self) -> Jwk {
        let mut jwk = self.jwk.clone();
        jwk.common.key_id = Some(self.kid.0.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk
    }
}

/// A key that signs and verifies.
pub(super) struct ReadyKey {
    header: Header,
    signing: EncodingKey,
    /// The same as long as the key stays, so that tokens that were verified with it need not be verified again.
    pub(super) verifying: Arc<VerifyingKey>,
    /// None of a symmetric key: whoever has it can sign.
    pub(super) published: Option<Jwk>,
}

impl ReadyKey {
    pub(super) fn kid(&self) -> &KeyId {
        self.verifying.kid()
    }

    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Error> {
        jsonwebtoken::encode(&self.header, claims, &self.signing).map_err(Error::internal)
    }
}

impl std::fmt::Debug for ReadyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadyKey").field("kid", self.kid()).finish_non_exhaustive()
    }
}

/// The private part of the row `stored`.
pub(super) fn unseal(stored: &StoredKey, master_key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let StoredKey { kid, alg, sealed_private_key, .. } = stored;
    master_key
        .open(sealed_private_key, &seal_context(kid, alg))
        .map_err(|_| KeyringError::WrongMasterKey { kid: kid.clone() })
}

/// Whether `master_key` opens the stored keys; true if there are none. Asks for nothing that the first schema did not have, since it is
/// asked before the schema is brought up to date.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn opens_keys(store: &Store, master_key: &MasterKey) -> Result<bool, Error> {
    let sealed = store.sealed_private_keys().await?;
    Ok(sealed.iter().all(|(kid, alg, sealed)| master_key.open(sealed, &seal_context(kid, alg)).is_ok()))
}

/// The private part of the row `stored`, under `new` instead of `old`.
pub(super) fn reseal(stored: &StoredKey, old: &MasterKey, new: &MasterKey) -> Result<Vec<u8>, KeyringError> {
    let bytes = unseal(stored, old)?;
    Ok(new.seal(&bytes, &seal_context(&stored.kid, &stored.alg)).map_err(Error::internal)?)
}

/// What a sealed key is bound to: it opens for no other row and no other use.
fn seal_context(kid: &KeyId, alg: &str) -> String {
    format!("signet signing key v1 {alg} {kid}")
}

fn encoding_key(alg: SigningAlg, bytes: &[u8]) -> EncodingKey {
    match alg {
        SigningAlg::Es256 => EncodingKey::from_ec_der(bytes),
        SigningAlg::EdDsa => EncodingKey::from_ed_der(bytes),
        SigningAlg::Rs256 => EncodingKey::from_rsa_der(bytes),
        SigningAlg::Hs256 => EncodingKey::from_secret(bytes),
    }
}
