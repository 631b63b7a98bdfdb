//! Owns how a command answers: text for people, JSON for programs.

use std::{
    borrow::Cow,
    io::{self, Write},
    time::Duration,
};

use rustix::termios::tcgetwinsize;
use serde::Serialize;

use super::{
    CommandReason, Failure,
    table::{WIDTH, cut},
};
use crate::{base::Timestamp, observe};

/// How long the program waits at its end for who reads its standard error.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What has a terminal begin anew at its top left.
const ANEW: &str = "\x1b[H\x1b[J";

/// When something was created or changed; none of what is there from the start.
pub(super) fn moment(time: Timestamp) -> Option<String> {
    (time.as_micros() != 0).then(|| time.to_string())
}

/// Where a command writes its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
    quiet: bool,
    /// How wide the terminal is; none if standard output is none.
    width: Option<usize>,
}

impl Output {
    /// In JSON if it is `json`; nothing at all for people if it is `quiet`.
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        // One that does not say how wide it is says 0.
        let width = tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
        Self { json, quiet, width: width.filter(|width| *width > 0) }
    }

    /// Whether programs read it.
    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    /// Whether people are told of what goes wrong alone.
    pub(super) const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// The same, where people are told of what goes wrong alone.
    pub(super) const fn quietly(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// How wide lines are that are filled.
    pub(super) fn width(self) -> usize {
        self.width.unwrap_or(WIDTH)
    }

    /// Writes one answer: `text` for people, or `object` as one line of JSON.
    ///
    /// # Errors
    /// If it cannot be written: whoever keeps the answer in a file must not take half of it for all.
    pub(super) fn answer(self, text: &str, object: &impl Serialize) -> Result<(), Failure> {
        match (self.json, self.quiet) {
            (true, _) => line(&serde_json::to_string(object).unwrap_or_default()),
            (false, true) => Ok(()),
            (false, false) => line(&legible(text)),
        }
    }

    /// As [`Self::answer`], in the place of the last answer on a terminal that can. Returns whether somebody reads on.
    ///
    /// # Errors
    /// As with [`Self::answer`].
    pub(super) fn answer_anew(self, text: &str, object: &impl Serialize) -> Result<bool, Failure> {
        if self.json {
            return written(&serde_json::to_string(object).unwrap_or_default());
        }
        let text = fitting(&legible(text), self.width).into_owned();
        let is_screen = self.width.is_some() && !observe::is_dumb();
        written(&if is_screen { format!("{ANEW}{text}") } else { text })
    }

    /// Writes the heading of a table, for people.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn heading(self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { line(&fitting(text, self.width)) }
    }

    /// Writes one row of a table, with what stands below it, or `object` as one line of JSON. On a terminal each line ends where that
    /// does; who reads a pipe has all.
    ///
    /// # Errors
    /// As with [`Self::answer`].
    pub(super) fn row(self, text: &str, object: &impl Serialize) -> Result<(), Failure> {
        if self.json { self.answer(text, object) } else { line(&fitting(&legible(text), self.width)) }
    }

    /// Writes a line that is never cut, or `object` as one line of JSON. With `--quiet`, people see it only if it `matters`.
    ///
    /// # Errors
    /// As with [`Self::answer`].
    pub(super) fn finding(self, text: &str, object: &impl Serialize, matters: bool) -> Result<(), Failure> {
        Self { quiet: self.quiet && !matters, ..self }.answer(text, object)
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
            || matches!(c, '\u{61c}' | '\u{200b}' | '\u{feff}')
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

/// `text`, each line of which is cut where a terminal of `width` ends, if there is one.
fn fitting(text: &str, width: Option<usize>) -> Cow<'_, str> {
    let Some(width) = width else { return Cow::Borrowed(text) };
    Cow::Owned(text.split('\n').map(|line| cut(line, width)).collect::<Vec<_>>().join("\n"))
}

fn line(text: &str) -> Result<(), Failure> {
    written(text).map(drop)
}

/// Writes a line. Returns whether somebody reads on.
fn written(text: &str) -> Result<bool, Failure> {
    match writeln!(io::stdout(), "{text}") {
        // A reader that has gone (`| head`) wants no more lines, and that is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::because(
            CommandReason::FileUnusable,
            format!("the answer cannot be written: {error}"),
        )),
        written => Ok(written.is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_no_longer_lines_than_it_shows_and_a_pipe_has_all() {
        let text = "ID  NAME\n1   東京都庁\n    none";
        assert_eq!(fitting(text, Some(9)), "ID  NAME\n1   東京…\n    none");
        assert_eq!(fitting(text, None), text);
    }

    #[test]
    fn what_a_server_says_steers_no_terminal() {
        assert_eq!(legible("Größe\t1\nשלום"), "Größe\t1\nשלום");
        assert_eq!(legible("\u{1b}[2J\u{9b}x\u{202e}y"), "\\u{1b}[2J\\u{9b}x\\u{202e}y");
        assert_eq!(legible("\u{61c}\u{200b}\u{feff}"), "\\u{61c}\\u{200b}\\u{feff}");
    }
}
