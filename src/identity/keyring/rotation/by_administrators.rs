//! Owns the changes of the signing keys that administrators ask for, by an RPC or at the shell: the next one, and revoking.

use super::{Doing, KeyRotation, Stage, dismiss, pending, staged};
use crate::{
    audit::{Entry, Event, Pending},
    base::Timestamp,
    identity::{Administrator, AgreedTime},
    metrics::TimedWork,
    model::{Error, KeyId},
    store::{Applied, KeyChange, Lease, StoredKey},
};

/// The result of asking for the next key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextKey {
    /// The key.
    pub kid: KeyId,
    /// From when it signs.
    pub sign_time: Timestamp,
}

impl KeyRotation {
    /// Publishes the next key, of the algorithm of the newest, or with `at_once` has it sign from now on, as `by` asks for. A request that
    /// was done before is answered with the key of then.
    ///
    /// # Errors
    /// [`Error::NextKeyPublished`] if the next key is published, and not to sign at once; [`Error::ClocksApart`];
    /// [`Error::SigningKeyNotFound`] if the key of then is gone; what [`administer_signing_keys`] refuses.
    ///
    /// [`administer_signing_keys`]: crate::store::Store::administer_signing_keys
    pub async fn rotate(&self, at_once: bool, by: &Administrator) -> Result<NextKey, Error> {
        if let AgreedTime::Apart(offset) = self.clocks.agreed_time(TimedWork::SigningKeys).await? {
            return Err(Error::ClocksApart { offset: offset.to_string() });
        }
        let stored = self.store.signing_keys().await?;
        let spare = self.spare(&stored).await?;
        let now = self.clock().now();
        let expected = pending(&stored, now).last().map(|key| key.kid.clone()).filter(|_| at_once);
        let entry = match expected {
            Some(kid) => Event::SigningKeyRotated.done().key(kid),
            None => Event::SigningKeyPublished.done().key(spare.kid().clone()),
        };
        let mut answer = None;
        let doing = Doing::of(by);
        let applied = self.administer(by, &doing, by.entry(entry), |stored| {
            self.check_master_key(stored)?;
            let (next, change) = if at_once {
                self.successor(stored, now, &spare)?
            } else if let Some(pending) = pending(stored, now).last() {
                let (kid, sign_time) = (pending.kid.clone(), pending.sign_time);
                return Err(Error::NextKeyPublished { kid, sign_time });
            } else {
                let row = self.row(&spare, now, now.after(self.settings.publish_ahead))?;
                let next = NextKey { kid: row.kid.clone(), sign_time: row.sign_time };
                (next, KeyChange { insert: Some(row), ..KeyChange::default() })
            };
            answer = Some(next.clone());
            Ok((next.kid, change))
        });
        match applied.await? {
            Applied::Now(()) => answer.ok_or_else(|| Error::internal("no next key was chosen")),
            Applied::Before(id) => {
                let key = self.store.signing_keys().await?.into_iter().find(|key| key.kid.as_uuid() == id);
                let key = key.ok_or_else(|| Error::SigningKeyNotFound(id.to_string()))?;
                Ok(NextKey { kid: key.kid, sign_time: key.sign_time })
            }
        }
    }

    /// Deletes the key `kid`, which is compromised, as `by` asks for. If it is the one that signs, the published one signs from now on, or
    /// a new one. Returns the key that signs in its place; none if the same request was done before.
    ///
    /// # Errors
    /// [`Error::SigningKeyNotFound`] if there is no such key; what [`administer_signing_keys`] refuses.
    ///
    /// [`administer_signing_keys`]: crate::store::Store::administer_signing_keys
    pub async fn revoke(&self, kid: &str, by: &Administrator) -> Result<Option<NextKey>, Error> {
        let no_such_key = || Error::SigningKeyNotFound(kid.to_owned());
        let stored = self.store.signing_keys().await?;
        // None is made for a key that is not there; but whether that is a repetition, the transaction alone says.
        let is_there = stored.iter().any(|key| key.kid.0 == kid);
        let spare = if is_there { Some(self.spare(&stored).await?) } else { None };
        let now = self.clock().now();
        let mut answer = None;
        let doing = Doing { compromised: Some(kid), ..Doing::of(by) };
        let entry = by.entry(Event::SigningKeyRevoked.done().key(KeyId(kid.to_owned())));
        self.administer(by, &doing, entry, |stored| {
            self.check_master_key(stored)?;
            let staged = staged(stored, now);
            let revoked = staged.iter().find(|key| key.key.kid.0 == kid);
            let (revoked, spare) = revoked.zip(spare.as_ref()).ok_or_else(no_such_key)?;
            let mut change = KeyChange::default();
            if revoked.stage == Stage::Signing {
                let (next, successor) = self.successor(stored, now, spare)?;
                (answer, change) = (Some(next), successor);
            }
            let kid = revoked.key.kid.clone();
            change.delete.push(kid.clone());
            Ok((kid, change))
        })
        .await?;
        Ok(answer)
    }

    /// Changes the keys as an administrator asks for; `entry` is what is recorded of that in the transaction.
    async fn administer(
        &self,
        by: &Administrator,
        doing: &Doing<'_>,
        entry: Entry,
        mut decide: impl FnMut(&[StoredKey]) -> Result<(KeyId, KeyChange), Error> + Send,
    ) -> Result<Applied<()>, Error> {
        let mut pending: Vec<Pending<'_>> = Vec::new();
        let decide = |stored: &[StoredKey]| {
            dismiss(&mut pending);
            let (kid, change) = decide(stored)?;
            let told = self.events(&change, stored, doing).into_iter();
            // The transaction keeps one of them, and the others are kept as they are told.
            let told = told.map(|told| if told == entry { entry.clone() } else { told });
            pending = told.map(|entry| self.audit.begin(entry)).collect();
            Ok((kid, change))
        };
        let (lease, change) = (Lease::of_operator(self.id), by.change(&entry, self.clock().now()));
        let applied = self.store.administer_signing_keys(lease, change, decide).await?;
        for event in pending {
            event.done();
        }
        Ok(applied)
    }
}
