//! Owns finding and listing users for administrators.

use std::fmt;

use uuid::Uuid;

use super::NameCollision;
use crate::{
    base::Timestamp,
    identity::Usernames,
    model::{Error, NamedAttributes, Session, SessionId, SessionLifetime, User, UserId, Username},
    store::Store,
};

/// All users.
#[derive(Debug)]
pub struct UserDirectory {
    pub(super) store: Store,
}

/// Which user is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserRef {
    /// The one with this id, whoever has it as a username.
    Id(UserId),
    /// The one with this username, even if it reads as an id.
    Name(String),
    /// The one with this id or username: an id, if it reads as one.
    IdOrName(String),
}

/// The users whose names can be taken for another user's, page by page.
#[derive(Debug)]
pub struct NameCollisions {
    store: Store,
    after: Option<UserId>,
    is_over: bool,
}

impl UserDirectory {
    /// The users in `store`.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// The user `who`.
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::UserAmbiguous`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn find(&self, who: &UserRef) -> Result<User, Error> {
        let found = match who {
            UserRef::Id(id) => self.store.user(*id).await?,
            UserRef::Name(name) => self.named(name).await?,
            UserRef::IdOrName(said) => match Uuid::parse_str(said) {
                Ok(id) => {
                    // Such a name comes from a time when anybody could have it: whoever chose it wants to be taken for the other.
                    if let Some(named) = self.named(said).await? {
                        return Err(Error::UserAmbiguous { said: said.clone(), named: named.id });
                    }
                    self.store.user(UserId(id)).await?
                }
                Err(_) => self.named(said).await?,
            },
        };
        found.ok_or_else(|| who.not_found())
    }

    /// The attributes of each of `users`, by their names.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn attributes_of(&self, users: &[&User]) -> Result<Vec<NamedAttributes>, Error> {
        if users.iter().all(|user| user.attributes.is_empty()) {
            return Ok(vec![NamedAttributes::new(); users.len()]);
        }
        let declared = self.store.declarations().await?;
        Ok(users.iter().map(|user| declared.names(&user.attributes, |_| true)).collect())
    }

    /// The users after `after` in the order of their ids, the order of their creation; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn page(&self, after: Option<UserId>, limit: u64) -> Result<Vec<User>, Error> {
        self.store.users(after, limit).await
    }

    /// The sessions of the user `who` after `after` that have not expired at `now`, the oldest first; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn sessions(
        &self,
        who: UserId,
        after: Option<SessionId>,
        limit: u64,
        (lifetime, now): (SessionLifetime, Timestamp),
    ) -> Result<Vec<Session>, Error> {
        self.store.sessions(who, after, limit, lifetime, now).await
    }

    /// The users after `after` whose names can be taken for another user's. What earlier releases have stored of names is put right first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn name_collisions(&self, after: Option<UserId>) -> Result<NameCollisions, Error> {
        Usernames::new(self.store.clone()).refresh().await?;
        Ok(NameCollisions { store: self.store.clone(), after, is_over: false })
    }

    async fn named(&self, name: &str) -> Result<Option<User>, Error> {
        match Username::parse(name) {
            Ok(name) => self.store.user_named(&name).await,
            Err(_) => Ok(None),
        }
    }
}

impl NameCollisions {
    /// The next page, which may be empty; none at the end.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn next_page(&mut self) -> Result<Option<Vec<NameCollision>>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let (page, last) = self.store.name_collisions(self.after).await?;
        (self.after, self.is_over) = (last, last.is_none());
        Ok(Some(page))
    }
}

impl UserRef {
    /// The error that there is no such user.
    pub(super) fn not_found(&self) -> Error {
        Error::UserNotFound(self.to_string())
    }
}

impl fmt::Display for UserRef {
    /// As it was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(said) | Self::IdOrName(said) => said.fmt(f),
        }
    }
}
