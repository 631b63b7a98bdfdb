//! Owns those who are told the same, and what they were told lately: whoever joins them is told that, too, and nothing is made twice.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use hyper::body::Bytes;
use slab::Slab;

use super::{answer::Answer, log::Since, watcher::Watcher};

/// How much of what was told lately is kept, for [`KEPT`]: less than a watcher may leave unread, since it is put before that.
const MOST_MESSAGES: usize = 32;
const MOST_BYTES: usize = 256 * 1_024;

/// How many answers are kept for whoever begins next, and for how long.
const MOST_ANSWERS: usize = 4;
const KEPT: Duration = Duration::from_secs(10);

/// How many messages are made in a moment: 6,000 sessions.
const SMALL_ANSWER: usize = 8;

/// Those who are told the same.
#[derive(Debug)]
pub(super) struct Group {
    /// Each with the number that it has among all.
    pub(super) watchers: Slab<(u64, Arc<Watcher>)>,
    /// When they were told something last, on the monotonic clock.
    pub(super) told_at: Duration,
    /// What they were told, in which batch, and when.
    recent: VecDeque<(u64, Duration, Bytes)>,
    recent_bytes: usize,
    /// All that was told after this batch is kept.
    recent_since: u64,
    /// What those were told first who began, since when, and when that was made.
    answers: VecDeque<(Since, Duration, Arc<Answer>)>,
}

impl Group {
    /// Nobody yet, after `batch` was told, at that time on the monotonic clock.
    pub(super) const fn new(batch: u64, now: Duration) -> Self {
        Self {
            watchers: Slab::new(),
            told_at: now,
            recent: VecDeque::new(),
            recent_bytes: 0,
            recent_since: batch,
            answers: VecDeque::new(),
        }
    }

    /// Keeps `message` of `batch`, told at the time `now` on the monotonic clock.
    pub(super) fn keep(&mut self, batch: u64, now: Duration, message: Bytes) {
        self.recent_bytes += message.len();
        self.recent.push_back((batch, now, message));
        while self.recent.len() > MOST_MESSAGES || self.recent_bytes > MOST_BYTES {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((batch, _, message)) = self.recent.pop_front() {
            // The rest of its batch says only a part of it.
            self.recent_since = batch;
            self.recent_bytes -= message.len();
        }
    }

    /// All that was told after `batch`; none if not all of that is kept.
    pub(super) fn after(&self, batch: u64) -> Option<impl Iterator<Item = &Bytes>> {
        let later = self.recent.iter().filter(move |(told, ..)| *told > batch).map(|(.., message)| message);
        (batch >= self.recent_since).then_some(later)
    }

    /// Keeps `answer` to whoever begins `since` then, at that time on the monotonic clock.
    pub(super) fn keep_answer(&mut self, since: Since, now: Duration, answer: Arc<Answer>) {
        self.answers.retain(|(of, ..)| *of != since);
        if self.answers.len() >= MOST_ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back((since, now, answer));
    }

    /// An answer to whoever begins `since` then, after which all that was told up to `batch` is kept. One that takes little to make is made
    /// anew.
    pub(super) fn answer(&self, since: Since, batch: u64) -> Option<&Arc<Answer>> {
        let (.., answer) = self.answers.iter().find(|(of, ..)| *of == since)?;
        let is_good = answer.batch == batch || answer.messages.len() > SMALL_ANSWER;
        (is_good && answer.batch >= self.recent_since).then_some(answer)
    }

    /// Forgets what is of little use at the time `now` on the monotonic clock.
    pub(super) fn forget_old(&mut self, now: Duration) {
        while self.recent.front().is_some_and(|(_, told, _)| now.saturating_sub(*told) >= KEPT) {
            self.forget_first();
        }
        let since = self.recent_since;
        // While somebody reads it, it takes nothing more that it is kept.
        self.answers.retain(|(_, made, answer)| {
            answer.batch >= since && (now.saturating_sub(*made) < KEPT || Arc::strong_count(answer) > 1)
        });
    }

    /// Whether nobody is here, nor anything for whoever comes next: who had an answer made may be gone before it is there, and calls again.
    pub(super) fn is_of_no_use(&self) -> bool {
        self.watchers.is_empty() && self.answers.is_empty()
    }

    /// Forgets the answers that nobody reads now.
    pub(super) fn forget_unread(&mut self) {
        self.answers.retain(|(.., answer)| Arc::strong_count(answer) > 1);
    }
}
