//! Owns what a row of the feed means to the stream.

use std::{mem::size_of, time::Duration};

use uuid::Uuid;

use super::{
    audiences::{self, At, Names, Shared},
    split::ITEMS_OF_SCOPES,
    told::Kind,
};
use crate::{
    base::Timestamp,
    model::{AudienceName, ClientId, NameSet},
    store::{Change, ChangeEffect, ChangeKind, EVERYBODY},
};

/// A change that somebody may be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A session has ended.
    Session { id: Uuid, user: Option<Uuid>, at: At },
    /// Sessions of a user have ended that are not named, since later ones are.
    UserSessions { user: Uuid, at: At },
    /// A client was disabled or deleted.
    Client { id: ClientId, at: At },
    /// Scopes were taken away.
    Scopes(Box<Taken>),
    /// The signing keys have changed.
    Keys,
    /// The policy of the audience of this key has changed.
    Policy { key: Uuid },
}

/// Scopes that were taken away, from whom, and at which audience.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Taken {
    pub(super) subject: Option<Uuid>,
    pub(super) client: Option<ClientId>,
    pub(super) audience: AudienceName,
    pub(super) scopes: NameSet,
}

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When {
    /// No earlier than it was committed ([`committed`]).
    pub(super) time: Timestamp,
    /// The batch in which it is told.
    pub(super) batch: u64,
}

/// What is remembered of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToldEvent {
    pub(super) event: Event,
    pub(super) when: When,
}

/// When a change was committed at the latest that was made at `created` and is heard of `now`, if a transaction takes no `longer`. What
/// clocks may differ by is added to what is told.
pub(super) fn committed(created: Timestamp, now: Timestamp, longer: Duration) -> Timestamp {
    created.after(longer).min(now).max(created)
}

impl Event {
    /// What `change` tells; none if nobody is told of it.
    pub(super) fn of(change: &Change, names: &Names, shared: &mut Shared) -> Option<Self> {
        let has_ended = change.effect == Some(ChangeEffect::Ended);
        let id = change.subject;
        match change.kind? {
            ChangeKind::Session if has_ended => {
                let at = shared.of(change.audience.as_ref(), names);
                Some(Self::Session { id, user: change.holder, at })
            }
            ChangeKind::Client if has_ended => {
                let at = shared.of(change.audience.as_ref(), names);
                Some(Self::Client { id: ClientId(id), at })
            }
            ChangeKind::Scopes => {
                let stored = change.audience.as_ref()?;
                // It was written as roles have it, but by what a client is registered with.
                let audience = match names.of(stored).as_slice() {
                    [own] if own.is_signet() => own.clone(),
                    _ => AudienceName::from_stored(stored.as_str().to_owned()),
                };
                let subject = (id != EVERYBODY).then_some(id);
                let (client, scopes) = (change.holder.map(ClientId), change.scopes.clone()?);
                Some(Self::Scopes(Box::new(Taken { subject, client, audience, scopes })))
            }
            ChangeKind::SigningKeys => Some(Self::Keys),
            ChangeKind::Policy => Some(Self::Policy { key: id }),
            _ => None,
        }
    }

    /// Its kind.
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Session { .. } | Self::UserSessions { .. } => Kind::Sessions,
            Self::Client { .. } => Kind::Clients,
            Self::Scopes(_) => Kind::Scopes,
            Self::Keys => Kind::Keys,
            Self::Policy { .. } => Kind::Policies,
        }
    }

    /// How many bytes it takes here, beside itself.
    pub(super) fn bytes(&self) -> usize {
        let taken = match self {
            Self::Scopes(taken) => taken,
            Self::Session { at, .. } | Self::UserSessions { at, .. } | Self::Client { at, .. } => {
                return at.as_deref().map_or(0, audiences::bytes);
            }
            Self::Keys | Self::Policy { .. } => return 0,
        };
        size_of::<Taken>() + taken.audience.as_str().len() + taken.scopes.as_str().len()
    }

    /// In the place of how many sessions it stands in a message, at most: scopes have names.
    pub(super) const fn items(&self) -> usize {
        if matches!(self, Self::Scopes(_)) { ITEMS_OF_SCOPES } else { 1 }
    }

    /// How many bytes it takes in a message, at most: an id as text, a time, and the tags of these.
    pub(super) fn message_bytes(&self) -> usize {
        const ID: usize = 38;
        const TIME: usize = 16;
        const TAGS: usize = 8;
        match self {
            Self::Session { .. } => ID + 2,
            Self::UserSessions { .. } | Self::Client { .. } => ID + TIME + TAGS,
            Self::Scopes(taken) => {
                // A tag and a length before each scope, in the place of the space between two.
                let scopes = taken.scopes.as_str().len() + 2 * taken.scopes.iter().count();
                2 * ID + TIME + 2 * TAGS + taken.audience.as_str().len() + scopes
            }
            Self::Keys => 2,
            // The longest name of an audience.
            Self::Policy { .. } => 512 + TAGS,
        }
    }
}

impl When {
    /// The later of both.
    pub(super) fn latest(self, other: Self) -> Self {
        Self { time: self.time.max(other.time), batch: self.batch.max(other.batch) }
    }
}

impl ToldEvent {
    /// How many bytes it takes here.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.event.bytes()
    }
}
