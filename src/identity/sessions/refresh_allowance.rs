//! Owns how often a user may refresh: each refresh writes to the database, which logins need, too.

use std::time::Duration;

use crate::{
    admission::{Allowance, Allowances},
    base::Clock,
    model::{Error, Session, SessionId, UserId},
};

/// How many users, and how many sessions, are told apart: who is forgotten has refreshed least of late.
const KEYS: usize = 32_768;

/// One session has a half of what its user has, so that whoever stole its tokens leaves the user's other sessions theirs.
const SESSIONS: u32 = 2;

/// How often a user refreshes.
#[derive(Clone, Copy, Debug)]
pub struct RefreshSettings {
    /// How many times at once.
    pub at_once: u32,
    /// After how long there is one more.
    pub interval: Duration,
}

/// The allowances of users and their sessions.
#[derive(Debug)]
pub(super) struct RefreshAllowances {
    users: Allowances<UserId>,
    sessions: Allowances<SessionId>,
}

impl RefreshAllowances {
    pub(super) fn new(RefreshSettings { at_once, interval }: RefreshSettings, clock: &Clock) -> Self {
        let of_session =
            Allowance { at_once: at_once.div_ceil(SESSIONS), interval: interval.saturating_mul(SESSIONS) };
        Self {
            users: Allowances::new(Allowance { at_once, interval }, KEYS, clock.clone()),
            sessions: Allowances::new(of_session, KEYS, clock.clone()),
        }
    }

    /// Charges `session` and its user for a refresh, before it is written.
    ///
    /// # Errors
    /// [`Error::TooManyRefreshes`], and neither is charged.
    pub(super) fn charge(&self, session: &Session) -> Result<(), Error> {
        let too_many = |retry_after| Error::TooManyRefreshes { retry_after };
        let of_session = self.sessions.take(session.id).map_err(too_many)?;
        match self.users.take(session.user_id) {
            Ok(_charged) => Ok(()),
            Err(retry_after) => {
                of_session.give_back();
                Err(too_many(retry_after))
            }
        }
    }
}
