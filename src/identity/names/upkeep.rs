//! Owns keeping true what is stored of names: rows that earlier releases added and deleted, looks that a newer Unicode changes, and names
//! that have rested.

use std::time::Duration;

use crate::{
    base::Timestamp,
    model::{Error, UserId},
    store::Store,
};

/// How long ago the youngest users may have been added that only a look at all of them finds.
const RECENT: Duration = Duration::from_hours(1);

/// How long others have the database to themselves before the next page.
const PAUSE: Duration = Duration::from_millis(5);

/// Keeps true what is stored of names.
#[derive(Debug)]
pub struct Usernames {
    store: Store,
}

impl Usernames {
    /// Keeps that of `store`.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Puts right what is stored of all names.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause; what was put right stays so.
    pub async fn refresh(&self) -> Result<(), Error> {
        self.refresh_after(None).await?;
        let mut after = None;
        loop {
            after = self.store.delete_stray_usernames(after).await?;
            if after.is_none() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        loop {
            after = self.store.delete_stray_looks(after).await?;
            if after.is_none() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Puts right what is stored of the names of users who were added lately, as of `now`: by a replica of an earlier release, since this
    /// one leaves nothing to be put right.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn refresh_recent(&self, now: Timestamp) -> Result<(), Error> {
        self.refresh_after(Some(UserId::first_at(now.before(RECENT)))).await
    }

    /// Deletes the names that rest no longer at `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_rested(&self, now: Timestamp) -> Result<(), Error> {
        self.store.delete_rested_usernames(now).await
    }

    async fn refresh_after(&self, mut after: Option<UserId>) -> Result<(), Error> {
        loop {
            after = self.store.refresh_usernames(after).await?;
            if after.is_none() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
