//! Owns why nothing was done with a role, a group, a binding or an audience.

use super::{GroupRef, NamedPrincipal, RoleRef};
use crate::{
    model::{AudienceName, BindingId, Error, GroupName, RoleName, name_set::MalformedNames},
    store::AccessWriteError,
};

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no such role.
    #[error("there is no role `{}` of the audience `{}`", .0.name.as_str(), .0.audience.as_str())]
    NoSuchRole(RoleRef),
    /// There is no such group.
    #[error("there is no group `{0}`")]
    NoSuchGroup(GroupRef),
    /// There is no such audience.
    #[error(
        "there is no audience `{}`: the first role or client that names it makes it", .0.as_str()
    )]
    NoSuchAudience(AudienceName),
    /// Another role of the audience has the name.
    #[error("the audience `{}` has a role `{}` already", .0.audience.as_str(), .0.name.as_str())]
    RoleTaken(RoleRef),
    /// Another group has the name.
    #[error("there is a group `{}` already", .0.as_str())]
    GroupTaken(GroupName),
    /// Every user has it.
    #[error("every user has the role `everyone`: it is given to nobody, and cannot be deleted")]
    Everyone,
    /// The program itself is to have the role.
    #[error("the role `{}` of the service itself is reserved", .0.as_str())]
    Reserved(RoleName),
    /// No role that somebody makes has such scopes.
    #[error("scopes that begin with `signet.` administer the service itself, and no role has them: {0}")]
    AdminScopes(String),
    /// There are too many scopes.
    #[error("the scopes of a role {0}")]
    Scopes(#[from] MalformedNames),
    /// There would be too many.
    #[error("{whose} has {most} {what} already, which is the most")]
    TooMany {
        /// Of whom.
        whose: String,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: u64,
    },
    /// There is no such binding.
    #[error("there is no binding `{0}`")]
    NoSuchBinding(BindingId),
    /// Nobody gave the role.
    #[error("{} does not have the role `{}` by a binding of its own", .0, .1.as_str())]
    NotBound(NamedPrincipal, RoleName),
    /// The user is not in the group.
    #[error("{} is not in the group `{}`", .0, .1.as_str())]
    NotMember(NamedPrincipal, GroupName),
    /// It does not own the audience.
    #[error("{} does not own the audience `{}`", .0, .1.as_str())]
    NotOwner(NamedPrincipal, AudienceName),
    /// One of the two was deleted at that very moment.
    #[error("{0} was deleted meanwhile")]
    Gone(String),
    /// There is no such user or client; or the database.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl AccessError {
    /// What was not written, if `whose` may have so many `what`, and one of `both` is gone.
    pub(super) fn not_written(
        error: AccessWriteError,
        taken: impl FnOnce() -> Self,
        (whose, what): (&str, &'static str),
        both: &str,
    ) -> Self {
        match error {
            AccessWriteError::NameTaken => taken(),
            AccessWriteError::Gone => Self::Gone(both.to_owned()),
            AccessWriteError::TooMany(most) => Self::TooMany { whose: whose.to_owned(), what, most },
            AccessWriteError::Failed(error) => Self::Failed(error),
        }
    }
}
