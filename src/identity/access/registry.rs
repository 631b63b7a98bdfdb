//! Owns recording what is done to roles, groups, bindings and audiences, with who did it.

use super::{AccessDirectory, AccessError};
use crate::{
    audit::{Audit, Entry, Pending},
    base::Clock,
    identity::Administrator,
    store::Store,
};

/// Roles, groups, bindings and audiences in the hands of those who manage them. Each act is recorded, and told to the other processes.
#[derive(Debug)]
pub struct AccessRegistry {
    pub(super) directory: AccessDirectory,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) audit: Audit,
}

impl AccessRegistry {
    /// What `store` has; `audit` is told of each act.
    #[must_use]
    pub fn new(store: Store, clock: Clock, audit: Audit) -> Self {
        Self { directory: AccessDirectory::new(store.clone()), store, clock, audit }
    }

    /// Begins to record `entry`, the doing of `by`.
    pub(super) fn begin(&self, entry: Entry, by: &Administrator) -> Pending<'_> {
        self.audit.begin(by.entry(entry))
    }
}

/// Records what has become of `pending`: `is_changed` says of what was done whether it changed anything.
pub(super) fn settled<T>(
    pending: Pending<'_>,
    done: Result<T, AccessError>,
    is_changed: impl FnOnce(&T) -> bool,
) -> Result<T, AccessError> {
    match &done {
        Ok(value) => pending.done_if(is_changed(value)),
        Err(AccessError::Failed(error)) => pending.settle(Some(error)),
        Err(_) => pending.dismiss(),
    }
    done
}
