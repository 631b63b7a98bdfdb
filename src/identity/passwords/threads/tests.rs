//! Owns what becomes of hashes whose threads get no core: a test stands for the partner.

use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::{
    base::{Deadline, Timestamp},
    identity::passwords::{HashRequest, pool::Pool},
};

const SIZE: PoolSize = PoolSize { threads: 1, queue: 8 };
const PARAMS: Argon2Params = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };

/// What the partner is given, and where it tells what it has hashed.
type Stuck = (Receiver<(Arc<Task>, Option<Memory>)>, Sender<Hashed>);

/// Threads that find that the cores have time for them, with one of them whose partner gets none.
fn threads() -> (Arc<Pool>, Arc<Threads>, Stuck) {
    let clock = Clock::manual(Timestamp::from_micros(1_000_000));
    let threads = Arc::new(Threads::new(PARAMS, SIZE, HashMetrics::default(), clock));
    let each = Duration::from_millis(1);
    let mut state = threads.lock();
    while state.contention.priority() == Priority::Competing {
        state.contention.ended(Duration::from_secs(1), each, each, each);
    }
    drop(state);
    let (given, tasks) = channel();
    let (results, hashed) = channel();
    let partner = Partner { given, hashed, is_late: Arc::default() };
    let serving = Arc::clone(&threads);
    thread::spawn(move || serving.serve(&partner));
    (Arc::new(Pool::of(Arc::clone(&threads))), threads, (tasks, results))
}

fn login(pool: &Arc<Pool>) -> JoinHandle<Result<HashOutcome, Error>> {
    let pool = Arc::clone(pool);
    tokio::spawn(async move {
        let request = HashRequest::new(Some("alice"), None, Deadline::after(Duration::from_mins(5)));
        pool.run(Task::Verify(None, None), request).await
    })
}

#[tokio::test]
async fn a_hash_whose_thread_gets_no_core_is_begun_anew_and_keeps_nobody_waiting() {
    let (pool, threads, (tasks, results)) = threads();
    for _ in 0..3 {
        assert!(matches!(login(&pool).await.unwrap(), Ok(HashOutcome::Verified(false))));
    }
    assert_eq!(threads.lock().contention.priority(), Priority::Competing);
    let (task, memory) = tasks.try_recv().unwrap();
    assert!(tasks.try_recv().is_err(), "the others compete");
    // The partner comes to its end after all, in a memory of which there is one more.
    assert!(threads.lock().memories.has_one());
    results.send(hash(&task, memory, PARAMS, &threads.clock)).unwrap();
    assert!(login(&pool).await.unwrap().is_ok());
    drop(pool);
}

#[tokio::test]
async fn what_the_partner_hashes_in_time_is_told() {
    let (pool, _threads, (tasks, results)) = threads();
    let login = login(&pool);
    let (task, memory) = loop {
        match tasks.try_recv() {
            Ok(given) => break given,
            Err(_) => yield_now().await,
        }
    };
    // Whether in time or not: it is told once.
    results.send(hash(&task, memory, PARAMS, &Clock::system())).unwrap();
    assert!(matches!(login.await.unwrap(), Ok(HashOutcome::Verified(false))));
}
