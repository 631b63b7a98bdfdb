//! Owns who waits for a hash thread, who goes next, and who is refused: values alone, without threads and without a clock.
//!
//! Whoever has had the least hashing of late goes first, by account and by address; those that are deferred go when nobody else wants
//! to. Passwords whose hashes other systems made have a lane
//! of their own, so that what one of them costs, and how many wait, keeps nobody else waiting.

use std::{collections::VecDeque, time::Duration};

use super::{
    PoolSize, Turn,
    contention::averaged,
    usage::{Backlog, Sharers, Usage},
};

/// Of so many turns of a lane one goes to whoever has waited longest, so that nobody starves: of those that are not deferred, or if none
/// of these waits, of all.
const OLDEST_EVERY: u64 = 8;

/// The place of a waiting job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Hashes of this service, and what costs no more than one of them.
    Own,
    /// Hashes that other systems made.
    Imported,
}

/// The demand of a job, known before it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) sharers: Sharers,
    pub(super) lane: Lane,
    /// Whether it takes more memory than the thread has: of these there runs one at a time.
    pub(super) is_heavy: bool,
    /// Its cost by the table, on the table's machine.
    pub(super) cost: Duration,
    /// When its answer is worth nothing any more.
    pub(super) until: Duration,
}

/// A job that waits.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) job: T,
    pub(super) demand: Demand,
}

/// The waiting jobs, in the order in which they came, and the running ones.
#[derive(Debug)]
pub(super) struct Queue<T> {
    size: PoolSize,
    own: LaneState<T>,
    imported: LaneState<T>,
    heavy_runs: bool,
    usage: Usage,
    /// The hashing time that the lanes had had at the last turn, divided by their weights.
    lanes_served: f64,
}

#[derive(Debug)]
struct LaneState<T> {
    waiting: VecDeque<Waiting<T>>,
    running: usize,
    running_cost: Duration,
    waiting_cost: Duration,
    turns: u64,
    /// The hashing time that it has had, divided by its weight.
    served: f64,
    /// What a job takes here, divided by what the table says, averaged over the recent ones; none before the first.
    pace: Option<f64>,
}

impl Lane {
    const ALL: [Self; 2] = [Self::Own, Self::Imported];

    /// `only` that one; both if none is given.
    fn of(only: Option<Self>) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |lane| only.is_none_or(|only| only == *lane))
    }

    /// How the lanes share the threads while both have jobs that wait.
    const fn weight(self) -> f64 {
        match self {
            Self::Own => 3.0,
            Self::Imported => 1.0,
        }
    }
}

impl<T> LaneState<T> {
    const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            running: 0,
            running_cost: Duration::ZERO,
            waiting_cost: Duration::ZERO,
            turns: 0,
            served: 0.0,
            pace: None,
        }
    }

    fn remove(&mut self, index: usize) -> Option<Waiting<T>> {
        let removed = self.waiting.remove(index)?;
        self.waiting_cost = self.waiting_cost.saturating_sub(removed.demand.cost);
        Some(removed)
    }

    /// What those have to wait for who wait, and one more of `sharers`.
    fn backlog(&self, sharers: &Sharers, cost: Duration) -> Backlog {
        let mut backlog = Backlog::default();
        for waiting in &self.waiting {
            backlog.add(&waiting.demand.sharers, waiting.demand.cost);
        }
        backlog.add(sharers, cost);
        backlog
    }
}

impl<T> Queue<T> {
    pub(super) fn new(size: PoolSize) -> Self {
        Self {
            size,
            own: LaneState::new(),
            imported: LaneState::new(),
            heavy_runs: false,
            usage: Usage::default(),
            lanes_served: 0.0,
        }
    }

    /// How many wait in each lane: hashes of this service, and imported ones.
    pub(super) fn waiting(&self) -> [usize; 2] {
        Lane::ALL.map(|lane| self.lane(lane).waiting.len())
    }

    /// The lane in which the password of `sharers` is likely to be: that of the account's last one.
    pub(super) fn likely_lane(&self, sharers: &Sharers) -> Lane {
        self.usage.lane(sharers).unwrap_or(Lane::Own)
    }

