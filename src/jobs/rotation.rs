//! Owns the job `signing_keys`: each process looks whether a key is due, and the one that has the lease changes the keys.

use std::sync::Arc;

use super::{report::RunResult, shared::run_end};
use crate::{
    base::{Clock, Timestamp},
    identity::{Keyring, Tended},
    model::{Error, error},
    store::{Process, SIGNING_KEYS_LEASE, Store},
};

/// Looks after the signing keys.
pub(crate) struct Rotation {
    keyring: Arc<Keyring>,
    store: Store,
    clock: Clock,
    process: Process,
}

impl Rotation {
    /// Looks after `keyring`, whose keys are in `store`, for `process`.
    pub(crate) const fn new(keyring: Arc<Keyring>, store: Store, clock: Clock, process: Process) -> Self {
        Self { keyring, store, clock, process }
    }

    /// Changes the keys if it is time to. What came of that is noted in the row of the lease, if this process had it; a look that finds
    /// nothing to do is not.
    ///
    /// # Errors
    /// As with the rotation.
    pub(crate) async fn look(&self) -> Result<(), Error> {
        let begin_time = self.clock.now();
        match self.keyring.tend().await? {
            Tended::Idle => Ok(()),
            Tended::Changed => {
                // First: the keys are changed, whether or not this process can read them now.
                self.note(&RunResult::Succeeded, begin_time).await;
                self.keyring.take_up().await
            }
            Tended::Failed(error) => {
                self.note(&RunResult::failed(&error), begin_time).await;
                Err(error)
            }
        }
    }

    async fn note(&self, ended: &RunResult, begin_time: Timestamp) {
        let end = run_end(ended, begin_time.max(self.clock.now()));
        if let Err(error) = self.store.note_run(SIGNING_KEYS_LEASE, &self.process, begin_time, end).await {
            tracing::debug!(error = %error::chain(&error), "what came of changing the signing keys is not noted");
        }
    }
}
