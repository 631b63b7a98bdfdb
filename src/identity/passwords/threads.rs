//! Owns the hash threads: what each of them hashes next, and that a hash which gets no core is begun anew where it has one.
//!
//! For each hash that may run at once there are two threads. One competes for the cores, like those that serve calls: it takes what is
//! next, and hashes it itself, or has its partner do it, which yields its core to all others. (A thread that yields could be told to
//! compete by a privileged process alone.) Partners touch nothing that others wait for: whoever had a lock when its core was taken would
//! keep all of them waiting.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::sync::oneshot;

use super::{
    argon2id::{self, Argon2Params, Memory},
    contention::{Contention, Priority},
    imported::ImportedHash,
    memories::Memories,
    pool::{HashOutcome, Job, PoolSize, StoredHash, Task},
    queue::{Demand, Lane, Queue, Waiting},
};
use crate::{
    base::{Clock, Done, Trace, fill_from_system},
    metrics::HashMetrics,
    model::{Error, Password},
};

/// The state that competing threads share.
#[derive(Debug)]
pub(super) struct Threads {
    state: Mutex<State>,
    /// Has one of them look for what is next.
    work: Condvar,
    pub(super) params: Argon2Params,
    pub(super) metrics: HashMetrics,
    pub(super) clock: Clock,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) queue: Queue<Job>,
    contention: Contention,
    memories: Memories,
    closed: bool,
}

/// A job that a thread has begun.
struct Begun {
    task: Arc<Task>,
    reply: oneshot::Sender<Result<HashOutcome, Error>>,
    demand: Demand,
    /// How long it has waited.
    waited: Duration,
    began: Duration,
    trace: Option<Trace>,
    /// None for an imported hash: what it takes is given back at its end.
    memory: Option<Memory>,
    priority: Priority,
    /// When it should be done, if it yields.
    due: Duration,
}

/// A finished job.
struct Hashed {
    result: Result<HashOutcome, Error>,
    memory: Option<Memory>,
    took: Duration,
    /// The CPU time of its thread.
    core: Duration,
}

/// The thread that yields, as the one sees it that competes.
struct Partner {
    given: Sender<(Arc<Task>, Option<Memory>)>,
    hashed: Receiver<Hashed>,
    /// Whether nobody waits for what it hashes any more: it gives the memory back to the system then.
    is_late: Arc<AtomicBool>,
}

impl Threads {
    /// Without the threads themselves.
    pub(super) fn new(params: Argon2Params, size: PoolSize, metrics: HashMetrics, clock: Clock) -> Self {
        metrics.threads(size.all_threads());
        let state = State {
            queue: Queue::new(size),
            contention: Contention::new(),
            memories: Memories::of(size.threads),
            closed: false,
        };
        metrics.competing(state.contention.priority() == Priority::Competing);
        Self { state: Mutex::new(state), work: Condvar::new(), params, metrics, clock }
    }

    /// Starts them.
    pub(super) fn start(self: &Arc<Self>, size: PoolSize) -> std::io::Result<()> {
        for number in 0..size.all_threads() {
            let (params, clock) = (self.params, self.clock.clone());
            let (given, tasks) = channel::<(Arc<Task>, Option<Memory>)>();
            let (results, hashed) = channel();
            let is_late = Arc::new(AtomicBool::new(false));
            let partner = Partner { given, hashed, is_late: Arc::clone(&is_late) };
            thread::Builder::new().name(format!("hash-{number}")).spawn(move || {
                yield_to_serving_threads();
                for (task, memory) in tasks {
                    let mut hashed = hash(&task, memory, params, &clock);
                    drop(task);
                    if is_late.load(Ordering::Acquire) {
                        hashed.memory = None;
                    }
                    if results.send(hashed).is_err() {
                        return;
                    }
                }
            })?;
            let threads = Arc::clone(self);
            thread::Builder::new()
                .name(format!("hash-busy-{number}"))
                .spawn(move || threads.serve(&partner))?;
        }
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, and its state is valid at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a thread look at what has been queued.
    pub(super) fn queued(&self, state: &State) {
        self.metrics.queued(state.queue.waiting());
        self.work.notify_one();
    }

    /// Has the threads end when they have hashed what they hash.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.work.notify_all();
    }

    /// The life of a thread that competes.
    fn serve(&self, partner: &Partner) {
        // Whether the partner still hashes what has been begun anew, and with a memory that was lent.
        let mut late: Option<bool> = None;
        while let Some(mut begun) = self.next() {
            if let Some(has_memory) = late
                && let Ok(hashed) = partner.hashed.try_recv()
            {
                self.came_late(hashed, has_memory);
                late = None;
            }
            let memory = begun.memory.take();
            if begun.priority == Priority::Competing || late.is_some() {
                let hashed = hash(&begun.task, memory, self.params, &self.clock);
                self.done(begun, hashed);
                continue;
            }
            let has_memory = memory.is_some();
            partner.is_late.store(false, Ordering::Release);
            if partner.given.send((Arc::clone(&begun.task), memory)).is_err() {
                return;
            }
            match self.of_partner(partner, &begun) {
                Some(hashed) => self.done(begun, hashed),
                None => match self.begin_anew(&begun) {
                    Some(memory) => {
                        partner.is_late.store(true, Ordering::Release);
                        late = Some(has_memory);
                        let hashed = hash(&begun.task, memory, self.params, &self.clock);
                        self.done(begun, hashed);
                    }
                    None => match partner.hashed.recv() {
                        Ok(hashed) => self.done(begun, hashed),
                        Err(_) => return,
                    },
                },
            }
        }
    }

