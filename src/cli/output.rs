//! Owns how a command answers: text for people, JSON for programs.

use std::{
    borrow::Cow,
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

use super::Failure;
use crate::{base::Timestamp, observe};

/// How long the program waits at its end for who reads its standard error.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// When something was created or changed; none of what is there from the start.
pub(super) fn moment(time: Timestamp) -> Option<String> {
    (time.as_micros() != 0).then(|| time.to_string())
}

/// Where a command writes its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes one answer: `text` for people, or `object` as one line of JSON.
    ///
    /// # Errors
    /// If it cannot be written: whoever keeps the answer in a file must not take half of it for all.
    pub(super) fn answer(self, text: &str, object: &impl Serialize) -> Result<(), Failure> {
        if self.json {
            line(&serde_json::to_string(object).unwrap_or_default())
        } else {
            line(&legible(text))
        }
    }

    /// Writes the heading of a table, for people.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn heading(self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { line(text) }
    }

    /// Says on standard error what is wrong with one row of many, or what is passed over of all.
    pub(super) fn row_problem(self, text: &str, object: &impl Serialize) {
        let line = if self.json {
            format!("{}\n", serde_json::to_string(object).unwrap_or_default())
        } else {
            format!("signet: {}\n", legible(text))
        };
        // Whoever closed standard error does not want to know.
        let _ = observe::stderr().write(line.as_bytes());
    }

    /// Says on standard error why the command failed.
    pub(super) fn failure(self, failure: &Failure) {
        let line = if self.json {
            format!("{}\n", failure.object())
        } else {
            format!("signet: {}\n", legible(&failure.to_string()))
        };
        // Whoever closed standard error does not want to know.
        let _ = observe::stderr().write_within(line.as_bytes(), LAST_WORDS);
    }
}

/// `text` with what would steer a terminal, or turn around what is read, in a form that does neither: another server may have said it.
pub(super) fn legible(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

fn line(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        // A reader that has gone (`| head`) wants no more lines, and that is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("the answer cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_steers_no_terminal() {
        assert_eq!(legible("Größe\t1\nשלום"), "Größe\t1\nשלום");
        assert_eq!(legible("\u{1b}[2J\u{9b}x\u{202e}y"), "\\u{1b}[2J\\u{9b}x\\u{202e}y");
    }
}
