//! Owns what is known of one connection while it is open, and the handle by which any part of the service ends it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::model::Clock;

/// A connection, as an extension of each of its requests. Clones lead to the same connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionHandle(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    clock: Clock,
    closed: CancellationToken,
    retired: CancellationToken,
    /// Why it ends, if this service ends it.
    ending: OnceLock<Ending>,
    /// The calls whose answers are not complete.
    calls: AtomicUsize,
    /// Those of them that have a place: their messages are there, and they were not refused.
    served: AtomicUsize,
    /// The calls that were served.
    answered_calls: AtomicU32,
    /// When a call was served last, or the connection began: milliseconds of the monotonic clock.
    last_answer: AtomicU64,
    /// The answers, and pieces of answers, that nobody has taken yet.
    answers: AtomicU32,
}

/// The most that a connection can be worth: whoever makes more calls on it is no more a stranger for that.
const MOST_WORTH: u32 = 4;

/// Why this service ends a connection before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was idle, and places ran short.
    Idle,
    /// Its client sent more frames than its calls are worth.
    Frames,
    /// Its client does not read what it is sent.
    Unread,
}

/// A call, until its answer is complete or nobody waits for it.
#[derive(Debug)]
pub(crate) struct OpenCall {
    connection: ConnectionHandle,
    begun: Duration,
    is_answered: bool,
}

/// A call that has a place, until its answer has been read.
#[derive(Debug)]
pub(crate) struct ServedCall(ConnectionHandle);

/// A call that its client gave up after so long was worth as much as one that is answered: its stream was taken meanwhile.
const PATIENT: Duration = Duration::from_millis(100);

impl Ending {
    /// Its name in the metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Frames => "frames",
            Self::Unread => "unread",
        }
    }
}

impl ConnectionHandle {
    /// A connection that begins now.
    pub(crate) fn new(clock: Clock) -> Self {
        let now = millis(clock.monotonic());
        Self(Arc::new(Connection {
            clock,
            closed: CancellationToken::new(),
            retired: CancellationToken::new(),
            ending: OnceLock::new(),
            calls: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            answered_calls: AtomicU32::new(0),
            last_answer: AtomicU64::new(now),
            answers: AtomicU32::new(0),
        }))
    }

    /// Closes the connection at once, with all that is in flight on it.
    pub(crate) fn end(&self, why: Ending) {
        self.note(why);
        self.0.closed.cancel();
    }

    /// Notes why the connection is about to end.
    pub(crate) fn note(&self, why: Ending) {
        // The first reason is the one that counts.
        let _ = self.0.ending.set(why);
    }

    /// Why this service ends it before its time, if it does.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.0.ending.get().copied()
    }

    /// A number that no other connection has as long as this handle, or a clone, is there.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether somebody closes it.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    /// Waits until somebody closes the connection.
    pub(crate) async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Asks the connection to end, since it is idle and places run short: what has begun by then finishes, and the client is told to
    /// bring no more.
    pub(crate) fn retire(&self) {
        self.note(Ending::Idle);
        self.0.retired.cancel();
    }

    /// Waits until somebody asks the connection to end.
    pub(crate) async fn retired(&self) {
        self.0.retired.cancelled().await;
    }

    /// Whether it was asked to end.
    #[cfg(test)]
    pub(crate) fn is_retired(&self) -> bool {
        self.0.retired.is_cancelled()
    }

    /// A call begins.
    pub(crate) fn call(&self) -> OpenCall {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        OpenCall { connection: self.clone(), begun: self.0.clock.monotonic(), is_answered: false }
    }

    /// A call gets a place.
    pub(crate) fn serve(&self) -> ServedCall {
        self.0.served.fetch_add(1, Ordering::Relaxed);
        ServedCall(self.clone())
    }

    /// Whether no call has a place. What has only begun, or was refused, does not keep a connection from being ended for others: it costs
    /// its client next to nothing.
    pub(crate) fn serves_nobody(&self) -> bool {
        self.0.served.load(Ordering::Relaxed) == 0
    }

    /// Whether no call is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.calls.load(Ordering::Relaxed) == 0
    }

    /// What the connection has been good for, from 0 (no call was served) to [`MOST_WORTH`] (eight or more).
    pub(crate) fn worth(&self) -> u32 {
        let answered = self.0.answered_calls.load(Ordering::Relaxed);
        (u32::BITS - answered.leading_zeros()).min(MOST_WORTH)
    }

    /// How long before `now` the last answer was given.
    pub(crate) fn unanswered_for(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.0.last_answer.load(Ordering::Relaxed)))
    }

    /// Takes the answers, and pieces of answers, that were given since this was asked last.
    pub(crate) fn take_answers(&self) -> u32 {
        self.0.answers.swap(0, Ordering::Relaxed)
    }

    fn note_answer(&self) {
        self.0.last_answer.store(millis(self.0.clock.monotonic()), Ordering::Relaxed);
    }

    /// The clock that it is measured by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

impl OpenCall {
    /// An answer begins, or goes on.
    pub(crate) fn answered(&mut self) {
        self.is_answered = true;
        // Nothing else depends on the order in which counts are seen.
        self.connection.0.answers.fetch_add(1, Ordering::Relaxed);
        if !self.connection.serves_nobody() {
            self.connection.note_answer();
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let ConnectionHandle(connection) = &self.connection;
        if !self.is_answered && connection.clock.monotonic().saturating_sub(self.begun) >= PATIENT {
            connection.answers.fetch_add(1, Ordering::Relaxed);
        }
        connection.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ServedCall {
    fn drop(&mut self) {
        self.0.note_answer();
        self.0.0.answered_calls.fetch_add(1, Ordering::Relaxed);
        self.0.0.served.fetch_sub(1, Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
