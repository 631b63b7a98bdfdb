//! Owns the log: what its lines look like, and which are written.

use std::io;

use tracing_subscriber::{
    Layer, filter::Targets, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::{LIMITS, LineWriter, panics, request_lines::RequestLines, stderr, terminal::has_colours};

/// Sends log lines to standard error from now on, as JSON if `is_json`, and panics with them. Standard output is for what a command
/// answers.
pub fn start_log(is_json: bool, level: Targets) {
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr());
    let lines = if is_json {
        let lines = lines.json().flatten_event(true);
        lines.map_event_format(|format| RequestLines::new(format, true)).boxed()
    } else {
        let is_ansi = has_colours();
        let lines = lines.with_ansi(is_ansi);
        lines.map_event_format(|format| RequestLines::new(format.with_ansi(is_ansi), false)).boxed()
    };
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(level).with(&LIMITS).with(lines).try_init();
    panics::tell_in_log(is_json);
}

/// Where a line of the log goes.
pub struct Lines(&'static LineWriter);

impl MakeWriter<'_> for &'static LineWriter {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        Lines(self)
    }
}

impl io::Write for Lines {
    /// The subscriber hands over each line as a whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.leave(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
