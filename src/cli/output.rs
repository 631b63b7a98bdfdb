//! Owns how a command answers: text for people, JSON for programs.

use std::io::{self, Write};

use serde::Serialize;

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
    pub(super) fn answer(self, text: &str, object: &impl Serialize) {
        if self.json {
            line(&serde_json::to_string(object).unwrap_or_default());
        } else {
            line(text);
        }
    }

    /// Writes the heading of a table, for people.
    pub(super) fn heading(self, text: &str) {
        if !self.json {
            line(text);
        }
    }

    /// Says on standard error why the command failed.
    pub(super) fn failure(self, problem: &str) {
        if self.json {
            eprintln!("{}", serde_json::json!({ "error": problem }));
        } else {
            eprintln!("signet: {problem}");
        }
    }
}

fn line(text: &str) {
    // A reader that has gone (`| head`) wants no more lines, and that is no failure.
    let _ = writeln!(io::stdout(), "{text}");
}
