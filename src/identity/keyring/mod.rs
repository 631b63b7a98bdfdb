//! Owns the signing keys in force: signing with the present one, publishing them, and keeping up with the database.
//!
//! To be read in this order: `stages` (what a key does at a moment), `sealed_key` (a key as it is kept), `ready_key` (a key that is open),
//! `state` (all keys as they were read), this file (keeping up), `rotation` (every change), `administering` (what administrators ask for).

mod administering;
mod ready_key;
mod rotation;
mod sealed_key;
mod stages;
mod state;

use std::{
    net::IpAddr,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use tokio::{sync::Mutex, time::timeout};
use uuid::Uuid;

use super::{NameKey, passwords::PrehashKeys};
use crate::{
    audit::{Actor, Event},
    auth::Keys,
    base::{Done, Timestamp},
    changes::{Subscriber, Watermark},
    jose::{JwkSet, KeySet},
    model::{Claims, Error, KeyId, current_trace, error},
    store::{Change, ChangeKind, SIGNING_KEYS},
};

pub use administering::ListedKey;
pub use rotation::{KeyRotation, NextKey, Tended};
pub use sealed_key::{check_sealed, opens_keys};
pub use stages::{KeySettings, Stage, StagedKey, staged};

use state::{KeysReading, State};

/// What is found of the key that is to sign now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// It is open.
    Open,
    /// The master key does not open it.
    Sealed,
    /// There is none.
    Missing,
}

/// The keys of the service, in memory, as the database holds them.
#[derive(Debug)]
pub struct Keyring {
    rotation: KeyRotation,
    watermark: Arc<Watermark>,
    state: ArcSwap<State>,
    /// How many readings of the database have begun. One goes on at a time.
    readings: AtomicU64,
    /// How many of them have failed.
    failures: AtomicU64,
    /// Held by the reading that goes on: how the last one failed.
    reading: Mutex<Option<Arc<Error>>>,
    /// How many changes of the keys have been noted.
    changes: AtomicU64,
    /// The key of which was last told that it signs.
    told: std::sync::Mutex<Option<KeyId>>,
}

impl Keyring {
    /// Opens the stored keys, and makes the first, or the first of the configured algorithm, if it is not there. `watermark`
    /// must belong to a feed that was opened before.
    ///
    /// # Errors
    /// [`Error::WrongMasterKey`] if a stored key does not open.
    pub async fn open(rotation: KeyRotation, watermark: Arc<Watermark>) -> Result<Self, Error> {
        rotation.ensure().await?;
        let reading = KeysReading { begun: rotation.clock().monotonic(), ..KeysReading::default() };
        let stored = rotation.store().signing_keys().await?;
        let (state, problem) = State::read(stored, rotation.master_key(), &State::default(), reading);
        if let Some(problem) = problem {
            return Err(problem);
        }
        let state = ArcSwap::from_pointee(state);
        let keyring = Self {
            rotation,
            watermark,
            state,
            readings: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            reading: Mutex::default(),
            changes: AtomicU64::new(0),
            told: std::sync::Mutex::default(),
        };
        // Once more, as from now on: a key of another process may have to be kept for longer than that process thought.
        keyring.reload().await?;
        *keyring.told.lock().unwrap_or_else(PoisonError::into_inner) = keyring.signing_kid();
        Ok(keyring)
    }

    /// The id of this process among those that change the keys.
    #[must_use]
    pub const fn process_id(&self) -> Uuid {
        self.rotation.id()
    }

