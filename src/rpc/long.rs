//! Owns when long messages are expanded, or read or written as JSON: one at a time, on a thread of its own, since that takes some times
//! their memory and so long that other calls would wait.

use std::sync::Arc;

use hyper::body::Bytes;
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

    /// What `expand` makes of `message`, of `max_bytes` at most: here if that is short, else in turn. How long it gets is known only
    /// then, so that a short one that gets long is begun anew.
    ///
    /// # Errors
    /// Those of `expand`, which is told how long the result may be; [`Error::Internal`] if it panics.
    pub(super) async fn expand<T: Send + 'static>(
        &self,
        message: &Bytes,
        max_bytes: usize,
        expand: impl Fn(&Bytes, usize) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if message.len() <= MAX_BYTES_AT_ONCE {
            match expand(message, max_bytes.min(MAX_BYTES_AT_ONCE)) {
                Err(Error::MessageTooLarge { .. }) if max_bytes > MAX_BYTES_AT_ONCE => {}
                done => return done,
            }
        }
        let message = message.clone();
        self.clone().translate(move || expand(&message, max_bytes)).await
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use futures_util::FutureExt;

    use super::*;
    use crate::rpc::gzip::expanded;

    fn gzip(length: usize) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&vec![7; length]).unwrap();
        encoder.finish().unwrap().into()
    }

    #[tokio::test]
    async fn what_is_long_or_gets_so_is_expanded_elsewhere_in_its_turn() {
        let long = LongMessages::new();
        let expand = async |message: Bytes, max_bytes| {
            long.expand(&message, max_bytes, |message, max_bytes| expanded(message, max_bytes)).await
        };
        let turn = long.turn().await.unwrap();
        let short = expand(gzip(MAX_BYTES_AT_ONCE), usize::MAX).now_or_never().unwrap();
        assert_eq!(short.unwrap().len(), MAX_BYTES_AT_ONCE);
        let beyond = expand(gzip(2_000), 1_000).now_or_never().unwrap();
        assert!(matches!(beyond, Err(Error::MessageTooLarge { max_bytes: 1_000 })));

        let mut gets_long = Box::pin(expand(gzip(1_000_000), 1_000_000));
        assert!((&mut gets_long).now_or_never().is_none());
        let mut is_long = Box::pin(expand(vec![0_u8; MAX_BYTES_AT_ONCE + 1].into(), 1_000_000));
        assert!((&mut is_long).now_or_never().is_none());
        let mut bomb = Box::pin(expand(gzip(1_000_001), 1_000_000));
        assert!((&mut bomb).now_or_never().is_none());
        drop(turn);
        assert_eq!(gets_long.await.unwrap().len(), 1_000_000);
        assert!(matches!(is_long.await, Err(Error::MalformedRequest(_))));
        assert!(matches!(bomb.await, Err(Error::MessageTooLarge { max_bytes: 1_000_000 })));
    }
}
