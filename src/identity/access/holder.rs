//! Owns references to roles, groups and principals, by name or by id.

use std::fmt;

use crate::{
    identity::{clients::ClientRef, users::UserRef},
    model::{AudienceName, Error, GroupId, Principal, RoleId, RoleName},
};

/// Which role is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleRef {
    /// The one with this id.
    Id(RoleId),
    /// The one of an audience that has this name.
    Name(AudienceName, RoleName),
}

/// Which group is meant: by its id or its name. No name reads as an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRef(pub String);

/// A principal, by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalRef {
    /// A user.
    User(UserRef),
    /// A group.
    Group(GroupRef),
    /// A client.
    Client(ClientRef),
    /// The one with this id.
    Id(Principal),
}

/// A principal, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPrincipal {
    /// The principal.
    pub principal: Principal,
    /// Its name.
    pub name: String,
}

impl RoleRef {
    /// The error that there is no such role.
    pub(super) fn not_found(&self) -> Error {
        let (role, audience) = match self {
            Self::Id(id) => (id.to_string(), None),
            Self::Name(audience, name) => (name.as_str().to_owned(), Some(audience.as_str().to_owned())),
        };
        Error::RoleNotFound { role, audience }
    }
}

impl From<GroupId> for GroupRef {
    fn from(id: GroupId) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for GroupRef {
    /// As it was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NamedPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} `{}`", self.principal.kind(), self.name)
    }
}
