//! Owns what a user is.

use std::fmt;

use rand::Rng;
use uuid::Uuid;

use super::{
    Timestamp, Username,
    profile::{DisplayName, Email},
};

/// A user's identifier: a UUIDv7 (RFC 9562 section 5.7), so that rows written together lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub Uuid);

impl UserId {
    /// A new identifier for a user made at `now`.
    pub fn new(now: Timestamp, rng: &mut impl Rng) -> Self {
        Self(uuid_v7(now, rng))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A new UUIDv7: `now` in milliseconds, then 74 random bits.
pub fn uuid_v7(now: Timestamp, rng: &mut impl Rng) -> Uuid {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid()
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Never changes, never used again.
    pub id: UserId,
    /// The name to log in with.
    pub username: Username,
    /// The e-mail address, unverified.
    pub email: Option<Email>,
    /// The name to show.
    pub display_name: Option<DisplayName>,
    /// False once an operator has disabled the account.
    pub is_active: bool,
    /// When the account was made.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}
