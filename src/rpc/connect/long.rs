//! Owns when long messages are read or written as JSON: one at a time, on a thread of its own, since that takes some times their memory and
//! so long that other calls would wait.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::model::Error;

/// The longest message that is translated on the thread of its call, which takes about a millisecond: what serves others waits for no more.
pub(super) const MAX_BYTES_AT_ONCE: usize = 64 * 1_024;

/// The most memory that the values of a request may take there, in bytes.
pub(super) const MAX_MEMORY_AT_ONCE: usize = 1_024 * 1_024;

/// The turn of the long messages of one listener.
#[derive(Clone, Debug)]
pub(super) struct LongMessages(Arc<Semaphore>);

impl LongMessages {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// The result of `work`, which runs when no other does. Once begun it has the turn to its end, whether or not somebody waits for it.
    ///
    /// # Errors
    /// That of `work`; [`Error::Internal`] if it panics.
    pub(super) async fn translate<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.turn().await?;
        let translated = spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        translated.await.map_err(Error::internal)?
    }

    /// The turn, once nobody else has it.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.0).acquire_owned().await.map_err(Error::internal)
    }
}
