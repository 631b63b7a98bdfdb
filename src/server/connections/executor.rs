//! Owns where calls over HTTP/2 run: on their connection's task as long as they wait for nothing, and each on a task of its own from then on.
//!
//! Most calls wait for nothing: what they need is remembered. A task for each of them would cost its making, and have two threads meet at
//! the lock that h2 has for the streams of a connection.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use hyper::rt::Executor;

/// How many calls run on their connection's task before more of the connection is read. They take a millisecond: other connections have
/// their turn then.
const CALLS_IN_A_TURN: u32 = 32;

/// Runs the calls of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct CallExecutor {
    /// How many more calls may run on its task.
    left: Arc<AtomicU32>,
}

impl CallExecutor {
    /// More of the connection is read.
    pub(super) fn begin_turn(&self) {
        // Nobody but the connection's task sees it.
        self.left.store(CALLS_IN_A_TURN, Ordering::Relaxed);
    }

    fn takes_one(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for CallExecutor {
    fn execute(&self, call: F) {
        let mut call = Box::pin(call);
        if self.takes_one() {
            // Whoever waits is polled again, by the task that is to be woken.
            let mut nobody = Context::from_waker(Waker::noop());
            // A panic must cost one call, not its connection: the stream is reset.
            match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut nobody))) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(())) | Err(_) => return,
            }
        }
        tokio::spawn(call);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::{sync::Notify, task::yield_now};

    use super::*;

    /// A call that counts, once it `goes_on` if it waits.
    async fn call(done: Arc<AtomicUsize>, goes_on: Option<Arc<Notify>>) {
        if let Some(goes_on) = goes_on {
            goes_on.notified().await;
        }
        done.fetch_add(1, Ordering::Relaxed);
    }

    #[tokio::test]
    async fn what_waits_for_nothing_is_done_at_once_and_what_waits_goes_on_by_itself() {
        let (done, goes_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let executor = CallExecutor::default();
        executor.begin_turn();
        executor.execute(call(Arc::clone(&done), None));
        assert_eq!(done.load(Ordering::Relaxed), 1);
        executor.execute(call(Arc::clone(&done), Some(Arc::clone(&goes_on))));
        yield_now().await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
        goes_on.notify_one();
        while done.load(Ordering::Relaxed) < 2 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn so_many_run_at_once_and_the_others_when_their_turn_comes() {
        let done = Arc::new(AtomicUsize::new(0));
        let executor = CallExecutor::default();
        executor.begin_turn();
        for _ in 0..100 {
            executor.execute(call(Arc::clone(&done), None));
        }
        assert_eq!(done.load(Ordering::Relaxed), 32);
        while done.load(Ordering::Relaxed) < 100 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_costs_one_call() {
        let executor = CallExecutor::default();
        executor.begin_turn();
        executor.execute(async { panic!("this call alone") });
        let done = Arc::new(AtomicUsize::new(0));
        executor.execute(call(Arc::clone(&done), None));
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }
}
