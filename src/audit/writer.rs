//! Owns the thread that writes the audit log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Entry, TELL_INTERVAL, line, repeats::Repeats, sink::Sink};
use crate::{
    metrics::AuditMetrics,
    model::{Clock, Throttle, Timestamp},
};

/// While repetitions wait to be told, how often to see whether it is time.
const TICK: Duration = Duration::from_secs(1);

/// How much is written at once, in bytes.
const BATCH: usize = 64 * 1024;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened at this time.
    Record(Timestamp, Box<Entry>),
    /// Write all there is, and say so.
    Flush(oneshot::Sender<()>),
}

/// What the thread works with.
#[derive(Debug)]
pub(super) struct Writer {
    sink: Sink,
    clock: Clock,
    metrics: AuditMetrics,
    lost: Arc<AtomicU64>,
    repeats: Repeats,
    /// Lines that are not written yet, and how many.
    lines: Vec<u8>,
    count: u64,
    /// Whether the log was told that they cannot be written.
    told_failing: bool,
    tell_failing: Throttle,
}

impl Writer {
    pub(super) fn new(sink: Sink, clock: Clock, metrics: AuditMetrics, lost: Arc<AtomicU64>) -> Self {
        Self {
            sink,
            clock,
            metrics,
            lost,
            repeats: Repeats::default(),
            lines: Vec::new(),
            count: 0,
            told_failing: false,
            tell_failing: Throttle::new(TELL_INTERVAL),
        }
    }

    /// The life of the thread: until nobody can record any more.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let message = if self.repeats.is_pending() {
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
            if self.repeats.is_due(self.clock.now()) {
                self.tell_repeats();
            }
            self.write();
        }
        self.tell_repeats();
        self.write();
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Record(time, entry) => {
                if self.repeats.is_due(time) {
                    self.tell_repeats();
                }
                match self.repeats.admit(time, *entry) {
                    Some(entry) => self.add(time, &entry, None),
                    None => self.metrics.merged(),
                }
            }
            Message::Flush(done) => {
                self.tell_repeats();
                self.write();
                // Whoever asked may have given up waiting.
                let _ = done.send(());
            }
        }
    }

    fn tell_repeats(&mut self) {
        for (last, entry, count) in self.repeats.take() {
            self.add(last, &entry, Some(count));
        }
    }

    fn add(&mut self, time: Timestamp, entry: &Entry, repeats: Option<u64>) {
        line::event(&mut self.lines, time, entry, repeats);
        self.count += 1;
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
                self.metrics.written(count);
                if std::mem::take(&mut self.told_failing) {
                    tracing::info!("the audit log is written again");
                }
            }
            Err(error) => {
                self.metrics.lost(count);
                self.lost.fetch_add(missing + count, Ordering::SeqCst);
                if !self.told_failing && self.tell_failing.pass(self.clock.monotonic()).is_some() {
                    self.told_failing = true;
                    tracing::error!(error = %error, "the audit log cannot be written: events are being lost");
                }
            }
        }
    }
}
