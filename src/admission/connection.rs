//! Owns what is known of one connection while it is open, and the handle by which any part of the service ends it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    protection::{Protection, Protections},
    recognise::{NamedSubject, named},
};
use crate::{base::Clock, model::Subject};

/// A connection, as an extension of each of its requests. Clones lead to the same connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionHandle {
    connection: Arc<Connection>,
    /// The call that the request is, if this was given to one.
    call: Option<Arc<CallState>>,
}

#[derive(Debug)]
struct Connection {
    clock: Clock,
    closed: CancellationToken,
    retired: CancellationToken,
    /// Whether it brings the calls of many clients.
    is_of_many: bool,
    /// Why it ends, if this service ends it.
    ending: OnceLock<Ending>,
    /// When it began: milliseconds of the monotonic clock, as all its times.
    begun: u64,
    /// The calls whose answers are not complete.
    calls: AtomicUsize,
    /// Those of them whose messages have not arrived whole.
    arriving: AtomicUsize,
    /// The places of calls: their messages are there, they were not refused, and their answers have not been read.
    served: AtomicUsize,
    /// The calls that have a place, and whose answers have not begun.
    working: AtomicUsize,
    /// The calls that were served, and whose answers were read.
    answered_calls: AtomicU32,
    /// When something of an answer to a served call was read last, or the connection began.
    last_answer: AtomicU64,
    /// Who keeps connections for users and clients, where it has a place.
    protections: OnceLock<Protections>,
    /// That it is kept for one of them.
    protection: OnceLock<Protection>,
    /// When it was last asked for that: milliseconds, or [`NEVER`].
    asked_to_protect: AtomicU64,
    /// When a call last showed a token that was verified: milliseconds, or [`NEVER`].
    last_verified: AtomicU64,
    /// The answers, and pieces of answers, that nobody has taken yet.
    answers: AtomicU32,
}

/// The most that a connection can be worth: whoever makes more calls on it is no more a stranger for that.
const MOST_WORTH: u32 = 4;

/// How often it is asked whether a connection can be kept, as long as it cannot: the share of its user or client may have room again.
const ASK_TO_PROTECT_MILLIS: u64 = 1_000;

const NEVER: u64 = u64::MAX;

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

/// How far a call has come: any of the flags below.
#[derive(Debug, Default)]
struct CallState(AtomicU8);

/// It had a place.
const SERVED: u8 = 1;
/// Its answer has begun.
const ANSWERED: u8 = 2;
/// Its answer is complete: all of it was handed over to be written.
const COMPLETE: u8 = 4;
/// Its place is free again: all of its answer was written, or nobody waits for it.
const RELEASED: u8 = 8;

/// A call, until its answer is complete or nobody waits for it.
#[derive(Debug)]
pub(crate) struct OpenCall {
    connection: ConnectionHandle,
    state: Arc<CallState>,
    begun: Duration,
}

