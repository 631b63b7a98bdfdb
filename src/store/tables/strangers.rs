//! Owns the statements that are made for strangers, on connections of their own.

use crate::{
    base::Timestamp,
    model::{Client, ClientId, Error, SessionId, SessionLifetime, SpiffeId, User, UserId, Username},
    store::{FailureKeys, Login, NewFailure, Sha256, StoredSession, Strangers},
};

impl Strangers {
    /// The user and the password hash that `name` means, if there is such a user, and what has failed so far.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many look-ups wait; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn login(&self, name: Option<&Username>, keys: FailureKeys) -> Result<Login, Error> {
        self.look_up(self.0.find_login(name, keys)).await
    }

    /// From where the newest sessions of `user` were opened that have not expired by `now`; a hundred of each kind at most.
    ///
    /// # Errors
    /// As with [`Self::login`].
    pub async fn session_addresses(
        &self,
        user: UserId,
        lifetime: SessionLifetime,
        now: Timestamp,
    ) -> Result<Vec<String>, Error> {
        self.look_up(self.0.find_session_addresses(user, lifetime, now)).await
    }

    /// Notes `new` failed passwords, all or none, few at a time. Returns of each when its account's allowance will be full again, if it
    /// was charged.
    ///
    /// # Errors
    /// As with [`Self::login`].
    pub async fn add_failures(&self, new: Vec<NewFailure>) -> Result<Vec<Option<Timestamp>>, Error> {
        self.look_up(self.0.insert_failures(&new)).await
    }

    /// Whether a new user cannot have `username` at `now`, since another has it, or one that looks like it, or since it rests, by the
    /// mark of a name that does.
    ///
    /// # Errors
    /// As with [`Self::login`].
    pub async fn is_taken(
        &self,
        username: &Username,
        resting: Option<Sha256>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.look_up(self.0.is_taken(username, resting, now)).await
    }

    /// The session `id`, if it has not been ended, with what it keeps of its refresh tokens, and its user, if there is one.
    ///
    /// # Errors
    /// As with [`Self::login`].
    pub async fn session_and_user(
        &self,
        id: SessionId,
    ) -> Result<Option<(StoredSession, Option<User>)>, Error> {
        self.look_up(self.0.find_session_and_user(id)).await
    }

    /// The client `id`. For the built-in one no place is asked for: it exists, and is that of whoever names none.
    ///
    /// # Errors
    /// As with [`Self::login`].
    pub async fn client(&self, id: ClientId) -> Result<Option<Client>, Error> {
        if id.is_built_in() {
            return self.0.client(id).await;
        }
        self.look_up(self.0.client(id)).await
    }

    /// The client that is registered by the SPIFFE ID `spiffe_id`.
    ///
    /// # Errors
    /// As with [`Self::login`].
    pub async fn client_of_spiffe_id(&self, spiffe_id: &SpiffeId) -> Result<Option<ClientId>, Error> {
        self.look_up(self.0.find_client_of_spiffe_id(spiffe_id)).await
    }
}