    /// The key under which names are kept that may be none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn name_key(&self) -> Result<NameKey, Error> {
        NameKey::open(self.rotation.store(), self.rotation.master_key()).await
    }

    /// The keys of prehashes of passwords.
    #[must_use]
    pub fn prehash_keys(&self) -> PrehashKeys {
        PrehashKeys::new(self.rotation.store().clone(), Arc::clone(self.rotation.master_key()))
    }

    /// Signs `claims` into an access token (RFC 9068 section 2.1).
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no key is open; [`Error::Internal`] if the key does not sign.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let state = self.state.load();
        state.signing(self.now()).ok_or_else(no_keys)?.sign(claims)
    }

    /// The id of the key that signs at present; none if no key is open.
    #[must_use]
    pub fn signing_kid(&self) -> Option<KeyId> {
        self.state.load().signing(self.now()).map(|key| key.kid().clone())
    }

    /// When the key that signs at present was made; none if no key is open.
    #[must_use]
    pub fn signing_key_create_time(&self) -> Option<Timestamp> {
        let state = self.state.load();
        let signing = state.signing(self.now())?.kid();
        state.stored.iter().find(|key| key.kid == *signing).map(|key| key.create_time)
    }

    /// The public keys (RFC 7517), for those who verify by themselves, those that do not sign yet included. Symmetric keys are never
    /// among them.
    #[must_use]
    pub fn published(&self) -> Arc<JwkSet> {
        Arc::clone(&self.state.load().published)
    }

    /// For how long a verifier may keep [`Self::published`].
    #[must_use]
    pub fn published_max_age(&self) -> Duration {
        self.rotation.settings().cache_age()
    }

    /// Whether this process can sign and verify as the others do: the database answers, and the key that signs is open.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`] if the database does not answer.
    pub async fn check(&self) -> Result<SigningKey, Error> {
        match self.reload().await {
            Err(error) if holds_none(&error) => return Ok(SigningKey::Missing),
            read => read?,
        }
        let (state, now) = (self.state.load(), self.now());
        Ok(if state.is_complete(now) {
            SigningKey::Open
        } else if state.has_signing(now) {
            SigningKey::Sealed
        } else {
            SigningKey::Missing
        })
    }

    /// Sees to it that what is known of the keys is no older than `--standing-cache-max-age`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`] if it is older, and they cannot be read.
    pub async fn refresh(&self) -> Result<(), Error> {
        let (begun, now) = (self.state.load().reading.begun, self.rotation.clock().monotonic());
        let is_good = self.watermark.vouches_for(begun, now, self.rotation.settings().max_age);
        if is_good { Ok(()) } else { self.reload().await }
    }

    /// Reads the keys if another process has changed them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`]: it is to be tried again.
    async fn heed(&self) -> Result<(), Error> {
        let heeded = self.state.load().reading.changes == self.changes.load(Ordering::SeqCst);
        if heeded { Ok(()) } else { self.reload().await }
    }

    /// Publishes the next key if it is time to, and deletes those that no valid token needs. If that has changed anything,
    /// [`Self::take_up`] is to follow.
    ///
    /// # Errors
    /// Those of the database before this process had the lease; later ones are in [`Tended::Failed`].
    pub async fn tend(&self) -> Result<Tended, Error> {
        let state = self.state.load_full();
        // Whoever has the new master key changes them; that this process has not is in the log already.
        let tending = async {
            if state.is_open() { self.rotation.tend(&state.stored).await } else { Ok(Tended::Idle) }
        };
        let tended = Box::pin(tending).await;
        self.tell_successor();
        tended
    }

    /// Reads the keys that this process has changed.
    ///
    /// # Errors
    /// Those of the database: the feed of changes has them read.
    pub async fn take_up(&self) -> Result<(), Error> {
        let taken_up = self.reload().await;
        self.tell_successor();
        taken_up
    }

    /// Tells the log and the audit log of another key that has begun to sign.
    fn tell_successor(&self) {
        let now = self.signing_kid();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kid) = now.as_ref().filter(|_| now != *told) {
            tracing::info!(kid = %kid, "another key signs from now on");
            let rotated = Event::SigningKeyRotated.done().by(Actor::Service).key(kid.clone());
            self.rotation.audit().record(rotated);
        }
        *told = now;
    }

    /// Reads the stored keys, and takes up what has changed. If they cannot be read, what is known stays in force until it is too old
    /// for [`Self::refresh`]; a key that cannot be opened is left out and told of in the log.
    ///
    /// Every call may need that at once, and while the database is away each reading takes as long as it may: so nobody waits for
    /// more than one, and for none longer than it may take.
    async fn reload(&self) -> Result<(), Error> {
        let limit = self.rotation.store().time_limit();
        // Seldom needed: what it takes is not carried along by every call.
        let reloading = Box::pin(self.reload_in_turn());
        let begun = self.rotation.clock().monotonic();
        let reloaded = timeout(limit, reloading).await.unwrap_or_else(|_| {
            let source = format!("no answer within {limit:?}").into();
            Err(Error::Unavailable { what: "signing keys", source })
        });
        if let Some(trace) = current_trace() {
            let took = self.rotation.clock().monotonic().saturating_sub(begun);
            trace.add(took, Done::internal("signing_keys.read", reloaded.is_err()));
        }
        reloaded
    }

    async fn reload_in_turn(&self) -> Result<(), Error> {
        let (seen, failures) = (self.readings.load(Ordering::SeqCst), self.failures.load(Ordering::SeqCst));
        let mut failure = self.reading.lock().await;
        if self.state.load().reading.number > seen {
            return Ok(()); // Somebody else's reading began after this call.
        }
        if let Some(error) = failure.as_ref().filter(|_| self.failures.load(Ordering::SeqCst) > failures) {
            return Err(shared(error)); // Somebody else's failed after this call had begun.
        }
        // All of it before the reading, so that a change meanwhile is seen by the next one.
        let reading = KeysReading {
            number: self.readings.fetch_add(1, Ordering::SeqCst) + 1,
            begun: self.rotation.clock().monotonic(),
            changes: self.changes.load(Ordering::SeqCst),
        };
        self.read(reading).await.map_err(|error| {
            let error = failure.insert(Arc::new(error));
            self.failures.fetch_add(1, Ordering::SeqCst);
            shared(error)
        })
    }

    async fn read(&self, reading: KeysReading) -> Result<(), Error> {
        let store = self.rotation.store();
        let stored = store.signing_keys().await?;
        if stored.is_empty() {
            // Some mistake: revoking the last key makes another.
            return Err(no_keys());
        }
        let retention = self.rotation.settings().retention;
        for key in staged(&stored, self.now()) {
            // Before it signs a token that lives longer than whoever made the key thought.
            if matches!(key.stage, Stage::Published | Stage::Signing) && key.key.retention < retention {
                store.raise_key_retention(&key.key.kid, retention).await?;
            }
        }
        let known = self.state.load_full();
        let (state, problem) = State::read(stored, self.rotation.master_key(), &known, reading);
        if let Some(problem) = problem.filter(|_| known.is_open()) {
            tracing::error!(
                error = %error::chain(&problem),
                "signing keys in the database cannot be opened, and are left out; those that are open stay in force. If \
                 `signet keys reseal` has changed the master key, restart with the new one"
            );
        } else if state.is_open() && !known.is_open() {
            tracing::info!("every signing key in the database is open again");
        }
        self.state.store(Arc::new(state));
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.rotation.clock().now()
    }
}

