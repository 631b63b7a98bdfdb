//! Owns what is done to users by those who manage them: each act is recorded here, with who did it.

use super::{UserDirectory, UserRef};
use crate::{
    audit::{Audit, Event},
    base::{Clock, Timestamp},
    identity::{Administrator, UsernameRests},
    model::{Error, User},
    store::{Applied, Store},
};

/// The users in the hands of those who manage them. [`NewAccounts`](crate::identity::NewAccounts) makes them, since that takes a password.
#[derive(Debug)]
pub struct UserRegistry {
    directory: UserDirectory,
    store: Store,
    clock: Clock,
    audit: Audit,
}

/// A user who was deleted.
#[derive(Clone, Debug)]
pub struct DeletedUser {
    /// The user, as it was.
    pub user: User,
    /// Until when nobody can sign up with the name; none if anybody can at once.
    pub name_rests_until: Option<Timestamp>,
}

impl UserRegistry {
    /// The users in `store`; `audit` is told of each act.
    #[must_use]
    pub fn new(store: Store, clock: Clock, audit: Audit) -> Self {
        Self { directory: UserDirectory::new(store.clone()), store, clock, audit }
    }

    /// Enables the user `who`, or disables it and ends its sessions. What changes nothing is no event.
    ///
    /// # Errors
    /// As [`UserDirectory::find`].
    pub async fn set_active(
        &self,
        who: &UserRef,
        is_active: bool,
        by: &Administrator,
    ) -> Result<User, Error> {
        let id = self.directory.find(who).await?.id;
        let event = if is_active { Event::UserEnabled } else { Event::UserDisabled };
        let entry = by.entry(event.done().user(id));
        let pending = self.audit.begin(entry.clone());
        let change = by.change(&entry, self.clock.now());
        let applied = match self.store.set_active(id, is_active, change).await {
            Ok(applied) => applied,
            Err(error) => {
                pending.settle(Some(&error));
                return Err(error);
            }
        };
        pending.done_if(!by.only_validates() && applied == Applied::Now(true));
        self.store.user(id).await?.ok_or_else(|| who.not_found())
    }

    /// Deletes the user `who`, and its sessions. Its name rests as `rests` says.
    ///
    /// # Errors
    /// As [`UserDirectory::find`]; what `rests` fails with, which is asked for once there is such a user.
    pub async fn delete<E: From<Error>>(
        &self,
        who: &UserRef,
        rests: impl Future<Output = Result<UsernameRests, E>>,
        by: &Administrator,
    ) -> Result<DeletedUser, E> {
        let user = self.directory.find(who).await?;
        let rests = rests.await?;
        let pending = self.audit.begin(by.entry(Event::UserDeleted.done().user(user.id)));
        let now = self.clock.now();
        let resting = rests.after(&user, now);
        let name_rests_until = resting.as_ref().map(|name| name.until);
        let deleted = self.store.delete_user(user.id, resting, now).await?;
        pending.done_if(deleted.is_some());
        match deleted {
            Some(_) => Ok(DeletedUser { user, name_rests_until }),
            None => Err(who.not_found().into()),
        }
    }
}
