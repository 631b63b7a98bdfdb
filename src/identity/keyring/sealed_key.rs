//! Owns encrypted private keys: each is sealed with the master key, and bound to its row.

use zeroize::Zeroizing;

use crate::{
    identity::{MasterKey, names::key as name_key},
    jose::PrivateKey,
    model::{Error, KeyId},
    store::{Store, StoredKey},
};

/// The private part of `key`, sealed.
pub(super) fn seal(key: &PrivateKey, master_key: &MasterKey) -> Result<Vec<u8>, Error> {
    let context = seal_context(key.kid(), key.algorithm().name());
    master_key.seal(key.bytes(), &context).map_err(Error::internal)
}

/// The key in the row `stored`.
pub(super) fn open(stored: &StoredKey, master_key: &MasterKey) -> Result<PrivateKey, Error> {
    let bytes = unseal(stored, master_key)?;
    let alg = stored.alg.parse().map_err(|error: String| Error::internal(error))?;
    let key = PrivateKey::from_bytes(alg, bytes)?;
    // The seal binds the key to its row; the thumbprint binds the row to the key.
    if *key.kid() != stored.kid {
        return Err(Error::internal(format!("the signing key {} is not what its id says", stored.kid)));
    }
    Ok(key)
}

/// The private part of the row `stored`.
pub(super) fn unseal(stored: &StoredKey, master_key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, Error> {
    let StoredKey { kid, alg, sealed_private_key, .. } = stored;
    master_key
        .open(sealed_private_key, &seal_context(kid, alg))
        .map_err(|_| Error::WrongMasterKey { what: format!("signing key {kid}") })
}

/// The private part of the row `stored`, under `new` instead of `old`.
pub(super) fn reseal(stored: &StoredKey, old: &MasterKey, new: &MasterKey) -> Result<Vec<u8>, Error> {
    let bytes = unseal(stored, old)?;
    new.seal(&bytes, &seal_context(&stored.kid, &stored.alg)).map_err(Error::internal)
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

/// Opens everything in `store` that is sealed, to see that `master_key` does; returns how much that is.
///
/// # Errors
/// [`Error::WrongMasterKey`] if something does not open; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn check_sealed(store: &Store, master_key: &MasterKey) -> Result<usize, Error> {
    let keys = store.signing_keys().await?;
    keys.iter().try_for_each(|key| open(key, master_key).map(drop))?;
    Ok(keys.len() + name_key::check(store, master_key).await?)
}

/// The associated data that binds a sealed key to its row and its use.
fn seal_context(kid: &KeyId, alg: &str) -> String {
    format!("signet signing key v1 {alg} {kid}")
}
