//! Owns the keys of prehashes: sealed in the database by the master key, and remembered once they were opened.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Prehash, PrehashKey, PrehashKeyName};
use crate::{
    identity::{MasterKey, names::key::secret_context},
    model::Error,
    store::Store,
};

/// What the names of their secrets begin with, and after it stands the name of the key.
const SECRETS: &str = "prehash/";

/// The keys that hashes may name.
#[derive(Default)]
pub struct PrehashKeys {
    /// Where those are that are not remembered.
    sealed: Option<(Store, Arc<MasterKey>)>,
    /// A key never becomes another one under its name, so what is remembered stays right.
    known: Mutex<BTreeMap<PrehashKeyName, Arc<PrehashKey>>>,
    /// Those of which was said that they are not there.
    told: Mutex<BTreeSet<PrehashKeyName>>,
}

/// The key that a hash needs.
#[derive(Debug)]
pub(super) enum KeyOfHash {
    /// It needs none.
    NotNeeded,
    /// It is this one.
    Known(Arc<PrehashKey>),
    /// There is none of its name, so no password fits the hash.
    Missing,
    /// The master key of this process does not open it.
    Sealed(Error),
}

impl PrehashKeys {
    /// Those in `store`, each of which is opened when the first hash needs it: imports add some while the service runs.
    #[must_use]
    pub fn new(store: Store, master_key: Arc<MasterKey>) -> Self {
        Self { sealed: Some((store, master_key)), ..Self::default() }
    }

    /// These alone.
    #[must_use]
    pub fn of(keys: BTreeMap<PrehashKeyName, PrehashKey>) -> Self {
        let known = keys.into_iter().map(|(name, key)| (name, Arc::new(key))).collect();
        Self { known: Mutex::new(known), ..Self::default() }
    }

    /// The key that the stored `hash` names.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`] if it cannot be read, with the cause.
    pub(super) async fn of_hash(&self, hash: &str) -> Result<KeyOfHash, Error> {
        let Some(name) = Prehash::key_of_hash(hash) else { return Ok(KeyOfHash::NotNeeded) };
        if let Some(known) = self.remembered().get(&name) {
            return Ok(KeyOfHash::Known(Arc::clone(known)));
        }
        let opened = match &self.sealed {
            Some((store, master_key)) => open(store, master_key, &name).await,
            None => Ok(None),
        };
        match opened {
            Ok(Some(key)) => {
                let key = Arc::new(key);
                self.remembered().insert(name, Arc::clone(&key));
                Ok(KeyOfHash::Known(key))
            }
            Ok(None) => {
                self.tell_missing(name);
                Ok(KeyOfHash::Missing)
            }
            // Sealed anew, most likely: a process that is started with that master key opens it.
            Err(wrong @ Error::WrongMasterKey { .. }) => {
                let source = wrong.to_string().into();
                Ok(KeyOfHash::Sealed(Error::Unavailable { what: "prehash key", source }))
            }
            Err(error) => Err(error),
        }
    }

    /// Says once that the key `name` is not there.
    fn tell_missing(&self, name: PrehashKeyName) {
        let shown = name.as_str().to_owned();
        let is_news = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        if is_news {
            tracing::warn!(
                prehash_key = shown.as_str(),
                "hashes need a prehash key that is not there: no password fits them until an import brings it again"
            );
        }
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, BTreeMap<PrehashKeyName, Arc<PrehashKey>>> {
        // Nothing that can panic runs under the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of the keys in `store`.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn prehash_key_names(store: &Store) -> Result<BTreeSet<PrehashKeyName>, Error> {
    let secrets = store.sealed_secrets().await?;
    let names = secrets.iter().filter_map(|(name, _)| name.strip_prefix(SECRETS)?.parse().ok());
    Ok(names.collect())
}

/// The key `name` in `store`; none if there is none.
///
/// # Errors
/// [`Error::WrongMasterKey`] if `master_key` does not open it; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn open(
    store: &Store,
    master_key: &MasterKey,
    name: &PrehashKeyName,
) -> Result<Option<PrehashKey>, Error> {
    let secret = format!("{SECRETS}{}", name.as_str());
    let Some(sealed) = store.sealed_secret(&secret).await? else { return Ok(None) };
    let wrong = |_| Error::WrongMasterKey { what: format!("prehash key {}", name.as_str()) };
    master_key.open(&sealed, &secret_context(&secret)).map(|bytes| Some(bytes.into())).map_err(wrong)
}

/// Adds `key` to `store` under `name`, where no key is. If another process is faster, its key is the one, and this is false.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn add(
    store: &Store,
    master_key: &MasterKey,
    name: &PrehashKeyName,
    key: &PrehashKey,
) -> Result<bool, Error> {
    let secret = format!("{SECRETS}{}", name.as_str());
    let sealed = master_key.seal(key.as_bytes(), &secret_context(&secret)).map_err(Error::internal)?;
    store.add_sealed_secret(&secret, sealed).await
}

/// Removes the key `name` from `store`, unless a user's hash names it.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn remove_unneeded(store: &Store, name: &PrehashKeyName) -> Result<(), Error> {
    if store.has_users_of_prehash_key(name.as_str()).await? {
        return Ok(());
    }
    store.remove_sealed_secret(&format!("{SECRETS}{}", name.as_str())).await
}

impl std::fmt::Debug for PrehashKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrehashKeys(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        base::{Deadline, Entropy},
        identity::passwords::{Argon2Params, HashRequest, Passwords, PoolSize},
        metrics::HashMetrics,
        model::Password,
    };

    /// A hash that needs the key `name`.
    fn hash(name: &str) -> String {
        const BCRYPT: &str = "$2a$04$ACGWsMcoYxioejKUJqxHOeypMjJ9jHNHV/nkg5Ik6AWvD68AZley.";
        format!("{{prehash=append-key,key={name}}}{BCRYPT}")
    }

    async fn verify(keys: PrehashKeys, hash: String) -> Result<bool, Error> {
        let params = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };
        let size = PoolSize { threads: 1, queue: 8 };
        let passwords = Passwords::start(params, size, HashMetrics::default(), keys).unwrap();
        let request = HashRequest::new(Some("alice"), None, Deadline::after(Duration::from_mins(1)));
        passwords.verify(Password::for_login("correct horse battery staple"), Some(hash), request).await
    }

    #[tokio::test]
    async fn a_key_that_is_not_there_fits_nothing_and_one_that_does_not_open_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::system()).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let master_key = |digit: &str| Arc::new(MasterKey::from_hex(&digit.repeat(64)).unwrap());
        let (right, other) = (master_key("a"), master_key("b"));
        let key = PrehashKey::from(Zeroizing::new(b"shop-salt".to_vec()));
        add(&store, &right, &"shop".parse().unwrap(), &key).await.unwrap();
        let keys = |master_key: &Arc<MasterKey>| PrehashKeys::new(store.clone(), Arc::clone(master_key));
        assert!(verify(keys(&right), hash("shop")).await.unwrap());
        assert!(!verify(keys(&right), hash("gone")).await.unwrap());
        assert!(!verify(PrehashKeys::default(), hash("shop")).await.unwrap());
        let sealed = verify(keys(&other), hash("shop")).await.unwrap_err();
        assert!(matches!(sealed, Error::Unavailable { .. }), "{sealed}");
        assert!(matches!(keys(&other).of_hash("$2a$04$").await, Ok(KeyOfHash::NotNeeded)));
    }
}
