//! Owns what this process warns of in its log, for tests whose servers are parts of it.

use std::{
    io,
    sync::{Mutex, Once},
};

use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

static WARNINGS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

#[derive(Clone, Copy)]
struct Keeper;

impl io::Write for Keeper {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        WARNINGS.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Keeper {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Keeps what this process warns of from now on, by whichever of its tests.
pub(crate) fn keep_warnings() {
    static KEEPING: Once = Once::new();
    KEEPING.call_once(|| {
        let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_ansi(false);
        tracing::subscriber::set_global_default(lines.with_writer(Keeper).finish()).unwrap();
    });
}

/// What it has warned of so far.
pub(crate) fn warnings() -> String {
    String::from_utf8(WARNINGS.lock().unwrap().clone()).unwrap()
}
