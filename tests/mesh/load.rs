//! Owns callers that call without a pause, and what they have seen.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::requests::eventually;

/// So many answers, over all callers, show that the load goes on.
const ENOUGH: usize = 100;

/// Whoever calls.
pub(crate) trait Caller: Send + 'static {
    /// Makes one call, and says what was wrong with the answer.
    fn call(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

/// Calls without a pause.
#[derive(Default)]
pub(crate) struct Load {
    stop: CancellationToken,
    callers: JoinSet<()>,
    seen: Arc<Seen>,
}

/// What all callers have seen.
#[derive(Debug, Default)]
struct Seen {
    answered: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Load {
    /// Has `caller` make one call after the other.
    pub(crate) fn keep_calling(&mut self, mut caller: impl Caller) {
        let (stop, seen) = (self.stop.clone(), Arc::clone(&self.seen));
        self.callers.spawn(async move {
            while !stop.is_cancelled() {
                match caller.call().await {
                    Ok(()) => _ = seen.answered.fetch_add(1, Ordering::Relaxed),
                    Err(problem) => seen.failed.lock().unwrap().push(problem),
                }
            }
        });
    }

    /// Waits until many calls have been answered that began after now.
    pub(crate) async fn goes_on(&self) {
        let enough = self.answered() + ENOUGH;
        eventually("calls are answered", async || (self.answered() >= enough).then_some(())).await;
    }

    fn answered(&self) -> usize {
        self.seen.answered.load(Ordering::Relaxed)
    }

    /// Ends it, and asserts that no call has failed.
    pub(crate) async fn finish(self) {
        self.stop.cancel();
        self.callers.join_all().await;
        let (answered, failed) =
            (self.seen.answered.load(Ordering::Relaxed), self.seen.failed.lock().unwrap());
        let first = failed.first();
        assert!(failed.is_empty(), "{} calls failed, beside {answered} answered: {first:?}", failed.len());
    }
}
