//! Owns what commands work on: the database, and the audit log that tells what they changed.

use super::{Failure, audit};
use crate::{
    audit::Audit,
    config::Config,
    server::{Missing, OpenDatabase},
    store::Store,
};

/// The database and the audit log, open.
pub(super) struct Records {
    pub(super) store: Store,
    pub(super) audit: Audit,
}

impl Records {
    /// Opens both: the audit log first, since what cannot be recorded is not done.
    pub(super) async fn open(config: &Config, missing: Missing) -> Result<Self, Failure> {
        let audit = audit::open(config)?;
        let store = OpenDatabase::for_command(&config.storage, missing).await?.store;
        Ok(Self { store, audit })
    }

    /// Closes both, when everything is written.
    pub(super) async fn close(self) {
        self.store.close().await;
        audit::flush(&self.audit).await;
    }
}
