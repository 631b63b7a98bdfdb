//! Owns telling how an import goes: each refused row, the files that say what became of which row, and a bar on a terminal.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::source::Source;
use crate::{
    cli::{Failure, Output, output::legible},
    files::{OwnFiles, create_new, remove},
    observe::is_dumb,
    transfer::{Row, RowOutcome},
};

/// How much of a name is shown, in characters: what is refused may be long.
const SHOWN_CHARS: usize = 64;

/// How often the bar moves at least.
const TICK: Duration = Duration::from_millis(200);

/// Where what becomes of each row is told.
pub(super) struct Reporter {
    output: Output,
    /// What a row's number counts.
    place: &'static str,
    report: Option<NewFile>,
    id_map: Option<NewFile>,
    /// What the source has of users, and is not taken.
    not_taken: BTreeMap<&'static str, u64>,
    bar: ProgressBar,
    counts_bytes: bool,
}

/// The files that say what became of which row, created and still empty. What nothing was told in is deleted again, unless the import
/// came to its end: the next run may have the same names.
pub(super) struct ReportFiles {
    report: Option<NewFile>,
    id_map: Option<NewFile>,
}

struct NewFile {
    path: PathBuf,
    writer: BufWriter<File>,
    /// Whether it stays when it is dropped.
    is_kept: bool,
}

impl ReportFiles {
    /// Creates the files that are named.
    ///
    /// # Errors
    /// If there is a file of one of the names already: it may be the input, or what an earlier run has told; [`Failure::Usage`] if it is
    /// the name of one of the service's `own` files.
    pub(super) fn create(
        report: Option<&Path>,
        id_map: Option<&Path>,
        own: &OwnFiles,
    ) -> Result<Self, Failure> {
        let create =
            |flag, path: Option<&Path>| path.map(|path| NewFile::create(flag, path, own)).transpose();
        Ok(Self { report: create("--report", report)?, id_map: create("--id-map", id_map)? })
    }
}

impl NewFile {
    fn create(flag: &str, path: &Path, own: &OwnFiles) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Err(Failure::Usage(format!("{flag}: must be the name of a new file, and not `-`")));
        }
        let sentence = |error: &io::Error| format!("{flag}: {} cannot be created: {error}", path.display());
        own.refuse_name(path).map_err(|error| Failure::Usage(sentence(&error)))?;
        let file = create_new(path).map_err(|error| Failure::of_new_file(&error, sentence(&error)))?;
        Ok(Self { path: path.to_owned(), writer: BufWriter::new(file), is_kept: false })
    }

    fn tell(&mut self, object: &Value) -> io::Result<()> {
        self.is_kept = true;
        writeln!(self.writer, "{object}")
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an empty file could not be deleted");
        }
    }
}

impl Reporter {
    /// Tells what becomes of the rows of `source`, in `files` too.
    pub(super) fn new(output: Output, source: &Source, files: ReportFiles) -> Self {
        let (place, bytes) = (source.place(), source.bytes());
        let ReportFiles { report, id_map } = files;
        let (bar, not_taken) = (bar(bytes, output), BTreeMap::new());
        Self { output, place, report, id_map, not_taken, bar, counts_bytes: bytes.is_some() }
    }

    /// Notes how much of each kind a batch leaves behind.
    pub(super) fn note_not_taken(&mut self, of_batch: &BTreeMap<&'static str, u64>) {
        for (kind, count) in of_batch {
            *self.not_taken.entry(kind).or_default() += count;
        }
    }

