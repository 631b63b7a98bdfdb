//! Owns what commands work on: the database, and the audit log that tells what they changed.

use std::time::Duration;

use super::{Failure, audit};
use crate::{
    audit::Audit,
    config::Config,
    identity::{MasterKey, NameKey, UsernameRests},
    server::{Missing, OpenDatabase},
    store::Store,
};

/// The database and the audit log, open.
pub(super) struct Records {
    pub(super) store: Store,
    pub(super) audit: Audit,
    master_key: MasterKey,
    username_rest: Duration,
}

impl Records {
    /// Opens both: the audit log first, since what cannot be recorded is not done.
    pub(super) async fn open(config: &Config, missing: Missing) -> Result<Self, Failure> {
        let audit = audit::open(config)?;
        // On the heap: every command waits for this.
        let open = Box::pin(OpenDatabase::for_command(&config.storage, missing)).await?;
        Ok(Self::of(open, audit, config))
    }

    /// The same of a database that is there, with the schema of this version: neither is made. The audit log is opened last: where nothing is, nothing is left.
    pub(super) async fn open_as_it_is(config: &Config) -> Result<Self, Failure> {
        let open = Box::pin(OpenDatabase::as_it_is(&config.storage)).await?;
        let audit = audit::open(config)?;
        Ok(Self::of(open, audit, config))
    }

    fn of(open: OpenDatabase, audit: Audit, config: &Config) -> Self {
        let OpenDatabase { store, master_key, .. } = open;
        Self { store, audit, master_key, username_rest: config.accounts.username_rest }
    }

    /// How the names of deleted users rest.
    ///
    /// # Errors
    /// If the master key is not the one of the service: names that it marked would not rest there.
    pub(super) async fn rests(&self) -> Result<UsernameRests, Failure> {
        if self.username_rest.is_zero() {
            return Ok(UsernameRests::OFF);
        }
        let names = NameKey::open_or_add(&self.store, &self.master_key).await?;
        Ok(UsernameRests::new(names, self.username_rest))
    }

    /// Closes both, when everything is written.
    pub(super) async fn close(self) {
        self.store.close().await;
        audit::flush(&self.audit).await;
    }
}
