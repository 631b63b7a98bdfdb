//! Owns what a binding is: that somebody has a role, for a time if wanted.

use uuid::Uuid;

use super::{BindingId, ClientId, Etag, Group, GroupId, Role, RoleId, Subject, UserId};
use crate::base::Timestamp;

/// How many bindings a user, a group or a client has at most to roles of one audience: each login and each first sight reads them. Counted
/// by audience, since the owners of one shall not use up what those of another may give.
pub const SUBJECT_MAX_BINDINGS: u64 = 32;

/// Who can be given a role, and who can own an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// A user.
    User(UserId),
    /// A group: all its members.
    Group(GroupId),
    /// A client, in its own name.
    Client(ClientId),
}

/// A binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Never changes, never used again.
    pub id: BindingId,
    /// The role that it gives.
    pub role: RoleId,
    /// Who has it.
    pub subject: Principal,
    /// From when on it gives nothing; none if it has no end.
    pub expire_time: Option<Timestamp>,
    /// When it was made.
    pub create_time: Timestamp,
}

/// A role that somebody has by a binding, directly or by a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The binding.
    pub binding: BindingId,
    /// The role.
    pub role: Role,
    /// The group by which it comes; none if the binding is one's own.
    pub group: Option<Group>,
    /// From when on it gives nothing; none if it has no end.
    pub expire_time: Option<Timestamp>,
}

impl Principal {
    /// What kind it is: the name that is stored and shown.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Group(_) => "group",
            Self::Client(_) => "client",
        }
    }

    /// Its id, which is unique among its kind.
    #[must_use]
    pub const fn id(self) -> Uuid {
        match self {
            Self::User(UserId(id)) | Self::Group(GroupId(id)) | Self::Client(ClientId(id)) => id,
        }
    }

    /// The one of this kind and id; none if the kind is not known.
    #[must_use]
    pub fn of(kind: &str, id: Uuid) -> Option<Self> {
        let all = [Self::User(UserId(id)), Self::Group(GroupId(id)), Self::Client(ClientId(id))];
        all.into_iter().find(|principal| principal.kind() == kind)
    }
}

impl Subject {
    /// The user or the client, whatever the session.
    #[must_use]
    pub const fn principal(self) -> Principal {
        match self {
            Self::User(user, _) => Principal::User(user),
            Self::Client(client) => Principal::Client(client),
        }
    }
}

impl Binding {
    /// Whether it gives its role at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        holds_at(self.expire_time, now)
    }

    /// What tells this state of it from the next.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let end = self.expire_time.map(|end| end.as_micros().to_string());
        Etag::of([&*self.id.to_string(), end.as_deref().unwrap_or_default()])
    }
}

impl Grant {
    /// Whether it gives its role at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        holds_at(self.expire_time, now)
    }
}

fn holds_at(expire_time: Option<Timestamp>, now: Timestamp) -> bool {
    expire_time.is_none_or(|end| now < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_gives_nothing_from_its_end_on() {
        let at = Timestamp::from_micros;
        assert!(holds_at(None, at(i64::MAX)) && holds_at(Some(at(2)), at(1)));
        assert!(!holds_at(Some(at(2)), at(2)) && !holds_at(Some(at(2)), at(3)));
    }

    #[test]
    fn a_principal_is_read_as_it_was_written() {
        let id = Uuid::from_u128(7);
        for principal in
            [Principal::User(UserId(id)), Principal::Group(GroupId(id)), Principal::Client(ClientId(id))]
        {
            assert_eq!(Principal::of(principal.kind(), principal.id()), Some(principal));
        }
        assert_eq!(Principal::of("device", id), None);
    }
}
