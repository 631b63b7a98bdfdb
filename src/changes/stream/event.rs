//! Owns what a row of the feed means to the stream.

use uuid::Uuid;

use super::{
    audiences::{At, Names},
    told::Kind,
};
use crate::{
    model::{AudienceName, NameSet},
    store::{Change, ChangeEffect, ChangeKind, EVERYBODY},
};

/// A change that somebody may be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A session has ended.
    Session { id: Uuid, user: Option<Uuid>, at: At },
    /// A client was disabled or deleted.
    Client { id: Uuid, at: At },
    /// Scopes were taken away.
    Scopes { subject: Option<Uuid>, client: Option<Uuid>, audience: AudienceName, scopes: NameSet },
    /// The signing keys have changed.
    Keys,
    /// The policy of the audience of this key has changed.
    Policy { key: Uuid },
}

impl Event {
    /// What `change` tells; none if nobody is told of it.
    pub(super) fn of(change: &Change, names: &mut Names) -> Option<Self> {
        let has_ended = change.effect == Some(ChangeEffect::Ended);
        let id = change.subject;
        match change.kind? {
            ChangeKind::Session if has_ended => {
                let at = names.shared(change.audience.as_ref());
                Some(Self::Session { id, user: change.holder, at })
            }
            ChangeKind::Client if has_ended => {
                Some(Self::Client { id, at: names.shared(change.audience.as_ref()) })
            }
            ChangeKind::Scopes => {
                let audience = change.audience.as_ref()?.as_str().to_owned();
                // It was written as roles have it, but by what a client is registered with.
                let audience = match &*names.of(change.audience.as_ref()?) {
                    [own] if own.is_signet() => own.clone(),
                    _ => AudienceName::from_stored(audience),
                };
                let subject = (id != EVERYBODY).then_some(id);
                let (client, scopes) = (change.holder, change.scopes.clone()?);
                Some(Self::Scopes { subject, client, audience, scopes })
            }
            ChangeKind::SigningKeys => Some(Self::Keys),
            ChangeKind::Policy => Some(Self::Policy { key: id }),
            _ => None,
        }
    }

    /// Its kind.
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Session { .. } => Kind::Sessions,
            Self::Client { .. } => Kind::Clients,
            Self::Scopes { .. } => Kind::Scopes,
            Self::Keys => Kind::Keys,
            Self::Policy { .. } => Kind::Policies,
        }
    }
}
