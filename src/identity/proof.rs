//! Owns what a session opens on: that a user has just proven who they are.

use crate::{
    model::User,
    store::{CredentialVersion, Credentials},
};

/// A user has just proven who they are.
///
/// It is worth something for as long as the user's credentials do not change: what opens a session on it compares them once more, in the
/// transaction that opens it.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Who has proven it.
    pub user: User,
    /// The credentials that the proof was judged by.
    pub credential_version: CredentialVersion,
}

impl Proof {
    /// The proof of who knows the password of `credentials`.
    pub(super) fn by_password(credentials: Credentials) -> Self {
        let credential_version = credentials.version();
        Self { user: credentials.user, credential_version }
    }
}
