//! Owns how a panic is told: as a line of the log. The hook of `std` writes to standard error itself, and would wait for it.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{CLOCK, LIMITS, line_limits::Cause, stderr};

/// What such lines are said to come from.
const TARGET: &str = "signet::panic";

/// How long a program waits that ends by a panic.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Tells of panics as lines of the log from now on, as JSON if `is_json`.
///
/// Not by `tracing`: a panic amid the making of another line would not be told, and a level of the log that hides defects is not
/// wanted.
pub(super) fn tell_in_log(is_json: bool) {
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        if LIMITS.admit(Cause::Place(place.clone()), TARGET, &place, CLOCK.monotonic()) {
            let line = line(info, &place, is_json);
            // The process ends with its first thread, and serves nobody by it.
            if thread::current().name() == Some("main") {
                let _ = stderr().write_within(line.as_bytes(), LAST_WORDS);
            } else {
                stderr().leave(line.as_bytes());
            }
        }
    }));
}

fn line(info: &PanicHookInfo<'_>, place: &str, is_json: bool) -> String {
    let (now, message) = (CLOCK.now().to_string(), info.payload_as_str().unwrap_or("(no message)"));
    let current = thread::current();
    let thread = current.name().unwrap_or("(no name)");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    if is_json {
        let mut line = json!({
            "timestamp": now,
            "level": "ERROR",
            "target": TARGET,
            "message": "a panic: a defect of the service",
            "panic": message,
            "place": place,
            "thread": thread,
        });
        if let Some(backtrace) = backtrace {
            line["backtrace"] = backtrace.into();
        }
        format!("{line}\n")
    } else {
        let backtrace = backtrace.unwrap_or_default();
        format!(
            "{now} ERROR {TARGET}: a panic: a defect of the service, in thread {thread} at {place}: {message}\n{backtrace}"
        )
    }
}
