//! Owns keeping what is stored of names true: what earlier releases have added and deleted, what a newer Unicode holds alike, and which
//! names rest no longer.

use std::time::Duration;

use crate::{
    identity::{AgreedTime, ClockCheck},
    metrics::TimedWork,
    model::{Error, UserId, error},
    store::Store,
};

/// How often users are looked for that a replica of an earlier release has added: until then names may be taken that look like theirs.
const INTERVAL: Duration = Duration::from_mins(1);

/// How long ago the youngest users may have been added that only a look at all of them finds.
const RECENT: Duration = Duration::from_hours(1);

/// How often all users are looked at.
const WHOLE_INTERVAL: Duration = Duration::from_hours(24);

/// How long others have the database to themselves before the next page.
const PAUSE: Duration = Duration::from_millis(5);

/// What is stored of names.
#[derive(Debug)]
pub struct Usernames {
    store: Store,
}

impl Usernames {
    /// That of `store`.
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

    /// Does so for as long as it is awaited.
    pub async fn tend(&self, clocks: &ClockCheck) {
        let clock = clocks.clock();
        let mut whole = None;
        loop {
            let begun = clock.monotonic();
            let is_due = whole.is_none_or(|last| begun.saturating_sub(last) >= WHOLE_INTERVAL);
            let refreshed = if is_due {
                self.refresh().await
            } else {
                self.refresh_after(Some(UserId::first_at(clock.now().before(RECENT)))).await
            };
            match refreshed {
                Ok(()) if is_due => whole = Some(begun),
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(error = %error::chain(&error), "what names look like is not looked up for now");
                }
            }
            if let Err(error) = self.delete_rested(clocks).await {
                tracing::warn!(error = %error::chain(&error), "names that rest no longer stay for now");
            }
            clocks.wait(INTERVAL).await;
        }
    }

    async fn delete_rested(&self, clocks: &ClockCheck) -> Result<(), Error> {
        match clocks.agreed_time(TimedWork::RestingUsernames).await? {
            AgreedTime::Now(now) => self.store.delete_rested_usernames(now).await,
            AgreedTime::Apart(_) => Ok(()),
        }
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
