//! Owns where calls over HTTP/2 run: on their connection's task as long as they wait for nothing, and each on a task of its own from then
//! on.
//!
//! Most calls wait for nothing: what they need is remembered. A task for each of them would cost its making, and have two threads meet at
//! the lock that h2 has for the streams of a connection. How many begin before other connections have their turn, `frames.rs` bounds.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker},
};

use hyper::rt::Executor;

/// Runs calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallExecutor;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for CallExecutor {
    fn execute(&self, call: F) {
        let mut call = Box::pin(call);
        // Whoever waits is polled again, by the task that is to be woken.
        let mut nobody = Context::from_waker(Waker::noop());
        // A panic must cost one call, not its connection: the stream is reset.
        match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut nobody))) {
            Ok(Poll::Pending) => drop(tokio::spawn(call)),
            Ok(Poll::Ready(())) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

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
        CallExecutor.execute(call(Arc::clone(&done), None));
        assert_eq!(done.load(Ordering::Relaxed), 1);
        CallExecutor.execute(call(Arc::clone(&done), Some(Arc::clone(&goes_on))));
        yield_now().await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
        goes_on.notify_one();
        while done.load(Ordering::Relaxed) < 2 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_costs_one_call() {
        CallExecutor.execute(async { panic!("this call alone") });
        let done = Arc::new(AtomicUsize::new(0));
        CallExecutor.execute(call(Arc::clone(&done), None));
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }
}
