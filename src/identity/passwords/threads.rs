//! Owns the hash threads: what each of them hashes next, and that a hash whose thread gets no core is begun anew on one that does.
//!
//! For each hash that may run at once there are two threads, one that yields its core and one that competes for it, of which one works: a
//! thread that yields could be told to compete by a privileged process alone.

use std::{
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
    contention::{Contention, Priority, SLACK},
    imported::ImportedHash,
    memories::Memories,
    pool::{Job, Outcome, PoolSize, Task},
    queue::{Demand, Lane, Queue, Waiting},
};
use crate::{
    metrics::HashMetrics,
    model::{Clock, Error, Password},
};

/// What the threads share.
#[derive(Debug)]
pub(super) struct Threads {
    state: Mutex<State>,
    /// Has a thread look that yields.
    yielding: Condvar,
    /// Has a thread look that competes.
    competing: Condvar,
    pub(super) params: Argon2Params,
    pub(super) metrics: HashMetrics,
    pub(super) clock: Clock,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) queue: Queue<Job>,
    contention: Contention,
    memories: Memories,
    /// What each thread hashes, by its number.
    running: Vec<Option<Running>>,
    /// By when a job should be begun that waits and that a thread could begin.
    begin_by: Option<Duration>,
    /// Until when a thread waits that then looks for what is late.
    watched_until: Duration,
    closed: bool,
}

/// What a thread hashes.
#[derive(Debug)]
struct Running {
    task: Arc<Task>,
    /// None once another thread has begun it anew.
    reply: Option<oneshot::Sender<Result<Outcome, Error>>>,
    demand: Demand,
    began: Duration,
    /// By when it should be done; none if it is not begun anew.
    due: Option<Duration>,
}

/// What a thread is to hash.
struct Begun {
    task: Arc<Task>,
    /// None for an imported hash: what it takes is given back at its end.
    memory: Option<Memory>,
}

impl Threads {
    /// Without the threads themselves.
    pub(super) fn new(params: Argon2Params, size: PoolSize, metrics: HashMetrics, clock: Clock) -> Self {
        metrics.threads(size.all_threads());
        let state = State {
            queue: Queue::new(size),
            contention: Contention::new(),
            memories: Memories::of(size.threads),
            running: (0..2 * size.all_threads()).map(|_| None).collect(),
            begin_by: None,
            watched_until: Duration::MAX,
            closed: false,
        };
        metrics.competing(state.contention.priority() == Priority::Competing);
        let (yielding, competing) = (Condvar::new(), Condvar::new());
        Self { state: Mutex::new(state), yielding, competing, params, metrics, clock }
    }

    /// Starts them.
    pub(super) fn start(self: &Arc<Self>, size: PoolSize) -> std::io::Result<()> {
        for number in 0..2 * size.all_threads() {
            let threads = Arc::clone(self);
            let (priority, name) = if number % 2 == 0 {
                (Priority::Yielding, "hash")
            } else {
                (Priority::Competing, "hash-busy")
            };
            thread::Builder::new()
                .name(format!("{name}-{}", number / 2))
                .spawn(move || threads.serve(number, priority))?;
        }
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, and its state is valid at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a thread look at what has been queued at `now`.
    pub(super) fn queued(&self, now: Duration, state: &mut State) {
        self.metrics.queued(state.queue.waiting());
        state.look(now);
        self.notify(state);
    }

    /// Has the threads end when they have hashed what they hash.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.yielding.notify_all();
        self.competing.notify_all();
    }

    /// The life of the thread `number`.
    fn serve(&self, number: usize, priority: Priority) {
        if priority == Priority::Yielding {
            yield_to_serving_threads();
        }
        while let Some(Begun { task, mut memory }) = self.next(number, priority) {
            let (started, had) = (self.clock.monotonic(), core_time());
            let mut none = Memory::default();
            // A panic in a hash function must cost one login, not the thread.
            let result = catch_unwind(AssertUnwindSafe(|| {
                compute(memory.as_mut().unwrap_or(&mut none), &task, self.params)
            }))
            .unwrap_or_else(|_| Err(Error::internal("the hash function panicked")));
            drop((none, task));
            let took = self.clock.monotonic().saturating_sub(started);
            // Where it cannot be known, hashes count as having had one all the time.
            let core = core_time().zip(had).map_or(took, |(now, before)| now.saturating_sub(before));
            self.done(number, priority, memory, result, (took, core));
        }
    }

