//! Owns deleting bindings that have expired, and telling the feed and the audit log. An expired binding gives nothing, whether or not it
//! has been deleted.

use std::sync::Arc;

use crate::{
    audit::{Actor, Audit, Event},
    identity::{AgreedTime, ClockCheck},
    metrics::TimedWork,
    model::{Binding, Error, Role},
    store::Store,
};

/// How many are ended in one transaction: others who give and take roles wait for it.
const PAGE: u64 = 100;

/// Ends bindings.
#[derive(Debug)]
pub struct BindingEnds {
    store: Store,
    clocks: Arc<ClockCheck>,
    audit: Audit,
}

impl BindingEnds {
    /// Ends those in `store`; `audit` is told of each.
    #[must_use]
    pub const fn new(store: Store, clocks: Arc<ClockCheck>, audit: Audit) -> Self {
        Self { store, clocks, audit }
    }

    /// Deletes the bindings that have ended. Any number of processes may do it at once: one of them tells of each.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn look(&self) -> Result<(), Error> {
        loop {
            let ended = self.store.ended_bindings(self.clocks.clock().now(), PAGE).await?;
            if ended.is_empty() {
                return Ok(());
            }
            // Not by a clock that is wrong: it is asked about once there is something to do.
            let AgreedTime::Now(now) = self.clocks.agreed_time(TimedWork::Bindings).await? else {
                return Ok(());
            };
            let is_last = (ended.len() as u64) < PAGE;
            let entry = |(binding, role): (Binding, Role)| {
                let entry = Event::RoleBindingEnded.done().by(Actor::Service).role(role.id);
                (binding.id, entry.audience(role.audience.as_str()).principal(binding.subject))
            };
            let entries: Vec<_> = ended.into_iter().map(entry).collect();
            let pending: Vec<_> = entries.iter().map(|(_, entry)| self.audit.begin(entry.clone())).collect();
            let gone = self.store.end_bindings(&entries, now).await;
            for ((id, _), pending) in entries.iter().zip(pending) {
                match &gone {
                    // Another process has done it, and told of it.
                    Ok(gone) => pending.done_if(gone.contains(id)),
                    Err(error) => pending.settle(Some(error)),
                }
            }
            if gone?.is_empty() || is_last {
                return Ok(());
            }
        }
    }
}
