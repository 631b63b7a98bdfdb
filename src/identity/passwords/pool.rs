//! Owns the hash threads: a fixed number, a queue that is shared fairly, and a refusal at once for what cannot be done in time.

use std::{
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rand::Rng;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::sync::oneshot;

use super::{
    HashRequest,
    argon2id::{self, Argon2Params, Memory},
    dues::Dues,
    imported::ImportedHash,
    queue::{Demand, Lane, Queue, Waiting},
    usage::Sharers,
};
use crate::{
    admission::Overdue,
    metrics::{HashLane, HashMetrics},
    model::{Clock, Deadline, Error, Password},
};

/// When to try again at the earliest: before the first hash is done nobody knows how long one takes.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(100);

/// What an imported hash may take before it counts as one that takes memory, in KiB.
const LIGHT_KIB: u64 = 1_024;

/// How much work the pool takes.
#[derive(Clone, Copy, Debug)]
pub struct PoolSize {
    /// How many hashes of this service are computed at once, each in its own memory.
    pub threads: usize,
    /// How many more may wait, in each lane.
    pub queue: usize,
}

impl PoolSize {
    /// All threads: where there would be one alone, imported hashes have another one, which needs no memory of its own.
    pub(super) const fn all_threads(self) -> usize {
        if self.threads < 2 { 2 } else { self.threads }
    }
}

/// What a hash thread can be asked.
#[derive(Debug)]
pub(super) enum Task {
    /// Hash the password under a fresh salt.
    Hash(Password),
    /// Was the hash made from the password? Without either: no, after the same work.
    Verify(Option<Password>, Option<String>),
}

/// What a hash thread answers.
#[derive(Debug)]
pub(super) enum Outcome {
    Hashed(String),
    Verified(bool),
}

/// A task in the queue.
#[derive(Debug)]
struct Job {
    task: Task,
    deadline: Deadline,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

/// The threads and their queue. Dropping it lets the threads finish what they compute, and ends them.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    params: Argon2Params,
    /// Makes of a name what the queue knows an account by.
    names: RandomState,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    size: PoolSize,
    metrics: HashMetrics,
    clock: Clock,
    overdue: Overdue,
}

#[derive(Debug)]
struct State {
    queue: Queue<Job>,
    dues: Dues,
    closed: bool,
}

impl Pool {
    pub(super) fn start(params: Argon2Params, size: PoolSize, metrics: HashMetrics) -> std::io::Result<Self> {
        let pool = Self::without_threads(params, size, metrics);
        for number in 0..size.all_threads() {
            let lane = (size.threads < 2).then_some(if number == 0 { Lane::Own } else { Lane::Imported });
            let shared = Arc::clone(&pool.shared);
            thread::Builder::new()
                .name(format!("hash-{number}"))
                .spawn(move || shared.serve(params, number, lane))?;
        }
        Ok(pool)
    }

    fn without_threads(params: Argon2Params, size: PoolSize, metrics: HashMetrics) -> Self {
        metrics.threads(size.all_threads());
        let (queue, dues) = (Queue::new(size), Dues::of(size.all_threads()));
        let state = Mutex::new(State { queue, dues, closed: false });
        let (work, clock) = (Condvar::new(), Clock::system());
        let overdue = Overdue::new(clock.clone());
        let shared = Arc::new(Shared { state, work, size, metrics, clock, overdue });
        Self { shared, params, names: RandomState::new() }
    }

    /// Whether a hash is overdue.
    pub(super) fn overdue(&self) -> Overdue {
        self.shared.overdue.clone()
    }

    /// Runs `task` when its turn comes. If the caller goes away meanwhile, its place in the queue is free again.
    pub(super) async fn run(&self, task: Task, request: HashRequest<'_>) -> Result<Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        let demand = self.demand(&task, &request);
        self.admit(Job { task, deadline: request.deadline, reply }, demand)?;
        answer.await.unwrap_or_else(|_| {
            // What nobody needs any more goes from a full queue without an answer.
            if request.deadline.has_passed() {
                return Err(Error::DeadlineExceeded);
            }
            Err(Error::Unavailable { what: "hash threads", source: "they have ended".into() })
        })
    }

    /// Whether there is room and time for a password of `request` now, of which is not known yet what it costs.
    pub(super) fn has_room(&self, request: &HashRequest<'_>) -> Result<(), Error> {
        let mut demand = self.own(request);
        let now = self.shared.clock.monotonic();
        let mut state = self.shared.lock();
        demand.lane = state.queue.likely_lane(&demand.sharers);
        let checked = state.queue.check(now, &demand, Job::is_wanted);
        drop(state);
        checked.map_err(|retry_after| self.shared.refuse(demand.lane, retry_after))
    }

    /// Queues `job`, if there is room for it and time.
    fn admit(&self, job: Job, demand: Demand) -> Result<(), Error> {
        let Shared { metrics, work, clock, size, .. } = &*self.shared;
        let mut state = self.shared.lock();
        let now = clock.monotonic();
        let admitted = state.queue.admit(now, job, demand, Job::is_wanted);
        let admitted = admitted.map(|displaced| {
            displaced.map(|Waiting { job, demand }| (job, state.queue.longest_wait(&demand)))
        });
        metrics.queued(state.queue.waiting());
        self.shared.expect(now, &mut state);
        drop(state);
        let displaced = admitted.map_err(|retry_after| self.shared.refuse(demand.lane, retry_after))?;
        if let Some((job, retry_after)) = displaced {
            // Its caller may have gone.
            let _ = job.reply.send(Err(self.shared.refuse(demand.lane, retry_after)));
        }
        if size.threads < 2 {
            // Each of the two threads serves one lane alone.
            work.notify_all();
        } else {
            work.notify_one();
        }
        Ok(())
    }

    /// What is known of a hash with the present parameters.
    fn own(&self, request: &HashRequest<'_>) -> Demand {
        let sharers = Sharers {
            account: request.account.map(|name| self.names.hash_one(name)),
            address: request.address,
            turn: request.turn,
        };
        let until = self.shared.clock.monotonic().saturating_add(request.deadline.remaining());
        Demand { sharers, lane: Lane::Own, is_heavy: false, cost: self.params.cost(), until }
    }

    /// What is known of `task` before it is done.
    fn demand(&self, task: &Task, request: &HashRequest<'_>) -> Demand {
        let own = self.own(request);
        let Task::Verify(Some(_), Some(hash)) = task else { return own };
        match ImportedHash::parse(hash) {
            Ok(hash) if !hash.fits(self.params) => {
                let is_heavy = hash.memory_kib() > LIGHT_KIB;
                Demand { lane: Lane::Imported, is_heavy, cost: hash.cost(), ..own }
            }
            _ => own,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.shared.work.notify_all();
    }
}

impl Job {
    /// Whether somebody still waits for the answer.
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed() && !self.deadline.has_passed()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, and its state is valid at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of who is refused, who may try again after so long.
    fn refuse(&self, lane: Lane, retry_after: Duration) -> Error {
        self.metrics.refused(lane.into());
        Error::Overloaded { what: "passwords to hash", retry_after: retry_after.max(MIN_RETRY_AFTER) }
    }

    /// Tells by when the first hash should be done, after something has changed. Returns whether a thread could begin one.
    fn expect(&self, now: Duration, state: &mut State) -> bool {
        let could_begin = state.queue.has_turn(now);
        state.dues.waits(now, could_begin);
        self.overdue.expect(state.dues.first(now));
        could_begin
    }

    /// The life of the hash thread `number`, which serves `lane` alone if one is given.
    fn serve(&self, params: Argon2Params, number: usize, lane: Option<Lane>) {
        yield_to_serving_threads();
        let mut memory = Memory::default();
        while let Some(Waiting { job: Job { task, reply, .. }, demand }) =
            self.next(number, lane, &mut memory)
        {
            let (started, had) = (self.clock.monotonic(), core_time());
            // A panic in a hash function must cost one login, not the thread.
            let result = catch_unwind(AssertUnwindSafe(|| match demand.lane {
                Lane::Own => compute(&mut memory, task, params),
                // What it takes is given back at its end.
                Lane::Imported => compute(&mut Memory::default(), task, params),
            }))
            .unwrap_or_else(|_| Err(Error::internal("the hash function panicked")));
            let took = self.clock.monotonic().saturating_sub(started);
            let core = core_time().zip(had).map(|(now, before)| now.saturating_sub(before));
            self.metrics.end(took);
            let mut state = self.lock();
            state.queue.end(&demand, took);
            // It is told once the answer is on its way, too: `next` does.
            state.dues.end(number, demand.cost, core);
            drop(state);
            // The caller may have gone: then nobody reads the answer.
            let _ = reply.send(result);
        }
    }

    /// The next job that somebody waits for; none when the pool has closed. The memory is wiped before the thread waits, and
    /// overwritten by the next hash if it does not.
    fn next(&self, number: usize, lane: Option<Lane>, memory: &mut Memory) -> Option<Waiting<Job>> {
        let mut wiped = false;
        let mut state = self.lock();
        loop {
            let now = self.clock.monotonic();
            while let Some(Waiting { job, demand }) = state.queue.take(now, lane) {
                self.metrics.queued(state.queue.waiting());
                if job.is_wanted() {
                    state.queue.begin(now, &demand);
                    state.dues.begin(now, number, demand.cost);
                    self.metrics.begin();
                    // What has ended in one lane may let the other one go on.
                    if self.expect(now, &mut state) {
                        self.work.notify_one();
                    }
                    return Some(Waiting { job, demand });
                }
                let _ = job.reply.send(Err(Error::DeadlineExceeded));
            }
            self.expect(now, &mut state);
            if state.closed {
                return None;
            }
            if !wiped {
                drop(state);
                memory.wipe();
                wiped = true;
                state = self.lock();
                continue;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl From<Lane> for HashLane {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Own => Self::Own,
            Lane::Imported => Self::Imported,
        }
    }
}

/// Has this thread run when no thread that serves calls wants its core: it then gives the core back at once.
///
/// At the lowest nice value alone a hash keeps the core to the end of its time slice, and the call that woke up waits.
/// `scripts/bench` measures both sides: what a storm of logins does to calls, and that logins go on when calls saturate the cores.
fn yield_to_serving_threads() {
    let lowered = set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Min,
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle),
    );
    if let Err(error) = lowered {
        tracing::warn!(%error, "the hash threads run at normal priority: logins may slow other calls");
    }
}

/// For how long this thread has had a core; none where that cannot be known.
#[cfg(target_os = "linux")]
fn core_time() -> Option<Duration> {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().ok()
}

#[cfg(not(target_os = "linux"))]
const fn core_time() -> Option<Duration> {
    None
}

fn compute(memory: &mut Memory, task: Task, params: Argon2Params) -> Result<Outcome, Error> {
    match task {
        Task::Hash(password) => {
            let mut salt = [0; 16];
            rand::rng().fill_bytes(&mut salt);
            memory.hash(password.prepared(), salt, params).map(Outcome::Hashed)
        }
        Task::Verify(Some(password), Some(hash)) => {
            if argon2id::params_of(&hash) == Some(params) {
                return memory.verify(password.prepared(), &hash).map(Outcome::Verified);
            }
            let hash = ImportedHash::parse(&hash)
                .map_err(|problem| Error::internal(format!("a stored password hash {problem}")))?;
            hash.verify(&password, memory).map(Outcome::Verified)
        }
        Task::Verify(password, _) => {
            let password = password.as_ref().map_or(&b"no password at all"[..], Password::prepared);
            memory.hash(password, [0; 16], params)?;
            Ok(Outcome::Verified(false))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_hash_is_expected_from_its_coming_until_it_is_done() {
        let params = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };
        let size = PoolSize { threads: 1, queue: 8 };
        let pool = Pool::without_threads(params, size, HashMetrics::default());
        let overdue = pool.overdue();
        assert!(!overdue.is_expected());
        let request = HashRequest::new(Some("alice"), None, Deadline::after(Duration::from_mins(5)));
        let mut hashing = pin!(pool.run(Task::Verify(None, None), request));
        assert!(poll!(hashing.as_mut()).is_pending());
        assert!(overdue.is_expected());
        // The thread ends when there is nothing more to hash.
        pool.shared.lock().closed = true;
        let shared = Arc::clone(&pool.shared);
        thread::spawn(move || shared.serve(params, 0, None)).join().unwrap();
        assert!(!overdue.is_expected());
        assert!(matches!(hashing.await, Ok(Outcome::Verified(false))));
    }
}
