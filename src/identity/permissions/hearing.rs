//! Owns how permissions follow the feed: whose bindings changed, and which roles and groups did.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use uuid::Uuid;

use super::Permissions;
use crate::{
    changes::Subscriber,
    store::{Change, ChangeKind},
};

/// How many changes are remembered of roles, and of groups. Whoever was read before them is read anew.
const MAX_REMEMBERED: usize = 1_024;

/// Which roles and groups have changed. Each can concern any number of users: nobody looks for them, each is looked at when it calls.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) roles: Changed,
    pub(super) groups: Changed,
}

/// What of one kind has changed, and how often any has.
#[derive(Debug, Default)]
pub(super) struct Changed {
    count: AtomicU64,
    /// The ids of the newest changes, the last one last. It is counted with the lock held.
    newest: Mutex<VecDeque<Uuid>>,
}

/// What permissions hear of one kind of changes.
#[derive(Debug)]
pub struct Hearing {
    permissions: Arc<Permissions>,
    kind: ChangeKind,
}

impl Changed {
    /// How many changes have been heard of.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether nothing that concerns somebody, of which `is_concerned` tells, has changed since `seen` was the count. Then `seen` is the
    /// count of now: who is looked at again costs one comparison.
    pub(super) fn is_as_it_was(
        &self,
        seen: &AtomicU64,
        is_concerned: impl FnOnce(&HashSet<Uuid>) -> bool,
    ) -> bool {
        let before = seen.load(Ordering::Relaxed);
        if before == self.count() {
            return true;
        }
        let Some((changed, now)) = self.since(before) else { return false };
        if is_concerned(&changed) {
            return false;
        }
        // Another call may have looked further.
        seen.fetch_max(now, Ordering::Relaxed);
        true
    }

    /// What has changed since the count was `before`, and the count; none if that is not remembered.
    fn since(&self, before: u64) -> Option<(HashSet<Uuid>, u64)> {
        let newest = self.newest();
        let now = self.count();
        let missed = usize::try_from(now.saturating_sub(before)).ok()?;
        let skipped = newest.len().checked_sub(missed)?;
        Some((newest.iter().skip(skipped).copied().collect(), now))
    }

    fn hear(&self, id: Uuid) {
        let mut newest = self.newest();
        if newest.len() >= MAX_REMEMBERED {
            newest.pop_front();
        }
        newest.push_back(id);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Any may have changed.
    fn hear_of_all(&self) {
        let mut newest = self.newest();
        newest.clear();
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn newest(&self) -> MutexGuard<'_, VecDeque<Uuid>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permissions {
    /// The kinds of changes that matter to it.
    pub const KINDS: [ChangeKind; 4] =
        [ChangeKind::Binding, ChangeKind::Membership, ChangeKind::Group, ChangeKind::Role];

    /// What hears of changes of `kind` for these permissions.
    #[must_use]
    pub const fn hearing(self: Arc<Self>, kind: ChangeKind) -> Hearing {
        Hearing { permissions: self, kind }
    }
}

impl Subscriber for Hearing {
    /// By name alone: while an upgrade rolls, each login at an old replica would have the roles of all users read anew.
    fn hear(&self, change: &Change) {
        if !change.concerns_by_name(self.kind) {
            return;
        }
        let (heard, id) = (&self.permissions.heard, change.subject);
        match self.kind {
            ChangeKind::Role => heard.roles.hear(id),
            ChangeKind::Group => heard.groups.hear(id),
            _ => self.permissions.held.forget(id),
        }
    }

    fn forget_everything(&self) {
        self.permissions.heard.roles.hear_of_all();
        self.permissions.heard.groups.hear_of_all();
        self.permissions.held.forget_all();
        self.permissions.audiences.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Uuid {
        Uuid::from_u128(number as u128)
    }

    #[test]
    fn who_is_not_concerned_is_looked_at_once_for_each_change() {
        let (changed, seen) = (Changed::default(), AtomicU64::new(0));
        let never = |_: &HashSet<Uuid>| -> bool { panic!("nothing has changed since") };
        assert!(changed.is_as_it_was(&seen, never));
        changed.hear(id(1));
        changed.hear(id(2));
        let concerns = |number| move |changed: &HashSet<Uuid>| changed.contains(&id(number));
        assert!(!changed.is_as_it_was(&seen, concerns(1)) && !changed.is_as_it_was(&seen, concerns(2)));
        assert!(changed.is_as_it_was(&seen, concerns(3)));
        assert!(changed.is_as_it_was(&seen, never));
        changed.hear(id(3));
        assert!(changed.is_as_it_was(&seen, concerns(1)), "it was seen before");
    }

    #[test]
    fn what_is_not_remembered_may_concern_anybody() {
        let (changed, seen, late) = (Changed::default(), AtomicU64::new(0), AtomicU64::new(1));
        let concerns_nobody = |_: &HashSet<Uuid>| false;
        for number in 0..=MAX_REMEMBERED {
            changed.hear(id(number));
        }
        assert!(!changed.is_as_it_was(&seen, concerns_nobody), "one more than is remembered");
        assert!(changed.is_as_it_was(&late, concerns_nobody));
        changed.hear_of_all();
        assert!(!changed.is_as_it_was(&late, concerns_nobody));
    }
}
