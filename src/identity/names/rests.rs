//! Owns how long the name of a deleted user rests before others may sign up with it: those who knew the user might take its next owner for
//! them.

use std::time::Duration;

use super::NameKey;
use crate::{
    base::Timestamp,
    model::{User, Username},
    store::{RestingName, Sha256},
};

/// The purpose that separates these digests from others of the same key.
const PURPOSE: &str = "resting username";

/// How old an account must have been: nobody is known by a name that was made and deleted in a day, and nobody has names rest by doing so.
const MIN_AGE: Duration = Duration::from_hours(24);

/// How long names rest, and what is kept of them: nothing from which somebody who has the database alone could tell who was here.
#[derive(Clone, Debug)]
pub struct UsernameRests(
    /// None if no name rests.
    Option<Rest>,
);

#[derive(Clone, Debug)]
struct Rest {
    names: NameKey,
    period: Duration,
}

impl UsernameRests {
    /// No name rests.
    pub const OFF: Self = Self(None);

    /// Names rest for `period`, kept under `names`; not at all if that is nothing.
    #[must_use]
    pub fn new(names: NameKey, period: Duration) -> Self {
        Self(Some(Rest { names, period }).filter(|rest| !rest.period.is_zero()))
    }

    /// The mark by which `name` is found among resting names; none if no name rests.
    #[must_use]
    pub fn mark(&self, name: &Username) -> Option<Sha256> {
        self.0.as_ref().map(|rest| rest.mark(name))
    }

    /// How the name of `user` rests if the user is deleted at `now`; none if it does not.
    #[must_use]
    pub fn after(&self, user: &User, now: Timestamp) -> Option<RestingName> {
        let rest = self.0.as_ref().filter(|_| now.since(user.create_time) > MIN_AGE)?;
        Some(RestingName { mark: rest.mark(&user.username), until: now.after(rest.period) })
    }
}

impl Rest {
    fn mark(&self, name: &Username) -> Sha256 {
        self.names.digest(PURPOSE, &[name.canonical()])
    }
}
