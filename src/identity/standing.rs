//! Owns the answer to whether what a genuine token stands for still stands.

use std::sync::Arc;

use super::{Accounts, Clients, Sessions};
use crate::{
    auth::{Caller, Standing},
    model::{Claims, ClientId, Error, Session, SessionId, Subject, User, UserId, claims::FIRST_PARTY_CLIENT},
};

/// A user's token stands while its session goes on, its user is there and active, and so is the client that it was got with; a
/// client's own token while the client is there and active.
#[derive(Clone, Debug)]
pub struct GoodStanding {
    accounts: Arc<Accounts>,
    sessions: Arc<Sessions>,
    clients: Arc<Clients>,
}

impl GoodStanding {
    /// Asks `accounts`, `sessions` and `clients`.
    #[must_use]
    pub const fn new(accounts: Arc<Accounts>, sessions: Arc<Sessions>, clients: Arc<Clients>) -> Self {
        Self { accounts, sessions, clients }
    }

    /// The user of `session`, if the user and the client are in good standing. Whether the session goes on is known to who found it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(super) async fn user_of_session(&self, session: &Session) -> Result<Option<Arc<User>>, Error> {
        let Some(user) = self.active_user(session.user_id).await? else { return Ok(None) };
        Ok(self.client_is_active(&session.client_id).await?.then_some(user))
    }

    /// The user of a token, if user, session and client are in good standing.
    async fn user_of_token(
        &self,
        user: UserId,
        session: SessionId,
        claims: &Claims,
    ) -> Result<Option<Arc<User>>, Error> {
        let Some(user) = self.active_user(user).await? else { return Ok(None) };
        let stands = self.sessions.goes_on_for(session, claims.jti).await?
            && self.client_is_active(&claims.client_id).await?;
        Ok(stands.then_some(user))
    }

    async fn active_user(&self, id: UserId) -> Result<Option<Arc<User>>, Error> {
        Ok(self.accounts.user(id).await?.filter(|user| user.is_active))
    }

    async fn client_is_active(&self, client_id: &str) -> Result<bool, Error> {
        if client_id == FIRST_PARTY_CLIENT {
            return Ok(true);
        }
        match ClientId::parse(client_id) {
            Some(id) => self.clients.is_active(id).await,
            None => Ok(false),
        }
    }
}

impl Standing for GoodStanding {
    type Found = User;

    /// Finds the user of a user's token, and nothing of a client's own.
    async fn check(&self, claims: &Claims) -> Result<Option<Arc<User>>, Error> {
        match claims.subject() {
            Subject::User(user, session) => match self.user_of_token(user, session, claims).await? {
                Some(user) => Ok(Some(user)),
                None => Err(Error::TokenRevoked),
            },
            Subject::Client(id) if self.clients.is_active(id).await? => Ok(None),
            Subject::Client(_) => Err(Error::TokenRevoked),
        }
    }
}

/// The user of `caller`, as [`GoodStanding`] has just found it: as it was at most the bound of the cache ago.
///
/// # Errors
/// [`Error::InsufficientScope`] for a client by itself.
pub fn user_of(caller: &Caller) -> Result<&User, Error> {
    caller.must_be_user()?;
    caller
        .found()
        .ok_or_else(|| Error::internal("nobody has checked whether the caller's token still stands"))
}
