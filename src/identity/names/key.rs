//! Owns the key of the digests (HMAC) of names that may be no name of a user: people type passwords as names, and whoever reads the
//! database must not learn them.
//!
//! The key is random and stands in the database, sealed by the master key. So it stays what it is when signing keys rotate, and when the
//! master key is replaced, which seals it anew.

use std::sync::Arc;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::{
    base::fill_from_system,
    identity::MasterKey,
    model::Error,
    store::{ResealedSecret, Sha256, Store},
};

/// The name of the secret, and of what it is sealed for.
const SECRET: &str = "names";
const CONTEXT: &str = "signet secret v1 names";

/// How often processes that start at one moment may overtake this one.
const ATTEMPTS: usize = 5;

/// The key.
#[derive(Clone)]
pub struct NameKey(Arc<hmac::Key>);

impl NameKey {
    /// The key of the service in `store`, which is made if there is none. One that `master_key` does not open was sealed under another by
    /// a program that did not know of it: a new one takes its place.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn open(store: &Store, master_key: &MasterKey) -> Result<Self, Error> {
        for _ in 0..ATTEMPTS {
            let stored = store.sealed_secret(SECRET).await?;
            if let Some(sealed) = &stored
                && let Ok(bytes) = master_key.open(sealed, CONTEXT)
            {
                return Ok(Self::of(&bytes));
            }
            let bytes = random();
            let sealed = master_key.seal(bytes.as_slice(), CONTEXT).map_err(Error::internal)?;
            let is_ours = match &stored {
                Some(old) => store.replace_sealed_secret(SECRET, old, sealed).await?,
                None => store.add_sealed_secret(SECRET, sealed).await?,
            };
            if is_ours {
                return Ok(Self::of(bytes.as_slice()));
            }
        }
        Err(Error::internal("other processes replace the key of names again and again"))
    }

    /// The same for a command, which replaces no key: a master key that was mistyped would cost the service its own.
    ///
    /// # Errors
    /// [`Error::WrongMasterKey`] if `master_key` does not open it; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn open_or_add(store: &Store, master_key: &MasterKey) -> Result<Self, Error> {
        if store.sealed_secret(SECRET).await?.is_none() {
            let sealed = master_key.seal(random().as_slice(), CONTEXT).map_err(Error::internal)?;
            // If another process was faster, its key is the one.
            store.add_sealed_secret(SECRET, sealed).await?;
        }
        let sealed = store.sealed_secret(SECRET).await?.ok_or_else(wrong_master_key)?;
        let bytes = master_key.open(&sealed, CONTEXT).map_err(|_| wrong_master_key())?;
        Ok(Self::of(&bytes))
    }

    pub(in crate::identity) fn of(bytes: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// What stands for `parts`, for the purpose `purpose`. None of them but the last has a zero byte.
    pub(in crate::identity) fn digest(&self, purpose: &str, parts: &[&str]) -> Sha256 {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.as_bytes());
        for part in parts {
            context.update(&[0]);
            context.update(part.as_bytes());
        }
        let mut digest = Sha256::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

/// The secrets in `store`, sealed under `new` instead of `old`. What `old` does not open is left as it is.
pub(in crate::identity) async fn reseal(
    store: &Store,
    old: &MasterKey,
    new: &MasterKey,
) -> Result<Vec<ResealedSecret>, Error> {
    let mut resealed = Vec::new();
    for (name, sealed) in store.sealed_secrets().await? {
        let context = secret_context(&name);
        if let Ok(bytes) = old.open(&sealed, &context) {
            let new = new.seal(&bytes, &context).map_err(Error::internal)?;
            resealed.push(ResealedSecret { name, old: sealed, new });
        }
    }
    Ok(resealed)
}

/// Opens every secret in `store`, to see that `master_key` does; returns how many there are.
pub(in crate::identity) async fn check(store: &Store, master_key: &MasterKey) -> Result<usize, Error> {
    let secrets = store.sealed_secrets().await?;
    for (name, sealed) in &secrets {
        let wrong = |_| Error::WrongMasterKey { what: format!("secret `{name}`") };
        master_key.open(sealed, &secret_context(name)).map_err(wrong)?;
    }
    Ok(secrets.len())
}

/// What the secret `name` is sealed for.
pub(in crate::identity) fn secret_context(name: &str) -> String {
    format!("signet secret v1 {name}")
}

fn random() -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill_from_system(bytes.as_mut_slice());
    bytes
}

impl std::fmt::Debug for NameKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NameKey(..)")
    }
}

fn wrong_master_key() -> Error {
    Error::WrongMasterKey { what: "key of names".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::base::Entropy;

    fn master_key(digit: &str) -> MasterKey {
        MasterKey::from_hex(&digit.repeat(64)).unwrap()
    }

    /// A database without a row, and the directory that it is in.
    async fn empty_store() -> (TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::system()).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn the_key_stays_what_it_is_when_the_master_key_is_replaced() {
        let (_dir, store) = empty_store().await;
        let (old, new) = (master_key("a"), master_key("b"));
        let made = NameKey::open(&store, &old).await.unwrap().digest("account", &["alice"]);
        assert_eq!(NameKey::open(&store, &old).await.unwrap().digest("account", &["alice"]), made);
        let resealed = reseal(&store, &old, &new).await.unwrap();
        let [ResealedSecret { name, old: sealed, new: next }] = resealed.as_slice() else {
            panic!("{}", resealed.len())
        };
        assert!(store.replace_sealed_secret(name, sealed, next.clone()).await.unwrap());
        assert_eq!(NameKey::open(&store, &new).await.unwrap().digest("account", &["alice"]), made);
        // One that nobody can open is replaced.
        assert_ne!(NameKey::open(&store, &old).await.unwrap().digest("account", &["alice"]), made);
    }

    #[tokio::test]
    async fn a_command_takes_the_key_of_the_service_and_replaces_none() {
        let (_dir, store) = empty_store().await;
        let (right, wrong) = (master_key("a"), master_key("b"));
        let digest = |key: &NameKey| key.digest("account", &["alice"]);
        let made = digest(&NameKey::open_or_add(&store, &right).await.unwrap());
        let refused = NameKey::open_or_add(&store, &wrong).await.unwrap_err();
        assert!(matches!(refused, Error::WrongMasterKey { .. }), "{refused}");
        assert_eq!(digest(&NameKey::open(&store, &right).await.unwrap()), made);
    }

    #[test]
    fn parts_are_told_apart() {
        let key = NameKey::of(&[1; 32]);
        assert_ne!(key.digest("a", &["b", "c"]), key.digest("a", &["bc"]));
        assert_ne!(key.digest("a", &["b"]), key.digest("ab", &[]));
        assert_ne!(key.digest("a", &["b"]), NameKey::of(&[2; 32]).digest("a", &["b"]));
    }
}