    /// The thread `number` has a `result`, after it `took` so long, of which it had a core for so long.
    fn done(
        &self,
        number: usize,
        priority: Priority,
        memory: Option<Memory>,
        result: Result<Outcome, Error>,
        (took, core): (Duration, Duration),
    ) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let surplus = memory.and_then(|memory| state.memories.take_back(memory));
        let Some(Running { reply, demand, began, .. }) = state.running[number].take() else { return };
        if reply.is_some() {
            let took = now.saturating_sub(began);
            self.metrics.end(took);
            state.queue.end(&demand, took);
        }
        let before = state.contention.priority();
        state.contention.ended(now, demand.cost, took, core);
        self.changed(before, &state);
        state.look(now);
        if state.contention.priority() != priority {
            // This thread does not go on, with what waits or with wiping the memory.
            self.wake(&state);
        }
        // With its memory another one may be begun anew.
        self.watch(&state);
        drop(state);
        drop(surplus);
        // The caller may have gone: then nobody reads the answer.
        if let Some(reply) = reply {
            let _ = reply.send(result);
        }
    }

    /// What the thread `number` is to hash next; none when there will be nothing more.
    fn next(&self, number: usize, priority: Priority) -> Option<Begun> {
        let mut state = self.lock();
        loop {
            let now = self.clock.monotonic();
            let before = state.contention.priority();
            if before == Priority::Yielding && priority == Priority::Competing && state.is_late(now) {
                state.contention.starved(now);
                self.changed(before, &state);
            }
            if state.contention.priority() == priority {
                let begun = state.begin_anew(now, number, priority);
                if let Some(begun) = begun.or_else(|| state.begin(now, number, priority, &self.metrics)) {
                    state.look(now);
                    // What has ended in one lane may let the other one go on.
                    self.notify(&state);
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
            }
            if state.closed {
                return None;
            }
            state = self.wait(now, priority, state);
        }
    }

    /// Waits until there may be something to hash, or something late.
    fn wait<'a>(
        &self,
        now: Duration,
        priority: Priority,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        if priority == Priority::Yielding {
            return self.yielding.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match state.first_due() {
            Some(due) if due < state.watched_until => {
                state.watched_until = due;
                let waited = self.competing.wait_timeout(state, due.saturating_sub(now));
                let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
                state.watched_until = Duration::MAX;
                state
            }
            _ => self.competing.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Has a thread look that may begin what waits, if anything does, and one that watches what is under way.
    fn notify(&self, state: &State) {
        if state.begin_by.is_some() {
            self.wake(state);
        }
        self.watch(state);
    }

    /// Has a thread watch what is under way, if none does up to when the first of it will be late.
    fn watch(&self, state: &State) {
        if state.first_due().is_some_and(|due| due < state.watched_until) {
            self.competing.notify_one();
        }
    }

    /// Has a thread look that may begin something.
    fn wake(&self, state: &State) {
        match state.contention.priority() {
            Priority::Yielding => self.yielding.notify_one(),
            Priority::Competing => self.competing.notify_one(),
        }
    }

    /// Has the threads look that now go on, if the priority is no longer the one `before`.
    fn changed(&self, before: Priority, state: &State) {
        let priority = state.contention.priority();
        if priority == before {
            return;
        }
        self.metrics.competing(priority == Priority::Competing);
        match priority {
            Priority::Yielding => self.yielding.notify_all(),
            Priority::Competing => self.competing.notify_all(),
        }
    }
}

impl State {
    /// Looks whether a job waits at `now` that a thread could begin.
    fn look(&mut self, now: Duration) {
        let has_turn = self.queue.has_turn(now, self.lane());
        self.begin_by = has_turn.then(|| self.begin_by.unwrap_or(now + SLACK));
    }

    /// The lane whose jobs alone may begin; none: those of both.
    fn lane(&self) -> Option<Lane> {
        (!self.memories.has_one()).then_some(Lane::Imported)
    }

    /// Begins the job whose turn it is at `now`, and that somebody waits for.
    fn begin(
        &mut self,
        now: Duration,
        number: usize,
        priority: Priority,
        metrics: &HashMetrics,
    ) -> Option<Begun> {
        while let Some(Waiting { job, demand }) = self.queue.take(now, self.lane()) {
            metrics.queued(self.queue.waiting());
            if !job.is_wanted() {
                let _ = job.reply.send(Err(Error::DeadlineExceeded));
                continue;
            }
            let Job { task, reply, .. } = job;
            self.queue.begin(now, &demand);
            metrics.begin();
            self.begin_by = None;
            // Of those that take much memory there is one at a time.
            let due = (priority == Priority::Yielding && !demand.is_heavy)
                .then(|| self.contention.due(now, demand.cost));
            let running = Running { task: Arc::new(task), reply: Some(reply), demand, began: now, due };
            return Some(self.run(number, running));
        }
        None
    }

    /// Begins anew what another thread should have done by `now`. That one goes on for nobody: it cannot be stopped.
    fn begin_anew(&mut self, now: Duration, number: usize, priority: Priority) -> Option<Begun> {
        if priority == Priority::Yielding {
            return None;
        }
        let has_memory = self.memories.has_one();
        let late = self.running.iter_mut().flatten().find(|running| running.is_late(now, has_memory))?;
        let reply = late.reply.take();
        let running = Running {
            task: Arc::clone(&late.task),
            reply,
            demand: late.demand,
            began: late.began,
            due: None,
        };
        Some(self.run(number, running))
    }

    fn run(&mut self, number: usize, running: Running) -> Begun {
        let memory = if running.demand.lane == Lane::Own { self.memories.lend() } else { None };
        let task = Arc::clone(&running.task);
        self.running[number] = Some(running);
        Begun { task, memory }
    }

    /// When what is under way, or waits for a thread that yields, will be late.
    fn first_due(&self) -> Option<Duration> {
        let has_memory = self.memories.has_one();
        let running = self.running.iter().flatten().filter_map(|running| running.watched(has_memory));
        let waiting = self.begin_by.filter(|_| self.contention.priority() == Priority::Yielding);
        running.chain(waiting).min()
    }

    fn is_late(&self, now: Duration) -> bool {
        self.first_due().is_some_and(|due| due <= now)
    }
}

impl Running {
    /// When it is begun anew, if a memory is there for it.
    fn watched(&self, has_memory: bool) -> Option<Duration> {
        let can_begin = has_memory || self.demand.lane == Lane::Imported;
        self.due.filter(|_| can_begin && self.reply.is_some())
    }

    fn is_late(&self, now: Duration, has_memory: bool) -> bool {
        self.watched(has_memory).is_some_and(|due| due <= now)
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

fn compute(memory: &mut Memory, task: &Task, params: Argon2Params) -> Result<Outcome, Error> {
    match task {
        Task::Hash(password) => {
            let mut salt = [0; 16];
            rand::rng().fill_bytes(&mut salt);
            memory.hash(password.prepared(), salt, params).map(Outcome::Hashed)
        }
        Task::Verify(Some(password), Some(hash)) => {
            if argon2id::params_of(hash) == Some(params) {
                return memory.verify(password.prepared(), hash).map(Outcome::Verified);
            }
            let hash = ImportedHash::parse(hash)
                .map_err(|problem| Error::internal(format!("a stored password hash {problem}")))?;
            hash.verify(password, memory).map(Outcome::Verified)
        }
        Task::Verify(password, _) => {
            let password = password.as_ref().map_or(&b"no password at all"[..], Password::prepared);
            memory.hash(password, [0; 16], params)?;
            Ok(Outcome::Verified(false))
        }
    }
}

#[cfg(test)]
mod tests;
