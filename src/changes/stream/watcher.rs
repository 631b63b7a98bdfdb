//! Owns what one watcher has yet to read: a bounded queue, so that nobody waits for whoever reads slowly.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, task::AtomicWaker};
use hyper::body::Bytes;
use uuid::Uuid;

use super::{
    answer::Answer,
    hub::{Hub, Seat},
};
use crate::{base::Timestamp, model::Error};

/// How many messages a watcher may have unread. At one each 50 ms that is more than three seconds; a heartbeat is one each ten seconds.
const MOST_MESSAGES: usize = 64;

/// And until it has read what it is told first, and most of what was told since.
const MOST_MESSAGES_AT_FIRST: usize = 512;

/// How many bytes these may be. They are shared by all who are told the same.
const MOST_BYTES: usize = 1_024 * 1_024;

/// For how long a watcher may read nothing of what it is told first.
const MOST_TIME_AT_FIRST: Duration = Duration::from_secs(20);

/// One watcher, as the hub knows it.
#[derive(Debug)]
pub(super) struct Watcher {
    /// The client that watches.
    pub(super) client: Uuid,
    /// When its token expires.
    pub(super) expire_time: Timestamp,
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whether it has read something since it was looked last, and when it had.
    has_read: bool,
    read_time: Duration,
    /// What it is told first, shared by all who begin at the same, and how much of that it has read.
    first: Option<(Arc<Answer>, usize)>,
    /// Whether that is being made, or is not read yet with what came behind it.
    is_beginning: bool,
    messages: VecDeque<Bytes>,
    bytes: usize,
    /// Whether it is told at once that something may have been missed.
    resync: Option<Bytes>,
    end: Option<End>,
}

/// How a stream ends, once what is queued is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is to be called again.
    Again,
    /// Its token has expired.
    Expired,
}

/// What a watcher reads.
#[derive(Debug)]
pub struct Watch {
    watcher: Arc<Watcher>,
    seat: Seat,
    hub: Weak<Hub>,
}

impl Watcher {
    /// A watcher of the client, whose token expires at that time, and that begins at the time `now` on the monotonic clock.
    pub(super) fn new(client: Uuid, expire_time: Timestamp, now: Duration) -> Self {
        let queue = Mutex::new(Queue { read_time: now, ..Queue::default() });
        Self { client, expire_time, queue, waker: AtomicWaker::new() }
    }

    /// Whether it has yet to read what it was told first, and what came behind it, and reads nothing of that.
    pub(super) fn is_stuck(&self, now: Duration) -> bool {
        let mut queue = self.queue();
        if std::mem::take(&mut queue.has_read) {
            queue.read_time = now;
        }
        queue.is_beginning && now.saturating_sub(queue.read_time) > MOST_TIME_AT_FIRST
    }

