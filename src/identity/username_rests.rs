//! Owns how long the name of a deleted user rests before anybody may take it by signing up: who knew the user might take the next one
//! for it.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::hmac;

use super::MasterKey;
use crate::{
    model::{Timestamp, User, Username},
    store::{RestingName, Sha256},
};

/// What the key of the marks is derived for.
const LABEL: &str = "signet resting usernames";

/// How old an account must have been: nobody is known by a name that was made and deleted in a day, and nobody has names rest by doing so.
const MIN_AGE: Duration = Duration::from_hours(24);

/// How long names rest, and what is kept of them: nothing from which somebody who has the database alone could tell who was here.
#[derive(Clone)]
pub struct UsernameRests {
    key: Arc<hmac::Key>,
    /// None if no name rests.
    period: Option<Duration>,
}

impl UsernameRests {
    /// Names rest for `period`; not at all if that is nothing.
    #[must_use]
    pub fn new(master_key: &MasterKey, period: Duration) -> Self {
        Self {
            key: Arc::new(master_key.derive(LABEL)),
            period: Some(period).filter(|period| !period.is_zero()),
        }
    }

    /// By what it is known whether `name` rests; none if no name does.
    #[must_use]
    pub fn mark(&self, name: &Username) -> Option<Sha256> {
        self.period.map(|_| self.mark_of(name))
    }

    /// How the name of `user` rests if the user is deleted at `now`; none if it does not.
    #[must_use]
    pub fn after(&self, user: &User, now: Timestamp) -> Option<RestingName> {
        let period = self.period.filter(|_| now.since(user.create_time) > MIN_AGE)?;
        Some(RestingName { mark: self.mark_of(&user.username), until: now.after(period) })
    }

    fn mark_of(&self, name: &Username) -> Sha256 {
        let mut mark = Sha256::default();
        mark.copy_from_slice(hmac::sign(&self.key, name.canonical().as_bytes()).as_ref());
        mark
    }
}

impl fmt::Debug for UsernameRests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsernameRests").field("period", &self.period).finish_non_exhaustive()
    }
}
