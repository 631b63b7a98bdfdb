//! Owns the answer to whether what a genuine token stands for still stands.

use std::sync::Arc;

use super::{Accounts, Clients, Sessions};
use crate::{
    auth::Standing,
    model::{Claims, ClientId, Error, Session, SessionId, Subject, UserId, claims::FIRST_PARTY_CLIENT},
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

    /// Whether the user and the client of `session` are in good standing. Whether it goes on is known to who found it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(super) async fn of_session(&self, session: &Session) -> Result<bool, Error> {
        Ok(self.user_is_active(session.user_id).await? && self.client_is_active(&session.client_id).await?)
    }

    async fn user_stands(&self, user: UserId, session: SessionId, claims: &Claims) -> Result<bool, Error> {
        Ok(self.user_is_active(user).await?
            && self.sessions.goes_on_for(session, claims.jti).await?
            && self.client_is_active(&claims.client_id).await?)
    }

    async fn user_is_active(&self, id: UserId) -> Result<bool, Error> {
        Ok(self.accounts.user(id).await?.is_some_and(|user| user.is_active))
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
    async fn check(&self, claims: &Claims) -> Result<(), Error> {
        let stands = match claims.subject() {
            Subject::User(user, session) => self.user_stands(user, session, claims).await?,
            Subject::Client(id) => self.clients.is_active(id).await?,
        };
        if stands { Ok(()) } else { Err(Error::TokenRevoked) }
    }
}
