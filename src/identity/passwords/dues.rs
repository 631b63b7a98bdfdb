//! Owns by when each hash that is under way should be done: values alone, without threads and without a clock.
//!
//! A hash runs when nothing else wants its core. What it takes of a core is known, so that it is known, too, when it has had none.

use std::time::Duration;

use crate::admission::Overdue;

/// How long beyond that a hash may take: other work on the machine keeps it waiting now and then.
const SLACK: Duration = Duration::from_millis(50);

/// How many times as long as it has a core a hash may take.
const PATIENCE: u32 = 2;

/// By when the hashes should be done.
#[derive(Debug)]
pub(super) struct Dues {
    /// By when each thread should be done with what it has begun.
    threads: Vec<Option<Duration>>,
    /// By when a job should be begun that a thread without one could begin.
    begin: Option<Duration>,
    /// What a job takes of a core, divided by what the table says, averaged over the recent ones.
    pace: f64,
}

impl Dues {
    /// Of so many threads.
    pub(super) fn of(threads: usize) -> Self {
        // Until one is done the table is all that is known.
        Self { threads: vec![None; threads], begin: None, pace: 1.0 }
    }

    /// Notes whether at `now` a job waits that a thread without one could begin.
    pub(super) fn waits(&mut self, now: Duration, could_begin: bool) {
        self.begin = could_begin.then(|| self.begin.unwrap_or(now + SLACK));
    }

    /// `thread` begins a job that costs `cost` by the table.
    pub(super) fn begin(&mut self, now: Duration, thread: usize, cost: Duration) {
        let core = Duration::try_from_secs_f64(cost.as_secs_f64() * self.pace).unwrap_or(Duration::MAX);
        self.threads[thread] = Some(now.saturating_add(core.saturating_mul(PATIENCE)).saturating_add(SLACK));
        self.begin = None;
    }

    /// `thread` has ended the job, which had a core for `core`, if that is known.
    pub(super) fn end(&mut self, thread: usize, cost: Duration, core: Option<Duration>) {
        self.threads[thread] = None;
        if let Some(core) = core {
            let pace = core.as_secs_f64() / cost.as_secs_f64().max(1e-6);
            self.pace = (self.pace * 7.0 + pace) / 8.0;
        }
    }

    /// When the first of them should be done, of those that count at `now`.
    pub(super) fn first(&self, now: Duration) -> Option<Duration> {
        let all = self.threads.iter().chain([&self.begin]).flatten().copied();
        all.filter(|due| !Overdue::is_given_up(now, *due)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Duration = Duration::from_millis(20);
    const START: Duration = Duration::from_secs(100);

    fn millis(count: u64) -> Duration {
        START + Duration::from_millis(count)
    }

    #[test]
    fn a_hash_has_twice_its_time_and_a_moment() {
        let mut dues = Dues::of(2);
        assert_eq!(dues.first(START), None);
        dues.begin(START, 0, COST);
        dues.begin(millis(10), 1, COST * 10);
        assert_eq!(dues.first(START), Some(millis(2 * 20 + 50)));
        dues.end(0, COST, Some(COST));
        assert_eq!(dues.first(START), Some(millis(10 + 2 * 200 + 50)));
        dues.end(1, COST * 10, Some(COST * 10));
        assert_eq!(dues.first(START), None);
    }

    #[test]
    fn what_hashes_take_here_is_learnt() {
        let mut dues = Dues::of(1);
        for _ in 0..100 {
            dues.begin(START, 0, COST);
            dues.end(0, COST, Some(COST * 3));
        }
        dues.end(0, COST, None);
        dues.begin(START, 0, COST);
        let due = dues.first(START).unwrap();
        assert!(due > millis(2 * 60 + 45) && due < millis(2 * 60 + 55), "{due:?}");
    }

    #[test]
    fn a_job_that_no_thread_begins_is_due_a_moment_after_it_could() {
        let mut dues = Dues::of(1);
        dues.waits(START, true);
        dues.waits(millis(30), true);
        assert_eq!(dues.first(START), Some(millis(50)));
        dues.begin(millis(40), 0, COST);
        dues.waits(millis(40), false);
        assert_eq!(dues.first(START), Some(millis(40 + 2 * 20 + 50)));
        dues.end(0, COST, None);
        dues.waits(millis(90), true);
        assert_eq!(dues.first(START), Some(millis(140)));
    }

    #[test]
    fn one_that_is_late_for_too_long_does_not_hide_the_others() {
        let mut dues = Dues::of(2);
        dues.begin(START, 0, COST);
        dues.begin(START, 1, COST * 1_000);
        assert_eq!(dues.first(millis(1_000)), Some(millis(90)));
        assert_eq!(dues.first(millis(1_100)), Some(millis(2 * 20_000 + 50)));
    }
}
