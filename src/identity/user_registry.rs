//! Owns what the operator does to users who are there: each act is recorded here.

use super::UsernameRests;
use crate::{
    audit::{Audit, Event},
    model::{Clock, Error, User, UserId},
    store::Store,
};

/// The users in the operator's hands. [`Accounts`](super::Accounts) makes them, since that takes a password.
#[derive(Debug)]
pub struct UserRegistry {
    store: Store,
    clock: Clock,
    audit: Audit,
}

impl UserRegistry {
    /// The users in `store`; `audit` is told of each act.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, audit: Audit) -> Self {
        Self { store, clock, audit }
    }

    /// Enables the user `id`, or disables it and ends its sessions; none if there is no such user. What changes nothing is no event.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_active(&self, id: UserId, is_active: bool) -> Result<Option<User>, Error> {
        let event = if is_active { Event::UserEnabled } else { Event::UserDisabled };
        let pending = self.audit.begin(event.done().by_operator().user(id));
        pending.done_if(self.store.set_active(id, is_active, self.clock.now()).await?);
        self.store.user(id).await
    }

    /// Deletes `user`, whose name rests as `rests` says; false if it is gone already.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete(&self, user: &User, rests: &UsernameRests) -> Result<bool, Error> {
        let pending = self.audit.begin(Event::UserDeleted.done().by_operator().user(user.id));
        let now = self.clock.now();
        let deleted = self.store.delete_user(user.id, rests.after(user, now), now).await?.is_some();
        pending.done_if(deleted);
        Ok(deleted)
    }
}