    /// The result of the partner, if it is done in time.
    fn of_partner(&self, partner: &Partner, begun: &Begun) -> Option<Hashed> {
        // Of those that take much memory there is one at a time: it is not begun anew.
        if begun.demand.is_heavy {
            return partner.hashed.recv().ok();
        }
        partner.hashed.recv_timeout(begun.due.saturating_sub(self.clock.monotonic())).ok()
    }

    /// What has got no core is begun anew, in the memory that is returned, if there is one. Hashes compete from here on.
    #[expect(clippy::option_option, reason = "an imported hash is begun anew without a memory")]
    fn begin_anew(&self, begun: &Begun) -> Option<Option<Memory>> {
        let mut state = self.lock();
        state.contention.starved(self.clock.monotonic());
        self.metrics.competing(true);
        match begun.demand.lane {
            Lane::Own => state.memories.lend().map(Some),
            Lane::Imported => Some(None),
        }
    }

    /// The partner has hashed what had been begun anew.
    fn came_late(&self, hashed: Hashed, has_memory: bool) {
        let mut state = self.lock();
        let surplus = if let Some(memory) = hashed.memory {
            state.memories.take_back(memory)
        } else {
            if has_memory {
                state.memories.lose_one();
            }
            None
        };
        drop(state);
        drop(surplus);
    }

    /// Tells what has been `hashed`.
    fn done(&self, begun: Begun, Hashed { result, memory, took, core }: Hashed) {
        let Begun { reply, demand, began, waited, trace, .. } = begun;
        let now = self.clock.monotonic();
        let whole = now.saturating_sub(began);
        let mut state = self.lock();
        let surplus = memory.and_then(|memory| state.memories.take_back(memory));
        self.metrics.end(whole);
        state.queue.end(&demand, whole);
        state.contention.ended(now, demand.cost, took, core);
        self.metrics.competing(state.contention.priority() == Priority::Competing);
        drop(state);
        drop(surplus);
        if let Some(trace) = trace {
            trace.add_before(whole, waited, Done::internal("password.wait", false));
            trace.add(whole, Done::internal("password.hash", result.is_err()));
        }
        // The caller may have gone: then nobody reads the answer.
        let _ = reply.send(result);
    }

    /// The next job; none when there will be no more.
    fn next(&self) -> Option<Begun> {
        let mut state = self.lock();
        loop {
            let now = self.clock.monotonic();
            if let Some(begun) = state.begin(now, &self.metrics) {
                // What has ended in one lane may let the other one go on.
                if state.queue.has_turn(now, state.lane()) {
                    self.work.notify_one();
                }
                return Some(begun);
            }
            if state.closed {
                return None;
            }
            if let Some(mut memory) = state.memories.lend_used() {
                drop(state);
                memory.wipe();
                state = self.lock();
                state.memories.take_back_wiped(memory);
                continue;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    /// The lane whose jobs alone may begin; none: those of both.
    fn lane(&self) -> Option<Lane> {
        (!self.memories.has_one()).then_some(Lane::Imported)
    }

    /// Begins the job whose turn it is at `now`, and that somebody waits for.
    fn begin(&mut self, now: Duration, metrics: &HashMetrics) -> Option<Begun> {
        while let Some(Waiting { job, demand }) = self.queue.take(now, self.lane()) {
            metrics.queued(self.queue.waiting());
            if !job.is_wanted() {
                let _ = job.reply.send(Err(Error::DeadlineExceeded));
                continue;
            }
            let Job { task, reply, queued, trace, .. } = job;
            let waited = now.saturating_sub(queued);
            self.queue.begin(now, &demand);
            metrics.begin(waited);
            let memory = if demand.lane == Lane::Own { self.memories.lend() } else { None };
            let (priority, due) = (self.contention.priority(), self.contention.due(now, demand.cost));
            let task = Arc::new(task);
            return Some(Begun { task, reply, demand, waited, began: now, trace, memory, priority, due });
        }
        None
    }
}

/// Hashes `task` in `memory`, or in some of its own.
fn hash(task: &Task, mut memory: Option<Memory>, params: Argon2Params, clock: &Clock) -> Hashed {
    let (started, had) = (clock.monotonic(), core_time());
    let mut own = Memory::default();
    // A panic in a hash function must cost one login, not the thread.
    let result =
        catch_unwind(AssertUnwindSafe(|| compute(memory.as_mut().unwrap_or(&mut own), task, params)))
            .unwrap_or_else(|_| Err(Error::internal("the hash function panicked")));
    let took = clock.monotonic().saturating_sub(started);
    // Where it cannot be known, hashes count as having had one all the time.
    let core = core_time().zip(had).map_or(took, |(now, before)| now.saturating_sub(before));
    Hashed { result, memory, took, core }
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

fn compute(memory: &mut Memory, task: &Task, params: Argon2Params) -> Result<HashOutcome, Error> {
    match task {
        Task::Hash(password) => {
            let mut salt = [0; 16];
            fill_from_system(&mut salt);
            memory.hash(password.prepared(), salt, params).map(HashOutcome::Hashed)
        }
        Task::Verify(Some(password), Some(StoredHash { hash, key })) => {
            if argon2id::params_of(hash) == Some(params) {
                return memory.verify(password.prepared(), &[], hash).map(HashOutcome::Verified);
            }
            let hash = ImportedHash::parse(hash)
                .map_err(|problem| Error::internal(format!("a stored password hash {problem}")))?;
            hash.verify(password, key.as_deref(), memory).map(HashOutcome::Verified)
        }
        Task::Verify(password, _) => {
            let password = password.as_ref().map_or(&b"no password at all"[..], Password::prepared);
            memory.hash(password, [0; 16], params)?;
            Ok(HashOutcome::Verified(false))
        }
    }
}

#[cfg(test)]
mod tests;
