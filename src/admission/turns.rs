//! Owns the turn of calls of which one at a time is answered: a caller has others wait for one of its calls, not for all that it has begun.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

use super::share::Holder;
use crate::base::Deadline;

/// How many calls one claimant may have begun, so that what waits is bounded: as many as the pool of such calls has places. Claimants are
/// few: each has shown a token that lets it make such a call.
const MAX_BEGUN: usize = 16;

/// Who has the turn, and who waits for it.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Queues>);

/// Whose calls wait for each other. Nobody's are those that no connection has brought, as in a test of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Claimant(pub(super) Option<Holder>);

#[derive(Debug)]
struct Queues {
    /// The turn itself. One call of each claimant is in this queue, in the order in which they came.
    all: Arc<Semaphore>,
    /// The calls of each claimant who has begun any.
    claimants: Mutex<HashMap<Claimant, Calls>>,
}

/// The calls of one claimant.
#[derive(Debug)]
struct Calls {
    /// Held by the one that is in the queue of all: the others wait for it, in the order in which they came.
    own: Arc<Semaphore>,
    count: usize,
}

/// The turn of a call, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _begun: Begun,
}

/// A call that has the turn or waits for it.
#[derive(Debug)]
struct Begun {
    queues: Arc<Queues>,
    claimant: Claimant,
    own: Arc<Semaphore>,
}

impl Turns {
    /// A turn that nobody has.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Queues { all: Arc::new(Semaphore::new(1)), claimants: Mutex::default() }))
    }

    /// The turn for a call of `claimant`, which waits for it until `until`. None if that is too short, or if too many were begun.
    pub(crate) async fn take(&self, claimant: Claimant, until: Deadline) -> Option<Turn> {
        timeout_at(until.instant().into(), self.taken_by(claimant)).await.ok().flatten()
    }

    async fn taken_by(&self, claimant: Claimant) -> Option<Turn> {
        let begun = self.begin(claimant)?;
        let own = Arc::clone(&begun.own).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.0.all).acquire_owned().await.ok()?;
        Some(Turn { _all: all, _own: own, _begun: begun })
    }

    fn begin(&self, claimant: Claimant) -> Option<Begun> {
        let mut claimants = self.0.claimants();
        let calls =
            claimants.entry(claimant).or_insert_with(|| Calls { own: Arc::new(Semaphore::new(1)), count: 0 });
        if calls.count == MAX_BEGUN {
            return None;
        }
        calls.count += 1;
        Some(Begun { queues: Arc::clone(&self.0), claimant, own: Arc::clone(&calls.own) })
    }
}

impl Queues {
    fn claimants(&self) -> MutexGuard<'_, HashMap<Claimant, Calls>> {
        self.claimants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut claimants = self.queues.claimants();
        if let Some(calls) = claimants.get_mut(&self.claimant) {
            calls.count -= 1;
            if calls.count == 0 {
                claimants.remove(&self.claimant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    const fn claimant(number: u128) -> Claimant {
        Claimant(Some(Holder::Subject(Uuid::from_u128(number))))
    }

    #[tokio::test]
    async fn others_wait_for_one_of_the_calls_of_each() {
        let (turns, greedy, other) = (Turns::new(), claimant(1), claimant(2));
        let first = turns.taken_by(greedy).now_or_never().flatten().unwrap();
        let mut more: Vec<_> = (1..MAX_BEGUN).map(|_| Box::pin(turns.taken_by(greedy))).collect();
        for call in &mut more {
            assert!(call.now_or_never().is_none(), "it waits for the first");
        }
        assert!(matches!(turns.taken_by(greedy).now_or_never(), Some(None)), "there are too many");
        let mut others = Box::pin(turns.taken_by(other));
        assert!((&mut others).now_or_never().is_none());
        drop(first);
        // The next one of the caller comes behind the other, who has waited.
        assert!((&mut more[0]).now_or_never().is_none());
        let turn = (&mut others).now_or_never().flatten().unwrap();
        assert!((&mut more[0]).now_or_never().is_none());
        drop(turn);
        assert!((&mut more[0]).now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn a_call_that_goes_away_leaves_the_queue_at_once() {
        let (turns, greedy) = (Turns::new(), claimant(1));
        let turn = turns.taken_by(greedy).now_or_never().flatten().unwrap();
        let mut waiting = Box::pin(turns.taken_by(greedy));
        let mut others = Box::pin(turns.taken_by(claimant(2)));
        assert!((&mut waiting).now_or_never().is_none() && (&mut others).now_or_never().is_none());
        assert_eq!(turns.0.claimants().len(), 2);
        drop((waiting, others));
        assert_eq!(turns.0.claimants().values().map(|calls| calls.count).collect::<Vec<_>>(), [1]);
        drop(turn);
        assert!(turns.0.claimants().is_empty());
        assert!(turns.taken_by(claimant(3)).now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn whoever_has_waited_for_its_own_call_is_next_of_its_own() {
        let (turns, one) = (Turns::new(), claimant(1));
        let first = turns.taken_by(one).now_or_never().flatten().unwrap();
        let (mut second, mut third) = (Box::pin(turns.taken_by(one)), Box::pin(turns.taken_by(one)));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        assert!((&mut second).now_or_never().flatten().is_some());
        assert!((&mut third).now_or_never().flatten().is_some(), "the second one was dropped");
    }
}
