//! Owns the credential version of a user: whether the credentials are still those that a proof was checked against.
//!
//! `users.credential_version` gets a new value whenever a credential of the user changes. A login that replaces an outdated hash leaves it
//! as it is: the password is still the same.

use sea_orm::{ColumnTrait, Condition};
use uuid::Uuid;

use crate::store::tables::{entity::users::Column, one_time_passwords::StoredOneTimePassword};
use crate::{
    base::{Entropy, Timestamp},
    model::{User, id::uuid_v7},
};

/// The stored values by which a login is judged.
#[derive(Debug)]
pub struct Credentials {
    /// The user.
    pub user: User,
    /// The password's hash: a PHC string, or the form of the system that the user came from.
    pub password_hash: String,
    /// None for a user whose credentials only earlier releases have written.
    pub(in crate::store) version: Option<Uuid>,
    /// The one-time password that the user has in the place of a password; read for a login alone.
    pub one_time: Option<StoredOneTimePassword>,
}

/// The credentials of a user as they were when one of them was checked.
///
/// The release before does not know the version, and changes passwords without a new one. Its replicas may run beside this release, so
/// here the credentials are the same only if both the version and the hash are. They cannot run beside the next release, which may compare
/// the version alone: a login is then no longer refused because another one has replaced the hash meanwhile, and a credential without a
/// hash opens a session too.
#[derive(Clone, Debug)]
pub struct CredentialVersion {
    version: Option<Uuid>,
    password_hash: String,
}

impl Credentials {
    /// The version and hash that are compared when a session opens.
    #[must_use]
    pub fn version(&self) -> CredentialVersion {
        CredentialVersion { version: self.version, password_hash: self.password_hash.clone() }
    }
}

impl CredentialVersion {
    /// The condition that a user still has these credentials.
    pub(in crate::store) fn is_current(&self) -> Condition {
        let version = match self.version {
            Some(version) => Column::CredentialVersion.eq(version),
            None => Column::CredentialVersion.is_null(),
        };
        Condition::all().add(version).add(Column::PasswordHash.eq(&self.password_hash))
    }
}

/// A new version, for credentials that change at `now`. No user has had it before, nor a deleted user with the same id, so an old proof
/// never fits new credentials.
pub(in crate::store) fn next_version(now: Timestamp, entropy: &Entropy) -> Uuid {
    uuid_v7(now, entropy)
}