    /// Whether a job of this `demand` would be admitted at `now`; if not, when to try again. Those who wait and are no longer wanted
    /// make room.
    pub(super) fn check(
        &mut self,
        now: Duration,
        demand: &Demand,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Result<(), Duration> {
        self.place(now, demand, is_wanted).map(drop)
    }

    /// Has `job` wait. Returns the one that has to go for it, if one has.
    pub(super) fn admit(
        &mut self,
        now: Duration,
        job: T,
        demand: Demand,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Result<Option<Waiting<T>>, Duration> {
        let displaced = self.place(now, &demand, is_wanted)?;
        let lane = self.lane_mut(demand.lane);
        let displaced = displaced.and_then(|index| lane.remove(index));
        lane.waiting_cost += demand.cost;
        lane.waiting.push_back(Waiting { job, demand });
        Ok(displaced)
    }

    /// Takes out the job whose turn it is, if a thread may begin one: of `only` that lane, if one is given.
    pub(super) fn take(&mut self, now: Duration, only: Option<Lane>) -> Option<Waiting<T>> {
        let first = |lane| self.first(now, lane).map(|(index, is_deferred)| (is_deferred, lane, index));
        let (_, lane, index) = Lane::of(only).filter_map(first).min_by(|left, right| {
            let served = |lane| self.lane(lane).served.max(self.lanes_served);
            left.0.cmp(&right.0).then_with(|| served(left.1).total_cmp(&served(right.1)))
        })?;
        self.lane_mut(lane).remove(index)
    }

    /// A thread begins what was taken out.
    pub(super) fn begin(&mut self, now: Duration, demand: &Demand) {
        self.usage.charge(now, &demand.sharers, demand.lane, demand.cost);
        self.heavy_runs |= demand.is_heavy;
        let before = self.lane(demand.lane).served.max(self.lanes_served);
        self.lanes_served = before;
        let lane = self.lane_mut(demand.lane);
        lane.served = before + demand.cost.as_secs_f64() / demand.lane.weight();
        lane.running += 1;
        lane.running_cost += demand.cost;
        lane.turns += 1;
    }

    /// A thread has ended what it began, after `took`.
    pub(super) fn end(&mut self, demand: &Demand, took: Duration) {
        self.heavy_runs &= !demand.is_heavy;
        let lane = self.lane_mut(demand.lane);
        lane.running = lane.running.saturating_sub(1);
        lane.running_cost = lane.running_cost.saturating_sub(demand.cost);
        let pace = took.as_secs_f64() / demand.cost.as_secs_f64().max(1e-6);
        lane.pace = Some(lane.pace.map_or(pace, |average| averaged(average, pace)));
    }

    /// Whether a thread that waits could begin a job: of `only` that lane, if one is given.
    pub(super) fn has_turn(&self, now: Duration, only: Option<Lane>) -> bool {
        Lane::of(only).any(|lane| self.first(now, lane).is_some())
    }

    /// Takes out everybody who waits.
    pub(super) fn clear(&mut self) {
        self.own = LaneState::new();
        self.imported = LaneState::new();
    }

    const fn lane(&self, lane: Lane) -> &LaneState<T> {
        match lane {
            Lane::Own => &self.own,
            Lane::Imported => &self.imported,
        }
    }

    const fn lane_mut(&mut self, lane: Lane) -> &mut LaneState<T> {
        match lane {
            Lane::Own => &mut self.own,
            Lane::Imported => &mut self.imported,
        }
    }

    /// How many threads the jobs of a lane may have now: the imported ones at most half.
    fn slots(&self, lane: Lane) -> usize {
        let (most, other) = match lane {
            Lane::Own => (self.size.threads, &self.imported),
            Lane::Imported => ((self.size.threads / 2).max(1), &self.own),
        };
        most.min(self.size.all_threads().saturating_sub(other.running))
    }

    /// How many of those who wait in `lane` a thread could begin now.
    fn startable(&self, lane: Lane) -> usize {
        let state = self.lane(lane);
        self.slots(lane).saturating_sub(state.running).min(state.waiting.len())
    }

    /// Whether a job of this `demand` need not wait: it is always worth trying. Were it refused on the grounds that jobs have taken too
    /// long, no job would ever show that they no longer do.
    fn has_idle_thread(&self, demand: &Demand) -> bool {
        let lane = self.lane(demand.lane);
        let begun = self.own.running + self.imported.running;
        let starting = self.startable(Lane::Own) + self.startable(Lane::Imported);
        let is_alone = !demand.is_heavy
            || !(self.heavy_runs || lane.waiting.iter().any(|waiting| waiting.demand.is_heavy));
        is_alone
            && lane.running + lane.waiting.len() < self.slots(demand.lane)
            && begun + starting < self.size.all_threads()
    }

    fn is_full(&self, lane: Lane) -> bool {
        self.lane(lane).waiting.len() >= self.size.queue + self.startable(lane)
    }

    /// The place where a job of this `demand` would wait: a free one, or that of the job returned.
    fn place(
        &mut self,
        now: Duration,
        demand: &Demand,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Result<Option<usize>, Duration> {
        if self.has_idle_thread(demand) {
            return Ok(None);
        }
        if self.is_full(demand.lane) {
            let lane = self.lane_mut(demand.lane);
            lane.waiting.retain(|waiting| is_wanted(&waiting.job));
            lane.waiting_cost = lane.waiting.iter().map(|waiting| waiting.demand.cost).sum();
        }
        let mut displaced = None;
        if self.is_full(demand.lane) {
            displaced = Some(self.least_entitled(now, demand).ok_or_else(|| self.longest_wait(demand))?);
        }
        let needed = self.expected(now, demand);
        if now.saturating_add(needed) > demand.until { Err(needed) } else { Ok(displaced) }
    }

    /// The one in the lane of `demand` whose address has had or waits for the most, and for more than that of whoever asks; where
    /// addresses are equal, by the accounts too; of equals the last to come.
    fn least_entitled(&self, now: Duration, demand: &Demand) -> Option<usize> {
        let lane = self.lane(demand.lane);
        let backlog = lane.backlog(&demand.sharers, demand.cost);
        let standing = |sharers: &Sharers| self.usage.standing(now, sharers, &backlog);
        let standings = lane.waiting.iter().map(|waiting| standing(&waiting.demand.sharers));
        let (index, least) =
            standings.enumerate().max_by(|(a, one), (b, other)| one.by_address(other).then(a.cmp(b)))?;
        least.by_address(&standing(&demand.sharers)).is_gt().then_some(index)
    }

    /// How long a job of this `demand` would take if everybody in its lane went first.
    pub(super) fn longest_wait(&self, demand: &Demand) -> Duration {
        self.wait(demand, self.lane(demand.lane).waiting_cost)
    }

    /// How long a job of this `demand` is likely to take, its waiting included; nothing before that is known.
    fn expected(&self, now: Duration, demand: &Demand) -> Duration {
        let longest = self.longest_wait(demand);
        if now.saturating_add(longest) <= demand.until {
            return longest;
        }
        let lane = self.lane(demand.lane);
        let mine = self.usage.standing(now, &demand.sharers, &lane.backlog(&demand.sharers, Duration::ZERO));
        let (mut ahead, mut before) = (Duration::ZERO, Backlog::default());
        for Waiting { demand: other, .. } in &lane.waiting {
            // While one heavy job runs, the others pass by those that wait for its end.
            let is_passed = other.is_heavy && !demand.is_heavy && self.slots(demand.lane) > 1;
            if !is_passed && self.usage.standing(now, &other.sharers, &before) <= mine {
                ahead += other.cost;
            }
            before.add(&other.sharers, other.cost);
        }
        self.wait(demand, ahead)
    }

    fn wait(&self, demand: &Demand, ahead: Duration) -> Duration {
        let lane = self.lane(demand.lane);
        let Some(pace) = lane.pace.or(self.own.pace) else { return Duration::ZERO };
        let parallel = if demand.is_heavy { 1 } else { self.slots(demand.lane).max(1) };
        let parallel = u32::try_from(parallel).unwrap_or(u32::MAX);
        let cost = (lane.running_cost + ahead) / parallel + demand.cost;
        Duration::try_from_secs_f64(cost.as_secs_f64() * pace).unwrap_or(Duration::MAX)
    }

    /// The place of the job whose turn is next in `lane`, if it may begin now, and whether it is deferred.
    fn first(&self, now: Duration, lane: Lane) -> Option<(usize, bool)> {
        let state = self.lane(lane);
        if state.running >= self.slots(lane) {
            return None;
        }
        let may_begin = |waiting: &Waiting<T>| !(waiting.demand.is_heavy && self.heavy_runs);
        let waiting = || state.waiting.iter().enumerate().filter(|(_, waiting)| may_begin(waiting));
        let is_deferred = |waiting: &Waiting<T>| waiting.demand.sharers.turn != Turn::Fair;
        if state.turns % OLDEST_EVERY == OLDEST_EVERY - 1 {
            let oldest = waiting().find(|(_, waiting)| !is_deferred(waiting)).or_else(|| waiting().next());
            return oldest.map(|(index, waiting)| (index, is_deferred(waiting)));
        }
        let nothing = Backlog::default();
        let standing = |sharers: &Sharers| self.usage.standing(now, sharers, &nothing);
        let first = waiting().min_by_key(|(index, waiting)| (standing(&waiting.demand.sharers), *index));
        first.map(|(index, waiting)| (index, is_deferred(waiting)))
    }
}

#[cfg(test)]
mod tests;
