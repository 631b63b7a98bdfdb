//! Owns every change of the stored keys: the first one, the next one, deleting, sealing anew; below it, what administrators ask for.

mod by_administrators;

pub use by_administrators::NextKey;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use uuid::Uuid;

use super::{KeySettings, Stage, sealed_key, staged};
use crate::{
    audit::{Actor, Audit, Entry, Event, Pending},
    base::{Clock, Timestamp},
    identity::{Administrator, AgreedTime, ClockCheck, MasterKey, names::key as name_key},
    jose::PrivateKey,
    metrics::TimedWork,
    model::{Error, KeyId, SigningAlg, error, id::uuid_v7},
    store::{FirstKey, KeyChange, Lease, SIGNING_KEYS_LEASE, Store, StoredKey},
};

/// The least by which times differ: no two keys begin to sign at one moment.
const INSTANT: Duration = Duration::from_micros(1);

/// Changes the stored keys, each time in one transaction that nobody else can come between.
#[derive(Debug)]
pub struct KeyRotation {
    store: Store,
    master_key: Arc<MasterKey>,
    settings: KeySettings,
    clocks: Arc<ClockCheck>,
    audit: Audit,
    /// This process, among those that share the database.
    id: Uuid,
    /// Whether another process has the lease that this one needs, and the log tells of that.
    is_kept_out: AtomicBool,
}

/// The result of one run of the rotation.
#[derive(Debug)]
pub enum Tended {
    /// There is nothing to do, or another process does it.
    Idle,
    /// This process has changed the stored keys, and is to read them.
    Changed,
    /// This process had the lease, and failed.
    Failed(Error),
}

/// Who changes the keys, and which of them is deleted for being compromised.
#[derive(Debug)]
struct Doing<'a> {
    /// None is the service itself.
    administrator: Option<&'a Administrator>,
    compromised: Option<&'a str>,
}

/// How often processes that replace a secret may overtake a new master key.
const RESEALS: usize = 5;

static BY_SERVICE: Doing<'_> = Doing { administrator: None, compromised: None };

impl<'a> Doing<'a> {
    const fn of(administrator: &'a Administrator) -> Self {
        Self { administrator: Some(administrator), compromised: None }
    }

    /// `entry`, as whoever does it does.
    fn entry(&self, entry: Entry) -> Entry {
        match self.administrator {
            Some(administrator) => administrator.entry(entry),
            None => entry.by(Actor::Service),
        }
    }
}

impl KeyRotation {
    /// Changes the keys in `store`, which `master_key` seals, by the time of `clocks`, and tells `audit`.
    #[must_use]
    pub fn new(
        store: Store,
        master_key: MasterKey,
        settings: KeySettings,
        clocks: Arc<ClockCheck>,
        audit: Audit,
    ) -> Self {
        let id = uuid_v7(clocks.clock().now(), store.entropy());
        let master_key = Arc::new(master_key);
        Self { store, master_key, settings, clocks, audit, id, is_kept_out: AtomicBool::new(false) }
    }

    pub(super) const fn id(&self) -> Uuid {
        self.id
    }

    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    pub(super) const fn master_key(&self) -> &Arc<MasterKey> {
        &self.master_key
    }

    pub(super) const fn settings(&self) -> &KeySettings {
        &self.settings
    }

    pub(super) fn clock(&self) -> &Clock {
        self.clocks.clock()
    }

    pub(super) const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Sees to it that there is a key, which signs at once, and that the newest is of the configured algorithm: if it is not, one that
    /// is takes over after having been published. To be called at the start alone, so that replicas with different settings do not
    /// replace each other's keys for ever.
    ///
    /// # Errors
    /// [`Error::WrongMasterKey`] if a stored key does not open, [`Error::ClocksApart`] if there is no key and this
    /// process's clock disagrees with the database's: then nothing is written.
    pub async fn ensure(&self) -> Result<(), Error> {
        let alg = self.settings.alg;
        let of_alg = |key: Option<&StoredKey>| key.is_some_and(|key| key.alg == alg.name());
        let stored = self.store.signing_keys().await?;
        self.check_master_key(&stored)?;
        if of_alg(stored.last()) {
            return Ok(());
        }
        if let AgreedTime::Apart(offset) = self.clocks.agreed_time(TimedWork::SigningKeys).await? {
            if stored.is_empty() {
                return Err(Error::ClocksApart { offset: offset.to_string() });
            }
            tracing::warn!(alg = %alg, "no key of the configured algorithm is made: start again when the clocks agree");
            return Ok(());
        }
        let key = make(alg).await?;
        let kid = key.kid().clone();
        let now = self.clock().now();
        let made = self.change(Lease::of_operator(self.id), &BY_SERVICE, |stored| {
            if stored.is_empty() {
                return Ok(KeyChange { insert: Some(self.row(&key, now, now)?), ..KeyChange::default() });
            }
            if of_alg(stored.last()) {
                return Ok(KeyChange::default());
            }
            // What is about to sign may have done so already, by another process's clock. What is not has signed nothing.
            let soon = now.after(self.settings.leeway);
            let unused = pending(stored, now).filter(|key| key.sign_time > soon).map(|key| key.kid.clone());
            let unused: Vec<_> = unused.collect();
            let newest = stored.iter().rfind(|key| !unused.contains(&key.kid));
            let after_newest = newest.map_or(now, |key| key.sign_time.after(INSTANT));
            let sign_time = now.after(self.settings.publish_ahead).max(after_newest);
            Ok(KeyChange {
                insert: Some(self.row(&key, now, sign_time)?),
                delete: unused,
                ..KeyChange::default()
            })
        });
        if made.await? {
            tracing::info!(kid = %kid, alg = %alg, "made a signing key");
        }
        Ok(())
    }

