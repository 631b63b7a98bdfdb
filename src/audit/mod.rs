//! Owns the audit log: one line for each event that matters to security.
//!
//! Recording never waits: an event goes into a bounded queue, and a thread of its own writes it. What does not fit is lost, but
//! never silently: the metrics count it, the log says so, and the audit log itself tells how many lines are missing. The
//! alternative, to refuse logins while a disk is full, would make a full disk an outage.

mod actor;
mod database;
mod event;
mod field;
mod kept;
mod line;
mod outbox;
mod pending;
mod repeats;
mod sink;
mod writer;

use std::{
    io,
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    base::{Clock, Throttle},
    files::OwnFiles,
    metrics::AuditMetrics,
};

pub use actor::{Actor, ActorKind, LocalUser};
pub use database::AuditDatabase;
pub use event::{Entry, Event, Outcome, Reason};
pub use field::{Field, FieldChange};
pub use kept::{KeptChange, KeptEvent};
pub use outbox::{Batch, Outbox};
pub use pending::Pending;

use database::Database;
use sink::Sink;
use writer::{Message, Writer};

/// How many events may wait to be written, those of one transaction being one: some seconds of the fastest logins.
const QUEUE: usize = 4_096;

/// How long to wait for room in the queue before asking again.
const FLUSH_PAUSE: Duration = Duration::from_millis(10);

/// How often the log is told that events are lost: each reader that is slow for a moment would be another line.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Where the audit log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditLog {
    /// Nowhere.
    Off,
    /// To standard error, among the lines of the log.
    Stderr,
    /// To standard error at the end of a command: nobody's answer is torn apart by it. No text stands for it.
    AfterAnswer,
    /// To the end of this file.
    File(PathBuf),
}

impl FromStr for AuditLog {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "stderr" => Ok(Self::Stderr),
            // A word without one is more likely a mistake (`on`, `stdout`) than the name of a file.
            path if path.contains('/') => Ok(Self::File(path.into())),
            _ => Err("must be off, stderr, or the path of a file, such as ./audit.log"),
        }
    }
}

/// Where events are recorded. Clones record in the same log; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Audit {
    clock: Clock,
    metrics: AuditMetrics,
    queue: Option<SyncSender<Message>>,
    /// Where the events go that the database keeps.
    outbox: Option<Outbox>,
    /// Events that were lost since the log last told of such.
    lost: Arc<AtomicU64>,
    told_lost: Arc<Throttle>,
}

impl Audit {
    /// The audit log at `target`.
    ///
    /// # Errors
    /// If the file cannot be opened for writing, or the system has no room for a thread.
    pub fn open(target: &AuditLog, clock: Clock, metrics: AuditMetrics) -> io::Result<Self> {
        Self::open_apart(target, OwnFiles::default(), None, clock, metrics)
    }

    /// The audit log at `target`, which must be none of the service's `own_files`; with `kept`, those events go to the database as well,
    /// if whoever has the [`Self::outbox`] writes them there.
    ///
    /// # Errors
    /// As [`Self::open`], or if it is one of them.
    pub(crate) fn open_apart(
        target: &AuditLog,
        own_files: OwnFiles,
        kept: Option<AuditDatabase>,
        clock: Clock,
        metrics: AuditMetrics,
    ) -> io::Result<Self> {
        let sink = match target {
            AuditLog::Off if kept.is_none() => {
                return Ok(Self::new(clock, metrics, None, None, Arc::default()));
            }
            AuditLog::Off => Sink::Nowhere,
            AuditLog::Stderr => Sink::Stderr,
            AuditLog::AfterAnswer => Sink::AfterAnswer,
            AuditLog::File(path) => Sink::file(path.clone(), own_files)?,
        };
        let (sender, receiver) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let outbox = kept.map(|_| Outbox::new(metrics.clone()));
        let database = kept.zip(outbox.clone()).map(|(kept, outbox)| Database::new(kept, outbox));
        let writer = Writer::new(sink, database, clock.clone(), metrics.clone(), Arc::clone(&lost));
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok(Self::new(clock, metrics, Some(sender), outbox, lost))
    }

