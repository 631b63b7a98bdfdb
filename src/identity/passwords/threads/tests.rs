//! Owns what becomes of hashes whose threads get no core: the tests stand for the threads.

use futures_util::FutureExt;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::{
    identity::passwords::{HashRequest, pool::Pool},
    model::{Deadline, Timestamp},
};

const SIZE: PoolSize = PoolSize { threads: 1, queue: 8 };
const PARAMS: Argon2Params = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };

/// The threads, by their numbers.
const YIELDING: (usize, Priority) = (0, Priority::Yielding);
const COMPETING: (usize, Priority) = (1, Priority::Competing);

/// Threads of which those that yield work, whose logins come through the pool.
fn threads() -> (Arc<Threads>, Arc<Pool>, Clock) {
    let clock = Clock::manual(Timestamp::from_micros(1_000_000));
    let threads = Arc::new(Threads::new(PARAMS, SIZE, HashMetrics::default(), clock.clone()));
    let each = Duration::from_millis(10);
    let mut state = threads.lock();
    while state.contention.priority() == Priority::Competing {
        state.contention.ended(clock.monotonic(), each, each, each);
    }
    drop(state);
    (Arc::clone(&threads), Arc::new(Pool::of(threads)), clock)
}

/// A login that waits in the queue.
async fn login(pool: &Arc<Pool>) -> JoinHandle<Result<Outcome, Error>> {
    let before = pool.waiting();
    let login = tokio::spawn({
        let pool = Arc::clone(pool);
        async move {
            let request = HashRequest::new(Some("alice"), None, Deadline::after(Duration::from_mins(5)));
            pool.run(Task::Verify(None, None), request).await
        }
    });
    while pool.waiting() == before {
        yield_now().await;
    }
    login
}

impl Threads {
    /// Has a thread hash what it has begun.
    fn hash(&self, (number, priority): (usize, Priority), begun: Begun) {
        let Begun { task, mut memory } = begun;
        let result = compute(memory.as_mut().unwrap(), &task, PARAMS);
        self.done(number, priority, memory, result, (Duration::from_millis(1), Duration::from_millis(1)));
    }
}

#[tokio::test]
async fn a_hash_whose_thread_gets_no_core_is_begun_anew_and_keeps_nobody_waiting() {
    let (threads, pool, clock) = threads();
    let first = login(&pool).await;
    let stuck = threads.next(YIELDING.0, YIELDING.1).unwrap();
    let second = login(&pool).await;
    clock.advance(Duration::from_secs(1));
    let anew = threads.next(COMPETING.0, COMPETING.1).unwrap();
    assert!(Arc::ptr_eq(&anew.task, &stuck.task));
    threads.hash(COMPETING, anew);
    assert!(matches!(first.await.unwrap(), Ok(Outcome::Verified(false))));
    let next = threads.next(COMPETING.0, COMPETING.1).unwrap();
    assert!(!Arc::ptr_eq(&next.task, &stuck.task));
    threads.hash(COMPETING, next);
    assert!(matches!(second.await.unwrap(), Ok(Outcome::Verified(false))));
    threads.hash(YIELDING, stuck);
    let third = login(&pool).await;
    let next = threads.next(COMPETING.0, COMPETING.1).unwrap();
    threads.hash(COMPETING, next);
    assert!(third.await.unwrap().is_ok(), "hashes go on competing");
}

#[tokio::test]
async fn what_no_thread_that_yields_begins_one_that_competes_does() {
    let (threads, pool, clock) = threads();
    let mut login = login(&pool).await;
    clock.advance(SLACK);
    assert!((&mut login).now_or_never().is_none());
    let begun = threads.next(COMPETING.0, COMPETING.1).unwrap();
    threads.hash(COMPETING, begun);
    assert!(login.await.unwrap().is_ok());
}

#[tokio::test]
async fn one_hash_is_begun_anew_at_a_time_and_its_memory_given_back() {
    let (threads, pool, clock) = threads();
    let login = login(&pool).await;
    let stuck = threads.next(YIELDING.0, YIELDING.1).unwrap();
    clock.advance(Duration::from_secs(1));
    let anew = threads.next(COMPETING.0, COMPETING.1).unwrap();
    assert!(!threads.lock().memories.has_one());
    assert_eq!(threads.lock().first_due(), None, "nothing more is late");
    threads.hash(COMPETING, anew);
    threads.hash(YIELDING, stuck);
    assert!(login.await.unwrap().is_ok());
    let mut state = threads.lock();
    assert!(state.memories.lend_used().is_some());
    assert!(state.memories.lend_used().is_none(), "one is kept for each thread");
}