impl Subscriber for Keyring {
    fn hear(&self, change: &Change) {
        if change.concerns(ChangeKind::SigningKeys) && change.subject == SIGNING_KEYS {
            self.forget_everything();
        }
    }

    fn forget_everything(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.heed())
    }
}

impl Keys for Arc<Keyring> {
    async fn current(&self, _caller: Option<IpAddr>) -> Result<Arc<KeySet>, Error> {
        self.refresh().await?;
        Ok(self.last_known())
    }

    fn last_known(&self) -> Arc<KeySet> {
        Arc::clone(&self.state.load().verifying)
    }
}

/// The failure of a reading, for one of those who waited for it.
fn shared(error: &Arc<Error>) -> Error {
    match **error {
        Error::Unavailable { what, .. } => Error::Unavailable { what, source: Box::new(Arc::clone(error)) },
        _ => Error::internal(Arc::clone(error)),
    }
}

/// That the database answers, and has no key.
#[derive(Debug, thiserror::Error)]
#[error("the database holds none that can be used")]
struct NoKeys;

fn no_keys() -> Error {
    Error::Unavailable { what: "signing keys", source: Box::new(NoKeys) }
}

/// Whether a reading failed only by [`no_keys`].
fn holds_none(error: &Error) -> bool {
    let Error::Unavailable { source, .. } = error else { return false };
    source.is::<NoKeys>() || source.downcast_ref::<Arc<Error>>().is_some_and(|error| holds_none(error))
}
