//! Owns the signing keys: making them, sealing them, signing with the present one, and telling others how to verify.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::{SecureRandom, SystemRandom},
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use pkcs8::PrivateKeyInfoRef;
use zeroize::Zeroizing;

use super::MasterKey;
use crate::{
    auth::{KeySet, Keys, VerifyingKey},
    model::{Claims, Clock, Error, KeyId, SigningAlg, Timestamp, claims::ACCESS_TOKEN_TYP},
    store::{Store, StoredKey},
};

/// The keys of the service, in memory, as the database holds them.
#[derive(Debug)]
pub struct Keyring {
    state: ArcSwap<State>,
}

#[derive(Debug)]
struct State {
    signing: SigningKey,
    signing_create_time: Timestamp,
    verifying: Arc<KeySet>,
    published: Arc<JwkSet>,
}

/// The key that new tokens are signed with.
struct SigningKey {
    kid: KeyId,
    header: Header,
    key: EncodingKey,
}

impl Keyring {
    /// Opens the stored keys with `master_key`, and makes the first of algorithm `alg` if there is none.
    ///
    /// # Errors
    /// [`KeyringError::WrongMasterKey`] if a stored key does not open.
    pub async fn open(
        store: &Store,
        master_key: &MasterKey,
        alg: SigningAlg,
        clock: &Clock,
    ) -> Result<Self, KeyringError> {
        let mut stored = store.signing_keys().await?;
        if !stored.iter().any(|key| key.alg == alg) {
            // A key of another algorithm shows whether this is the right master key, before anything is written.
            State::open(&stored, master_key, None)?;
            // Making an RSA key takes a second of computing.
            let key = tokio::task::spawn_blocking(move || PrivateKey::generate(alg))
                .await
                .map_err(Error::internal)??;
            let kid = key.kid.clone();
            if store.add_first_signing_key(key.seal(master_key, clock)?).await? {
                tracing::info!(kid = %kid, alg = %alg, "made a signing key");
            }
            stored = store.signing_keys().await?;
        }
        let state = State::open(&stored, master_key, Some(alg))?
            .ok_or_else(|| Error::internal(format!("there is no signing key for {alg}")))?;
        Ok(Self { state: ArcSwap::from_pointee(state) })
    }

    /// Signs `claims` into an access token (RFC 9068 section 2.1).
    ///
    /// # Errors
    /// [`Error::Internal`], if the key does not sign.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let state = self.state.load();
        jsonwebtoken::encode(&state.signing.header, claims, &state.signing.key).map_err(Error::internal)
    }

    /// The id of the key that signs at present.
    #[must_use]
    pub fn signing_kid(&self) -> KeyId {
        self.state.load().signing.kid.clone()
    }

    /// When the key that signs at present was made.
    #[must_use]
    pub fn signing_key_create_time(&self) -> Timestamp {
        self.state.load().signing_create_time
    }

    /// The public keys (RFC 7517), for those who verify by themselves. Symmetric keys are never among them.
    #[must_use]
    pub fn published(&self) -> Arc<JwkSet> {
        Arc::clone(&self.state.load().published)
    }
}

impl Keys for Arc<Keyring> {
    fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.state.load().verifying)
    }
}

impl State {
    /// Opens every stored key; the newest of `alg` signs. None if there is none of `alg`.
    fn open(
        stored: &[StoredKey],
        master_key: &MasterKey,
        alg: Option<SigningAlg>,
    ) -> Result<Option<Self>, KeyringError> {
        let mut keys =
            stored.iter().map(|key| PrivateKey::open(key, master_key)).collect::<Result<Vec<_>, _>>()?;
        let verifying = keys
            .iter()
            .map(|key| VerifyingKey::new(key.kid.clone(), key.alg, &key.jwk).map_err(Error::internal))
            .collect::<Result<KeySet, _>>()?;
        let published =
            keys.iter().filter(|key| key.alg.is_asymmetric()).map(PrivateKey::published).collect();
        let Some(newest) = keys.iter().rposition(|key| Some(key.alg) == alg) else { return Ok(None) };
        let signing_create_time = stored[newest].create_time;
        let signing = keys.swap_remove(newest).into_signing_key();
        Ok(Some(Self {
            signing,
            signing_create_time,
            verifying: Arc::new(verifying),
            published: Arc::new(JwkSet { keys: published }),
        }))
    }
}

/// A private key, open.
struct PrivateKey {
    kid: KeyId,
    alg: SigningAlg,
    /// PKCS#8 (ES256, EdDSA), PKCS#1 (RS256), or the secret itself (HS256).
    bytes: Zeroizing<Vec<u8>>,
    /// What verifies its signatures.
    jwk: Jwk,
}

impl PrivateKey {
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

    fn open(stored: &StoredKey, master_key: &MasterKey) -> Result<Self, KeyringError> {
        let bytes = master_key
            .open(&stored.sealed_private_key, &seal_context(&stored.kid, stored.alg))
            .map_err(|_| KeyringError::WrongMasterKey { kid: stored.kid.clone() })?;
        let key = Self::new(stored.alg, bytes)?;
        // The seal binds the key to its row; the thumbprint binds the row to the key.
        if key.kid != stored.kid {
            return Err(
                Error::internal(format!("the signing key {} is not what its id says", stored.kid)).into()
            );
        }
        Ok(key)
    }

    fn seal(&self, master_key: &MasterKey, clock: &Clock) -> Result<StoredKey, Error> {
        let context = seal_context(&self.kid, self.alg);
        Ok(StoredKey {
            kid: self.kid.clone(),
            alg: self.alg,
            sealed_private_key: master_key.seal(&self.bytes, &context).map_err(Error::internal)?,
            create_time: clock.now(),
        })
    }

    /// The key as the JWKS shows it.
    fn published(&self) -> Jwk {
        let mut jwk = self.jwk.clone();
        jwk.common.key_id = Some(self.kid.0.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk
    }

    fn into_signing_key(self) -> SigningKey {
        let header = Header {
            typ: Some(ACCESS_TOKEN_TYP.to_owned()),
            kid: Some(self.kid.0.clone()),
            ..Header::new(Algorithm::from(self.alg))
        };
        SigningKey { kid: self.kid, header, key: encoding_key(self.alg, &self.bytes) }
    }
}

/// What a sealed key is bound to: it opens for no other row and no other use.
fn seal_context(kid: &KeyId, alg: SigningAlg) -> String {
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

/// The stored keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A stored key was sealed with another master key.
    #[error("the master key does not open the signing key {kid}: it was sealed with another one")]
    WrongMasterKey {
        /// The key that does not open.
        kid: KeyId,
    },
    /// The database, or a key, failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}
