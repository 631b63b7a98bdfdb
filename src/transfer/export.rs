//! Owns a user as `signet users export` writes it: a line that [`super::read_ndjson`] takes back.

use serde::Serialize;

use crate::{
    model::profile::{DisplayName, Email},
    store::StoredUser,
};

/// How many users are read at a time.
pub const EXPORT_PAGE: u64 = super::BATCH as u64;

/// The members of a line, in their order.
#[derive(Serialize)]
pub struct Exported<'a> {
    id: String,
    username: &'a str,
    password_hash: &'a str,
    email: Option<&'a str>,
    display_name: Option<&'a str>,
    is_active: bool,
    create_time: String,
    update_time: String,
    login_time: Option<String>,
}

impl<'a> From<&'a StoredUser> for Exported<'a> {
    fn from(stored: &'a StoredUser) -> Self {
        let StoredUser { user, password_hash, login_time } = stored;
        Self {
            id: user.id.to_string(),
            username: user.username.typed(),
            password_hash,
            email: user.email.as_ref().map(Email::as_str),
            display_name: user.display_name.as_ref().map(DisplayName::as_str),
            is_active: user.is_active,
            create_time: user.create_time.to_string(),
            update_time: user.update_time.to_string(),
            login_time: login_time.map(|time| time.to_string()),
        }
    }
}
