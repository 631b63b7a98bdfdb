//! Owns the thread that writes the audit log.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    Entry, TELL_INTERVAL,
    database::Database,
    line,
    repeats::{Merging, Repeats},
    sink::Sink,
};
use crate::{
    base::{Clock, Throttle, Timestamp},
    metrics::AuditMetrics,
};

/// While repetitions wait to be told, how often to see whether it is time.
const TICK: Duration = Duration::from_secs(1);

/// How much is written at once, in bytes.
const BATCH: usize = 64 * 1024;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// These happened at this time: one event, or all of one transaction.
    Record(Timestamp, Vec<Entry>),
    /// Write all there is, and say so.
    Flush(oneshot::Sender<()>),
    /// The same, and then open the file again if it was moved away. Says whether it is open.
    Reopen(oneshot::Sender<io::Result<()>>),
}

/// What the thread works with.
#[derive(Debug)]
pub(super) struct Writer {
    sink: Sink,
    database: Option<Database>,
    clock: Clock,
    metrics: AuditMetrics,
    lost: Arc<AtomicU64>,
    repeats: Repeats,
    /// Lines that are not written yet, and how many events they tell.
    lines: Vec<u8>,
    count: u64,
    /// Events that could not be written, and that the metrics do not count yet.
    uncounted: u64,
    /// Whether the log was told that they cannot be written.
    told_failing: bool,
    tell_failing: Throttle,
}

impl Writer {
    pub(super) fn new(
        sink: Sink,
        database: Option<Database>,
        clock: Clock,
        metrics: AuditMetrics,
        lost: Arc<AtomicU64>,
    ) -> Self {
        Self {
            sink,
            database,
            clock,
            metrics,
            lost,
            repeats: Repeats::new(Merging::LOG),
            lines: Vec::new(),
            count: 0,
            uncounted: 0,
            told_failing: false,
            tell_failing: Throttle::new(TELL_INTERVAL),
        }
    }

    /// The life of the thread: until nobody can record any more.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let is_kept_later = self.database.as_ref().is_some_and(Database::is_pending);
            let message = if self.repeats.is_pending() || is_kept_later {
                messages.recv_timeout(TICK)
            } else {
                messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match message {
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            // What has come meanwhile is written with it.
            while self.lines.len() < BATCH
                && let Ok(message) = messages.try_recv()
            {
                self.handle(message);
            }
            let now = self.clock.now();
            if let Some(database) = self.database.as_mut().filter(|database| database.is_due(now)) {
                database.end_window();
            }
            if self.repeats.is_due(now) {
                self.end_window();
            } else {
                self.write();
                self.count_lost();
            }
        }
        self.end_window();
        self.end_window_of_database();
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Record(time, entries) => {
                for entry in entries {
                    self.record(time, entry);
                }
            }
            Message::Flush(done) => {
                self.end_window();
                self.end_window_of_database();
                // Whoever asked may have given up waiting.
                let _ = done.send(());
            }
            Message::Reopen(done) => {
                self.end_window();
                let _ = done.send(self.sink.reopen());
            }
        }
    }

    fn record(&mut self, time: Timestamp, entry: Entry) {
        if let Some(database) = &mut self.database {
            database.record(time, &entry);
        }
        if self.repeats.is_due(time) {
            self.end_window();
        }
        if let Some(entry) = self.repeats.admit(time, entry) {
            self.add(time, &entry, None);
        }
    }

    /// Tells what was repeated, and writes all there is.
    fn end_window(&mut self) {
        for (last, entry, count) in self.repeats.take() {
            self.add(last, &entry, Some(count));
        }
        self.write();
        self.count_lost();
    }

    fn end_window_of_database(&mut self) {
        if let Some(database) = &mut self.database {
            database.end_window();
        }
    }

    /// Counts what could not be written, once no refusal waits to be told with its equals: one that has a line of its own and one that
    /// is told with others are then counted at the same moment.
    fn count_lost(&mut self) {
        if !self.repeats.has_refusals() {
            self.metrics.lost(std::mem::take(&mut self.uncounted));
        }
    }

    fn add(&mut self, time: Timestamp, entry: &Entry, repeats: Option<u64>) {
        line::event(&mut self.lines, time, entry, repeats);
        self.count += repeats.unwrap_or(1);
    }

    /// Writes the lines, after one that tells of those that are missing.
    fn write(&mut self) {
        let missing = self.lost.swap(0, Ordering::SeqCst);
        if self.lines.is_empty() && missing == 0 {
            return;
        }
        let mut all = Vec::with_capacity(self.lines.len() + 128);
        if missing > 0 {
            line::lost(&mut all, self.clock.now(), missing);
        }
        all.append(&mut self.lines);
        let count = std::mem::take(&mut self.count);
        match self.sink.write(&all) {
            Ok(()) => {
                if std::mem::take(&mut self.told_failing) {
                    tracing::info!("the audit log is written again");
                }
            }
            Err(error) => {
                self.uncounted += count;
                self.lost.fetch_add(missing + count, Ordering::SeqCst);
                if !self.told_failing && self.tell_failing.pass(self.clock.monotonic()).is_some() {
                    self.told_failing = true;
                    tracing::error!(error = %error, "the audit log cannot be written: events are being lost");
                }
            }
        }
    }
}