    /// The first key, which signs at once, for whoever stores it together with something else; none if there is one already.
    ///
    /// # Errors
    /// [`Error::ClocksApart`] if this process's clock disagrees with the database's; [`Error::Unavailable`] or [`Error::Internal`], with
    /// the cause.
    pub(in crate::identity) async fn first(&self) -> Result<Option<FirstKey>, Error> {
        if !self.store.signing_keys().await?.is_empty() {
            return Ok(None);
        }
        if let AgreedTime::Apart(offset) = self.clocks.agreed_time(TimedWork::SigningKeys).await? {
            return Err(Error::ClocksApart { offset: offset.to_string() });
        }
        let key = make(self.settings.alg).await?;
        let now = self.clock().now();
        let key = self.row(&key, now, now)?;
        Ok(Some(FirstKey { key, lease: Lease::of_operator(self.id) }))
    }

    /// Publishes the next key if it is time to, and deletes those that no valid token needs. Of several processes one does it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`] before it is known whether this process has the lease.
    pub(super) async fn tend(&self, known: &[StoredKey]) -> Result<Tended, Error> {
        let now = self.clock().now();
        let is_due = known.last().is_some_and(|newest| self.settings.next_sign_time(newest, now).is_some());
        if !is_due && gone(known, now).is_empty() {
            return Ok(Tended::Idle);
        }
        if let AgreedTime::Apart(_) = self.clocks.agreed_time(TimedWork::SigningKeys).await? {
            return Ok(Tended::Idle);
        }
        // Before a key is made, which takes a second of computing: of several processes one makes it.
        let lease = Lease::of_leader(self.id);
        let is_kept_out = !self.store.take_lease(SIGNING_KEYS_LEASE, lease, now).await?;
        if is_kept_out && !self.is_kept_out.load(Ordering::Relaxed) {
            tracing::info!(
                "the signing keys are to be changed, and another process has the lease: it changes them"
            );
        }
        self.is_kept_out.store(is_kept_out, Ordering::Relaxed);
        if is_kept_out {
            return Ok(Tended::Idle);
        }
        let tended = match self.tend_leased(lease, known, now).await {
            Ok(true) => return Ok(Tended::Changed),
            Ok(false) => Tended::Idle,
            Err(error) => Tended::Failed(error),
        };
        // Another process may be able to, at once.
        if let Err(error) = self.store.give_back_lease(SIGNING_KEYS_LEASE, lease, now).await {
            tracing::debug!(error = %error::chain(&error), "the lease of the signing keys is not given back");
        }
        Ok(tended)
    }

    /// Does that as of `now`, as the holder of `lease`. False if there is nothing to do after all.
    ///
    /// # Errors
    /// [`Error::WrongMasterKey`] if the stored keys have been sealed with another master key: a key of this process would
    /// then open for no other.
    async fn tend_leased(&self, lease: Lease, known: &[StoredKey], now: Timestamp) -> Result<bool, Error> {
        let next = match known.last() {
            Some(newest) if self.settings.next_sign_time(newest, now).is_some() => {
                Some(make(algorithm(newest)?).await?)
            }
            _ => None,
        };
        // The time that a key is published before it signs begins when it is stored, not when it is made.
        let now = self.clock().now();
        let (mut published, mut deleted) = (None, Vec::new());
        let changed = self
            .change(lease, &BY_SERVICE, |stored| {
                self.check_master_key(stored)?;
                deleted = gone(stored, now);
                let due = stored.last().and_then(|newest| self.settings.next_sign_time(newest, now));
                let insert = next
                    .as_ref()
                    .zip(due)
                    .map(|(key, sign_time)| self.row(key, now, sign_time))
                    .transpose()?;
                published.clone_from(&insert);
                Ok(KeyChange { insert, delete: deleted.clone(), ..KeyChange::default() })
            })
            .await?;
        if changed {
            if let Some(key) = published {
                tracing::info!(kid = %key.kid, alg = %key.alg, sign_time = %key.sign_time, "published the next signing key");
            }
            for kid in deleted {
                tracing::info!(kid = %kid, "deleted a signing key: every token that it signed has expired");
            }
        }
        Ok(changed)
    }

