//! Owns where `users import` reads: what the command line says of the source, and reading it ahead of the writing.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::mpsc::RecvTimeoutError,
    thread,
    time::Duration,
};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;

use crate::{
    cli::{CommandReason, Failure},
    files::read_text,
    model::Error,
    transfer::{Batch, Columns, RowRules, SourceDatabase, SourceTable, read_csv, read_ndjson, read_table},
};

/// How many batches may be read before they are written.
const AHEAD: usize = 4;

/// How much of a file is read at once, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// How long nobody is told that a pipe is waited for.
const UNTOLD: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(in crate::cli) struct SourceArguments {
    /// A file of NDJSON, as `signet users export` writes it, or of CSV; `-` for standard input.
    #[arg(value_name = "FILE", required_unless_present_any = ["from", "from_file"], conflicts_with_all = ["from", "from_file"])]
    file: Option<PathBuf>,
    /// What the file holds. By default its name says so: .csv, or NDJSON otherwise.
    #[arg(long, value_name = "FORMAT", value_enum, conflicts_with_all = ["from", "from_file"])]
    format: Option<Format>,
    /// Another service's database: `mysql://USER:PASSWORD@HOST/DATABASE`, `postgres://...` or `sqlite:PATH`; what SQLAlchemy writes
    /// (`mysql+pymysql://...`, `sqlite:///./app.db`) is understood. It is only read.
    #[arg(long, env = "SIGNET_IMPORT_FROM", value_name = "URL", hide_env_values = true)]
    from: Option<SecretString>,
    /// A file that holds --from.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    from_file: Option<PathBuf>,
    /// The table of --from, or `schema.table`.
    #[arg(long, value_name = "TABLE", default_value = "users")]
    table: String,
    #[command(flatten)]
    columns: ColumnArguments,
}

/// Names of columns, in a table or the first line of a CSV file. An empty name says that there is no such column.
#[derive(Args, Debug)]
#[expect(clippy::struct_field_names, reason = "the flags are named so, by the fields of a record")]
#[command(next_help_heading = "Columns of the source")]
struct ColumnArguments {
    /// Default: `id`.
    #[arg(long, value_name = "COLUMN")]
    column_id: Option<String>,
    /// Default: `username`.
    #[arg(long, value_name = "COLUMN")]
    column_username: Option<String>,
    /// Default: `hashed_password` in a table, `password_hash` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_password_hash: Option<String>,
    /// Who may log in. Default: `is_active`, which a table must have and a file may. Empty (`--column-is-active=`): all may.
    #[arg(long, value_name = "COLUMN", conflicts_with = "column_disabled")]
    column_is_active: Option<String>,
    /// Who may not log in, in place of --column-is-active: `disabled`, as `FastAPI`'s tutorial has it. Where it is empty or
    /// NULL, the user may.
    #[arg(long, value_name = "COLUMN", value_parser = NonEmptyStringValueParser::new())]
    column_disabled: Option<String>,
    /// Default: none in a table, `email` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_email: Option<String>,
    /// Default: none in a table, `display_name` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_display_name: Option<String>,
    /// Default: none in a table, `create_time` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_create_time: Option<String>,
    /// Default: none in a table, `update_time` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_update_time: Option<String>,
    /// Default: none in a table, `login_time` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_login_time: Option<String>,
    /// Attributes, as a JSON object. Default: none in a table, `attributes` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_attributes: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line.
    Ndjson,
    /// A first line that names the columns.
    Csv,
}

/// A source that is there.
pub(super) enum Source {
    File { input: Box<dyn BufRead + Send>, format: Format, columns: Columns, bytes: Option<u64> },
    Table { table: SourceTable, columns: Columns },
}

impl SourceArguments {
    /// Looks whether the file is there that is to be read: one that is created later must not be taken for it.
    ///
    /// # Errors
    /// [`Failure::Usage`] if it is not.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let files = [self.file.as_deref(), self.from_file.as_deref()].into_iter().flatten();
        for file in files.filter(|file| *file != Path::new("-")) {
            fs::metadata(file).map_err(|error| unreadable(file, &error))?;
        }
        if let Some(column) = &self.columns.column_is_active
            && Columns::says_disabled(column)
        {
            let problem = format!(
                "--column-is-active: `{column}` seems to say who may not log in: --column-disabled={column} reads it so"
            );
            return Err(Failure::Usage(problem));
        }
        Ok(())
    }

    /// Opens the source.
    ///
    /// # Errors
    /// [`Failure::Usage`] if there is no such file, or the arguments cannot be meant.
    pub(super) async fn open(self) -> Result<Source, Failure> {
        let columns = self.columns.columns();
        let from = match (self.from, &self.from_file) {
            (Some(url), _) => Some(url),
            (None, Some(file)) => {
                let text = read_text(file).map_err(|error| unreadable(file, &error))?;
                Some(text.trim().to_owned().into())
            }
            (None, None) => None,
        };
        if let Some(url) = from {
            let database = SourceDatabase::find(url.expose_secret())
                .map_err(|problem| Failure::Usage(format!("--from: {problem}")))?;
            let has = |field| columns.in_table().iter().any(|(name, _)| *name == field);
            if !has("username") || !has("password_hash") {
                let problem = "--column-username and --column-password-hash must name columns";
                return Err(Failure::Usage(problem.to_owned()));
            }
            let table =
                database.table(&self.table).await.map_err(|error| unreadable_source(sentence(&error)))?;
            return Ok(Source::Table { table, columns });
        }
        let file = self.file.unwrap_or_else(|| PathBuf::from("-"));
        let is_csv = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let format = self.format.unwrap_or(if is_csv { Format::Csv } else { Format::Ndjson });
        if format == Format::Ndjson && (!columns.named.is_empty() || columns.disabled.is_some()) {
            let problem = "the names of columns are those of a table or of CSV; the members of NDJSON have one name each";
            return Err(Failure::Usage(problem.to_owned()));
        }
        let (input, bytes) = open_file(&file)?;
        Ok(Source::File { input, format, columns, bytes })
    }
}