    fn new(
        clock: Clock,
        metrics: AuditMetrics,
        queue: Option<SyncSender<Message>>,
        outbox: Option<Outbox>,
        lost: Arc<AtomicU64>,
    ) -> Self {
        Self { clock, metrics, queue, outbox, lost, told_lost: Arc::new(Throttle::new(TELL_INTERVAL)) }
    }

    /// The events that wait to be kept in the database, if any are to be.
    #[must_use]
    pub const fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    /// Records `entry`, as of now. Does not wait.
    pub fn record(&self, entry: Entry) {
        self.record_all(vec![entry]);
    }

    /// Records all of `entries`, as of now: those of one transaction. They have one place in the queue, so a transaction of many changes
    /// neither loses some of them nor takes the places of others. Does not wait.
    pub fn record_all(&self, entries: Vec<Entry>) {
        let Some(queue) = &self.queue else { return };
        let count = entries.len() as u64;
        let of_database = entries.iter().filter(|entry| !entry.is_left_to_transaction()).count() as u64;
        if queue.try_send(Message::Record(self.clock.now(), entries)).is_ok() {
            (0..count).for_each(|_| self.metrics.recorded());
        } else {
            self.metrics.lost(count);
            if let Some(outbox) = self.outbox.as_ref().filter(|_| of_database > 0) {
                outbox.lose(of_database);
            }
            self.lost.fetch_add(count, Ordering::SeqCst);
            if let Some(untold) = self.told_lost.pass(self.clock.monotonic()) {
                tracing::error!(lost = untold + count, "the audit log cannot keep up: events are being lost");
            }
        }
    }

    /// Records `entry` when it has come to pass: to be called right before the database is told to make it so. A client that goes
    /// away at that moment must not leave a change that nobody hears of.
    pub fn begin(&self, entry: Entry) -> Pending<'_> {
        Pending::new(self, entry)
    }

    /// Waits until what was recorded before is written, but for no longer than `within`. Returns whether it is.
    pub async fn flush(&self, within: Duration) -> bool {
        let Some(queue) = &self.queue else { return true };
        ask(queue, Message::Flush, within).await.is_some()
    }

    /// Writes what was recorded before, and opens the file again if it was moved away. For no longer than `within`.
    ///
    /// # Errors
    /// If it cannot be opened, or that takes longer.
    pub async fn reopen(&self, within: Duration) -> io::Result<()> {
        let Some(queue) = &self.queue else { return Ok(()) };
        ask(queue, Message::Reopen, within).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// What the thread answers to `message`; none if it does not within `within`.
async fn ask<T>(
    queue: &SyncSender<Message>,
    message: impl FnOnce(oneshot::Sender<T>) -> Message,
    within: Duration,
) -> Option<T> {
    let answered = async {
        let (sender, answer) = oneshot::channel();
        let mut message = message(sender);
        loop {
            match queue.try_send(message) {
                Ok(()) => return answer.await.ok(),
                Err(TrySendError::Full(back)) => message = back,
                Err(TrySendError::Disconnected(_)) => return None,
            }
            tokio::time::sleep(FLUSH_PAUSE).await;
        }
    };
    tokio::time::timeout(within, answered).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn the_events_of_one_transaction_have_one_place_and_are_lost_together() {
        let (sender, receiver) = sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let clock = Clock::manual(Timestamp::from_micros(0));
        let audit = Audit::new(clock, AuditMetrics::default(), Some(sender), None, Arc::clone(&lost));
        let steps = || vec![Event::RoleBound.done(); QUEUE + 1];
        audit.begin(Event::ManifestApplied.done()).done_with(steps());
        assert_eq!(lost.load(Ordering::SeqCst), 0);
        audit.record_all(steps());
        assert_eq!(lost.load(Ordering::SeqCst), QUEUE as u64 + 1);
        let Message::Record(_, entries) = receiver.try_recv().unwrap() else { panic!("it was recorded") };
        assert_eq!((entries.len(), entries[0].event), (QUEUE + 2, Event::ManifestApplied));
        assert!(receiver.try_recv().is_err());
    }
}