/// A call whose message has not arrived whole, as long as that is so.
#[derive(Debug)]
pub(crate) struct ArrivingCall(ConnectionHandle);

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
        Self::begun_now(clock, false)
    }

    /// The same, by which a proxy brings the calls of many clients.
    pub(crate) fn new_of_many(clock: Clock) -> Self {
        Self::begun_now(clock, true)
    }

    fn begun_now(clock: Clock, is_of_many: bool) -> Self {
        let now = millis(clock.monotonic());
        let connection = Connection {
            clock,
            closed: CancellationToken::new(),
            retired: CancellationToken::new(),
            is_of_many,
            ending: OnceLock::new(),
            begun: now,
            calls: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            working: AtomicUsize::new(0),
            answered_calls: AtomicU32::new(0),
            last_answer: AtomicU64::new(now),
            protections: OnceLock::new(),
            protection: OnceLock::new(),
            asked_to_protect: AtomicU64::new(NEVER),
            last_verified: AtomicU64::new(NEVER),
            answers: AtomicU32::new(0),
        };
        Self { connection: Arc::new(connection), call: None }
    }

    /// Whether a proxy brings the calls of many clients by it.
    pub(crate) fn is_of_many(&self) -> bool {
        self.connection.is_of_many
    }

    /// Closes the connection at once, with all that is in flight on it.
    pub(crate) fn end(&self, why: Ending) {
        self.note(why);
        self.connection.closed.cancel();
    }

    /// Notes why the connection is about to end.
    pub(crate) fn note(&self, why: Ending) {
        // The first reason is the one that counts.
        let _ = self.connection.ending.set(why);
    }

    /// Why this service ends it before its time, if it does.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.connection.ending.get().copied()
    }

    /// A number that no other connection has as long as this handle, or a clone, is there.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.connection).addr()
    }

    /// Whether somebody closes it.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.connection.closed.is_cancelled()
    }

    /// Waits until somebody closes the connection.
    pub(crate) async fn closed(&self) {
        self.connection.closed.cancelled().await;
    }

    /// Asks the connection to end, since it is idle and places run short: what has begun by then finishes, and the client is told to
    /// bring no more.
    pub(crate) fn retire(&self) {
        self.note(Ending::Idle);
        self.connection.retired.cancel();
    }

    /// Waits until somebody asks the connection to end.
    pub(crate) async fn retired(&self) {
        self.connection.retired.cancelled().await;
    }

    /// Whether it was asked to end.
    #[cfg(test)]
    pub(crate) fn is_retired(&self) -> bool {
        self.connection.retired.is_cancelled()
    }

    /// A call begins.
    pub(crate) fn call(&self) -> OpenCall {
        self.connection.calls.fetch_add(1, Ordering::Relaxed);
        let begun = self.connection.clock.monotonic();
        OpenCall { connection: self.clone(), state: Arc::default(), begun }
    }

    /// The message of a call is on its way.
    pub(crate) fn arrive(&self) -> ArrivingCall {
        self.connection.arriving.fetch_add(1, Ordering::Relaxed);
        ArrivingCall(self.clone())
    }

    /// A call gets a place.
    pub(crate) fn serve(&self) -> ServedCall {
        self.connection.served.fetch_add(1, Ordering::Relaxed);
        if let Some(call) = &self.call {
            let before = call.reach(SERVED);
            if before & (SERVED | ANSWERED) == 0 {
                self.connection.working.fetch_add(1, Ordering::Relaxed);
            }
        }
        ServedCall(self.clone())
    }

    /// Notes that a call of this connection has shown a token of `subject` that was verified: it is kept when others must end, if that
    /// user or client has room in its share.
    pub(crate) fn note_caller(&self, subject: Subject) {
        let Connection { clock, protections, protection, asked_to_protect, last_verified, .. } =
            &*self.connection;
        let now = millis(clock.monotonic());
        last_verified.store(now, Ordering::Relaxed);
        if protection.get().is_some() {
            return;
        }
        let asked = asked_to_protect.load(Ordering::Relaxed);
        if asked != NEVER && now.saturating_sub(asked) < ASK_TO_PROTECT_MILLIS {
            return;
        }
        asked_to_protect.store(now, Ordering::Relaxed);
        let NamedSubject { id, is_new } = named(subject, clock.now());
        if let Some(protected) = protections.get().and_then(|protections| protections.protect(id, is_new)) {
            // Of two at the same time one is given back.
            let _ = protection.set(protected);
        }
    }

    /// Says who keeps connections where this one has a place.
    pub(super) fn set_protections(&self, protections: &Protections) {
        // It has one place.
        let _ = self.connection.protections.set(protections.clone());
    }

    /// Whether it is kept when others must end.
    pub(super) fn is_protected(&self) -> bool {
        self.connection.protection.get().is_some()
    }

    /// Whether no call has a place. What has only begun, or was refused, does not keep a connection from being ended for others: it costs
    /// its client next to nothing.
    pub(crate) fn serves_nobody(&self) -> bool {
        self.connection.served.load(Ordering::Relaxed) == 0
    }

    /// Whether a call has a place whose answer has not begun: the client waits for this service, and not the other way round.
    pub(crate) fn is_working(&self) -> bool {
        self.connection.working.load(Ordering::Relaxed) > 0
    }

    /// Whether no call is in flight, nor on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.connection.calls.load(Ordering::Relaxed) == 0
    }

    /// Whether a call is in flight: its message is there, and its answer has not been read.
    pub(crate) fn has_calls(&self) -> bool {
        let arriving = self.connection.arriving.load(Ordering::Relaxed);
        self.connection.calls.load(Ordering::Relaxed) > arriving || !self.serves_nobody()
    }

    /// What the connection has been good for, from 0 (no answer to a served call was read) to [`MOST_WORTH`] (eight or more).
    pub(crate) fn worth(&self) -> u32 {
        let answered = self.connection.answered_calls.load(Ordering::Relaxed);
        (u32::BITS - answered.leading_zeros()).min(MOST_WORTH)
    }

    /// How old it is at `now`.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.connection.begun))
    }

    /// Whether no token was verified on it, and for how long before `now` none was: since it began, if none ever was.
    pub(crate) fn unverified_for(&self, now: Duration) -> (bool, Duration) {
        let last = self.connection.last_verified.load(Ordering::Relaxed);
        let since = if last == NEVER { self.connection.begun } else { last };
        (last == NEVER, now.saturating_sub(Duration::from_millis(since)))
    }

    /// How long before `now` something of an answer was read last.
    pub(crate) fn unanswered_for(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.connection.last_answer.load(Ordering::Relaxed)))
    }

    /// Takes the answers, and pieces of answers, that were given since this was asked last.
    pub(crate) fn take_answers(&self) -> u32 {
        self.connection.answers.swap(0, Ordering::Relaxed)
    }

    /// The answer to a served call was read to its end.
    fn note_read(&self) {
        self.note_answer();
        self.connection.answered_calls.fetch_add(1, Ordering::Relaxed);
    }

    fn note_answer(&self) {
        self.connection.last_answer.store(millis(self.connection.clock.monotonic()), Ordering::Relaxed);
    }

    /// The clock that it is measured by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.connection.clock
    }
}

