//! Owns sharing one result among all calls in flight that ask for the same.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};

use crate::store::Sha256;

/// Work that goes on, by what identifies it.
///
/// Whoever waits drives the work: it goes on as long as anybody does, whoever began it, and ends with the last.
#[derive(Debug)]
pub(super) struct InFlight<T>(Arc<Mutex<Works<T>>>);

/// Work, with its number.
type Works<T> = HashMap<Sha256, (u64, WeakShared<BoxFuture<'static, T>>)>;

/// The answer, as each waiting call gets it.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) value: T,
    /// Whether the call came while another's work was going on.
    pub(super) is_shared: bool,
}

/// Strikes work off when it has ended, or is dropped.
struct Registered<T> {
    works: Arc<Mutex<Works<T>>>,
    key: Sha256,
    number: u64,
}

impl<T: Clone + Send + Sync + 'static> InFlight<T> {
    /// What the work of `key` comes to that is going on; or else `work`.
    pub(super) async fn share(
        &self,
        key: Sha256,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Answer<T> {
        let (shared, is_shared) = self.join(key, work);
        Answer { value: shared.await, is_shared }
    }

    fn join(
        &self,
        key: Sha256,
        work: impl Future<Output = T> + Send + 'static,
    ) -> (Shared<BoxFuture<'static, T>>, bool) {
        let mut works = lock(&self.0);
        let number = match works.entry(key) {
            Entry::Occupied(entry) => {
                let (number, shared) = entry.get();
                if let Some(shared) = shared.upgrade() {
                    return (shared, true);
                }
                // Everybody has gone, and it is about to strike itself off.
                number + 1
            }
            Entry::Vacant(_) => 0,
        };
        let registered = Registered { works: Arc::clone(&self.0), key, number };
        let work = async move {
            let _registered = registered;
            work.await
        };
        let shared = work.boxed().shared();
        if let Some(weak) = shared.downgrade() {
            works.insert(key, (number, weak));
        }
        (shared, false)
    }
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Drop for Registered<T> {
    fn drop(&mut self) {
        if let Entry::Occupied(entry) = lock(&self.works).entry(self.key)
            && entry.get().0 == self.number
        {
            entry.remove();
        }
    }
}

fn lock<T>(works: &Mutex<Works<T>>) -> MutexGuard<'_, Works<T>> {
    works.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn calls_in_flight_together_share_one_answer_and_later_ones_do_not() {
        let in_flight = InFlight::default();
        let (answer, answered) = oneshot::channel();
        let first = in_flight.share([1; 32], async { answered.await.unwrap() });
        let second = in_flight.share([1; 32], async { 2 });
        let other = in_flight.share([2; 32], async { 3 });
        let mut first = Box::pin(first);
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(other.await.value, 3);
        // Whoever began it need not stay.
        drop(first);
        answer.send(1).unwrap();
        let second = second.await;
        assert_eq!((second.value, second.is_shared), (1, true));
        let later = in_flight.share([1; 32], async { 4 }).await;
        assert_eq!((later.value, later.is_shared), (4, false));
        assert!(lock(&in_flight.0).is_empty());
    }

    #[tokio::test]
    async fn work_ends_with_the_last_who_waits() {
        let in_flight = InFlight::default();
        let mut waiting = Box::pin(in_flight.share([1; 32], std::future::pending::<()>()));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        assert!(lock(&in_flight.0).is_empty());
    }
}