    /// Seals every private key under `new`; returns how many there are.
    ///
    /// # Errors
    /// [`Error::WrongMasterKey`] if a stored key does not open with the present one: then nothing is changed.
    pub async fn reseal(&self, new: &MasterKey) -> Result<usize, Error> {
        let operator = Administrator::operator();
        let (mut count, by) = (0, Doing::of(&operator));
        for _ in 0..RESEALS {
            let secrets = name_key::reseal(&self.store, &self.master_key, new).await?;
            let changed = self.change(Lease::of_operator(self.id), &by, |stored| {
                count = stored.len();
                let sealed =
                    |key: &StoredKey| Ok((key.kid.clone(), sealed_key::reseal(key, &self.master_key, new)?));
                let reseal = stored.iter().map(sealed).collect::<Result<_, Error>>()?;
                Ok(KeyChange { reseal, reseal_secrets: secrets.clone(), ..KeyChange::default() })
            });
            // Without secrets nothing could be replaced meanwhile: then there was no key either.
            if changed.await? || secrets.is_empty() {
                return Ok(count);
            }
        }
        Err(Error::internal("other processes replace secrets of the service again and again"))
    }

    /// Deletes every key and every other secret, since the master key that sealed them is lost, and makes a key under the present one that
    /// signs at once. Returns it.
    ///
    /// # Errors
    /// [`Error::ClocksApart`] if this process's clock disagrees with the database's; [`Error::Unavailable`] or [`Error::Internal`], with
    /// the cause. Nothing is deleted then.
    pub async fn reset(&self) -> Result<KeyId, Error> {
        if let AgreedTime::Apart(offset) = self.clocks.agreed_time(TimedWork::SigningKeys).await? {
            return Err(Error::ClocksApart { offset: offset.to_string() });
        }
        let operator = Administrator::operator();
        let by = Doing::of(&operator);
        let key = make(self.settings.alg).await?;
        let now = self.clock().now();
        let row = self.row(&key, now, now)?;
        let reset = self.change(Lease::of_operator(self.id), &by, |stored| {
            Ok(KeyChange {
                insert: Some(row.clone()),
                delete: stored.iter().map(|key| key.kid.clone()).collect(),
                discard_secrets: true,
                ..KeyChange::default()
            })
        });
        if reset.await? {
            return Ok(key.kid().clone());
        }
        Err(Error::internal("another process changes the signing keys at this moment: try again"))
    }

