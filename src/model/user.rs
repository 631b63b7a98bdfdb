//! Owns what a user is.

use super::{
    UserId, Username,
    profile::{DisplayName, Email},
};
use crate::base::Timestamp;

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
