//! Owns what a user is.

use super::{
    Etag, UserAttributes, UserId, Username,
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
    /// What the operator has declared that users may have.
    pub attributes: UserAttributes,
    /// False once an operator has disabled the account.
    pub is_active: bool,
    /// When the account was made.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

impl User {
    /// What tells this state of the user from the next one. A login is no change.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let (id, update_time) = (self.id.to_string(), self.update_time.as_micros().to_string());
        let optional = |text: Option<&str>| text.map_or("none".to_owned(), |text| format!("={text}"));
        let (email, display_name) = (
            optional(self.email.as_ref().map(Email::as_str)),
            optional(self.display_name.as_ref().map(DisplayName::as_str)),
        );
        let is_active = if self.is_active { "active" } else { "disabled" };
        let attributes = self.attributes.to_text();
        let parts = [&*id, self.username.typed(), &email, &display_name, is_active, &update_time];
        Etag::of(parts.into_iter().chain(attributes.as_deref()))
    }
}
