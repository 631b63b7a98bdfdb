//! Owns listing, rotating and revoking signing keys, for administrators.

use super::{Keyring, NextKey, Stage, StagedKey, staged};
use crate::{
    base::Timestamp,
    identity::Administrator,
    model::{Error, KeyId},
};

/// A signing key as administrators see it: nothing of its private part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// Its id.
    pub kid: KeyId,
    /// The JOSE name of what it signs with.
    pub alg: String,
    /// The stage of the key now.
    pub stage: Stage,
    /// When it was made.
    pub create_time: Timestamp,
    /// From when on it signs.
    pub sign_time: Timestamp,
    /// When another begins to sign; none as long as there is no other.
    pub retire_time: Option<Timestamp>,
    /// When the last token that it may have signed is accepted no more.
    pub expire_time: Option<Timestamp>,
}

impl Keyring {
    /// Every key that is not gone, in the order in which they sign.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn list(&self) -> Result<Vec<ListedKey>, Error> {
        let stored = self.rotation.store().signing_keys().await?;
        let staged = staged(&stored, self.now()).into_iter();
        Ok(staged.filter(|key| key.stage != Stage::Gone).map(ListedKey::from).collect())
    }

    /// The key `kid`.
    ///
    /// # Errors
    /// [`Error::SigningKeyNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn get(&self, kid: &str) -> Result<ListedKey, Error> {
        let found = self.list().await?.into_iter().find(|key| key.kid.0 == kid);
        found.ok_or_else(|| Error::SigningKeyNotFound(kid.to_owned()))
    }

    /// Publishes the next key, as `by` asks for.
    ///
    /// # Errors
    /// As [`KeyRotation::rotate`](super::KeyRotation::rotate).
    pub async fn rotate(&self, by: &Administrator) -> Result<ListedKey, Error> {
        let NextKey { kid, .. } = self.rotation.rotate(false, by).await?;
        // Whoever asks this process for the key set next finds it there.
        self.take_up().await?;
        self.get(&kid.0).await
    }

    /// Deletes the key `kid`, which is compromised, as `by` asks for. Returns the key that signs in its place, if it did.
    ///
    /// # Errors
    /// As [`KeyRotation::revoke`](super::KeyRotation::revoke).
    pub async fn revoke(&self, kid: &str, by: &Administrator) -> Result<Option<ListedKey>, Error> {
        let next = self.rotation.revoke(kid, by).await?;
        // Its tokens are refused here from the answer on.
        self.take_up().await?;
        match next {
            Some(next) => self.get(&next.kid.0).await.map(Some),
            None => Ok(None),
        }
    }
}

impl From<StagedKey<'_>> for ListedKey {
    fn from(staged: StagedKey<'_>) -> Self {
        let StagedKey { key, stage, retire_time, expire_time } = staged;
        Self {
            kid: key.kid.clone(),
            alg: key.alg.clone(),
            stage,
            create_time: key.create_time,
            sign_time: key.sign_time,
            retire_time,
            expire_time,
        }
    }
}
