//! Owns a descriptor that may block: the thread that writes to it, and the lines that wait for that thread.

use std::{
    cell::Cell,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// How many bytes of lines may wait that nobody waits for: some thousands of lines.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// How often the thread looks around though there is nothing to write.
const TICK: Duration = Duration::from_secs(1);

/// How long to wait before a descriptor is asked again that takes nothing at the moment, if it says so instead of blocking.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

thread_local! {
    /// Whether this thread writes: what it has to tell finds room.
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// Writes lines by a thread of its own. Clones write to the same descriptor.
#[derive(Clone, Debug)]
pub struct LineWriter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    written: AtomicU64,
    lost: AtomicU64,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// How many lines of `bytes` nobody waits for, and their size.
    lines: u64,
    line_bytes: usize,
    /// How many of these were lost since it was last told.
    lost: u64,
    /// Who wants to know how it ends.
    waiters: Vec<SyncSender<io::Result<()>>>,
    /// Whether there is no thread, so that nothing more is written.
    is_over: bool,
}

/// The thread's life: when it ends, by whatever, nobody waits for it any more.
struct Running<'a>(&'a Shared);

impl LineWriter {
    /// A writer to `descriptor`. After each turn its thread calls `after_turn`, with how many lines were lost before.
    ///
    /// If the system has no room for a thread, all lines are lost.
    pub fn start(
        name: &str,
        descriptor: impl Write + Send + 'static,
        after_turn: impl FnMut(u64) + Send + 'static,
    ) -> Self {
        let builder = thread::Builder::new().name(name.to_owned());
        Self::start_by(|run| builder.spawn(run).map(drop), descriptor, after_turn)
    }

    /// The same, whose thread `spawn` starts.
    fn start_by(
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
        descriptor: impl Write + Send + 'static,
        after_turn: impl FnMut(u64) + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let run = move || of_thread.run(descriptor, after_turn);
        if spawn(Box::new(run)).is_err() {
            shared.end();
        }
        Self { shared }
    }

    /// Leaves one line, or loses it if too much waits already. Does not wait.
    pub fn leave(&self, line: &[u8]) {
        let mut waiting = self.shared.waiting();
        let is_too_much = waiting.line_bytes + line.len() > MAX_WAITING_BYTES && !IS_WRITER.get();
        if waiting.is_over || is_too_much {
            waiting.lost += 1;
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes.extend_from_slice(line);
        waiting.line_bytes += line.len();
        waiting.lines += 1;
        drop(waiting);
        self.shared.arrived.notify_one();
    }

    /// Writes `lines`, and waits until they are written: for threads that serve nobody. What waits here is bounded by their number.
    ///
    /// # Errors
    /// The system's, if they cannot be written; [`io::ErrorKind::BrokenPipe`], if there is no thread to write them.
    pub fn write(&self, lines: &[u8]) -> io::Result<()> {
        self.hand_in(lines).recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// As [`Self::write`], and waits for no longer than `within`.
    ///
    /// # Errors
    /// As with [`Self::write`]; [`io::ErrorKind::TimedOut`], if that takes longer.
    pub fn write_within(&self, lines: &[u8], within: Duration) -> io::Result<()> {
        self.hand_in(lines).recv_timeout(within).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(io::ErrorKind::TimedOut.into()),
            RecvTimeoutError::Disconnected => Err(io::ErrorKind::BrokenPipe.into()),
        })
    }