impl CallState {
    /// Adds `flag`. Returns what there was before.
    fn reach(&self, flag: u8) -> u8 {
        self.0.fetch_or(flag, Ordering::Relaxed)
    }
}

impl OpenCall {
    /// Its connection, as an extension of its request.
    pub(crate) fn handle(&self) -> ConnectionHandle {
        ConnectionHandle { call: Some(Arc::clone(&self.state)), ..self.connection.clone() }
    }

    /// An answer begins, or goes on.
    pub(crate) fn answered(&mut self) {
        let before = self.state.reach(ANSWERED);
        let connection = &self.connection.connection;
        // Nothing else depends on the order in which counts are seen.
        connection.answers.fetch_add(1, Ordering::Relaxed);
        if before & SERVED != 0 {
            self.connection.note_answer();
            if before & ANSWERED == 0 {
                connection.working.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// All of the answer was handed over to be written.
    pub(crate) fn completed(&mut self) {
        let before = self.state.reach(COMPLETE);
        if before & (RELEASED | COMPLETE) == RELEASED {
            self.connection.note_read();
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        // From now on no answer can begin.
        let before = self.state.reach(ANSWERED);
        let connection = &self.connection.connection;
        if before & ANSWERED == 0 {
            let was_patient = connection.clock.monotonic().saturating_sub(self.begun) >= PATIENT;
            // What one client of a proxy gives up is not the others' fault.
            if was_patient || connection.is_of_many {
                connection.answers.fetch_add(1, Ordering::Relaxed);
            }
            if before & SERVED != 0 {
                connection.working.fetch_sub(1, Ordering::Relaxed);
            }
        }
        connection.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ArrivingCall {
    fn drop(&mut self) {
        self.0.connection.arriving.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ServedCall {
    fn drop(&mut self) {
        let Self(handle) = self;
        handle.connection.served.fetch_sub(1, Ordering::Relaxed);
        if let Some(call) = &handle.call
            && call.reach(RELEASED) & (COMPLETE | RELEASED) == COMPLETE
        {
            handle.note_read();
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
