//! Owns the hash threads: a fixed number, a bounded queue, and a refusal at once for what cannot be done in time.

use std::{
    collections::VecDeque,
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
    argon2id::{self, Argon2Params, Memory},
    imported::ImportedHash,
};
use crate::{
    metrics::HashMetrics,
    model::{Clock, Deadline, Error, Password},
};

/// When to try again at the earliest: before the first hash is done nobody knows how long one takes.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(100);

/// How much work the pool takes.
#[derive(Clone, Copy, Debug)]
pub struct PoolSize {
    /// How many hashes are computed at once, each in its own memory.
    pub threads: usize,
    /// How many more may wait.
    pub queue: usize,
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
    /// Whether it takes more memory than the thread has: of these there runs one at a time.
    heavy: bool,
    deadline: Deadline,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

/// The threads and their queue. Dropping it lets the threads finish what they compute, and ends them.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    size: PoolSize,
    params: Argon2Params,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    metrics: HashMetrics,
}

#[derive(Debug, Default)]
pub(super) struct State {
    queue: VecDeque<Job>,
    /// Jobs that are being computed.
    running: usize,
    /// Whether a heavy one is among them.
    heavy: bool,
    /// How long a job takes, averaged over the recent ones.
    job_time: Duration,
    closed: bool,
}

impl Pool {
    pub(super) fn start(params: Argon2Params, size: PoolSize, metrics: HashMetrics) -> std::io::Result<Self> {
        metrics.threads(size.threads);
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), metrics });
        for number in 0..size.threads {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("hash-{number}")).spawn(move || shared.serve(params))?;
        }
        Ok(Self { shared, size, params })
    }

    /// Runs `task` when its turn comes. If the caller goes away meanwhile, its place in the queue is free again.
    pub(super) async fn run(&self, task: Task, deadline: Deadline) -> Result<Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        let heavy = task.memory_kib() > u64::from(self.params.memory_kib);
        self.admit(Job { task, heavy, deadline, reply })?;
        answer.await.unwrap_or_else(|_| {
            Err(Error::Unavailable { what: "hash threads", source: "they have ended".into() })
        })
    }

    /// Queues `job`, if there is room for it and time.
    fn admit(&self, job: Job) -> Result<(), Error> {
        let mut state = self.room(job.deadline)?;
        state.queue.push_back(job);
        self.shared.metrics.queued(state.queue.len());
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// The state, if there is room and time now for a job that must be done by `deadline`.
    pub(super) fn room(&self, deadline: Deadline) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.shared.lock();
        if state.queue.len() >= self.size.queue {
            state.queue.retain(Job::is_wanted);
        }
        let ahead = state.queue.len() + state.running;
        let turns = u32::try_from(ahead / self.size.threads + 1).unwrap_or(u32::MAX);
        let needed = state.job_time.saturating_mul(turns);
        // A job for an idle thread does not wait, so it is always worth trying: were it refused on the grounds that jobs have
        // taken too long, no job would ever show that they no longer do.
        let waits = ahead >= self.size.threads;
        let full = ahead >= self.size.threads + self.size.queue;
        if full || (waits && needed > deadline.remaining()) {
            self.shared.metrics.refused();
            return Err(Error::Overloaded {
                what: "passwords to hash",
                retry_after: needed.max(MIN_RETRY_AFTER),
            });
        }
        Ok(state)
    }
}

impl State {
    /// The first job that may run: while one is heavy, the first that is not. The thread that ends a heavy one looks for the next
    /// itself, so none is left behind.
    fn pop(&mut self) -> Option<Job> {
        let place = self.queue.iter().position(|job| !(job.heavy && self.heavy))?;
        self.queue.remove(place)
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

impl Task {
    /// The memory that an imported hash takes; zero for what is computed with the present parameters.
    fn memory_kib(&self) -> u64 {
        let Self::Verify(Some(_), Some(hash)) = self else { return 0 };
        ImportedHash::parse(hash).map_or(0, |hash| hash.memory_kib())
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

    /// The life of a hash thread.
    fn serve(&self, params: Argon2Params) {
        yield_to_serving_threads();
        let clock = Clock::system();
        let mut memory = Memory::default();
        while let Some(Job { task, heavy, reply, .. }) = self.next(&mut memory) {
            let started = clock.monotonic();
            // A panic in a hash function must cost one login, not the thread.
            let result = catch_unwind(AssertUnwindSafe(|| {
                // What a heavy one takes is given back at its end.
                if heavy {
                    compute(&mut Memory::default(), task, params)
                } else {
                    compute(&mut memory, task, params)
                }
            }))
            .unwrap_or_else(|_| Err(Error::internal("the hash function panicked")));
            let took = clock.monotonic().saturating_sub(started);
            self.metrics.end(took);
            let mut state = self.lock();
            state.running -= 1;
            state.heavy &= !heavy;
            // A moving average over some eight jobs: follows a change of load, not a single slow hash.
            state.job_time = if state.job_time.is_zero() { took } else { (state.job_time * 7 + took) / 8 };
            drop(state);
            // The caller may have gone: then nobody reads the answer.
            let _ = reply.send(result);
        }
    }

    /// The next job that somebody waits for; none when the pool has closed. The memory is wiped before the thread waits, and
    /// overwritten by the next hash if it does not.
    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut wiped = false;
        let mut state = self.lock();
        loop {
            while let Some(job) = state.pop() {
                self.metrics.queued(state.queue.len());
                if job.is_wanted() {
                    state.running += 1;
                    state.heavy |= job.heavy;
                    self.metrics.begin();
                    return Some(job);
                }
                let _ = job.reply.send(Err(Error::DeadlineExceeded));
            }
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