    /// Waits until what was left before is written, but for no longer than `within`. Returns whether it is.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        self.write_within(&[], within).is_ok()
    }

    /// How many lines that nobody waits for were written, and how many were lost.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.written.load(Ordering::Relaxed), self.shared.lost.load(Ordering::Relaxed))
    }

    fn hand_in(&self, lines: &[u8]) -> Receiver<io::Result<()>> {
        // With room for the answer, so that the thread does not wait for who has given up.
        let (sender, receiver) = sync_channel(1);
        let mut waiting = self.shared.waiting();
        if waiting.is_over {
            // Without its sender, the receiver knows.
            return receiver;
        }
        waiting.bytes.extend_from_slice(lines);
        waiting.waiters.push(sender);
        drop(waiting);
        self.shared.arrived.notify_one();
        receiver
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is written: what waits is lost, and whoever waits for it is told.
    fn end(&self) {
        let mut waiting = self.waiting();
        let Waiting { lines, .. } = std::mem::take(&mut *waiting);
        waiting.is_over = true;
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// The life of the thread.
    fn run(&self, mut descriptor: impl Write, mut after_turn: impl FnMut(u64)) {
        IS_WRITER.set(true);
        let _running = Running(self);
        loop {
            let Waiting { bytes, lines, waiters, .. } = self.take();
            let written = write_all(&mut descriptor, &bytes);
            let lost = if written.is_ok() {
                self.written.fetch_add(lines, Ordering::Relaxed);
                std::mem::take(&mut self.waiting().lost)
            } else {
                self.lost.fetch_add(lines, Ordering::Relaxed);
                self.waiting().lost += lines;
                0
            };
            for waiter in waiters {
                // The error has no copy of itself. Who has given up waiting is not told.
                let _ = waiter.send(written.as_ref().map(|&()| ()).map_err(copy));
            }
            after_turn(lost);
        }
    }

    /// All that waits, once there is something, or the next tick has come.
    fn take(&self) -> Waiting {
        let nothing = |waiting: &mut Waiting| waiting.bytes.is_empty() && waiting.waiters.is_empty();
        let waited = self.arrived.wait_timeout_while(self.waiting(), TICK, nothing);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let lost = waiting.lost;
        std::mem::replace(&mut *waiting, Waiting { lost, ..Waiting::default() })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn write_all(descriptor: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match descriptor.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another process that has the same descriptor may have made it so.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(BUSY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A descriptor that takes nothing until it is told to, and then tells what it took.
    struct Gate {
        open: mpsc::Receiver<io::Result<()>>,
        took: mpsc::Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().unwrap_or(Ok(()))?;
            self.took.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (LineWriter, mpsc::Sender<io::Result<()>>, mpsc::Receiver<String>, mpsc::Receiver<u64>) {
        let ((opener, open), (took, taken), (tell, told)) =
            (mpsc::channel(), mpsc::channel(), mpsc::channel());
        let tell_lost = move |lost| {
            if lost > 0 {
                tell.send(lost).unwrap();
            }
        };
        (LineWriter::start("test", Gate { open, took }, tell_lost), opener, taken, told)
    }

    #[test]
    fn nobody_waits_for_a_descriptor_that_blocks_and_what_is_lost_is_counted_and_told() {
        let (writer, open, taken, told) = gate();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        writer.leave(b"first\n");
        while !writer.shared.waiting().bytes.is_empty() {
            thread::yield_now();
        }
        // The thread is inside the write now, and nothing is taken.
        for _ in 0..1_024 {
            writer.leave(&line);
        }
        assert_eq!(writer.counts(), (0, 0));
        writer.leave(b"too much\n");
        writer.leave(b"too much\n");
        assert_eq!(writer.counts(), (0, 2));
        assert!(!writer.flush(Duration::from_millis(1)));
        // An end is not waited for either, but what it hands in is kept.
        let audited = writer.hand_in(b"audited\n");
        drop(open);
        audited.recv().unwrap().unwrap();
        assert_eq!(taken.recv().unwrap(), "first\n");
        assert_eq!(told.recv().unwrap(), 2);
        assert!(taken.recv().unwrap().ends_with("x\naudited\n"));
        assert_eq!(writer.counts(), (1_025, 2));
        assert!(writer.flush(Duration::from_mins(1)));
    }

    #[test]
    fn a_descriptor_that_fails_loses_lines_and_says_so_to_who_waits() {
        let (writer, open, taken, told) = gate();
        writer.leave(b"lost\n");
        open.send(Err(io::Error::from_raw_os_error(28))).unwrap();
        while writer.counts() != (0, 1) {
            thread::yield_now();
        }
        open.send(Err(io::Error::from_raw_os_error(28))).unwrap();
        assert_eq!(writer.write(b"audited\n").unwrap_err().raw_os_error(), Some(28));
        open.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
        drop(open);
        writer.write(b"again\n").unwrap();
        assert_eq!((taken.recv().unwrap().as_str(), told.recv().unwrap()), ("again\n", 1));
    }

    #[test]
    fn nobody_waits_for_a_thread_that_there_is_not() {
        let refused = LineWriter::start_by(|_| Err(io::ErrorKind::OutOfMemory.into()), io::sink(), |_| {});
        refused.leave(b"lost\n");
        assert_eq!(refused.counts(), (0, 1));
        assert_eq!(refused.write(b"audited\n").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(!refused.flush(Duration::from_mins(1)));

        // One that is gone is none either, whatever ended it.
        let gone = LineWriter::start("test", io::sink(), |_| panic!("this is what ends it"));
        while gone.write(b"audited\n").is_ok() {}
        assert_eq!(gone.write(b"audited\n").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