impl ColumnArguments {
    fn columns(self) -> Columns {
        let named = [
            ("id", self.column_id),
            ("username", self.column_username),
            ("password_hash", self.column_password_hash),
            ("is_active", self.column_is_active),
            ("email", self.column_email),
            ("display_name", self.column_display_name),
            ("create_time", self.column_create_time),
            ("update_time", self.column_update_time),
            ("login_time", self.column_login_time),
            ("attributes", self.column_attributes),
        ];
        let named = named.into_iter().filter_map(|(field, column)| Some((field, column?))).collect();
        Columns { named, disabled: self.column_disabled }
    }
}

impl Source {
    /// What a row's number counts.
    pub(super) const fn place(&self) -> &'static str {
        if matches!(self, Self::Table { .. }) { "row" } else { "line" }
    }

    /// Its length, if that is known.
    pub(super) const fn bytes(&self) -> Option<u64> {
        if let Self::File { bytes, .. } = self { *bytes } else { None }
    }

    /// Reads it, a few batches ahead of whoever takes them.
    pub(super) fn read(self, rules: RowRules) -> mpsc::Receiver<Result<Batch, Failure>> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        match self {
            // On a thread that nobody waits for: standard input may never end.
            Self::File { input, format, columns, .. } => drop(thread::spawn(move || {
                let take = |batch| sender.blocking_send(Ok(batch)).is_ok();
                let read = match format {
                    Format::Ndjson => read_ndjson(input, &rules, take),
                    Format::Csv => read_csv(input, &columns, &rules, take),
                };
                if let Err(error) = read {
                    // If nobody reads any more, another failure has been told.
                    let _ = sender
                        .blocking_send(Err(unreadable_source(format!("the input cannot be read: {error}"))));
                }
            })),
            Self::Table { table, columns } => drop(tokio::spawn(async move {
                let take = |batch| async { sender.send(Ok(batch)).await.is_ok() };
                if let Err(error) = read_table(&table, &columns, &rules, take).await {
                    let _ = sender.send(Err(unreadable_source(advised(sentence(&error), &columns)))).await;
                }
            })),
        }
        receiver
    }
}

/// The source is not the service's own database, so its errors are told as what they are.
fn sentence(error: &Error) -> String {
    let cause = match error {
        Error::Unavailable { source, .. } | Error::Internal(source) => {
            crate::model::error::chain(source.as_ref())
        }
        other => other.to_string(),
    };
    format!("the source cannot be read: {cause}")
}

fn unreadable_source(sentence: String) -> Failure {
    Failure::because(CommandReason::SourceUnreadable, sentence)
}

/// `problem` with what to do, if the source says that it has not one of the `columns`.
fn advised(problem: String, columns: &Columns) -> String {
    let lacks = |column: &str| {
        let named = format!("source.{column}");
        problem.match_indices(&named).any(|(at, _)| {
            !problem[at + named.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
        })
    };
    let Some((field, _)) = columns.in_table().into_iter().find(|(_, column)| lacks(column)) else {
        return problem;
    };
    let flag = format!("--column-{}", field.replace('_', "-"));
    let advice = match field {
        "is_active" => {
            "--column-disabled=NAME names the column that says who may not log in (FastAPI's tutorial: disabled), --column-is-active=NAME \
             the one that says who may, and --column-is-active= says that all may"
                .to_owned()
        }
        "username" | "password_hash" => format!("{flag}=NAME names the column that holds it"),
        _ => format!("{flag}=NAME names the column that holds it, and {flag}= says that there is none"),
    };
    format!("{problem}: {advice}")
}

/// The file, and its length if that is known.
fn open_file(file: &Path) -> Result<(Box<dyn BufRead + Send>, Option<u64>), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(BufReader::with_capacity(READ_BYTES, io::stdin())), None));
    }
    let opened = open_patiently(file).and_then(|opened| Ok((opened.metadata()?, opened)));
    let (metadata, opened) = opened.map_err(|error| unreadable(file, &error))?;
    if metadata.is_dir() {
        return Err(Failure::Usage(format!("{} is a directory", file.display())));
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(BufReader::with_capacity(READ_BYTES, opened)), bytes))
}

/// Opens `file`. A pipe opens when somebody writes to it, as a shell's does: who waits for that is told.
fn open_patiently(file: &Path) -> io::Result<File> {
    if !fs::metadata(file)?.file_type().is_fifo() {
        return File::open(file);
    }
    let (sender, opened) = std::sync::mpsc::channel();
    let path = file.to_owned();
    // Nobody may be waiting any more.
    thread::spawn(move || drop(sender.send(File::open(path))));
    match opened.recv_timeout(UNTOLD) {
        Err(RecvTimeoutError::Timeout) => {
            tracing::warn!(file = %file.display(), "waiting: nobody writes to this pipe yet");
            opened.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
        }
        opened => opened.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())),
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("{} cannot be read: {error}", file.display()))
}
