//! Owns what a group is: users who get roles together. Groups do not nest.

use super::{Etag, GroupId, RuleViolation, UserId, client::check_name};
use crate::base::Timestamp;

/// How many groups a user is in at most: each login and each first sight reads what they give.
pub const USER_MAX_GROUPS: u64 = 128;

/// A group's name, which no other group has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Never changes, never used again.
    pub id: GroupId,
    /// What the operator calls it.
    pub name: GroupName,
    /// When it was made.
    pub create_time: Timestamp,
}

/// That a user is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: GroupId,
    /// The user.
    pub user: UserId,
    /// Since when.
    pub create_time: Timestamp,
}

impl Group {
    /// What tells this state of it from the next.
    #[must_use]
    pub fn etag(&self) -> Etag {
        Etag::of([&*self.id.to_string(), self.name.as_str()])
    }
}

impl GroupName {
    /// Checks the form of `text`: that of a client's name.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }

    /// A name that was checked before it was stored.
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