    /// Whether the present master key opens the stored keys.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn opens_stored(&self) -> Result<bool, Error> {
        sealed_key::opens_keys(&self.store, &self.master_key).await
    }

    /// Closes the database.
    pub async fn close(self) {
        self.store.close().await;
    }

    /// Has another key sign from `now` on: the published one, or else `spare`.
    fn successor(
        &self,
        stored: &[StoredKey],
        now: Timestamp,
        spare: &PrivateKey,
    ) -> Result<(NextKey, KeyChange), Error> {
        let mut pending: Vec<_> = pending(stored, now).map(|key| key.kid.clone()).collect();
        // After the one that signs, though that may have begun by a clock that is ahead of this one.
        let signing = staged(stored, now).into_iter().find(|key| key.stage == Stage::Signing);
        let sign_time = signing.map_or(now, |key| now.max(key.key.sign_time.after(INSTANT)));
        let change = match pending.pop() {
            // Any other that waits would take over from it; it has signed nothing.
            Some(newest) => {
                KeyChange { sign_at: Some((newest, sign_time)), delete: pending, ..KeyChange::default() }
            }
            None => KeyChange { insert: Some(self.row(spare, now, sign_time)?), ..KeyChange::default() },
        };
        let promoted = change.sign_at.as_ref().map(|(kid, _)| kid.clone());
        Ok((NextKey { kid: promoted.unwrap_or_else(|| spare.kid().clone()), sign_time }, change))
    }

    /// A key of the algorithm of the newest of `stored`, in case one is needed: none is made while others wait for the transaction to end.
    async fn spare(&self, stored: &[StoredKey]) -> Result<PrivateKey, Error> {
        let alg = stored.last().map_or(Ok(self.settings.alg), algorithm)?;
        make(alg).await
    }

    fn row(&self, key: &PrivateKey, now: Timestamp, sign_time: Timestamp) -> Result<StoredKey, Error> {
        Ok(StoredKey {
            kid: key.kid().clone(),
            alg: key.algorithm().name().to_owned(),
            sealed_private_key: sealed_key::seal(key, &self.master_key)?,
            create_time: now,
            sign_time,
            retention: self.settings.retention,
        })
    }

    /// Refuses if a stored key does not open: whatever this process added would then open for no other.
    fn check_master_key(&self, stored: &[StoredKey]) -> Result<(), Error> {
        stored.iter().try_for_each(|key| sealed_key::unseal(key, &self.master_key).map(drop))
    }

    async fn change(
        &self,
        lease: Lease,
        by: &Doing<'_>,
        mut decide: impl FnMut(&[StoredKey]) -> Result<KeyChange, Error> + Send,
    ) -> Result<bool, Error> {
        let mut pending: Vec<Pending<'_>> = Vec::new();
        // Asked again if the database refuses the first attempt: nothing has come of that one.
        let decide = |stored: &[StoredKey]| {
            dismiss(&mut pending);
            let change = decide(stored)?;
            pending = self.begin(&change, stored, by);
            Ok(change)
        };
        let changed = self.store.change_signing_keys(lease, self.clock().now(), decide).await?;
        for event in pending {
            event.done_if(changed);
        }
        Ok(changed)
    }

    /// Begins what is told of `change`.
    fn begin(&self, change: &KeyChange, stored: &[StoredKey], by: &Doing<'_>) -> Vec<Pending<'_>> {
        self.events(change, stored, by).into_iter().map(|entry| self.audit.begin(entry)).collect()
    }

    /// The audit events of `change`, which is made to the keys `stored`.
    fn events(&self, change: &KeyChange, stored: &[StoredKey], by: &Doing<'_>) -> Vec<Entry> {
        let KeyChange { insert, sign_at, delete, reseal, reseal_secrets: _, discard_secrets } = change;
        let mut events = Vec::new();
        let mut tell = |event: Event, kid: &KeyId| events.push(by.entry(event.done().key(kid.clone())));
        if let Some(key) = insert {
            tell(Event::SigningKeyPublished, &key.kid);
            // The first takes over from none.
            if key.sign_time < key.create_time.after(self.settings.publish_ahead) && !stored.is_empty() {
                tell(Event::SigningKeyRotated, &key.kid);
            }
        }
        if let Some((kid, _)) = sign_at {
            tell(Event::SigningKeyRotated, kid);
        }
        for kid in delete {
            let is_compromised = by.compromised == Some(kid.0.as_str());
            tell(if is_compromised { Event::SigningKeyRevoked } else { Event::SigningKeyDeleted }, kid);
        }
        if !reseal.is_empty() {
            events.push(by.entry(Event::SigningKeysResealed.done()));
        }
        if *discard_secrets {
            events.push(by.entry(Event::SigningKeysReset.done()));
        }
        events
    }
}

/// Nothing has come of what was begun.
fn dismiss(begun: &mut Vec<Pending<'_>>) {
    for event in begun.drain(..) {
        event.dismiss();
    }
}

/// The keys that no valid token needs at `now`.
fn gone(stored: &[StoredKey], now: Timestamp) -> Vec<KeyId> {
    let gone = staged(stored, now).into_iter().filter(|key| key.stage == Stage::Gone);
    gone.map(|key| key.key.kid.clone()).collect()
}

/// The keys that do not sign yet, the one that will last.
fn pending(stored: &[StoredKey], now: Timestamp) -> impl Iterator<Item = &StoredKey> {
    staged(stored, now).into_iter().filter(|key| key.stage == Stage::Published).map(|key| key.key)
}

/// A new key, made on a thread of its own: an RSA key takes a second of computing.
async fn make(alg: SigningAlg) -> Result<PrivateKey, Error> {
    tokio::task::spawn_blocking(move || PrivateKey::generate(alg)).await.map_err(Error::internal)?
}

fn algorithm(key: &StoredKey) -> Result<SigningAlg, Error> {
    key.alg.parse().map_err(|error: String| Error::internal(error))
}
