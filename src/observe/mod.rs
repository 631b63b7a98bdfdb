//! Owns what the process tells its operator on standard error: the log, panics, and the one thread that writes them.
//!
//! Standard error may be a pipe that nobody reads, and a write to it cannot be cancelled. So nobody else touches it: lines go into
//! memory, within a bound, and what does not fit is lost, counted, and told once the thread moves again.

mod line_limits;
mod log;
mod panics;
mod request_lines;
mod request_log;
mod terminal;
mod writer;

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    sync::{LazyLock, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use crate::base::Clock;

pub use log::start_log;
pub use request_log::LoggedRequests;
pub(crate) use request_log::{ReceivedBytes, RequestLine, RequestLog};
pub use terminal::is_dumb;
pub use writer::LineWriter;

use line_limits::LineLimits;

/// What is written on standard error, and what is not, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were lost, since standard error did not take them.
    pub lost: u64,
    /// Lines that were left out, since many like them were written.
    pub left_out: u64,
}

/// How much is held for the end of the program.
const MOST_HELD_BYTES: usize = 512 * 1024;

/// What is held for the end of the program.
static HELD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::system);

/// How many lines of one cause are written. The log is one for the whole process, and so is this.
static LIMITS: LineLimits = LineLimits::new();

/// The writer of standard error. Its thread is started by the first who asks.
pub fn stderr() -> &'static LineWriter {
    static STDERR: OnceLock<LineWriter> = OnceLock::new();
    STDERR.get_or_init(|| {
        // A descriptor of its own: the handle of `std` has a lock, which others would wait for.
        match io::stderr().as_fd().try_clone_to_owned() {
            Ok(descriptor) => LineWriter::start("stderr", File::from(descriptor), after_each_turn),
            Err(_) => LineWriter::start("stderr", io::sink(), after_each_turn),
        }
    })
}

/// What was written on standard error, and what was not.
pub fn log_counts() -> LogCounts {
    let (written, lost) = stderr().counts();
    LogCounts { written, lost, left_out: LIMITS.left_out() }
}

/// Keeps `lines` until the program ends, and writes them then: see [`flush`]. What goes beyond [`MOST_HELD_BYTES`] is written at once.
///
/// # Errors
/// As [`LineWriter::write`], if they are written.
pub(crate) fn write_at_the_end(lines: &[u8]) -> io::Result<()> {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if held.len() + lines.len() <= MOST_HELD_BYTES {
        held.extend_from_slice(lines);
        return Ok(());
    }
    let all = [&std::mem::take(&mut *held), lines].concat();
    drop(held);
    stderr().write(&all)
}

/// Waits until what was told before, and what was held for the end, is written, but for no longer than `within`. Returns whether it is.
pub fn flush(within: Duration) -> bool {
    tell_left_out(LIMITS.take_all());
    let held = std::mem::take(&mut *HELD.lock().unwrap_or_else(PoisonError::into_inner));
    stderr().write_within(&held, within).is_ok()
}

/// What the writer's thread does after it has written, and every second: `lost` lines were lost before.
fn after_each_turn(lost: u64) {
    if lost > 0 {
        tracing::error!(lines = lost, "lines of the log were lost: standard error did not take them");
    }
    tell_left_out(LIMITS.take_due(CLOCK.monotonic()));
}

fn tell_left_out(causes: Vec<line_limits::LeftOut>) {
    for line_limits::LeftOut { target, place, lines } in causes {
        tracing::warn!(from = target, place, lines, "lines of one cause were left out: there were too many");
    }
}
