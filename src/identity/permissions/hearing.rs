//! Owns what permissions hear from the feed: whose bindings have changed, and that roles or groups have.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use uuid::Uuid;

use super::Permissions;
use crate::{changes::Subscriber, store::ChangeKind};

/// How many changes of roles and of groups have been heard of. Each can concern any number of users: nobody looks for them.
#[derive(Debug, Default)]
pub(super) struct Heard {
    roles: AtomicU64,
    groups: AtomicU64,
}

/// The same, at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) roles: u64,
    pub(super) groups: u64,
}

/// What permissions hear of one kind of changes.
#[derive(Debug)]
pub struct Hearing {
    permissions: Arc<Permissions>,
    kind: ChangeKind,
}

impl Heard {
    pub(super) fn counts(&self) -> Counts {
        Counts { roles: self.roles.load(Ordering::SeqCst), groups: self.groups.load(Ordering::SeqCst) }
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
    fn kind(&self) -> ChangeKind {
        self.kind
    }

    /// No: while an upgrade rolls, each login at an old replica would have the roles of all users read anew.
    fn hears_unnamed(&self) -> bool {
        false
    }

    fn forget_changed(&self, id: Uuid) {
        let heard = &self.permissions.heard;
        match self.kind {
            ChangeKind::Role => drop(heard.roles.fetch_add(1, Ordering::SeqCst)),
            ChangeKind::Group => drop(heard.groups.fetch_add(1, Ordering::SeqCst)),
            _ => self.permissions.held.forget(id),
        }
    }

    fn forget_everything(&self) {
        self.permissions.heard.roles.fetch_add(1, Ordering::SeqCst);
        self.permissions.held.forget_all();
        self.permissions.audiences.clear();
    }
}