    /// How much of each kind was not taken.
    pub(super) const fn not_taken(&self) -> &BTreeMap<&'static str, u64> {
        &self.not_taken
    }

    /// Tells what became of `row`.
    pub(super) fn tell(&mut self, row: &Row, outcome: &RowOutcome) -> Result<(), Failure> {
        let object = match outcome {
            RowOutcome::Refused(refusal) => {
                let object = self.object(row, "refused", refusal.reason.name(), &refusal.problem);
                let line = self.text(row, &refusal.problem);
                self.bar.suspend(|| self.output.row_problem(&line, &object));
                Some(object)
            }
            RowOutcome::Skipped(id) => Some(self.object(
                row,
                "skipped",
                "USER_EXISTS",
                &format!("is there, with another password or id ({id})"),
            )),
            RowOutcome::Noted(_, note) => Some(self.object(row, "added", note.reason.name(), &note.problem)),
            RowOutcome::Added(_) | RowOutcome::Updated(_) | RowOutcome::AlreadyThere(_) => None,
        };
        if let (Some(report), Some(object)) = (&mut self.report, object) {
            report.tell(&object)?;
        }
        if let (Some(id_map), Some(id)) = (&mut self.id_map, outcome.id()) {
            id_map.tell(&json!({
                "source_id": row.source_id,
                "username": row.username,
                "id": id.to_string(),
                "outcome": name(outcome),
            }))?;
        }
        Ok(())
    }

    /// Tells which `columns` of the input are passed over: a misspelt `is_active` must not go unnoticed.
    pub(super) fn tell_ignored(&self, columns: &[String]) {
        if columns.is_empty() {
            return;
        }
        let shown = |name: &String| match name.chars().take(SHOWN_CHARS).collect::<String>() {
            name if name.is_empty() => "one without a name".to_owned(),
            name => format!("`{}`", name.escape_debug()),
        };
        let names: Vec<_> = columns.iter().map(shown).collect();
        let line = format!("these columns are passed over: {}", names.join(", "));
        self.bar.suspend(|| self.output.row_problem(&line, &json!({ "ignored_columns": columns })));
    }

    /// So much has been read, and so many rows are done.
    pub(super) fn progress(&self, bytes: u64, rows: u64) {
        self.bar.set_position(if self.counts_bytes { bytes } else { rows });
        self.bar.set_message(format!("{rows} rows"));
    }

    /// Everything has been told, up to the source's end if that `is_whole`: then a file stays in which nothing had to be told.
    pub(super) fn finish(&mut self, is_whole: bool) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        for file in [&mut self.report, &mut self.id_map].into_iter().flatten() {
            file.is_kept |= is_whole;
            file.writer.flush()?;
        }
        Ok(())
    }

    fn object(&self, row: &Row, outcome: &str, reason: &str, problem: &str) -> Value {
        let mut object = json!({
            self.place: row.place,
            "source_id": row.source_id,
            "username": row.username.as_deref().map(|name| name.chars().take(SHOWN_CHARS).collect::<String>()),
            "outcome": outcome,
            "reason": reason,
            "problem": problem,
        });
        if let Some((file, number)) = &row.file {
            object["file"] = json!({ "path": **file, self.place: number });
        }
        object
    }

    /// What stands before `problem` names the row; nothing in it commands a terminal.
    fn text(&self, row: &Row, problem: &str) -> String {
        let shown =
            |text: &str| legible(&text.chars().take(SHOWN_CHARS).collect::<String>()).replace('\n', "\\n");
        let name = row.username.as_deref().filter(|name| !name.is_empty());
        let name = name.map(|name| format!("`{}`", shown(name)));
        let id = row.source_id.as_deref().map(|id| format!("id {}", shown(id)));
        let known: Vec<_> = name.into_iter().chain(id).collect();
        let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
        let of_file = |(file, number): &(Arc<str>, u64)| {
            format!(", which is {} {number} of {}", self.place, shown(file))
        };
        let of_file = row.file.as_ref().map(of_file).unwrap_or_default();
        format!("{} {}{of_file}{known}: {}", self.place, row.place, legible(problem).replace('\n', "\\n"))
    }
}

/// How the file of ids calls `outcome`. A user who was skipped may be another person than the row's, so whoever gives users what refers
/// to the row must be able to tell.
const fn name(outcome: &RowOutcome) -> &'static str {
    match outcome {
        RowOutcome::Added(_) | RowOutcome::Noted(..) => "added",
        RowOutcome::Updated(_) => "updated",
        RowOutcome::AlreadyThere(_) => "already_there",
        RowOutcome::Skipped(_) => "skipped",
        RowOutcome::Refused(_) => "refused",
    }
}

/// A bar on standard error, if that is a terminal that can draw one, and somebody wants to see it; of rows alone if it is not known how
/// long the input is.
fn bar(bytes: Option<u64>, output: Output) -> ProgressBar {
    if output.is_quiet() || is_dumb() {
        return ProgressBar::hidden();
    }
    let bar = bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = if bytes.is_some() {
        "{wide_bar} {bytes}/{total_bytes}, {msg}, {eta} left"
    } else {
        "{spinner} {msg}, {per_sec}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

/// Whole rows in a second.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people, far below 2^52"
)]
pub(super) fn rate(rows: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (rows as f64 / seconds) as u64 } else { 0 }
}
