//! Owns how and when a user logged in: what tokens say as `amr`, `auth_time` and `acr`.

use super::NameSet;
use crate::base::Timestamp;

/// The method's name for a password (RFC 8176 section 2).
const PASSWORD: &str = "pwd";

/// How and when the user of a session proved who they are. It stays what it was at the login, however often the session is refreshed (RFC
/// 9068 section 2.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// By which methods, by their names in RFC 8176: `amr`.
    pub methods: NameSet,
    /// When: `auth_time`.
    pub time: Timestamp,
    /// Which level of assurance that reached: `acr`. This release knows of none, and passes on what a later one has stored.
    pub level: Option<String>,
}

/// The methods of a login by password alone.
pub(crate) fn by_password() -> NameSet {
    NameSet::from_stored(PASSWORD.to_owned())
}
