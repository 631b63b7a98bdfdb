//! Owns what one watcher has yet to read: a bounded queue, so that nobody waits for whoever reads slowly.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
};

use futures_util::{Stream, task::AtomicWaker};
use hyper::body::Bytes;
use uuid::Uuid;

use super::hub::{Hub, Seat};
use crate::{base::Timestamp, model::Error};

/// How many messages a watcher may have unread. At one each 50 ms that is more than three seconds; a heartbeat is one each ten seconds.
const MOST_MESSAGES: usize = 64;

/// How many bytes these may be. They are shared by all who are told the same.
const MOST_BYTES: usize = 1_024 * 1_024;

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
    messages: VecDeque<Bytes>,
    bytes: usize,
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
    /// What it is told first, shared by all who begin at the same.
    first: Arc<[Bytes]>,
    read: usize,
    watcher: Arc<Watcher>,
    seat: Seat,
    hub: Weak<Hub>,
}

impl Watcher {
    /// A watcher of the client, whose token expires at that time.
    pub(super) fn new(client: Uuid, expire_time: Timestamp) -> Self {
        Self { client, expire_time, queue: Mutex::default(), waker: AtomicWaker::new() }
    }

    /// Adds `message`; false if there are so many that it is dropped: then it is told that it has missed something.
    pub(super) fn push(&self, message: &Bytes, resync: &Bytes) -> bool {
        let mut queue = self.queue();
        let fits = queue.messages.len() < MOST_MESSAGES && queue.bytes + message.len() <= MOST_BYTES;
        if fits {
            queue.bytes += message.len();
            queue.messages.push_back(message.clone());
        } else {
            *queue = Queue { messages: [resync.clone()].into(), bytes: resync.len(), end: Some(End::Again) };
        }
        drop(queue);
        self.waker.wake();
        fits
    }

    /// Has it end with `resync`, whatever it has yet to read.
    pub(super) fn resync(&self, resync: &Bytes) {
        *self.queue() =
            Queue { messages: [resync.clone()].into(), bytes: resync.len(), end: Some(End::Again) };
        self.waker.wake();
    }

    /// Has it end once it has read what it is told.
    pub(super) fn end(&self, end: End) {
        self.queue().end.get_or_insert(end);
        self.waker.wake();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Of `watcher`, which sits at `seat` of `hub` and is told `first` first.
    pub(super) const fn new(first: Arc<[Bytes]>, watcher: Arc<Watcher>, seat: Seat, hub: Weak<Hub>) -> Self {
        Self { first, read: 0, watcher, seat, hub }
    }
}

impl Stream for Watch {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(message) = self.first.get(self.read).cloned() {
            self.read += 1;
            if self.read == self.first.len() {
                // Others may be told it no longer.
                self.first = Arc::default();
                self.read = 0;
            }
            return Poll::Ready(Some(Ok(message)));
        }
        // Before the queue is looked at, so that nothing comes unseen between.
        self.watcher.waker.register(context.waker());
        let mut queue = self.watcher.queue();
        if let Some(message) = queue.messages.pop_front() {
            queue.bytes = queue.bytes.saturating_sub(message.len());
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
        Watcher::new(Uuid::nil(), Timestamp::from_micros(0))
    }

    fn left(watcher: &Watcher) -> (Vec<Bytes>, Option<End>) {
        let queue = watcher.queue();
        (queue.messages.iter().cloned().collect(), queue.end)
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
