//! Owns the answer to whether what a genuine token stands for still stands.

use std::sync::Arc;

use super::{Accounts, Sessions};
use crate::{
    auth::Standing,
    model::{Claims, Error, SessionId, UserId},
};

/// A token stands while its session goes on and its user is there and active.
#[derive(Debug)]
pub struct GoodStanding {
    accounts: Arc<Accounts>,
    sessions: Arc<Sessions>,
}

impl GoodStanding {
    /// Asks `accounts` and `sessions`.
    #[must_use]
    pub const fn new(accounts: Arc<Accounts>, sessions: Arc<Sessions>) -> Self {
        Self { accounts, sessions }
    }
}

impl Standing for GoodStanding {
    async fn check(&self, claims: &Claims) -> Result<(), Error> {
        let active = self.accounts.user(UserId(claims.sub)).await?.is_some_and(|user| user.is_active);
        if active && self.sessions.goes_on(SessionId(claims.sid)).await? {
            return Ok(());
        }
        Err(Error::TokenRevoked)
    }
}