    /// Has it be told `answer` first, after `resync` if something may have been missed, and then what was told to others since (`recent`).
    pub(super) fn begin<'a>(
        &self,
        resync: Option<Bytes>,
        answer: Option<Arc<Answer>>,
        recent: impl Iterator<Item = &'a Bytes>,
    ) {
        let mut queue = self.queue();
        for message in recent {
            queue.bytes += message.len();
            queue.messages.push_back(message.clone());
        }
        queue.resync = resync;
        queue.is_beginning = true;
        queue.first = answer.map(|answer| (answer, 0));
    }

    /// Has it be told `answer` before all else. If it was ended meanwhile, it is told nothing: what came since would have it go on beyond
    /// what it never heard.
    pub(super) fn answer(&self, answer: Arc<Answer>) {
        let mut queue = self.queue();
        if queue.end.is_none() {
            queue.first = Some((answer, 0));
        } else {
            queue.forget_messages();
        }
    }

    /// Adds `message`; false if there are so many that it is dropped: then it is told that it has missed something.
    pub(super) fn push(&self, message: &Bytes, resync: &Bytes) -> bool {
        let mut queue = self.queue();
        let most = if queue.is_beginning { MOST_MESSAGES_AT_FIRST } else { MOST_MESSAGES };
        let fits = queue.messages.len() < most && queue.bytes + message.len() <= MOST_BYTES;
        if fits {
            queue.bytes += message.len();
            queue.messages.push_back(message.clone());
        } else {
            queue.reset(resync);
        }
        drop(queue);
        self.waker.wake();
        fits
    }

    /// Has it end with `resync`, whatever it has yet to read.
    pub(super) fn resync(&self, resync: &Bytes) {
        self.queue().reset(resync);
        self.waker.wake();
    }

    /// Has it end once it has read what it is told. What it is told first it reads no more: it begins anew.
    pub(super) fn end(&self, end: End) {
        let mut queue = self.queue();
        queue.end.get_or_insert(end);
        if queue.first.take().is_some() {
            queue.forget_messages();
        }
        drop(queue);
        self.waker.wake();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Nothing but `resync` is left to read.
    fn reset(&mut self, resync: &Bytes) {
        *self = Self { resync: Some(resync.clone()), end: Some(End::Again), ..Self::default() };
    }

    fn forget_messages(&mut self) {
        (self.messages, self.bytes) = (VecDeque::new(), 0);
    }

    /// What is read next.
    fn pop(&mut self) -> Option<Bytes> {
        self.has_read = true;
        if let Some(resync) = self.resync.take() {
            return Some(resync);
        }
        if let Some((answer, read)) = &mut self.first {
            let message = answer.messages.get(*read).cloned();
            *read += 1;
            if *read >= answer.messages.len() {
                self.first = None;
            }
            if message.is_some() {
                return message;
            }
        }
        // Whoever waits for its answer reads nothing yet.
        self.is_beginning &= self.messages.len() > MOST_MESSAGES;
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

impl Watch {
    /// Has it be told `answer` before all else.
    pub(super) fn answer(&self, answer: Arc<Answer>) {
        self.watcher.answer(answer);
    }

    /// Of `watcher`, which sits at `seat` of `hub`.
    pub(super) const fn new(watcher: Arc<Watcher>, seat: Seat, hub: Weak<Hub>) -> Self {
        Self { watcher, seat, hub }
    }
}

impl Stream for Watch {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Before the queue is looked at, so that nothing comes unseen between.
        self.watcher.waker.register(context.waker());
        let mut queue = self.watcher.queue();
        if let Some(message) = queue.pop() {
            return Poll::Ready(Some(Ok(message)));
        }
        match queue.end {
            None => Poll::Pending,
            Some(End::Again) => Poll::Ready(None),
            // Once: whoever asks again hears no more.
            Some(End::Expired) => {
                queue.end = Some(End::Again);
                Poll::Ready(Some(Err(Error::TokenExpired)))
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.leave(&self.seat);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn watcher() -> Watcher {
        Watcher::new(Uuid::nil(), Timestamp::from_micros(0), Duration::ZERO)
    }

    fn left(watcher: &Watcher) -> (Vec<Bytes>, Option<End>) {
        let mut queue = watcher.queue();
        (std::iter::from_fn(|| queue.pop()).collect(), queue.end)
    }

    #[test]
    fn who_reads_nothing_is_dropped_with_a_resync() {
        let (watcher, resync) = (watcher(), Bytes::from_static(b"resync"));
        let message = Bytes::from_static(b"message");
        for _ in 0..MOST_MESSAGES {
            assert!(watcher.push(&message, &resync));
        }
        assert!(!watcher.push(&message, &resync));
        assert_eq!(left(&watcher), (vec![resync], Some(End::Again)));
    }

    fn answer() -> (Arc<Answer>, Bytes) {
        let first = Bytes::from_static(b"first");
        (Arc::new(Answer::of(vec![first.clone()])), first)
    }

    #[test]
    fn who_is_ended_before_the_answer_is_there_goes_on_where_it_was() {
        let (watcher, message) = (watcher(), Bytes::from_static(b"message"));
        watcher.begin(None, None, [].into_iter());
        assert!(watcher.push(&message, &message));
        watcher.end(End::Again);
        watcher.answer(answer().0);
        assert_eq!(left(&watcher), (Vec::new(), Some(End::Again)));
    }

    #[test]
    fn what_comes_while_a_long_answer_is_made_and_read_drops_nobody() {
        let (watcher, message) = (watcher(), Bytes::from_static(b"message"));
        let (answer, first) = answer();
        watcher.begin(None, None, [].into_iter());
        let push = || assert!(watcher.push(&message, &Bytes::new()));
        (0..MOST_MESSAGES * 2).for_each(|_| push());
        watcher.answer(answer);
        push();
        assert_eq!(watcher.queue().pop(), Some(first));
        push();
        while watcher.queue().messages.len() > MOST_MESSAGES {
            assert!(watcher.queue().pop().is_some());
            push();
            assert!(watcher.queue().pop().is_some());
        }
        assert!(watcher.queue().pop().is_some());
        push();
        assert!(!watcher.push(&message, &Bytes::new()), "as many as anybody");
    }

    #[test]
    fn an_end_waits_for_what_is_told_and_the_first_one_holds() {
        let (watcher, resync) = (watcher(), Bytes::from_static(b"resync"));
        watcher.push(&Bytes::from_static(b"message"), &resync);
        watcher.end(End::Expired);
        watcher.end(End::Again);
        assert_eq!(left(&watcher), (vec![Bytes::from_static(b"message")], Some(End::Expired)));
    }

    proptest! {
        #[test]
        fn no_queue_is_larger_than_its_bounds(sizes in proptest::collection::vec(0_usize..300_000, 0..200)) {
            let (watcher, resync) = (watcher(), Bytes::from_static(b"resync"));
            for size in sizes {
                let fits = watcher.push(&Bytes::from(vec![0; size]), &resync);
                let queue = watcher.queue();
                prop_assert!(queue.messages.len() <= MOST_MESSAGES && queue.bytes <= MOST_BYTES);
                prop_assert_eq!(queue.bytes, queue.messages.iter().map(Bytes::len).sum::<usize>());
                prop_assert_eq!(fits, queue.end.is_none());
                if !fits {
                    break;
                }
            }
        }
    }
}
