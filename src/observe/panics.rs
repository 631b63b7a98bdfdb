//! Owns how a panic is told: as a line of the log. The hook of `std` writes to standard error itself, and would wait for it.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{CLOCK, LIMITS, line_limits::Cause, stderr};
use crate::model::current_request;

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
    let request_id = current_request();
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
        if let Some(id) = request_id {
            line["request_id"] = id.as_str().into();
        }
        format!("{line}\n")
    } else {
        let backtrace = backtrace.unwrap_or_default();
        let request_id = request_id.map(|id| format!(" request_id={id}")).unwrap_or_default();
        format!(
            "{now} ERROR {TARGET}: a panic: a defect of the service, in thread {thread} at {place}: {message}{request_id}\n{backtrace}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    /// Makes the process that runs this test panic on a thread, as the value says.
    const STYLE: &str = "TEST_OF_PANICS";

    /// Runs this very test in a process of its own, since it is that process' hook that is set.
    fn told(style: &str) -> String {
        let own_name = "observe::panics::tests::a_panic_is_one_line_of_the_log";
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", own_name, "--nocapture"]).env(STYLE, style).env("RUST_BACKTRACE", "0");
        String::from_utf8(child.output().unwrap().stderr).unwrap()
    }

    #[test]
    fn a_panic_is_one_line_of_the_log() {
        if let Ok(style) = env::var(STYLE) {
            tell_in_log(style == "json");
            let thread = thread::Builder::new().name("worker".to_owned());
            thread.spawn(|| panic!("{} is a defect", 1)).unwrap().join().unwrap_err();
            assert!(stderr().flush(Duration::from_mins(1)));
            return;
        }
        let json = told("json");
        let line = json.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{json}"));
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["level"], &line["target"]), (&"ERROR".into(), &TARGET.into()), "{line}");
        assert_eq!((&line["panic"], &line["thread"]), (&"1 is a defect".into(), &"worker".into()), "{line}");
        assert!(line["place"].as_str().unwrap().starts_with("src/observe/panics.rs:"), "{line}");
        let text = told("text");
        let line =
            text.lines().find(|line| line.contains("1 is a defect")).unwrap_or_else(|| panic!("{text}"));
        assert!(
            line.contains(" ERROR signet::panic: ") && line.contains("in thread worker at src/"),
            "{line}"
        );
    }
}
