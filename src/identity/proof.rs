//! Owns what a session opens on: that a user has just proven who they are.

use crate::{
    base::Timestamp,
    model::{Authentication, NameSet, User, authentication},
    store::{CredentialVersion, Credentials},
};

/// That a user has just proven who they are.
///
/// It counts only while the user's credentials stay the same: the transaction that opens a session on it compares them.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The user.
    pub user: User,
    /// The credentials that the proof was checked against.
    pub credential_version: CredentialVersion,
    /// By which methods, by their names in RFC 8176.
    pub methods: NameSet,
    /// When.
    pub auth_time: Timestamp,
}

impl Proof {
    /// The proof by the password of `credentials`, which was shown at `auth_time`.
    pub(super) fn by_password(credentials: Credentials, auth_time: Timestamp) -> Self {
        let credential_version = credentials.version();
        let methods = authentication::by_password();
        Self { user: credentials.user, credential_version, methods, auth_time }
    }

    /// What a session that opens on it keeps of it.
    pub(super) fn authentication(&self) -> Authentication {
        // There is no level until there is a second one.
        Authentication { methods: self.methods.clone(), time: self.auth_time, level: None }
    }
}
