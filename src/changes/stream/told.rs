//! Owns what the stream tells, whatever it looks like on the wire.

use std::time::Duration;

use hyper::body::Bytes;
use uuid::Uuid;

use crate::{
    base::Timestamp,
    model::{ClientId, NameSet},
};

/// A kind of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sessions that ended.
    Sessions,
    /// Clients that ended.
    Clients,
    /// Scopes that were taken away.
    Scopes,
    /// The signing keys.
    Keys,
    /// The policies of services.
    Policies,
}

/// Kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesTold {
    /// Sessions that ended.
    pub ended_sessions: Vec<Uuid>,
    /// Users of whom more sessions ended than are named.
    pub ended_user_sessions: Vec<EndedUser>,
    /// Clients that ended.
    pub ended_clients: Vec<EndedClient>,
    /// Scopes that were taken away.
    pub taken_scopes: Vec<TakenScopes>,
    /// Whether the signing keys have changed.
    pub keys_changed: bool,
    /// Audiences whose policies have changed, as they stand in `aud`.
    pub changed_policies: Vec<String>,
}

/// A user of whom no token counts that was issued at a time or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedUser {
    /// The user.
    pub subject: Uuid,
    /// The time.
    pub time: Timestamp,
}

/// A client by which no token counts that was issued at a time or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedClient {
    /// The client.
    pub id: ClientId,
    /// The time.
    pub time: Timestamp,
}

/// Scopes that were taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenScopes {
    /// From whom; none from every token of the audience.
    pub subject: Option<Uuid>,
    /// From tokens alone that were got with this client; none from whichever.
    pub client: Option<ClientId>,
    /// The audience, as it stands in `aud`.
    pub audience: String,
    /// The scopes.
    pub scopes: NameSet,
    /// Which tokens no longer have them: those that were issued at this time or before.
    pub time: Timestamp,
}

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// What has ended within the life of a token.
    Snapshot {
        /// What.
        changes: ChangesTold,
        /// Before when no token counts; none if all that has ended is told.
        tokens_not_before: Option<Timestamp>,
        /// Whether it is the last part.
        is_last: bool,
        /// For how long changes must be remembered, in the first part.
        keep_for: Option<Duration>,
    },
    /// What has changed.
    Changes(ChangesTold),
    /// Nothing has changed.
    Heartbeat,
    /// Something may have been missed.
    Resync,
}

/// Writes a message as it is sent, once for all who get it.
pub trait Encode: Send + Sync {
    /// The bytes of `part`, with the `position` after it.
    fn encode(&self, position: Option<&[u8]>, part: &Part) -> Bytes;
}

impl Kinds {
    /// All of them.
    pub const ALL: Self = Self(0b1_1111);

    /// Those of `kinds`; all if there are none.
    #[must_use]
    pub fn of(kinds: impl IntoIterator<Item = Kind>) -> Self {
        let set = kinds.into_iter().fold(0, |set, kind| set | kind.bit());
        if set == 0 { Self::ALL } else { Self(set) }
    }

    /// Which they are, as a number.
    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    /// Whether `kind` is one of them.
    #[must_use]
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }
}

impl Kind {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl ChangesTold {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
