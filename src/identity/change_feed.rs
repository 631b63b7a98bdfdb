//! Owns learning what other processes changed: the feed is read often, and what was remembered of its subjects is forgotten.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Accounts, Clients, Keyring, Sessions};
use crate::{
    model::{ClientId, Clock, Error, SessionId, UserId, error},
    store::{SIGNING_KEYS, Store},
};

/// How many changes are read at a time.
const PAGE: u64 = 500;

/// For how long changes stay in the feed.
const RETENTION: Duration = Duration::from_mins(10);

/// After what time without reading the feed nothing that was remembered counts: changes may have gone from it unread.
const GAP: Duration = Duration::from_mins(5);

/// How often changes that everybody has read are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_mins(1);

/// Reads the feed.
#[derive(Debug)]
pub struct ChangeFeed {
    store: Store,
    clock: Clock,
    /// The last change that was read.
    place: AtomicI64,
    followed: Arc<Followed>,
}

/// Until when the feed has been read: every change made before that moment of the monotonic clock has been heeded.
#[derive(Debug, Default)]
pub struct Followed(AtomicU64);

impl Followed {
    /// The moment; zero if the feed has not been read at all.
    #[must_use]
    pub fn until(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn advance(&self, until: Duration) {
        self.0.store(u64::try_from(until.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl ChangeFeed {
    /// The feed from here on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn open(store: Store, clock: Clock) -> Result<Self, Error> {
        let place = AtomicI64::new(store.newest_change().await?);
        Ok(Self { store, clock, place, followed: Arc::default() })
    }

    /// Until when it has been read, for those who remember.
    #[must_use]
    pub fn followed(&self) -> Arc<Followed> {
        Arc::clone(&self.followed)
    }

    /// Reads the feed every `interval`, until it is dropped.
    pub async fn follow(
        &self,
        interval: Duration,
        accounts: &Accounts,
        sessions: &Sessions,
        clients: &Clients,
        keyring: &Keyring,
    ) {
        let mut pruned = self.clock.monotonic();
        loop {
            tokio::time::sleep(interval).await;
            // Until it succeeds again, what is remembered grows old and is read anew: nothing stale is served.
            if let Err(error) = self.read(accounts, sessions, clients, keyring).await {
                tracing::warn!(error = %error::chain(&error), "the changes of other processes cannot be read");
            } else if self.clock.monotonic().saturating_sub(pruned) >= PRUNE_INTERVAL {
                pruned = self.clock.monotonic();
                let _ = self.store.delete_changes_before(self.clock.now().before(RETENTION)).await;
            }
        }
    }

    /// Heeds the changes since the last reading.
    async fn read(
        &self,
        accounts: &Accounts,
        sessions: &Sessions,
        clients: &Clients,
        keyring: &Keyring,
    ) -> Result<(), Error> {
        let begun = self.clock.monotonic();
        if begun.saturating_sub(self.followed.until()) > GAP {
            accounts.forget_all();
            sessions.forget_all();
            clients.forget_all();
            keyring.note_change();
        }
        loop {
            let changes = self.store.changes(self.place.load(Ordering::SeqCst), PAGE).await?;
            for change in &changes {
                if change.subject == SIGNING_KEYS {
                    keyring.note_change();
                }
                // A UUID is of one of them, and forgetting what is not known costs nothing.
                accounts.forget(UserId(change.subject));
                sessions.forget(&[SessionId(change.subject)]);
                clients.forget(ClientId(change.subject));
                self.place.store(change.id, Ordering::SeqCst);
            }
            if (changes.len() as u64) < PAGE {
                break;
            }
        }
        keyring.heed().await?;
        self.followed.advance(begun);
        Ok(())
    }
}
