//! Owns who gets a password hashed: a fixed number at once, a queue that is shared fairly, and a refusal at once for what cannot be done
//! in time.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    HashRequest, PrehashKey,
    argon2id::Argon2Params,
    imported::ImportedHash,
    queue::{Demand, Lane, Waiting},
    threads::Threads,
    usage::Sharers,
};
use crate::{
    base::{Clock, Deadline, Trace},
    metrics::{HashLane, HashMetrics},
    model::{Error, Password, current_trace},
};

/// When to try again at the earliest: before the first hash is done nobody knows how long one takes.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(100);

/// The memory, in KiB, above which an imported hash counts as one that takes much.
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
    /// How many hashes there are at once: where there would be one alone, there is one more, for imported hashes, which needs no memory
    /// of its own.
    pub(super) const fn all_threads(self) -> usize {
        if self.threads < 2 { 2 } else { self.threads }
    }
}

/// A task for a hash thread.
#[derive(Debug)]
pub(super) enum Task {
    /// Hash the password under a fresh salt.
    Hash(Password),
    /// Was the hash made from the password? Without either: no, after the same work.
    Verify(Option<Password>, Option<StoredHash>),
}

/// A hash, and the key that its prehash names.
#[derive(Debug)]
pub(super) struct StoredHash {
    pub(super) hash: String,
    pub(super) key: Option<Arc<PrehashKey>>,
}

/// The result of a [`Task`].
#[derive(Debug)]
pub(super) enum HashOutcome {
    Hashed(String),
    Verified(bool),
}

/// A task in the queue.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) deadline: Deadline,
    pub(super) reply: oneshot::Sender<Result<HashOutcome, Error>>,
    /// When it came.
    pub(super) queued: Duration,
    /// That of the request that asks, if it is traced.
    pub(super) trace: Option<Trace>,
}

/// The threads and their queue. Dropping it lets the threads finish what they compute, and ends them.
#[derive(Debug)]
pub(super) struct Pool {
    threads: Arc<Threads>,
    /// Makes of a name what the queue knows an account by.
    names: RandomState,
}

impl Pool {
    pub(super) fn start(params: Argon2Params, size: PoolSize, metrics: HashMetrics) -> std::io::Result<Self> {
        let threads = Arc::new(Threads::new(params, size, metrics, Clock::system()));
        threads.start(size)?;
        Ok(Self::of(threads))
    }

    /// The pool of `threads`.
    pub(super) fn of(threads: Arc<Threads>) -> Self {
        Self { threads, names: RandomState::new() }
    }

    /// Runs `task` when its turn comes. If the caller goes away meanwhile, its place in the queue is free again.
    pub(super) async fn run(&self, task: Task, request: HashRequest<'_>) -> Result<HashOutcome, Error> {
        let (reply, answer) = oneshot::channel();
        let demand = self.demand(&task, &request);
        let (queued, trace) = (self.threads.clock.monotonic(), current_trace());
        self.admit(Job { task, deadline: request.deadline, reply, queued, trace }, demand)?;
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
        let now = self.threads.clock.monotonic();
        let mut state = self.threads.lock();
        demand.lane = state.queue.likely_lane(&demand.sharers);
        let checked = state.queue.check(now, &demand, Job::is_wanted);
        drop(state);
        checked.map_err(|retry_after| self.refuse(demand.lane, retry_after))
    }

    /// Queues `job`, if there is room for it and time.
    fn admit(&self, job: Job, demand: Demand) -> Result<(), Error> {
        let now = self.threads.clock.monotonic();
        let mut state = self.threads.lock();
        let admitted = state.queue.admit(now, job, demand, Job::is_wanted);
        let admitted = admitted.map(|displaced| {
            displaced.map(|Waiting { job, demand }| (job, state.queue.longest_wait(&demand)))
        });
        self.threads.queued(&state);
        drop(state);
        let displaced = admitted.map_err(|retry_after| self.refuse(demand.lane, retry_after))?;
        if let Some((job, retry_after)) = displaced {
            // Its caller may have gone.
            let _ = job.reply.send(Err(self.refuse(demand.lane, retry_after)));
        }
        Ok(())
    }

    /// The error of who is refused, who may try again after so long.
    fn refuse(&self, lane: Lane, retry_after: Duration) -> Error {
        self.threads.metrics.refused(lane.into());
        Error::Overloaded { what: "passwords to hash", retry_after: retry_after.max(MIN_RETRY_AFTER) }
    }

    /// The demand of a hash with the present parameters.
    fn own(&self, request: &HashRequest<'_>) -> Demand {
        let sharers = Sharers {
            account: request.account.map(|name| self.names.hash_one(name)),
            address: request.address,
            turn: request.turn,
        };
        let until = self.threads.clock.monotonic().saturating_add(request.deadline.remaining());
        Demand { sharers, lane: Lane::Own, is_heavy: false, cost: self.threads.params.cost(), until }
    }

    /// The demand of `task`, known before it is done.
    fn demand(&self, task: &Task, request: &HashRequest<'_>) -> Demand {
        let own = self.own(request);
        let Task::Verify(Some(password), Some(StoredHash { hash, key })) = task else { return own };
        let Ok(hash) = ImportedHash::parse(hash) else { return own };
        let cost = hash.login_cost(password, key.as_deref());
        if hash.fits(self.threads.params) {
            return Demand { cost: cost.max(own.cost), ..own };
        }
        Demand { lane: Lane::Imported, is_heavy: hash.memory_kib() > LIGHT_KIB, cost, ..own }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.threads.close();
    }
}

impl Job {
    /// Whether somebody still waits for the answer.
    pub(super) fn is_wanted(&self) -> bool {
        !self.reply.is_closed() && !self.deadline.has_passed()
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
