//! Owns what those are told who are told the same: of the same audiences, the same kinds.

use super::{
    audiences::{Names, WatchedAudiences},
    event::{Event, ToldEvent},
    told::{ChangesTold, EndedClient, EndedUser, Kinds, TakenScopes},
};
use crate::base::Timestamp;

/// Of which audiences somebody is told, and which kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Interest {
    pub(super) audiences: WatchedAudiences,
    pub(super) kinds: Kinds,
}

impl Interest {
    /// Whether they are told of `event`.
    pub(super) fn has(&self, event: &Event) -> bool {
        self.kinds.has(event.kind())
            && match event {
                Event::Session { at, .. } | Event::UserSessions { at, .. } | Event::Client { at, .. } => {
                    self.audiences.has_one_of(at)
                }
                Event::Scopes(taken) => self.audiences.has(&taken.audience),
                Event::Policy { key } => self.audiences.with_key(*key).is_some(),
                Event::Keys => true,
            }
    }

    /// What tells it from others, in another process too.
    pub(super) fn mark(&self) -> u64 {
        self.audiences.mark() ^ u64::from(self.kinds.bits())
    }

    /// Adds what `entry` says to `changes`; of tokens that were issued until its time, `until` says how much later they count no longer.
    pub(super) fn add(
        &self,
        changes: &mut ChangesTold,
        entry: &ToldEvent,
        until: impl Fn(Timestamp) -> Timestamp,
        names: &Names,
    ) {
        let time = until(entry.when.time);
        match &entry.event {
            Event::Session { id, .. } => changes.ended_sessions.push(*id),
            Event::UserSessions { user, .. } => {
                changes.ended_user_sessions.push(EndedUser { subject: *user, time });
            }
            Event::Client { id, .. } => changes.ended_clients.push(EndedClient { id: *id, time }),
            Event::Scopes(taken) => changes.taken_scopes.push(TakenScopes {
                subject: taken.subject,
                client: taken.client,
                audience: names.in_tokens(&taken.audience),
                scopes: taken.scopes.clone(),
                time,
            }),
            Event::Keys => changes.keys_changed = true,
            Event::Policy { key } => {
                let name = self.audiences.with_key(*key).map(|audience| names.in_tokens(audience));
                if let Some(name) = name.filter(|name| !changes.changed_policies.contains(name)) {
                    changes.changed_policies.push(name);
                }
            }
        }
    }
}
