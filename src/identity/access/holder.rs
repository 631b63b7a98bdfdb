//! Owns how roles, groups and those who have roles are meant: by name or by id.

use std::fmt;

use crate::{
    identity::{clients::ClientRef, users::UserRef},
    model::{AudienceName, Principal, RoleName},
};

/// Which role is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRef {
    /// The audience that it is of.
    pub audience: AudienceName,
    /// Its name.
    pub name: RoleName,
}

/// Which group is meant: by its id or its name. No name reads as an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRef(pub String);

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalRef {
    /// A user.
    User(UserRef),
    /// A group.
    Group(GroupRef),
    /// A client.
    Client(ClientRef),
}

/// Who has roles, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPrincipal {
    /// Who.
    pub principal: Principal,
    /// Its name.
    pub name: String,
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
