//! Owns the upkeep of the search for users: its columns are filled and corrected, and the indexes that an upgrade brings are built.

use std::time::Duration;

use crate::{
    base::Timestamp,
    model::{Error, UserId},
    store::{Store, UserIndex},
};

/// How long ago the youngest users may have been added that only a look at all of them finds.
const RECENT: Duration = Duration::from_hours(1);

/// How long others have the database to themselves before the next page.
const PAUSE: Duration = Duration::from_millis(5);

/// Keeps the columns and indexes true by which users are searched.
#[derive(Debug)]
pub struct UserSearchUpkeep {
    store: Store,
}

impl UserSearchUpkeep {
    /// Keeps those of `store`.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Builds each index that is not there yet, as of `now`, and fills what they index for every user of whom earlier releases have left it
    /// out.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause: the first one. What was done stays so.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), Error> {
        let mut done = Ok(());
        for index in UserIndex::ALL.iter().filter(|index| !index.is_of_keys()) {
            done = done.and(self.build(*index, now).await);
        }
        self.fill_after(None).await?;
        for index in UserIndex::ALL.iter().filter(|index| index.is_of_keys()) {
            done = done.and(self.build(*index, now).await);
        }
        done
    }

    /// Fills what is searched of the users who were added lately, as of `now`: by a replica of an earlier release, since this one leaves
    /// nothing out.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn refresh_recent(&self, now: Timestamp) -> Result<(), Error> {
        self.fill_after(Some(UserId::first_at(now.before(RECENT)))).await
    }

    async fn build(&self, index: UserIndex, now: Timestamp) -> Result<(), Error> {
        if self.store.is_built(index).await? {
            return Ok(());
        }
        self.store.build_user_index(index, now).await?;
        tracing::info!(index = index.name(), "an index of users can be used now");
        Ok(())
    }

    async fn fill_after(&self, mut after: Option<UserId>) -> Result<(), Error> {
        loop {
            after = self.store.refresh_search_keys(after).await?;
            if after.is_none() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
