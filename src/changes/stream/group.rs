//! Owns those who are told the same: of the same audiences, the same kinds.

use std::{sync::Arc, time::Duration};

use hyper::body::Bytes;
use slab::Slab;

use super::{
    audiences::{Heard, Names},
    event::Event,
    told::{ChangesTold, EndedAt, Kinds, TakenScopes},
    watcher::Watcher,
};
use crate::base::Timestamp;

/// What they are told: of which audiences, which kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Told {
    pub(super) audiences: Heard,
    pub(super) kinds: Kinds,
}

/// Those who are told it.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Each with the number that it has among all.
    pub(super) watchers: Slab<(u64, Arc<Watcher>)>,
    /// When they were told something last, on the monotonic clock.
    pub(super) told_at: Duration,
    /// The newest snapshot, and the state of the history that it is of.
    pub(super) snapshot: Option<(u64, Arc<[Bytes]>)>,
}

impl Told {
    /// Whether they are told of `event`.
    pub(super) fn has(&self, event: &Event) -> bool {
        self.kinds.has(event.kind())
            && match event {
                Event::Session { at, .. } | Event::Client { at, .. } => self.audiences.has_one_of(at),
                Event::Scopes { audience, .. } => self.audiences.has(audience),
                Event::Policy { key } => self.audiences.with_key(*key).is_some(),
                Event::Keys => true,
            }
    }

    /// Adds `event` to `changes`, of which tokens count no longer that were issued at `time` or before.
    pub(super) fn add(&self, changes: &mut ChangesTold, event: &Event, time: Timestamp, names: &Names) {
        match event {
            Event::Session { id, .. } => changes.ended_sessions.push(*id),
            Event::Client { id, .. } => changes.ended_clients.push(EndedAt { id: *id, time }),
            Event::Scopes { subject, client, audience, scopes } => {
                let (audience, scopes) = (names.in_tokens(audience), scopes.clone());
                let (subject, client) = (*subject, *client);
                changes.taken_scopes.push(TakenScopes { subject, client, audience, scopes, time });
            }
            Event::Keys => changes.keys_changed = true,
            Event::Policy { key } => {
                let changed = self.audiences.with_key(*key).map(|audience| names.in_tokens(audience));
                if let Some(name) = changed.filter(|name| !changes.changed_policies.contains(name)) {
                    changes.changed_policies.push(name);
                }
            }
        }
    }
}
