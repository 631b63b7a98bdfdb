//! Owns what commands work on: the database, and the audit log that tells what they changed.

use super::{Failure, audit};
use crate::{
    audit::Audit,
    config::Config,
    identity::UsernameRests,
    server::{Missing, OpenDatabase},
    store::Store,
};

/// The database and the audit log, open.
pub(super) struct Records {
    pub(super) store: Store,
    pub(super) audit: Audit,
    /// How the names of deleted users rest.
    pub(super) rests: UsernameRests,
}

impl Records {
    /// Opens both: the audit log first, since what cannot be recorded is not done.
    pub(super) async fn open(config: &Config, missing: Missing) -> Result<Self, Failure> {
        let audit = audit::open(config)?;
        // On the heap: every command waits for this.
        let open = Box::pin(OpenDatabase::for_command(&config.storage, missing)).await?;
        let rests = UsernameRests::new(&open.master_key, config.accounts.username_rest);
        Ok(Self { store: open.store, audit, rests })
    }

    /// Closes both, when everything is written.
    pub(super) async fn close(self) {
        self.store.close().await;
        audit::flush(&self.audit).await;
    }
}
